//! The query of a request: known parameters only, each percent-decoded once.

use http::Uri;

use super::failure::Failure;
use crate::codec::path::percent_decoded;
use crate::model::filter::Filter;

/// The parameters of one request, in their order, values as written.
pub(super) struct Query<'u>(Vec<(&'u str, &'u str)>);

impl<'u> Query<'u> {
    /// A parameter that the route does not know is an error: a typing error must not change what is answered.
    pub(super) fn of(uri: &'u Uri, known: &[&str]) -> Result<Self, Failure> {
        let parameters: Vec<_> = uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|parameter| !parameter.is_empty())
            .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
            .collect();
        let unknown = parameters.iter().find(|(name, _)| !known.contains(name));
        match unknown {
            None => Ok(Self(parameters)),
            Some((name, _)) => {
                let (zh, en) = if known.is_empty() {
                    ("此地址没有参数".to_owned(), "this address takes none".to_owned())
                } else {
                    let known = known.join(", ");
                    (format!("没有这个参数，可用的有 {known}"), format!("no such parameter; there are {known}"))
                };
                let shown: String = name.chars().take(64).collect();
                Err(Failure::query(&shown, &zh, &en))
            }
        }
    }

    /// Whether no parameter but this one is there.
    pub(super) fn has_no_other_than(&self, name: &str) -> bool {
        self.0.iter().all(|(known, _)| *known == name)
    }

    /// A parameter that may occur once.
    pub(super) fn one(&self, name: &str) -> Result<Option<String>, Failure> {
        let mut found = self.raw(name);
        let value = found.next().map(|raw| decoded(name, raw)).transpose();
        if found.next().is_some() {
            return Err(Failure::query(name, "只能出现一次", "may occur once"));
        }
        value
    }

    /// A parameter that may be repeated, and may list values with commas; an encoded comma belongs to its value.
    pub(super) fn many(&self, name: &str) -> Result<Vec<String>, Failure> {
        self.raw(name)
            .flat_map(|raw| raw.split(','))
            .map(|raw| {
                let value = decoded(name, raw)?;
                if value.is_empty() {
                    return Err(Failure::query(name, "值为空", "a value is empty"));
                }
                Ok(value)
            })
            .collect()
    }

    /// `1`, `true`, `0` or `false`; absent is no.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.one(name)?.as_deref() {
            None | Some("0" | "false") => Ok(false),
            Some("1" | "true") => Ok(true),
            Some(_) => Err(Failure::query(name, "应为 1 或 0", "must be 1 or 0")),
        }
    }

    /// A page's size from 1 to `most`.
    pub(super) fn limit(&self, most: usize) -> Result<Option<usize>, Failure> {
        let Some(text) = self.one("limit")? else {
            return Ok(None);
        };
        match text.parse() {
            Ok(limit) if (1..=most).contains(&limit) => Ok(Some(limit)),
            _ => Err(Failure::query("limit", &format!("应为 1 至 {most}"), &format!("must be from 1 to {most}"))),
        }
    }

    /// The filter in the query, see [`Filter::PARAMETERS`].
    pub(super) fn filter(&self) -> Result<Filter, Failure> {
        let mut filter = Filter::default();
        for name in Filter::PARAMETERS {
            let values = match name {
                "status" | "type" => self.many(name)?,
                _ => self.raw(name).map(|raw| decoded(name, raw)).collect::<Result<_, _>>()?,
            };
            for value in values {
                filter.set(name, &value).map_err(|text| Failure::query(name, &text.zh, &text.en))?;
            }
        }
        Ok(filter)
    }

    fn raw<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'u str> + use<'s, 'u> {
        self.0.iter().filter(move |(known, _)| *known == name).map(|(_, raw)| *raw)
    }
}

/// `+` is a space, as forms write it.
fn decoded(name: &str, raw: &str) -> Result<String, Failure> {
    percent_decoded(&raw.replace('+', " "))
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Failure::query(name, "百分号编码有误", "broken percent-encoding"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_once_and_commas_part_them() {
        let uri: Uri = "/x?type=a,b%2Cc&type=%E9%93%AD+x&at=1".parse().unwrap();
        let query = Query::of(&uri, &["type", "at"]).ok().unwrap();
        assert_eq!(query.many("type").ok().unwrap(), ["a", "b,c", "铭 x"]);
        assert_eq!(query.one("at").ok().unwrap().as_deref(), Some("1"));
        assert!(query.one("type").is_err(), "it occurs twice");
    }

    #[test]
    fn a_parameter_that_nobody_knows_is_named() {
        let uri: Uri = "/x?tpye=a".parse().unwrap();
        let Err(failure) = Query::of(&uri, &["type"]) else { panic!("accepted") };
        let problem = failure.into_problem("r");
        assert_eq!(problem.code.row().code, "query_invalid");
        assert!(problem.detail.unwrap().en.starts_with("tpye: "));
    }
}
