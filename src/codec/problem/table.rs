//! The table of problems: every stable code with its status, title and remedy in both languages.
//!
//! A code is never renamed nor given another status; new ones are added. docs/problems.md is made from this table.

pub use super::row::Row;
use super::row::problems;

problems! {
    PathMalformed "path_malformed" 400 {
        "路径编码有误", "The path is not properly encoded";
        "标识中的特殊字符用 UTF-8 百分号编码", "Percent-encode the identifier's special characters as UTF-8"
    }
    QueryInvalid "query_invalid" 400 {
        "查询参数有误", "A query parameter is wrong";
        "按 detail 改正参数", "Correct the parameter that detail names"
    }
    HeaderInvalid "header_invalid" 400 {
        "请求头有误", "A request header is wrong";
        "按 detail 改正请求头", "Correct the header that detail names"
    }
    TilePathInvalid "tile_path_invalid" 400 {
        "不是日志片的地址", "Not the address of a tile";
        "写作 L/N 或 entries/N, L 为 0 至 63, N 三位一组 (000, x001/234), 末片加 .p/W, W 为 1 至 255",
        "Write L/N or entries/N: L from 0 to 63, N in groups of three digits (000, x001/234), a partial one with .p/W, W from 1 to 255"
    }
    IdentifierInvalid "identifier_invalid" 400 {
        "标识不合规则", "The identifier breaks a rule";
        "按 errors 中的代码核对标识, 校验位请重新计算", "Compare the identifier with the rule in errors; compute check digits anew"
    }
    JsonSyntax "json_syntax" 400 {
        "不是有效的 JSON", "Not valid JSON";
        "按行列位置改正, 用 UTF-8 发送", "Correct the text at that line and column; send UTF-8"
    }
    JsonTooDeep "json_too_deep" 400 {
        "JSON 嵌套过深", "The JSON is nested too deeply";
        "减少嵌套, 上限见 limits.json_depth", "Nest less; the limit is limits.json_depth"
    }
    JsonDuplicateKey "json_duplicate_key" 400 {
        "JSON 对象中有重复的键", "A key occurs twice in a JSON object"; "每个键只保留一个", "Keep each key once"
    }
    JsonNumberInexact "json_number_inexact" 400 {
        "数字超出可精确保存的范围", "A number cannot be kept exactly";
        "以字符串或 decimal 类型发送该数字", "Send the number as a string or as a decimal"
    }
    BatchTooLarge "batch_too_large" 400 {
        "一次请求的标识过多", "Too many identifiers in one request";
        "分批发送, 上限见 limits.batch_identifiers", "Send several batches; the limit is limits.batch_identifiers"
    }
    TableUnreadable "table_unreadable" 400 {
        "表格不可读", "The table cannot be read";
        "按 detail 改正文件, 或指明 encoding 与 separator", "Correct the file as detail says, or name its encoding and separator"
    }
    BodyBroken "body_broken" 400 {
        "请求体不完整或无法解码", "The body is incomplete or cannot be decoded";
        "检查网络与压缩后重发", "Check the network and the compression, then send again"
    }
    DigestMismatch "digest_mismatch" 400 {
        "请求体与 Content-Digest 不符", "The body is not what Content-Digest says";
        "对实际发送的字节计算摘要后重新签名", "Compute the digest of the bytes that are sent, and sign anew"
    }
    MessageMalformed "message_malformed" 400 {
        "gRPC 消息不可读", "The gRPC message cannot be read";
        "按 proto/mingpai/v1 编码, 流的第一条消息见其说明", "Encode it as proto/mingpai/v1 says, the order of a stream's messages included"
    }
    TlsRequired "tls_required" 400 {
        "此端口只接受 TLS", "This port speaks TLS only"; "把地址中的 http:// 改为 https://", "Write https:// in place of http:// in the address"
    }
    MissingCredentials "missing_credentials" 401 {
        "需要凭据", "Credentials are needed"; "请求头加上 Authorization: Bearer <密钥>, 或对请求签名", "Send Authorization: Bearer <key>, or sign the request"
    }
    BadCredentials "bad_credentials" 401 {
        "凭据无效", "The credentials are not valid";
        "核对密钥或链接是否完整, 是否过期或已撤销; 会话结束后须重新登录; 只出示一种凭据", "See whether the key or link is complete, expired or revoked; sign in again where a session has ended; show one credential only"
    }
    SignatureUnusable "signature_unusable" 401 {
        "请求的签名不可用", "The signature of the request cannot be used";
        "按 detail 重新签名, 规则见文档 api.md", "Sign anew as detail says; docs/api.md has the rules"
    }
    MirrorReadOnly "mirror_read_only" 403 {
        "本节点是只读镜像", "This node is a mirror and only reads";
        "向源节点登记或查询, 地址见 detail", "Ask the origin; detail has its address"
    }
    Forbidden "forbidden" 403 {
        "没有权限", "Not permitted"; "请有权者操作, 或向管理员申请", "Ask someone who may, or the administrator for the right"
    }
    FilingSamePerson "filing_same_person" 403 {
        "须由另一位审核员处理", "Another reviewer must do this"; "请另一位审核员领取", "Ask another reviewer to claim it"
    }
    PrefixSuspended "prefix_suspended" 403 {
        "前缀已暂停", "The prefix is suspended"; "前缀的状态见 GET /v1/identity/; 由其持有者向本节点运营者询问", "GET /v1/identity/ says how the prefix stands; its holder asks the operator of this node"
    }
    PrefixExpired "prefix_expired" 403 {
        "前缀已到期", "The prefix has run out"; "请审核员续期: POST /v1/prefixes/{prefix}/renew", "Have a reviewer renew it: POST /v1/prefixes/{prefix}/renew"
    }
    OwnerNotLicensed "owner_not_licensed" 403 {
        "签名密钥没有该前缀的有效许可", "The signing key has no licence in force for the prefix";
        "用获许可的密钥签名; 许可见 GET /v1/licences?identifier=", "Sign with a licensed key; GET /v1/licences?identifier= lists the licences"
    }
    RouteUnknown "route_unknown" 404 {
        "没有这个地址", "No such address"; "地址列表见 /", "The addresses are listed at /"
    }
    IdentifierUnknown "identifier_unknown" 404 {
        "标识未注册", "The identifier is not registered";
        "核对标识; 前导零也算在内", "Compare the identifier, leading zeros included"
    }
    ServiceUnknown "service_unknown" 404 {
        "没有这个 gRPC 服务", "No such gRPC service";
        "服务名见 proto/, 空名表示整个节点", "The services are named in proto/; the empty name is the node as a whole"
    }
    VersionUnknown "version_unknown" 404 {
        "没有这个版本", "No such version";
        "版本见 /v1/history/{标识}", "The versions are listed at /v1/history/{identifier}"
    }
    NotResponsible "not_responsible" 404 {
        "本节点不负责这个前缀", "This node does not answer for that prefix";
        "请到负责该前缀的节点查询", "Ask the node that answers for the prefix"
    }
    ImportUnknown "import_unknown" 404 {
        "没有这个导入任务", "No such import"; "核对任务编号", "Compare the number of the import"
    }
    KeyUnknown "key_unknown" 404 {
        "没有这个密钥", "No such key"; "密钥编号见 GET /v1/keys", "The ids are listed at GET /v1/keys"
    }
    LicenceUnknown "licence_unknown" 404 {
        "没有这个许可", "No such licence"; "许可见 GET /v1/licences", "The licences are listed at GET /v1/licences"
    }
    FilingUnknown "filing_unknown" 404 {
        "没有这份备案", "No such filing"; "备案见 GET /v1/filings", "The filings are listed at GET /v1/filings"
    }
    GrantUnknown "grant_unknown" 404 {
        "没有这个授权", "No such grant"; "授权见 GET /v1/grants", "The grants are listed at GET /v1/grants"
    }
    SigningKeyUnknown "signing_key_unknown" 404 {
        "没有这把签名密钥", "No such signing key"; "签名密钥见 /.well-known/jwks.json", "The signing keys are listed at /.well-known/jwks.json"
    }
    RequestUnknown "request_unknown" 404 {
        "没有用过这个幂等键", "No request with that Idempotency-Key";
        "键只保留一段时间, 也只有提交者可见", "Keys are kept for a while and shown only to who sent them"
    }
    LogPartUnknown "log_part_unknown" 404 {
        "日志中没有这一部分", "The log has no such part";
        "以 /log/checkpoint 中的大小为准; 尚无检查点时稍后再试", "Go by the size in /log/checkpoint; while there is no checkpoint, try again shortly"
    }
    SegmentUnknown "segment_unknown" 404 {
        "没有这个日志段", "No such segment of the journal"; "日志的终点见 GET /v1/backup", "GET /v1/backup says where the journal ends"
    }
    MethodNotAllowed "method_not_allowed" 405 {
        "该地址不支持此方法", "The method is not allowed here";
        "可用的方法见 Allow 头", "The Allow header lists the methods"
    }
    NotAcceptable "not_acceptable" 406 {
        "没有所要的表示形式", "None of the accepted media types is available";
        "Accept 中加上 application/json", "Accept application/json"
    }
    RequestTimeout "request_timeout" 408 {
        "请求没有及时送完", "The request did not arrive in time";
        "检查网络后重发; 上限见 limits 中的各项时限", "Check the network and send again; the limits section has the times"
    }
    Conflict "conflict" 409 retry 1 {
        "同时有别的改动", "Another change came first";
        "重新读取后再提交", "Read the record again and repeat"
    }
    ExportColumnsChanged "export_columns_changed" 409 {
        "导出的列已与先前不同", "The columns of the export are no longer those";
        "重新导出整个文件", "Export the whole file anew"
    }
    AliasTaken "alias_taken" 409 {
        "别名已属于另一个标识", "The alias belongs to another identifier";
        "核对别名, 或先从原标识上移除", "Compare the alias, or remove it from the other identifier first"
    }
    FilingStepRefused "filing_step_refused" 409 {
        "备案所处状态不允许这一步", "The filing does not stand where it could take this step"; "重新读取备案, 状态见 state", "Read the filing again; state says where it stands"
    }
    FilingNotClaimed "filing_not_claimed" 409 {
        "该备案不在您名下审核", "The filing is not yours to review"; "先领取, 或等其审核员放回", "Claim it first, or wait until its reviewer has put it back"
    }
    FilingIncomplete "filing_incomplete" 409 {
        "备案缺少必需的附件", "The filing lacks a file that it needs"; "先上传附件, 再提交", "Attach it, then submit"
    }
    FilingTooMany "filing_too_many" 409 {
        "备案或附件数量已达上限", "There are as many filings or files as there may be"; "按 detail 处理: 撤回一件, 待其办结, 或另行申请", "As its detail says: withdraw one, wait until one was decided, or begin another"
    }
    PrefixStepRefused "prefix_step_refused" 409 {
        "前缀所处状态不允许这一步", "The prefix does not stand where this step could be taken"; "重新读取前缀, 状态见 status", "Read the prefix again; status says where it stands"
    }
    GrantTooMany "grant_too_many" 409 {
        "授权数量已达上限", "There are as many grants as there may be"; "撤回不再需要的: DELETE /v1/grants/{id}", "Take back those that nobody needs any more: DELETE /v1/grants/{id}"
    }
    PrefixUnavailable "prefix_unavailable" 409 {
        "前缀不能分配", "The prefix cannot be allocated"; "换一个前缀, 或退回备案", "Choose another prefix, or return the filing"
    }
    LicenceInForce "licence_in_force" 409 {
        "前缀已有有效许可", "A licence of the prefix is in force"; "以 replace 在同一步中结束它, 或先单独结束", "End it in the same step with replace, or by itself first"
    }
    LicenceEnded "licence_ended" 409 {
        "许可已经结束", "The licence has ended"; "许可的状态见 GET /v1/licences", "GET /v1/licences shows how each licence stands"
    }
    LicenceChainFull "licence_chain_full" 409 {
        "该前缀的许可声明已满", "There are too many statements about the prefix";
        "少换发许可; 一个前缀至多 256 条声明", "Change licences less often; a prefix has at most 256 statements"
    }
    SigningKeyActive "signing_key_active" 409 {
        "签名密钥正在使用", "The signing key is in use";
        "先用 mingpai keygen --use entry 换用新密钥并重启", "Make another with mingpai keygen --use entry and restart the node first"
    }
    SigningKeyEnded "signing_key_ended" 409 {
        "签名密钥的终止已经登记", "The signing key's end is in the log";
        "无需再作改动; 见 /.well-known/jwks.json", "Nothing is left to do; see /.well-known/jwks.json"
    }
    OwnerVersionMoved "owner_version_moved" 409 {
        "所有者所签的版本不是下一版本", "The owner signed another version than the next";
        "重新读取记录, 以新的版本号再签", "Read the record again and sign with the new version number"
    }
    StatusChangeRefused "status_change_refused" 409 {
        "状态不能这样变更", "The status cannot change that way";
        "允许的变更: active, suspended, recalled 之间, 以及到 retired", "Allowed: among active, suspended and recalled, and to retired"
    }
    UploadOffset "upload_offset" 409 {
        "上传不在所给的字节处", "The upload is not at that byte";
        "用 HEAD 查询 Upload-Offset, 从那里继续", "Ask with HEAD for Upload-Offset and go on from there"
    }
    ChangedSince "changed_since" 409 {
        "记录之后又有改动", "The record was changed since";
        "核对现在的版本, 需要时单独改动", "Look at the version that stands now, and change it by itself if need be"
    }
    ImportRunning "import_running" 409 retry 5 {
        "任务仍在运行", "The job is still running";
        "等它结束后再撤销", "Undo it when it has ended"
    }
    ImportNotUndoable "import_not_undoable" 409 {
        "任务不能撤销", "The job cannot be undone";
        "逐条改回, 或导入以前的导出", "Change the records back by themselves, or import an earlier export"
    }
    IdempotencyRunning "idempotency_running" 409 retry 1 {
        "同一幂等键的请求仍在处理", "A request with this Idempotency-Key is still running";
        "稍后重发, 或查询 /v1/requests/{键}", "Repeat in a moment, or ask /v1/requests/{key}"
    }
    IdentifierDeleted "identifier_deleted" 410 {
        "标识已注销", "The identifier was deleted";
        "注销的标识不再发放, 请用新的标识", "A deleted identifier is never given out again: use another"
    }
    PrefixRevoked "prefix_revoked" 410 {
        "前缀已撤销", "The prefix was revoked";
        "撤销的前缀不再解析, 也不再分配; 状态见 GET /v1/identity/", "A revoked prefix resolves no more and is given to nobody again; GET /v1/identity/ says how it stands"
    }
    VersionMismatch "version_mismatch" 412 {
        "已不是所给的版本", "It is no longer at that version";
        "重新读取, 用新的 ETag 作 If-Match (抹除则作 version)", "Read it again and send the new ETag in If-Match, or, of an erasure, as version"
    }
    AlreadyExists "already_exists" 412 {
        "标识已注册", "The identifier is already registered";
        "要修改, 请改用 If-Match", "To change it, send If-Match instead"
    }
    BodyTooLarge "body_too_large" 413 {
        "请求体过大", "The body is too large";
        "缩小或分批; 批量请用 /v1/imports", "Send less at once; use /v1/imports for many"
    }
    EntryTooLarge "entry_too_large" 413 {
        "记录过大, 无法签名", "The record is too large to be signed";
        "减少值的个数或长度; 大文件请放链接", "Use fewer or shorter values; link to large files"
    }
    UriTooLong "uri_too_long" 414 {
        "请求地址过长", "The request target is too long";
        "改用 POST /v1/resolve; 导入的映射过长时调大 limits.uri_bytes", "Use POST /v1/resolve; for a long mapping of an import raise limits.uri_bytes"
    }
    UnsupportedMediaType "unsupported_media_type" 415 {
        "不支持这种内容类型", "The content type is not supported";
        "Content-Type 请用 application/json, 导入用 application/x-ndjson、text/csv 或 XLSX 的类型", "Send application/json; for imports application/x-ndjson, text/csv or the type of XLSX"
    }
    MirrorHoldsNoNames "mirror_holds_no_names" 421 {
        "本镜像不含任何标识的内容", "This mirror holds no names";
        "向源节点查询, 地址见 detail", "Ask the origin; detail has its address"
    }
    ConfigInvalid "config_invalid" 422 {
        "配置有误, 未作任何改动", "The configuration is wrong; nothing of it was taken";
        "按 errors 改正后再试; mingpai check-config 可先行检查", "Mend what errors names and try again; mingpai check-config judges it beforehand"
    }
    FieldsInvalid "fields_invalid" 422 {
        "内容有误", "Some members are wrong"; "按 errors 逐项改正", "Correct each member in errors"
    }
    OwnerSignatureRequired "owner_signature_required" 422 {
        "需要所有者签名", "The owner's signature is needed";
        "随内容给出 owner_jws; mingpai licence sign 可生成", "Send owner_jws with the content; mingpai licence sign makes it"
    }
    OwnerSignatureInvalid "owner_signature_invalid" 422 {
        "所有者签名无效", "The owner's signature is not valid";
        "按 detail 改正后重新签名", "Correct what detail names and sign again"
    }
    OwnerDigestMismatch "owner_digest_mismatch" 422 {
        "所有者签名的内容与所登记的不同", "The owner signed other content than is registered";
        "按登记后的样子计算摘要, 见 docs/api.md", "Compute the digest over the content as it will be registered; docs/api.md says how"
    }
    VersionFarBack "version_far_back" 422 {
        "所问的版本之后版本过多", "Too many versions came after the one asked for";
        "翻阅 /v1/history/{标识}, 以 at=版本号 与翻到该页的 cursor 再问; 上限见 limits.history_bytes",
        "Page through /v1/history/{identifier}; ask with at=VERSION and the cursor that led to its page; the limit is limits.history_bytes"
    }
    IdempotencyMismatch "idempotency_mismatch" 422 {
        "同一幂等键的内容不同", "The Idempotency-Key was used with other content";
        "新的请求用新的键", "Use a new key for a new request"
    }
    PreconditionRequired "precondition_required" 428 {
        "修改需要前提条件", "A change needs a precondition";
        "新建用 If-None-Match: *, 修改用 If-Match: <ETag>", "Send If-None-Match: * to create, If-Match: <ETag> to change"
    }
    RateLimited "rate_limited" 429 retry 1 {
        "请求过于频繁", "Too many requests";
        "按 Retry-After 等待", "Wait as Retry-After says"
    }
    HeadersTooLarge "headers_too_large" 431 {
        "请求头过大或过多", "The headers are too large or too many";
        "减少请求头, 常见原因是 Cookie", "Send fewer headers; cookies are the usual cause"
    }
    Internal "internal" 500 {
        "内部错误", "Internal error"; "请把 request_id 告诉管理员", "Give the request_id to the operator"
    }
    RecordDamaged "record_damaged" 500 {
        "记录在磁盘上的数据已损坏", "The record's data on the disk is damaged";
        "其他记录不受影响; 请管理员按日志由备份放回日志段, 再运行 mingpai doctor", "Other records are not affected; the operator should put the segment that the log names back from a backup and run mingpai doctor"
    }
    CheckpointPending "checkpoint_pending" 503 retry 1 {
        "尚无涵盖所问内容的检查点", "No checkpoint covers it yet";
        "按 Retry-After 等待后重发; 若一直如此, 请管理员查看 mingpai_uncovered_leaves 与日志", "Repeat after the time in Retry-After; if it stays so, the operator should look at mingpai_uncovered_leaves and the log lines"
    }
    Overloaded "overloaded" 503 retry 1 {
        "请求过多, 暂时无法处理", "Too busy to take the request";
        "按 Retry-After 等待后重发", "Repeat after the time in Retry-After"
    }
    Draining "draining" 503 retry 5 {
        "节点正在停止", "The node is stopping";
        "稍后重发, 或改用其他节点", "Repeat later or use another node"
    }
    NotReady "not_ready" 503 retry 1 {
        "节点尚未就绪", "The node is not ready yet";
        "等待 /readyz 返回 200", "Wait until /readyz answers 200"
    }
    StorageReadFailed "storage_read_failed" 503 retry 1 {
        "读取存储时出错", "A read of the storage failed";
        "未作改动, 可以重发; 若一直如此, 请管理员检查磁盘与 store.cold 是否已挂载, 并运行 mingpai doctor", "Nothing was changed: repeat it; if it stays so, the operator should look at the disk, see that store.cold is mounted, and run mingpai doctor"
    }
    StoragePoisoned "storage_poisoned" 503 {
        "存储出错, 已停止写入", "Storage failed; writes have stopped";
        "读取仍可用; 请管理员运行 mingpai doctor", "Reads go on; the operator should run mingpai doctor"
    }
    RestoredUndecided "restored_undecided" 503 {
        "节点由备份恢复, 写入等待管理员决定", "The node was restored; writes wait for the operator's decision";
        "读取仍可用; 请管理员停止节点并运行 mingpai restore --data DIR, 决定日志如何继续", "Reads go on; the operator should stop the node and run mingpai restore --data DIR to decide how the log goes on"
    }
    DeadlineExceeded "deadline_exceeded" 504 {
        "调用没有在期限内完成", "The call did not end before its deadline";
        "放宽 grpc-timeout, 上限见 limits.grpc_call_seconds; 改动是否已生效请以幂等键查询", "Allow more time, at most limits.grpc_call_seconds; ask by the idempotency key whether a change was made"
    }
    StorageFull "storage_full" 507 {
        "磁盘空间不足, 暂停写入", "The disk is full; writes have stopped";
        "读取仍可用; 管理员腾出空间后自动恢复", "Reads go on; writes resume when the operator has freed space"
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn every_code_is_unique_and_said_in_both_languages() {
        let mut seen = HashSet::new();
        for code in Code::ALL {
            let row = code.row();
            assert!(seen.insert(row.code), "{} twice", row.code);
            assert!((400..600).contains(&row.status), "{}", row.code);
            assert!(row.code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'));
            for (zh, en) in [row.title, row.remedy] {
                assert!(zh.chars().any(|letter| letter >= '\u{4e00}'), "{}: {zh}", row.code);
                assert!(en.is_ascii() && !en.is_empty(), "{}: {en}", row.code);
            }
        }
    }

    #[test]
    fn the_table_is_in_the_order_of_the_statuses() {
        assert!(Code::ALL.is_sorted_by_key(|code| code.row().status));
    }

    #[test]
    fn docs_problems_md_is_made_from_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/problems.md");
        let made = page();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(kept, made, "run UPDATE_DOCS=1 cargo test docs_problems and commit docs/problems.md");
    }

    /// Which codes a call of gRPC fails with under which status, in the order of the statuses.
    fn grpc() -> String {
        let mut section = String::from(
            "\n## gRPC\n\nOver gRPC a code is the `reason` of `google.rpc.ErrorInfo` (domain `mingpai`) in the status's details; the status\n\
             follows from the table above. gRPC 的状态码由上表得出, 代码在 `ErrorInfo.reason` 中.\n\n| status | code |\n|---|---|\n",
        );
        for status in (1..=16).map(tonic::Code::from_i32) {
            let codes: Vec<String> = Code::ALL
                .iter()
                .filter(|code| code.grpc() == status)
                .map(|code| format!("`{}`", code.row().code))
                .collect();
            if !codes.is_empty() {
                writeln!(section, "| `{}` | {} |", crate::codec::problem::grpc::name(status), codes.join(", "))
                    .unwrap();
            }
        }
        section
    }

    fn page() -> String {
        let mut page = String::from(
            "<!-- Made from src/codec/problem/table.rs: UPDATE_DOCS=1 cargo test docs_problems -->\n\
             # Problems 错误代码\n\n\
             Every error is `application/problem+json` (RFC 9457): `type`, `title`, `status`, `detail`, `remedy`, `instance`,\n\
             `code`, `request_id` and, for members of a body, `errors: [{pointer, code, detail}]`. `Accept-Language` chooses Chinese\n\
             (default) or English. Codes are stable: none is renamed or given another status. The connection itself answers\n\
             a few requests that are too broken to read with an empty body: 400 when the bytes are not HTTP, 431 beyond 100 headers or far\n\
             beyond the header limit.\n\n\
             所有错误均为 `application/problem+json`, `code` 稳定不变; 语言由 `Accept-Language` 决定, 默认中文.\n\n\
             | status | code | 标题 · title | 处理办法 · remedy |\n|---|---|---|---|\n",
        );
        for code in Code::ALL {
            let row = code.row();
            let ((title_zh, title_en), (remedy_zh, remedy_en)) = (row.title, row.remedy);
            writeln!(
                page,
                "| {} | `{}` | {title_zh}<br>{title_en} | {remedy_zh}<br>{remedy_en} |",
                row.status, row.code
            )
            .unwrap();
        }
        page.push_str(&grpc());
        page
    }
}
