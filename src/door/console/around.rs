//! What other rooms tell the console about other gateways: who cosigned our checkpoints, and
//! which windows both sides signed.
//!
//! The console asks through this trait and shows "nothing yet" where nobody answers, so that
//! it needs neither witnesses nor reconciliation to be there.

use crate::domain::Region;

/// A gateway that cosigned our log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigner {
    pub name: String,
    /// The largest tree of ours it has signed.
    pub size: u64,
    /// Seconds since 1970.
    pub at: i64,
}

/// What the policy in force asks of witnesses, and who has met it of late.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quorum {
    /// Cosignatures that the policy asks for, at least.
    pub need: usize,
    /// Witnesses whose word can count.
    pub of: usize,
    /// Those of them that have cosigned within the hour.
    pub signed: usize,
    /// The others, by their names in the policy.
    pub missing: Vec<String>,
    /// Those that signed are enough by the policy's own rules.
    pub met: bool,
}

/// How a window stands between us and one partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WindowState {
    /// Both signed the same.
    Agreed,
    /// Not signed by both yet.
    Open,
    /// Signed, and something differs.
    Different,
}

/// One reconciliation window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Seconds since 1970, inclusive and exclusive.
    pub start: i64,
    pub end: i64,
    pub items: u64,
    pub state: WindowState,
}

/// A difference that was found, classified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub exchange: String,
    /// `hash-mismatch`, `peer-lacks`, `we-lack`, `in-flight`, `forged`.
    pub class: String,
    pub window: i64,
}

/// What is known of other gateways' words about us.
pub trait Around: Send + Sync {
    /// Who cosigned this log.
    fn cosigners(&self, _origin: &str) -> Vec<Cosigner> {
        Vec::new()
    }

    /// How the log that is written stands to the policy; `None` when nobody has to cosign.
    fn quorum(&self) -> Option<Quorum> {
        None
    }

    /// Windows with this partner since a moment (seconds), oldest first.
    fn windows(&self, _partner: Region, _since: i64) -> Vec<Window> {
        Vec::new()
    }

    /// Differences with this partner that nobody has settled.
    fn differences(&self, _partner: Region) -> Vec<Difference> {
        Vec::new()
    }

    /// When the oldest window began that is not agreed (seconds), of all partners.
    fn oldest_open_window(&self) -> Option<i64> {
        None
    }

    /// When we last saw and cosigned this partner's checkpoint (seconds), and its size.
    fn witnessed(&self, _partner: Region) -> Option<(i64, u64)> {
        None
    }
}
