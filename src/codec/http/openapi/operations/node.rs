//! The node itself: whether it lives, what it counts, which keys sign, what it offers.

use serde_json::{Value as Json, json};

use super::JSON;
use crate::codec::answers::JwksBody;
use crate::codec::http::openapi::example::Example;
use crate::codec::http::openapi::operation::{Operation, Tag};
use crate::codec::http::openapi::parameter::{self, Parameter};
use crate::codec::http::openapi::problems::READS;
use crate::codec::http::openapi::schemas::Shape;
use crate::codec::problem::Code;
use crate::metrics;

const HTML: &str = "text/html; charset=utf-8";
const JWK_SET: &str = "application/jwk-set+json";

pub(super) fn operations() -> Vec<Operation> {
    vec![jwks(), livez(), readyz(), metrics(), index(), document(), page(), file()]
}

fn jwks() -> Operation {
    Operation::get("/.well-known/jwks.json", "readSigningKeys", Tag::Node, "签名公钥", "The keys that sign entries")
        .about(
            "各公钥在登记日志中的起止序号；同一前缀的记录由此离线核验。",
            "Each with the indexes of the registry log that it may sign.",
        )
        .answer(
            200,
            "JWK 集（RFC 7517）",
            "a JWK Set (RFC 7517)",
            vec![(JSON, Shape::of::<JwksBody<'_>>()), (JWK_SET, Shape::of::<JwksBody<'_>>())],
        )
        .with_headers(&["Cache-Control", "Vary"])
        .fails(READS)
        .example(Example::new("keys", "本节点的公钥", "this node's"))
}

fn status(word: &str) -> Json {
    json!({"type": "object", "properties": {"status": {"const": word}}, "required": ["status"]})
}

fn ready() -> Json {
    let mut schema = status("ready");
    schema["properties"]["cold"] = json!({"const": "away"});
    schema["properties"]["mirror"] = json!({"type": "string"});
    schema
}

fn livez() -> Operation {
    Operation::get("/livez", "readLiveness", Tag::Node, "进程是否在运行", "Whether the process answers")
        .unasked()
        .answer(200, "在运行", "it does", vec![(JSON, Shape::Json(status("ok")))])
        .with_headers(&["Cache-Control", "Vary"])
        .example(Example::new("alive", "在运行", "it does"))
}

fn readyz() -> Operation {
    Operation::get("/readyz", "readReadiness", Tag::Node, "是否接受请求", "Whether requests should be sent here")
        .about(
            "启动中、停止中或存储出错时为 503。cold 为 away 时冷存储不可读，其余照常。镜像不再跟随源节点时，mirror 为其原因。",
            "503 while starting, stopping, or when the storage failed. With `cold` = `away` what is in cold storage cannot be read; all else goes on. A mirror \
             that follows its origin no longer says why in `mirror`.",
        )
        .unasked()
        .answer(200, "就绪", "they should", vec![(JSON, Shape::Json(ready()))])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(&[Code::NotReady, Code::Draining, Code::StoragePoisoned])
        .example(Example::new("ready", "就绪", "they should"))
}

fn metrics() -> Operation {
    Operation::get("/metrics", "readMetrics", Tag::Node, "指标", "What the node counts")
        .about(
            "OpenMetrics；不需密钥，请在网络边界上限制。",
            "OpenMetrics; without a key: keep it from strangers at the network's edge.",
        )
        .unasked()
        .answer(200, "指标", "the counters", vec![(metrics::MEDIA_TYPE, Shape::text("application/openmetrics-text"))])
        .with_headers(&["Cache-Control", "Vary"])
        .example(Example::new("counters", "全部指标", "all of them"))
}

fn index() -> Operation {
    let index = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "version": {"type": "string"},
            "addresses": {"type": "object", "additionalProperties": {"type": "string", "description": "its verbs · 方法"}},
        },
        "required": ["name", "version", "addresses"],
    });
    Operation::get("/", "readIndex", Tag::Node, "地址一览", "The addresses")
        .anonymous()
        .answer(200, "地址", "the addresses", vec![(JSON, Shape::Json(index)), (HTML, Shape::text("text/html"))])
        .with_headers(&["Cache-Control", "Vary"])
        .example(Example::new("index", "全部地址", "all of them"))
}

fn document() -> Operation {
    Operation::get("/openapi.json", "readDocument", Tag::Node, "本文档", "This document")
        .about("以本节点的上限为界。", "With the bounds of this node's limits.")
        .anonymous()
        .parameter(parameter::if_none_match())
        .answer(200, "OpenAPI 3.1", "OpenAPI 3.1", vec![(JSON, Shape::Json(json!({"type": "object"})))])
        .with_headers(&["ETag", "Cache-Control", "Content-Encoding", "Vary", "X-Content-Type-Options"])
        .answer(304, "没有变化", "nothing new", vec![])
        .with_headers(&["ETag", "Cache-Control", "Vary", "X-Content-Type-Options"])
        .example(Example::new("document", "本文档", "this document"))
}

fn page() -> Operation {
    Operation::get("/docs", "readDocs", Tag::Node, "可读的文档页", "This document as a page")
        .anonymous()
        .answer(200, "网页", "the page", vec![(HTML, Shape::text("text/html"))])
        .with_headers(&[
            "ETag",
            "Cache-Control",
            "Vary",
            "Content-Language",
            "Content-Security-Policy",
            "X-Content-Type-Options",
        ])
        .answer(304, "没有变化", "nothing new", vec![])
        .with_headers(&[
            "ETag",
            "Cache-Control",
            "Vary",
            "Content-Language",
            "Content-Security-Policy",
            "X-Content-Type-Options",
        ])
        .parameter(parameter::if_none_match())
        .example(Example::new("english", "英文页", "in English").header("Accept-Language", "en"))
}

fn file() -> Operation {
    let files = crate::codec::http::docs::file_names();
    Operation::get("/docs/{file}", "readDocsFile", Tag::Node, "文档页的文件", "A file of that page")
        .anonymous()
        .parameter(Parameter::path("file", "文件名", "its name", json!({"enum": files})))
        .parameter(parameter::if_none_match())
        .answer(
            200,
            "文件",
            "the file",
            crate::codec::http::docs::media_types().into_iter().map(|name| (name, Shape::text(name))).collect(),
        )
        .with_headers(&["ETag", "Cache-Control", "Content-Encoding", "Vary", "X-Content-Type-Options"])
        .answer(304, "没有变化", "nothing new", vec![])
        .with_headers(&["ETag", "Cache-Control", "Vary", "X-Content-Type-Options"])
        .fails(&[Code::RouteUnknown])
        .example(Example::new("style", "样式", "its style").path("file", "swagger-ui.css"))
}
