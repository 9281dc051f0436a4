//! A full check of the ledger, and of the registers against it, in the background, one at a
//! time, for the integrity page.
//!
//! Promises: a click costs one check, however many click; the page is answered at once and
//! shows how far it is. The checks themselves are [`crate::ledger::verify`] and
//! [`registers_bound`].

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::audit::{RegistersBound, registers_bound};
use crate::clock::{Clock, Now};
use crate::ledger::verify::{Verdict, verify};

/// How the last check stands.
#[derive(Clone, Debug, Default)]
pub enum Standing {
    #[default]
    Never,
    Running {
        since: Now,
        leaves: u64,
    },
    Done {
        since: Now,
        until: Now,
        verdict: Arc<Verdict>,
        registers: Arc<RegistersBound>,
    },
    /// The files could not be read.
    Failed {
        since: Now,
    },
}

/// The console's one check.
#[derive(Clone, Default)]
pub struct Verification(Arc<Mutex<Standing>>);

/// Leaves a second that a check gets through on two cores; only the progress bar believes it.
const LEAVES_PER_SECOND: u64 = 40_000;

impl Verification {
    pub fn standing(&self) -> Standing {
        self.held().clone()
    }

    /// Starts a check unless one runs.
    pub fn start(&self, data: PathBuf, key: Option<[u8; 32]>, leaves: u64, clock: Clock) {
        let since = clock.now();
        {
            let mut standing = self.held();
            if matches!(*standing, Standing::Running { .. }) {
                return;
            }
            *standing = Standing::Running { since, leaves };
        }
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            let ended = match (verify(&data, key), registers_bound(&data)) {
                (Ok(verdict), Ok(registers)) => {
                    let (verdict, registers) = (Arc::new(verdict), Arc::new(registers));
                    Standing::Done { since, until: clock.now(), verdict, registers }
                }
                (verdict, registers) => {
                    let verdict = verdict.err().map(|fault| fault.to_string());
                    let registers = registers.err().map(|fault| fault.to_string());
                    tracing::error!(target: "console", verdict, registers, "the full check could not be done");
                    Standing::Failed { since }
                }
            };
            *this.held() = ended;
        });
    }

    fn held(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// About how much of a running check is done, in percent; never all of it.
pub fn percent(since: Now, leaves: u64, now: Now) -> u64 {
    let ms = u64::try_from(now.ms() - since.ms()).unwrap_or_default();
    let done = ms.saturating_mul(LEAVES_PER_SECOND) / 1000;
    (done.saturating_mul(100) / leaves.max(1)).min(99)
}
