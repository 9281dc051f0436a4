//! Times that are not of now: by how much, and what that looks like.

use super::sight::Sight;
use super::{Findings, Said, View};
use crate::answer::Code;
use crate::envelope::Op;

/// Above this, seconds would lie beyond the year 5000: it is milliseconds.
const MILLISECONDS: i64 = 100_000_000_000;
/// What the clocks of Shanghai and UTC are apart (seconds).
const SHANGHAI: i64 = 8 * 3600;
/// So near to it, it is no accident (seconds).
const NEAR: i64 = 300;

pub(super) fn message(view: &View<'_>, sight: &Sight<'_>, code: Code, found: &mut Findings) {
    let (Some(iat), Some(exp)) = (sight.number("iat"), sight.number("exp")) else { return };
    let now = view.now.secs();
    match code {
        Code::NotYetValid if iat > MILLISECONDS => found.add("milliseconds"),
        Code::NotYetValid => clock(iat - now, "clock-ahead", "time-zone-ahead", found),
        Code::MessageExpired => clock(iat - now, "clock-behind", "time-zone-behind", found),
        Code::LifetimeTooLong if exp > MILLISECONDS && iat < MILLISECONDS => found.add("exp-milliseconds"),
        Code::LifetimeTooLong => {
            let life = exp.saturating_sub(iat);
            let most = Op::from_name(sight.text("op")).map_or(120, Op::longest_life);
            found.measured(
                "life-long",
                format!("it lives {life} s, at most {most} s are allowed"),
                format!("有效期 {life} 秒,至多 {most} 秒"),
            );
        }
        _ => {}
    }
}

fn clock(ahead: i64, plain: &str, zone: &str, found: &mut Findings) {
    let id = if (ahead.abs() - SHANGHAI).abs() <= NEAR { zone } else { plain };
    let Said { en, zh } = apart("iat", ahead);
    found.measured(id, en, zh);
}

/// `iat is 300 s behind this gateway's clock`.
pub(super) fn apart(what: &str, ahead: i64) -> Said {
    if ahead == 0 {
        return Said::new(format!("{what} is this gateway's time"), format!("{what} 与本网关时钟一致"));
    }
    let seconds = ahead.unsigned_abs();
    let (direction, direction_zh) = if ahead < 0 { ("behind", "慢") } else { ("ahead of", "快") };
    Said::new(
        format!("{what} is {seconds} s {direction} this gateway's clock"),
        format!("{what} 比本网关时钟{direction_zh} {seconds} 秒"),
    )
}
