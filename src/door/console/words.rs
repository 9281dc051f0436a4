//! The console's two languages, and how it writes times and numbers.
//!
//! Chinese first, English beside it by a switch; what comes from the ledger (codes, kinds)
//! keeps its own word in both.

use crate::clock::Now;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lang {
    #[default]
    Zh,
    En,
}

impl Lang {
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "zh" => Some(Self::Zh),
            "en" => Some(Self::En),
            _ => None,
        }
    }

    pub const fn word(self) -> &'static str {
        match self {
            Self::Zh => "zh",
            Self::En => "en",
        }
    }

    /// As `<html lang>` says it.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Zh => "zh-CN",
            Self::En => "en",
        }
    }

    pub const fn pick<'t>(self, zh: &'t str, en: &'t str) -> &'t str {
        match self {
            Self::Zh => zh,
            Self::En => en,
        }
    }
}

/// `2026-11-22 17:05:09`, in Asia/Shanghai.
pub fn moment(at: Now) -> String {
    civil(at).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The same with milliseconds.
pub fn exact_moment(at: Now) -> String {
    format!("{}.{:03}", moment(at), at.ms().rem_euclid(1000))
}

/// `2026-11-22 17:05`.
pub fn minute(at: Now) -> String {
    civil(at).strftime("%Y-%m-%d %H:%M").to_string()
}

/// `17`.
pub fn hour(at: Now) -> String {
    civil(at).strftime("%H").to_string()
}

/// `11-22`.
pub fn day(at: Now) -> String {
    civil(at).strftime("%m-%d").to_string()
}

fn civil(at: Now) -> jiff::civil::DateTime {
    let at = jiff::Timestamp::from_millisecond(at.ms()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    jiff::tz::Offset::constant(8).to_datetime(at)
}

/// A whole number with its thousands apart: `1 234 567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Seconds as people say them: `12 s`, `3 min`, `2 h`, `5 d`.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Bytes as people say them.
pub fn bytes(count: u64) -> String {
    match count {
        0..=9_999 => format!("{count} B"),
        10_000..=9_999_999 => format!("{} KB", count / 1000),
        10_000_000..=9_999_999_999 => format!("{} MB", count / 1_000_000),
        _ => format!("{} GB", count / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shanghais_and_numbers_can_be_read() {
        let at = Now::from_ms(1_900_000_000_042);
        assert_eq!(exact_moment(at), "2030-03-18 01:46:40.042");
        assert_eq!((hour(at), day(at)), ("01".to_owned(), "03-18".to_owned()));
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!((count(123), span(180), bytes(12_345)), ("123".into(), "3 min".into(), "12 KB".into()));
    }
}
