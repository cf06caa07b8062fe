//! What a person sees in a cell of a workbook, as far as that can be decided.

use calamine::{DataRef, ExcelDateTime};

use crate::model::text::Text;

/// Digits that a spreadsheet keeps of a number.
const KEPT_DIGITS: usize = 15;
/// The first integer of one digit more.
const NOT_KEPT: f64 = 1e15;

/// What of a number's format says how it is written: zeros before and behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// Of `00000`.
    before: usize,
    /// Of `0.00`.
    behind: usize,
}

impl Format {
    pub fn of(code: &str) -> Format {
        let is_zeros = |text: &str| !text.is_empty() && text.len() <= 32 && text.bytes().all(|byte| byte == b'0');
        match code.rsplit_once('.') {
            None if is_zeros(code) => Format { before: code.len(), behind: 0 },
            Some((whole, part)) if is_zeros(part) && matches!(whole, "0" | "#,##0") => {
                Format { before: 0, behind: part.len() }
            }
            _ => Format::default(),
        }
    }
}

/// A cell's text.
pub enum Shown {
    Nothing,
    Text(String),
    /// A stable code and a sentence.
    Wrong(&'static str, Text),
}

/// The text of a cell.
pub fn shown(value: &DataRef<'_>, format: Format) -> Shown {
    match value {
        DataRef::Empty => Shown::Nothing,
        DataRef::String(text) => text_of(text),
        DataRef::SharedString(text) => text_of(text),
        DataRef::Int(number) => Shown::Text(number.to_string()),
        DataRef::Float(number) => number_of(*number, format),
        DataRef::Bool(truth) => Shown::Text(if *truth { "TRUE" } else { "FALSE" }.to_owned()),
        DataRef::DateTime(time) => Shown::Text(time_of(time)),
        DataRef::DateTimeIso(text) => text_of(text.strip_suffix("T00:00:00").unwrap_or(text)),
        DataRef::DurationIso(text) => text_of(text),
        DataRef::Error(error) => Shown::Wrong(
            "cell_error",
            Text::new(
                format!("单元格是公式错误 {error}：改正公式，或改为数值"),
                format!("the cell holds the error {error}: correct its formula, or write a value"),
            ),
        ),
    }
}

fn text_of(text: &str) -> Shown {
    if text.is_empty() { Shown::Nothing } else { Shown::Text(text.to_owned()) }
}

fn number_of(number: f64, format: Format) -> Shown {
    if number.is_nan() || number.abs() >= NOT_KEPT {
        let text = Text::new(
            format!("数字超过 {KEPT_DIGITS} 位，电子表格已改动末尾的数字：请把该列设为文本格式后重新填写"),
            format!(
                "the number has more than {KEPT_DIGITS} digits, of which a spreadsheet changes the last: format the column as text and enter it anew"
            ),
        );
        return Shown::Wrong("number_inexact", text);
    }
    if number.fract() == 0.0 {
        // Minus nothing is nothing.
        let digits = format!("{:.0}", number.abs());
        let sign = if number < 0.0 { "-" } else { "" };
        let behind = if format.behind > 0 { format!(".{}", "0".repeat(format.behind)) } else { String::new() };
        return Shown::Text(format!("{sign}{digits:0>width$}{behind}", width = format.before));
    }
    // 0.1 + 0.2 is shown as 0.3: so many digits are kept, and no exponent is written.
    let kept = format!("{number:.precision$e}", precision = KEPT_DIGITS - 1).parse().unwrap_or(number);
    let plain = f64::to_string(&kept);
    let behind = plain.split_once('.').map_or(0, |(_, part)| part.len());
    Shown::Text(format!("{plain}{}", "0".repeat(format.behind.saturating_sub(behind))))
}

/// A date as ISO 8601; a time of day or a duration as hours, minutes and seconds.
fn time_of(time: &ExcelDateTime) -> String {
    let days = time.as_f64();
    if time.is_duration() || (0.0..1.0).contains(&days) {
        let seconds = (days * 86_400.0).round();
        let (hours, rest) = ((seconds / 3600.0).trunc(), seconds.abs() % 3600.0);
        return format!("{hours:02.0}:{:02.0}:{:02.0}", (rest / 60.0).trunc(), rest % 60.0);
    }
    let (year, month, day, hour, minute, second, _) = time.to_ymd_hms_milli();
    let date = format!("{year:04}-{month:02}-{day:02}");
    if (hour, minute, second) == (0, 0, 0) { date } else { format!("{date}T{hour:02}:{minute:02}:{second:02}") }
}

#[cfg(test)]
mod tests {
    use calamine::ExcelDateTimeType;

    use super::*;

    fn text(value: &DataRef<'_>, code: &str) -> String {
        match shown(value, Format::of(code)) {
            Shown::Text(text) => text,
            Shown::Nothing => String::new(),
            Shown::Wrong(code, _) => code.to_owned(),
        }
    }

    #[test]
    fn numbers_are_written_as_they_are_seen() {
        for (number, code, expected) in [
            (6_901_234_567_890.0, "General", "6901234567890"),
            (42.0, "", "42"),
            (42.0, "00000", "00042"),
            (-42.0, "0", "-42"),
            (-0.0, "", "0"),
            (12.5, "0.00", "12.50"),
            (12.0, "0.00", "12.00"),
            (12.345, "0.00", "12.345"),
            (0.1 + 0.2, "", "0.3"),
            (1e-7, "", "0.0000001"),
            (999_999_999_999_999.0, "", "999999999999999"),
            (1e15, "", "number_inexact"),
            (f64::NAN, "", "number_inexact"),
        ] {
            assert_eq!(text(&DataRef::Float(number), code), expected, "{number} as {code}");
        }
    }

    #[test]
    fn dates_are_iso_dates_and_times_are_times() {
        let time = |days, kind| text(&DataRef::DateTime(ExcelDateTime::new(days, kind, false)), "");
        assert_eq!(time(46_053.0, ExcelDateTimeType::DateTime), "2026-01-31");
        assert_eq!(time(46_053.5, ExcelDateTimeType::DateTime), "2026-01-31T12:00:00");
        assert_eq!(time(0.75, ExcelDateTimeType::DateTime), "18:00:00");
        assert_eq!(time(1.5, ExcelDateTimeType::TimeDelta), "36:00:00");
        assert_eq!(text(&DataRef::Bool(true), ""), "TRUE");
        assert_eq!(text(&DataRef::DateTimeIso("2026-01-31T00:00:00".to_owned()), ""), "2026-01-31");
    }
}
