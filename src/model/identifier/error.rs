//! Why a text is not an identifier: one variant a rule, each with a stable code and a sentence in both languages.
//!
//! Not an HTTP answer: status codes belong to the codec.

use thiserror::Error;

use crate::model::scheme::Scheme;
use crate::model::text::Text;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdentifierError {
    #[error("the identifier is empty")]
    Empty,
    #[error("the identifier is longer than 2,048 bytes of UTF-8")]
    TooLong,
    #[error("the identifier holds U+{:04X}, a control or invisible character", u32::from(*.0))]
    BadCharacter(char),
    #[error("the identifier begins or ends with white space")]
    OuterSpace,
    #[error("no identifier scheme has this form; a VAA identifier looks like 88.118.8/JXDY2106023")]
    Unrecognized,
    #[error("nothing follows the slash: the suffix is empty")]
    EmptySuffix,
    #[error("a VAA prefix is 88, a node of 3 to 5 digits and, for an enterprise, 1 to 128 digits, as in 88.118.8")]
    BadVaaPrefix,
    #[error("a Handle prefix is at most 255 bytes of letters, digits, - and _ in parts joined by single dots")]
    BadHandlePrefix,
    #[error("a % in the URI is not followed by two hexadecimal digits of UTF-8 text")]
    BadPercentEncoding,
    #[error("hdl: and Handle proxy addresses hold prefix/suffix, nothing else")]
    NotAHandle,
    #[error("the URI is neither a Handle proxy address nor a GS1 Digital Link")]
    UnknownUri,
    #[error("an OID is dot-joined numbers without leading zeros, the first 0 to 2, at least two of them")]
    BadOid,
    #[error("{0} is not a GS1 application identifier that names a thing")]
    UnknownGs1Key(String),
    #[error("({qualifier}) does not qualify ({key}), or stands in the wrong place")]
    BadGs1Qualifier { key: &'static str, qualifier: String },
    #[error("the value of GS1 ({0}) has the wrong length, characters or first digits")]
    BadGs1Value(&'static str),
    #[error("the check digit of GS1 ({ai}) is wrong: it would be {expected}")]
    BadCheckDigit { ai: &'static str, expected: String },
    #[error("an Ecode is ecode: and a version 0 to 4, its numbering system and its master code")]
    BadEcode,
    #[error("an MA code is MA, three digits of a country and nodes of letters and digits joined by . or /")]
    BadMa,
    #[error("a DID here is did:cn:88.100.1, did:bid:… or did:web:…, without path, query or fragment")]
    BadDid,
    #[error("a VIN is 17 digits and capital letters without I, O and Q")]
    BadVin,
    #[error("a battery code is 24 letters and digits")]
    BadBattery,
    #[error("the identifier is of scheme {found}, not {wanted}")]
    WrongScheme { wanted: Scheme, found: Scheme },
}

impl IdentifierError {
    /// Stable: clients, import error files and documentation name the rule by it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "identifier_empty",
            Self::TooLong => "identifier_too_long",
            Self::BadCharacter(_) => "identifier_bad_character",
            Self::OuterSpace => "identifier_outer_space",
            Self::Unrecognized => "identifier_unrecognized",
            Self::EmptySuffix => "identifier_empty_suffix",
            Self::BadVaaPrefix => "identifier_bad_vaa_prefix",
            Self::BadHandlePrefix => "identifier_bad_handle_prefix",
            Self::BadPercentEncoding => "identifier_bad_percent_encoding",
            Self::NotAHandle => "identifier_not_a_handle",
            Self::UnknownUri => "identifier_unknown_uri",
            Self::BadOid => "identifier_bad_oid",
            Self::UnknownGs1Key(_) => "identifier_unknown_gs1_key",
            Self::BadGs1Qualifier { .. } => "identifier_bad_gs1_qualifier",
            Self::BadGs1Value(_) => "identifier_bad_gs1_value",
            Self::BadCheckDigit { .. } => "identifier_bad_check_digit",
            Self::BadEcode => "identifier_bad_ecode",
            Self::BadMa => "identifier_bad_ma",
            Self::BadDid => "identifier_bad_did",
            Self::BadVin => "identifier_bad_vin",
            Self::BadBattery => "identifier_bad_battery_code",
            Self::WrongScheme { .. } => "identifier_wrong_scheme",
        }
    }

    /// The rule for a person, in both languages.
    #[must_use]
    pub fn text(&self) -> Text {
        let zh = match self {
            Self::Empty => "标识为空".to_owned(),
            Self::TooLong => "标识超过 2048 字节（UTF-8）".to_owned(),
            Self::BadCharacter(found) => {
                format!("标识含有控制字符或不可见字符 U+{:04X}", u32::from(*found))
            }
            Self::OuterSpace => "标识首尾有空白字符".to_owned(),
            Self::Unrecognized => "无法识别的标识格式；VAA 标识形如 88.118.8/JXDY2106023".to_owned(),
            Self::EmptySuffix => "斜线之后没有内容：后缀为空".to_owned(),
            Self::BadVaaPrefix => {
                "VAA 前缀为 88、3 至 5 位数字的二级节点，企业再加 1 至 128 位数字，如 88.118.8".to_owned()
            }
            Self::BadHandlePrefix => {
                "Handle 前缀不超过 255 字节，由字母、数字、- 与 _ 组成，各段以单个点相连".to_owned()
            }
            Self::BadPercentEncoding => "URI 中的 % 之后不是两位十六进制数，或解码后不是 UTF-8".to_owned(),
            Self::NotAHandle => "hdl: 与 Handle 代理地址之内只能是 前缀/后缀".to_owned(),
            Self::UnknownUri => "该 URI 既不是 Handle 代理地址，也不是 GS1 数字链接".to_owned(),
            Self::BadOid => "OID 为以点相连的数字，无前导零，首段 0 至 2，至少两段".to_owned(),
            Self::UnknownGs1Key(ai) => format!("{ai} 不是可标识对象的 GS1 应用标识符"),
            Self::BadGs1Qualifier { key, qualifier } => {
                format!("({qualifier}) 不能限定 ({key})，或次序有误")
            }
            Self::BadGs1Value(ai) => format!("GS1 ({ai}) 的长度、字符或起始数字不合规定"),
            Self::BadCheckDigit { ai, expected } => {
                format!("GS1 ({ai}) 的校验码有误：应为 {expected}")
            }
            Self::BadEcode => "Ecode 写作 ecode: 加版本 0 至 4、编码体系标识与主码".to_owned(),
            Self::BadMa => "MA 码为 MA、三位国家代码，以及以 . 或 / 相连的字母数字节点".to_owned(),
            Self::BadDid => "DID 须为 did:cn:88.100.1、did:bid:… 或 did:web:…，不带路径、查询与片段".to_owned(),
            Self::BadVin => "VIN 为 17 位数字与大写字母，不含 I、O、Q".to_owned(),
            Self::BadBattery => "动力电池编码为 24 位字母与数字".to_owned(),
            Self::WrongScheme { wanted, found } => format!("该标识属于 {found}，不是 {wanted}"),
        };
        Text::new(zh, self.to_string())
    }
}
