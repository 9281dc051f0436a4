//! One task at a time per line: the order in which a case changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

/// Lines somebody holds or waits for.
#[derive(Default)]
pub(super) struct Lines(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

/// Lines known after which those nobody holds are dropped.
const SWEEP_AT: usize = 1024;

/// The right to change a line; given back when dropped.
#[must_use = "the line is free again as soon as this is dropped"]
pub struct Held {
    _guard: OwnedMutexGuard<()>,
}

impl Lines {
    pub async fn hold(&self, line: &str) -> Held {
        let lock = self.of(line);
        Held { _guard: lock.lock_owned().await }
    }

    fn of(&self, line: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = lines.get(line).and_then(Weak::upgrade) {
            return lock;
        }
        if lines.len() >= SWEEP_AT {
            lines.retain(|_, lock| lock.strong_count() > 0);
        }
        let lock = Arc::default();
        lines.insert(line.to_owned(), Arc::downgrade(&lock));
        lock
    }
}
