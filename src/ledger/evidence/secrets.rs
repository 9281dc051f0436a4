//! The erasable secrets of records, drawn many at a time: a call of the generator costs several times its
//! 32 octets.

use std::sync::{Mutex, PoisonError};

use zeroize::{Zeroize as _, Zeroizing};

use super::{SECRET_BYTES, SealFault};

/// Secrets of one call.
const AT_ONCE: usize = 32;

/// Hands out each secret once and keeps no copy of it.
#[derive(Default)]
pub(in crate::ledger) struct Secrets(Mutex<Drawn>);

#[derive(Default)]
struct Drawn(Zeroizing<Vec<[u8; SECRET_BYTES]>>);

impl Secrets {
    /// 32 random octets.
    pub fn draw(&self) -> Result<[u8; SECRET_BYTES], SealFault> {
        let mut drawn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if drawn.0.is_empty() {
            drawn.0.resize(AT_ONCE, [0; SECRET_BYTES]);
            if aws_lc_rs::rand::fill(drawn.0.as_flattened_mut()).is_err() {
                drawn.0.clear();
                return Err(SealFault::Random);
            }
        }
        let Some(last) = drawn.0.last_mut() else { return Err(SealFault::Random) };
        let secret = *last;
        last.zeroize();
        drawn.0.pop();
        Ok(secret)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_secret_is_handed_out_twice_and_none_is_left_behind() {
        let secrets = Secrets::default();
        let drawn: HashSet<_> = (0..3 * AT_ONCE + 1).map(|_| secrets.draw().unwrap()).collect();
        assert_eq!(drawn.len(), 3 * AT_ONCE + 1);
        assert!(!drawn.contains(&[0; SECRET_BYTES]));
        let kept = secrets.0.lock().unwrap();
        assert_eq!(kept.0.len(), AT_ONCE - 1);
        assert!(kept.0.iter().all(|secret| !drawn.contains(secret)));
    }
}
