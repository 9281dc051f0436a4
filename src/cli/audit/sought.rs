//! Whom or what a command looks for, and when: arguments that several commands share.

use std::io::BufRead as _;

use clap::Args;
use jiff::civil::Date;

use super::super::Stop;
use crate::audit::Question;
use crate::ledger::evidence::Field;

/// Somebody or something that tags speak of. `-` reads the value from standard input, which
/// leaves it out of the shell's history.
#[derive(Args)]
pub struct Sought {
    /// An ID number, or - to read it 证件号码
    #[arg(long, value_name = "NUMBER|-")]
    citizen: Option<String>,
    /// A license id (GB/T 36904) 证照标识
    #[arg(long, value_name = "ID|-")]
    license: Option<String>,
    /// A case number 办件编号
    #[arg(long, value_name = "NUMBER|-")]
    case: Option<String>,
    /// REGION:OPERATOR 经办人
    #[arg(long, value_name = "REGION:OPERATOR")]
    operator: Option<String>,
}

/// A period of days or moments.
#[derive(Args)]
pub struct Period {
    /// From this day in Shanghai, or this moment (RFC 3339) 起
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// Up to and with this day, or before this moment 止
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
}

impl Sought {
    /// The question that names them all.
    pub fn question(self) -> Result<Question, Stop> {
        Ok(Question {
            citizen: self.citizen.map(read).transpose()?,
            license: self.license.map(read).transpose()?,
            case: self.case.map(read).transpose()?,
            operator: self.operator,
            ..Question::default()
        })
    }

    /// Exactly one of them.
    pub fn one(self) -> Result<(Field, String), Stop> {
        let question = self.question()?;
        let mut named = question.people().map(|(field, value)| (field, value.to_owned()));
        match (named.next(), named.next()) {
            (Some(one), None) => Ok(one),
            _ => Err(Stop::usage("name one of --citizen, --license, --case, --operator 请指定其中一项")),
        }
    }
}

impl Period {
    /// Milliseconds, half open.
    pub fn moments(&self) -> Result<(Option<i64>, Option<i64>), Stop> {
        let from = self.from.as_deref().map(|text| moment(text, 0)).transpose()?;
        let to = self.to.as_deref().map(|text| moment(text, 1)).transpose()?;
        Ok((from, to))
    }
}

fn read(value: String) -> Result<String, Stop> {
    if value != "-" {
        return Ok(value);
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|e| Stop::usage(e.kind()))?;
    Ok(line.trim().to_owned())
}

/// A day begins at midnight in Shanghai, `days` later.
fn moment(text: &str, days: i64) -> Result<i64, Stop> {
    let of_day = |day: Date| {
        let midnight = day.checked_add(jiff::Span::new().days(days)).ok()?.at(0, 0, 0, 0);
        jiff::tz::Offset::constant(8).to_timestamp(midnight).ok()
    };
    let at = text.parse::<Date>().ok().filter(|_| text.len() == 10).and_then(of_day);
    at.or_else(|| text.parse().ok()).map(jiff::Timestamp::as_millisecond).ok_or_else(|| {
        Stop::usage(format_args!("{text}: is no day (2026-11-22) and no moment (RFC 3339) 日期有误"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_a_day_in_shanghai_with_its_end() {
        let midnight = 1_795_276_800_000; // 2026-11-22T00:00:00+08:00
        assert_eq!(moment("2026-11-22", 0).ok(), Some(midnight));
        assert_eq!(moment("2026-11-22", 1).ok(), Some(midnight + 86_400_000));
        assert_eq!(moment("2026-11-22T01:00:00+08:00", 1).ok(), Some(midnight + 3_600_000));
        assert!(moment("yesterday", 0).is_err() && moment("2026-13-01", 0).is_err());
    }
}
