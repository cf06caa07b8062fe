//! The form of a filing: the enterprise, who stands for it by law, whom to ask, and the prefix that it wants.
//!
//! What breaks a rule is refused, all of it at once, each place by its pointer. What only looks wrong (a check character, a
//! region that no table has) is a [`Doubt`] for the reviewer; `reading` judges. Numbers of persons are never shown whole ([`Form::masked`]).

mod reading;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::model::codes::Region;
use crate::model::field::{Complaints, FieldError};
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::model::uscc::{self, Uscc};

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$inner])* #[serde(rename = $word)] $variant),+
        }

        impl $name {
            pub const WORDS: &[&str] = &[$($word),+];

            fn of_word(word: &str) -> Option<$name> {
                match word {
                    $($word => Some($name::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

words! {
    /// 单位性质
    UnitKind {
        /// 企业
        Enterprise = "enterprise",
        /// 事业单位
        PublicInstitution = "public_institution",
        /// 机关
        Government = "government",
        /// 社会组织
        SocialOrganization = "social_organization",
        /// 个体工商户
        IndividualBusiness = "individual_business",
        /// 其他
        Other = "other",
    }
}

words! {
    /// 单位证件类型
    CertificateKind {
        /// 统一社会信用代码
        Uscc = "uscc",
        /// 其他证件
        Other = "other",
    }
}

words! {
    /// 个人证件类型
    DocumentKind {
        /// 居民身份证
        ResidentIdentityCard = "resident_identity_card",
        /// 护照
        Passport = "passport",
        /// 港澳居民来往内地通行证
        HongKongMacaoPermit = "hong_kong_macao_permit",
        /// 台湾居民来往大陆通行证
        TaiwanPermit = "taiwan_permit",
        /// 其他证件
        Other = "other",
    }
}

/// The whole form · 备案表
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FilingForm")]
pub struct Form {
    /// The prefix that is asked for, as it is compared.
    pub prefix: String,
    pub unit: Unit,
    pub legal_person: LegalPerson,
    pub contact: Contact,
}

/// 单位信息
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unit {
    pub name: String,
    pub kind: UnitKind,
    pub certificate: Certificate,
    /// The code with its letter: `C3670`.
    pub industry: String,
    /// Six digits.
    pub region: String,
    pub address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_authority: Option<String>,
    /// `YYYY-MM-DD`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub founded: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capital: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub website: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introduction: Option<String>,
}

/// 单位证件
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Certificate {
    #[serde(rename = "type")]
    pub kind: CertificateKind,
    pub number: String,
    /// `YYYY-MM-DD`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<String>,
}

/// 法定代表人
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LegalPerson {
    pub name: String,
    pub document: Document,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fax: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// 个人证件
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    #[serde(rename = "type")]
    pub kind: DocumentKind,
    pub number: String,
}

/// 联系人
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Contact {
    pub name: String,
    pub phone: String,
    pub email: String,
}

/// What a reviewer must look at, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    pub pointer: &'static str,
    pub code: &'static str,
    pub text: Text,
}

impl Form {
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_json(json: &Json) -> Result<Form, Vec<FieldError>> {
        let mut complaints = Complaints::default();
        let form = reading::read(&mut complaints, json);
        complaints.or(form)
    }

    /// What looks wrong, for a reviewer to judge, today.
    #[must_use]
    pub fn doubts(&self, now: Timestamp) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        let unit = &self.unit;
        if unit.certificate.kind == CertificateKind::Uscc
            && let Ok(code) = Uscc::parse(&unit.certificate.number)
        {
            let own = |doubt: uscc::Doubt| Doubt {
                pointer: "/unit/certificate/number",
                code: doubt.code(),
                text: doubt.text(),
            };
            doubts.extend(code.doubts().into_iter().map(own));
            if code.region().get(..2) != unit.region.get(..2) {
                doubts.push(Doubt {
                    pointer: "/unit/region",
                    code: "region_differs",
                    text: Text::new(
                        format!("统一社会信用代码登记于 {}，与所填地区不在同一省份", code.region()),
                        format!("the code was registered in {}, of another province than the region", code.region()),
                    ),
                });
            }
        }
        let today = now.to_string();
        if let Some(until) = unit.certificate.valid_until.as_deref().filter(|until| today.get(..10) > Some(*until)) {
            doubts.push(Doubt {
                pointer: "/unit/certificate/valid_until",
                code: "certificate_ended",
                text: Text::new(format!("证件已于 {until} 到期"), format!("the certificate ended on {until}")),
            });
        }
        if let Some(withdrawn) = Region::known(&unit.region).and_then(|region| region.withdrawn) {
            doubts.push(Doubt {
                pointer: "/unit/region",
                code: "region_withdrawn",
                text: Text::new(
                    format!("行政区划码 {} 已撤销（最后见于 {withdrawn} 年）", unit.region),
                    format!("the region {} was withdrawn (last in a table of {withdrawn})", unit.region),
                ),
            });
        }
        doubts
    }

    /// As it is shown: numbers of persons by their ends alone.
    #[must_use]
    pub fn masked(&self) -> Form {
        let mut shown = self.clone();
        // It may be a person's: an individual business has his.
        if shown.unit.certificate.kind == CertificateKind::Other {
            shown.unit.certificate.number = mask(&shown.unit.certificate.number, 2, 2);
        }
        let person = &mut shown.legal_person;
        person.document.number = mask(&person.document.number, 2, 2);
        person.phone = person.phone.as_deref().map(|phone| mask(phone, 0, 4));
        person.fax = person.fax.as_deref().map(|fax| mask(fax, 0, 4));
        person.email = person.email.as_deref().map(mask_email);
        shown.contact.phone = mask(&shown.contact.phone, 0, 4);
        shown.contact.email = mask_email(&shown.contact.email);
        shown
    }
}

/// Only so many characters of each end; a short text is hidden whole.
fn mask(text: &str, first: usize, last: usize) -> String {
    let count = text.chars().count();
    let is_shown = |at: usize| count >= 2 * (first + last) && (at < first || at >= count - last);
    text.chars().enumerate().map(|(at, character)| if is_shown(at) { character } else { '*' }).collect()
}

fn mask_email(text: &str) -> String {
    match text.split_once('@') {
        Some((name, domain)) => format!("{}***@{domain}", name.chars().next().unwrap_or('*')),
        None => "***".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Json {
        json!({
            "prefix": "88.999.7",
            "unit": {
                "name": "厦门示范轴承有限公司",
                "kind": "enterprise",
                "certificate": {"type": "uscc", "number": "91350200ma2yj1xr9g", "valid_until": "2049-12-31"},
                "industry": "3451",
                "region": "350203",
                "address": "厦门市思明区示范路 1 号",
                "founded": "2016-08-01",
                "website": "https://example.cn/",
                "introduction": "轴承。\n齿轮。",
            },
            "legal_person": {
                "name": "张三",
                "document": {"type": "resident_identity_card", "number": "350203199001011234"},
                "phone": "+86 592 1234567",
            },
            "contact": {"name": "李四", "phone": "13900001234", "email": "li@example.cn"},
        })
    }

    fn now() -> Timestamp {
        Timestamp::parse("2026-11-30T00:00:00Z").unwrap()
    }

    #[test]
    fn a_form_is_read_and_kept_in_canonical_form() {
        let form = Form::from_json(&good()).unwrap();
        assert_eq!(form.unit.certificate.number, "91350200MA2YJ1XR9G");
        assert_eq!(form.unit.industry, "C3451");
        assert_eq!(form.doubts(now()), []);
        let kept: Form = serde_json::from_str(&serde_json::to_string(&form).unwrap()).unwrap();
        assert_eq!(kept, form);
        assert_eq!(Form::from_json(&serde_json::to_value(&form).unwrap()).unwrap(), form);
    }

    #[test]
    fn numbers_of_persons_are_shown_by_their_ends() {
        let shown = Form::from_json(&good()).unwrap().masked();
        assert_eq!(shown.legal_person.document.number, "35**************34");
        assert_eq!(shown.legal_person.phone.as_deref(), Some("***********4567"));
        assert_eq!((shown.contact.phone.as_str(), shown.contact.email.as_str()), ("*******1234", "l***@example.cn"));
        assert_eq!(
            (mask("1234567", 2, 2), mask("", 2, 2), mask("12345678", 2, 2)),
            ("*******".into(), String::new(), "12****78".into())
        );
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let mut form = good();
        form["prefix"] = json!("88/7");
        form["unit"]["kind"] = json!("king");
        form["unit"]["certificate"]["number"] = json!("9135020");
        form["unit"]["industry"] = json!("ZZ");
        form["unit"]["region"] = json!("999999");
        form["unit"]["founded"] = json!("2016-02-30");
        form["unit"]["website"] = json!("ftp://a");
        form["unit"]["more"] = json!(1);
        form["legal_person"]["document"]["number"] = json!("");
        form["contact"]["phone"] = json!("12ab5");
        form["contact"]["email"] = json!("li@");
        form["contact"]["name"] = json!(null);
        let errors = Form::from_json(&form).unwrap_err();
        let found: Vec<(&str, &str)> = errors.iter().map(|error| (error.pointer.as_str(), error.code)).collect();
        for expected in [
            ("/prefix", "bad_prefix"),
            ("/unit/kind", "unknown_word"),
            ("/unit/certificate/number", "bad_uscc"),
            ("/unit/industry", "unknown_code"),
            ("/unit/region", "unknown_code"),
            ("/unit/founded", "bad_date"),
            ("/unit/website", "bad_url"),
            ("/unit/more", "unknown_field"),
            ("/legal_person/document/number", "bad_text"),
            ("/contact/phone", "bad_phone"),
            ("/contact/email", "bad_email"),
            ("/contact/name", "wrong_type"),
        ] {
            assert!(found.contains(&expected), "{expected:?} in {found:?}");
        }
        assert_eq!(found.len(), 12, "{found:?}");
        let mut nulls = good();
        nulls["unit"]["website"] = json!(null);
        nulls["legal_person"]["fax"] = json!(null);
        nulls["unit"]["certificate"]["valid_until"] = json!(null);
        assert_eq!(Form::from_json(&nulls).unwrap_err().len(), 3, "what is not said is left out");
        // What is shown does not come back as what is filed.
        let shown = serde_json::to_value(Form::from_json(&good()).unwrap().masked()).unwrap();
        let refused: Vec<String> =
            Form::from_json(&shown).unwrap_err().into_iter().map(|error| error.pointer).collect();
        assert_eq!(
            refused,
            ["/legal_person/document/number", "/legal_person/phone", "/contact/phone", "/contact/email"]
        );
        let missing = Form::from_json(&json!({})).unwrap_err();
        assert_eq!(missing.len(), 4);
        assert!(Form::from_json(&json!([])).is_err());
    }

    #[test]
    fn what_looks_wrong_is_a_reviewers_to_judge() {
        let mut form = good();
        form["unit"]["certificate"] =
            json!({"type": "uscc", "number": "91350203M0001QAY9B", "valid_until": "2020-01-01"});
        form["unit"]["region"] = json!("110103");
        let doubts = Form::from_json(&form).unwrap().doubts(now());
        let codes: Vec<&str> = doubts.iter().map(|doubt| doubt.code).collect();
        for code in ["uscc_check", "region_differs", "certificate_ended", "region_withdrawn"] {
            assert!(codes.contains(&code), "{code} in {codes:?}");
        }
        form["unit"]["certificate"] = json!({"type": "other", "number": "事证第 1 号"});
        form["unit"]["region"] = json!("350203");
        assert_eq!(Form::from_json(&form).unwrap().doubts(now()), []);
    }
}
