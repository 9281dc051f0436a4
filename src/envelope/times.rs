//! The times of a signed message (protocol §3, §3.4): integer seconds, judged in the text's order.

use crate::clock::Now;
use crate::fault::Fault;

/// How far two gateways' clocks may be apart (seconds).
pub const SKEW: i64 = 30;
/// The longest life of a request or a response (seconds).
pub const MOST_LIFE: i64 = 120;
/// The longest life of `application.*`, which may wait in an outbox (seconds).
pub const MOST_APPLICATION_LIFE: i64 = 24 * 3600;

/// Why a message is not of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TimeFault {
    #[error("iat lies in the future")]
    NotYetValid,
    #[error("exp has passed")]
    Expired,
    #[error("exp − iat is longer than allowed")]
    LifetimeTooLong,
}

/// `iat ≤ now + 30`, then `now < exp + 30`, then `exp − iat ≤ most_life`; the first that fails.
pub fn check(iat: i64, exp: i64, now: Now, most_life: i64) -> Result<(), TimeFault> {
    if iat > now.secs().saturating_add(SKEW) {
        Err(TimeFault::NotYetValid)
    } else if now.secs() >= exp.saturating_add(SKEW) {
        Err(TimeFault::Expired)
    } else if exp.saturating_sub(iat) > most_life {
        Err(TimeFault::LifetimeTooLong)
    } else {
        Ok(())
    }
}

/// `exp > iat`: part of the envelope's schema (protocol §12), which JSON Schema cannot say.
pub fn exp_after_iat(iat: i64, exp: i64) -> Result<(), Fault> {
    if exp > iat {
        Ok(())
    } else {
        Err(Fault::new("/exp", "exp-after-iat", "must be later than iat", "必须晚于 iat"))
    }
}

/// Until when the id of a message that expires at `exp` is remembered: from that second on the
/// message itself is refused (seconds since the epoch).
pub fn keep_until(exp: i64) -> i64 {
    exp.saturating_add(SKEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_are_where_the_protocol_puts_them() {
        let at = |iat: i64, exp: i64, now: i64| check(iat, exp, Now::from_secs(now), MOST_LIFE);
        assert_eq!(at(1_000, 1_120, 970), Ok(()), "iat 30 s ahead");
        assert_eq!(at(1_000, 1_120, 969), Err(TimeFault::NotYetValid));
        assert_eq!(at(1_000, 1_120, 1_149), Ok(()), "29 s past exp");
        assert_eq!(at(1_000, 1_120, 1_150), Err(TimeFault::Expired));
        assert_eq!(at(1_000, 1_121, 1_000), Err(TimeFault::LifetimeTooLong));
        assert_eq!(check(1_000, 1_120, Now::from_ms(1_149_999), MOST_LIFE), Ok(()));
    }

    #[test]
    fn the_first_fault_in_the_texts_order_counts() {
        let at = |iat: i64, exp: i64, now: i64| check(iat, exp, Now::from_secs(now), MOST_LIFE);
        assert_eq!(at(5_000, 1_000, 2_000), Err(TimeFault::NotYetValid), "before expired");
        assert_eq!(at(1_000, 2_000, 9_000), Err(TimeFault::Expired), "before lifetime-too-long");
    }

    #[test]
    fn extreme_numbers_are_refused_and_do_not_overflow() {
        for (iat, exp) in [(i64::MIN, i64::MAX), (0, i64::MAX), (i64::MAX, i64::MAX), (i64::MIN, i64::MIN)] {
            assert!(check(iat, exp, Now::from_secs(1_900_000_000), MOST_LIFE).is_err(), "{iat} {exp}");
        }
        assert!(exp_after_iat(5, 5).is_err() && exp_after_iat(6, 5).is_err() && exp_after_iat(5, 6).is_ok());
    }
}
