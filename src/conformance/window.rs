//! What the suite says of a window of the reconciliation: that it recorded nothing in it, or one
//! exchange that never was.

use serde_json::Value;

use super::moment::Moment;
use super::tree::{leaf_hash, sign_note};
use super::{b64, b64url, sha256};

/// What the suite says that it recorded in a minute.
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// Seconds.
    pub from: i64,
    /// Nothing, or one exchange that never was.
    pub count: u64,
}

impl Window {
    /// Long before the run, when the suite had no exchange.
    pub fn long_ago(at: i64) -> Self {
        Self { from: (at - 3600).div_euclid(60) * 60, count: 0 }
    }
}

/// The minute that holds the moment of what step `nth` sent (clause W-7): a message that lives two
/// minutes at most.
pub(super) fn window_of(moment: &Moment, nth: u64) -> Option<i64> {
    let iat = moment.step(nth).ok()?.claims.get("iat")?.as_i64()?;
    Some((iat + 120).div_euclid(60) * 60)
}

/// `count`, `root` or the signed `note` (clause W-9) of a window.
pub(super) fn reconciliation(moment: &Moment, at: i64, what: &str, window: Window) -> Option<Value> {
    let Window { from, count } = window;
    let root = if count == 0 { sha256(b"") } else { leaf_hash(&[0; 81]) };
    Some(match what {
        "count" => count.into(),
        "root" => b64url(&root).into(),
        "note" => {
            let mut regions = [moment.scene.region("asking"), moment.scene.region("answering")];
            regions.sort_unstable();
            let [first, second] = regions;
            let text = format!(
                "exchange-recon/v1\n{first} {second}\n{from} {}\n{count}\n{}\n",
                from + 60,
                b64(&root)
            );
            let key = moment.scene.keys.get("asking-ledger")?;
            b64url(sign_note(&text, &[(&moment.scene.origin("asking", at), key)], false).as_bytes()).into()
        }
        _ => return None,
    })
}
