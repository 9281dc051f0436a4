//! Dates as license libraries write them.

use jiff::civil::Date;
use serde_json::Value;

use super::mapping::as_text;

/// `2026-01-05`, null for 长期; what is no date stays as it is.
pub(super) fn date(value: &Value) -> Value {
    const FOREVER: [&str; 5] = ["00000000", "长期", "长期有效", "9999-12-31", "99991231"];
    let Some(text) = as_text(value) else { return value.clone() };
    let text = text.trim();
    if FOREVER.contains(&text) || text.starts_with("9999-12-31") {
        return Value::Null;
    }
    let digits: String = day_part(text);
    let number = |part: Option<&str>| part?.parse::<i16>().ok();
    let (year, month, day) = (number(digits.get(..4)), number(digits.get(4..6)), number(digits.get(6..)));
    let parsed = match (digits.len(), year, month, day) {
        (8, Some(year), Some(month), Some(day)) => {
            let (month, day) = (i8::try_from(month).unwrap_or(0), i8::try_from(day).unwrap_or(0));
            Date::new(year, month, day).ok()
        }
        _ => None,
    };
    parsed.map_or_else(|| value.clone(), |date| Value::String(date.to_string()))
}

/// Eight digits of `20260105`, `2026-01-05`, `2026/01/05`, `2026.01.05` or `2026年1月5日`, with or
/// without a time after them.
fn day_part(text: &str) -> String {
    let day = text.split([' ', 'T']).next().unwrap_or_default();
    if day.len() == 8 && day.bytes().all(|b| b.is_ascii_digit()) {
        return day.to_owned();
    }
    let parts: Vec<_> = day.trim_end_matches('日').split(['-', '/', '.', '年', '月']).collect();
    match parts.as_slice() {
        [year, month, day] if year.len() == 4 => format!("{year}{month:0>2}{day:0>2}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn legacy_dates_become_ours_and_what_is_none_stays_to_be_refused() {
        for written in [
            "20260105",
            "2026-01-05",
            "2026/1/5",
            "2026.01.05",
            "2026年1月5日",
            "2026-01-05 08:00:00",
            "2026-01-05T08:00:00+08:00",
        ] {
            assert_eq!(date(&json!(written)), json!("2026-01-05"), "{written}");
        }
        assert_eq!(date(&json!(20_260_105)), json!("2026-01-05"));
        for forever in ["00000000", "长期", "9999-12-31", "99991231", " 长期 "] {
            assert_eq!(date(&json!(forever)), Value::Null, "{forever}");
        }
        for none in ["20261305", "2026-02-30", "26-01-05", "soon", "2026-1", "２０２６0105"] {
            assert_eq!(date(&json!(none)), json!(none), "{none}");
        }
    }
}
