//! A mistake in the arguments, told in Chinese: clap tells it in English. What it cannot tell here it tells itself.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::model::text::Text;

/// What is wrong, what is probably meant, and how the command is used; `None`: no mistake (help, version), or one that only clap
/// can word.
#[must_use]
pub fn in_chinese(error: &clap::Error) -> Option<String> {
    let mut told = format!("错误：{}", what(error)?);
    for (kind, word) in [
        (ContextKind::SuggestedSubcommand, "子命令"),
        (ContextKind::SuggestedArg, "参数"),
        (ContextKind::SuggestedValue, "值"),
    ] {
        let meant = all(error, kind);
        if !meant.is_empty() {
            told.push_str(&format!("\n\n  提示：是否指{word} {}？", quoted(&meant, "、")));
        }
    }
    if let Some(ContextValue::StyledStr(usage)) = error.get(ContextKind::Usage) {
        let usage = usage.to_string();
        told.push_str(&format!("\n\n用法：{}", usage.trim_start_matches("Usage:").trim()));
    }
    told.push_str("\n\n详见 --help。");
    Some(told)
}

fn what(error: &clap::Error) -> Option<String> {
    let argument = || one(error, ContextKind::InvalidArg);
    let value = || one(error, ContextKind::InvalidValue);
    let number = |kind| match error.get(kind) {
        Some(ContextValue::Number(number)) => Some(*number),
        _ => None,
    };
    Some(match error.kind() {
        ErrorKind::UnknownArgument => format!("没有参数“{}”", argument()?),
        ErrorKind::InvalidSubcommand => format!("没有子命令“{}”", one(error, ContextKind::InvalidSubcommand)?),
        ErrorKind::MissingSubcommand => {
            format!("缺少子命令：{}", quoted(&all(error, ContextKind::ValidSubcommand), "、"))
        }
        ErrorKind::MissingRequiredArgument => {
            format!("缺少必需的参数：\n  {}", all(error, ContextKind::InvalidArg).join("\n  "))
        }
        ErrorKind::InvalidValue => {
            let (argument, value) = (argument()?, value()?);
            let known = all(error, ContextKind::ValidValue);
            let known =
                if known.is_empty() { String::new() } else { format!("，可用的值：{}", known.join("、")) };
            if value.is_empty() {
                format!("参数“{argument}”需要一个值{known}")
            } else {
                format!("参数“{argument}”的值“{value}”不可用{known}")
            }
        }
        ErrorKind::ValueValidation => {
            let reason = error.source().map(|source| match source.downcast_ref::<Text>() {
                Some(text) => format!("：{}", text.zh),
                None => format!("：{source}"),
            });
            let reason = reason.unwrap_or_default();
            format!("参数“{}”的值“{}”不可用{reason}", argument()?, value()?)
        }
        ErrorKind::ArgumentConflict => {
            let (argument, prior) = (argument()?, all(error, ContextKind::PriorArg));
            if prior == [argument.as_str()] {
                format!("参数“{argument}”只能出现一次")
            } else {
                format!("参数“{argument}”不能与 {} 同用", quoted(&prior, "、"))
            }
        }
        ErrorKind::NoEquals => format!("参数“{}”与值之间要用等号", argument()?),
        ErrorKind::TooManyValues => format!("参数“{}”多了一个值“{}”", argument()?, value()?),
        ErrorKind::TooFewValues => {
            let (wanted, given) = (number(ContextKind::MinValues)?, number(ContextKind::ActualNumValues)?);
            format!("参数“{}”至少要 {wanted} 个值，只有 {given} 个", argument()?)
        }
        ErrorKind::WrongNumberOfValues => {
            let (wanted, given) = (number(ContextKind::ExpectedNumValues)?, number(ContextKind::ActualNumValues)?);
            format!("参数“{}”要 {wanted} 个值，却有 {given} 个", argument()?)
        }
        ErrorKind::InvalidUtf8 => "参数不是 UTF-8 文本".to_owned(),
        _ => return None,
    })
}

fn one(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        _ => None,
    }
}

fn all(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

fn quoted(texts: &[String], between: &str) -> String {
    texts.iter().map(|text| format!("“{text}”")).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Arguments;

    fn told(arguments: &[&str]) -> Option<String> {
        let all = ["mingpai"].iter().chain(arguments);
        in_chinese(&Arguments::try_parse_from(all).err()?)
    }

    #[test]
    fn a_reason_of_our_own_is_told_in_one_language() {
        for (flag, wrong) in [
            ("serve --set", "x=1"),
            ("token --expires", "soon"),
            ("restore d --data n --to", "soon"),
            ("audit http://a --vkey", "none"),
        ] {
            let arguments: Vec<&str> = ["mingpai"].into_iter().chain(flag.split(' ')).chain([wrong]).collect();
            let error = Arguments::try_parse_from(arguments).unwrap_err();
            let (zh, en) = (in_chinese(&error).unwrap(), error.to_string());
            assert!(en.is_ascii(), "{en}");
            let english = ["must be", "for example", " / "];
            assert!(english.iter().all(|word| !zh.contains(word)), "{zh}");
        }
    }

    #[test]
    fn a_mistake_names_itself_its_remedy_and_the_usage() {
        for (arguments, wanted) in [
            (&["serve", "--listn", "x"][..], &["没有参数“--listn”", "“--listen”", "用法：mingpai serve"][..]),
            (&["resolv", "x"], &["没有子命令“resolv”", "“resolve”"]),
            (&["resolve"], &["缺少必需的参数", "<ID>", "用法：mingpai resolve"]),
            (&["--lang", "fr", "resolve", "x"], &["的值“fr”不可用", "zh、en"]),
            (&["serve", "--listen", "here"], &["的值“here”不可用：invalid socket address"]),
            (&["serve", "--set", "x=1"], &["的值“x=1”不可用：应为 KEY=VALUE，例如 log.filter=debug\n"]),
            (&["token", "--expires", "soon"], &["不可用：应为期限或时间"]),
            (&["restore", "d", "--to", "soon", "--data", "n"], &["不可用：应为时间或序号"]),
            (&["doctor", "--rebuild", "--cut-journal", "a:1"], &["不能与 “--cut-journal"]),
            (&["resolve", "a", "b"], &["没有参数“b”"]),
            (&["resolve", "a", "--at", "1", "--at", "2"], &["只能出现一次"]),
            (&["serve", "--config"], &["需要一个值"]),
        ] {
            let told = told(arguments).unwrap_or_else(|| panic!("{arguments:?}"));
            assert!(told.ends_with("详见 --help。"));
            for wanted in wanted {
                assert!(told.contains(wanted), "{arguments:?}: {told}");
            }
        }
        for no_mistake in [&["--help"][..], &["--version"], &["resolve", "--help"]] {
            assert_eq!(told(no_mistake), None);
        }
    }
}
