//! What other gateways say of our log, as the console shows it: who cosigned and whether that is
//! enough, which windows both sides signed, whom we watch.
//!
//! Promises: read from the two books every few seconds, off the threads that answer; a page
//! reads a snapshot and waits for nobody. A witness counts towards the quorum by its signature
//! under our checkpoint, not by what a row says of it.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::sync::watch;

use crate::clock::Now;
use crate::domain::Region;
use crate::door::console::{Around, Cosigner, Difference, Quorum, Window, WindowState};
use crate::house::House;
use crate::ledger::note::Note;
use crate::reconcile::{self, BookFault, Day, days};
use crate::witness::{OwnCosigned, Policy, QUORUM_LATE, Shown, Witness, WitnessFault};

/// How old what a page shows may be.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The newest snapshot.
#[derive(Clone, Default)]
pub(super) struct Neighbours(Arc<ArcSwap<Seen>>);

#[derive(Default)]
struct Seen {
    cosigners: Vec<(String, Cosigner)>,
    quorum: Option<Quorum>,
    windows: HashMap<String, Vec<Window>>,
    differences: HashMap<String, Vec<Difference>>,
    oldest_open: Option<i64>,
    witnessed: HashMap<String, (i64, u64)>,
}

/// Why nothing new is seen.
#[derive(Debug, thiserror::Error)]
enum Unseen {
    #[error(transparent)]
    Witness(#[from] WitnessFault),
    #[error(transparent)]
    Windows(#[from] BookFault),
}

impl Neighbours {
    /// Looks every few seconds, until `stopped`.
    pub async fn look(self, house: Arc<House>, mut stopped: watch::Receiver<bool>) {
        loop {
            let (this, house) = (self.clone(), house.clone());
            // An interrupted look is made again at the next one.
            let _ = tokio::task::spawn_blocking(move || this.look_once(&house)).await;
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = stopped.changed() => return,
            }
        }
    }

    fn look_once(&self, house: &House) {
        let (data, origin) = (house.config.data_dir(), house.ledger.origin());
        match Seen::at(&data, &house.witness, &origin, house.clock.now()) {
            Ok(seen) => self.0.store(Arc::new(seen)),
            Err(fault) => {
                tracing::warn!(target: "console", %fault, "other gateways' words cannot be read");
            }
        }
    }
}

impl Seen {
    /// Everything in the two books of a data directory; `origin` is the log that is written.
    fn at(data: &Path, witness: &Witness, origin: &str, now: Now) -> Result<Self, Unseen> {
        let shown = witness.shown()?;
        let quorum = witness.policy().and_then(|policy| quorum(&policy, &shown.own, origin, now));
        let mut seen = Self { quorum, ..Self::default() };
        seen.take_witnesses(shown);
        for day in days(data, None, None, now)? {
            seen.take_day(day);
        }
        for (peer, windows) in &mut seen.windows {
            let from = windows.iter().map(|window| window.start).min().unwrap_or_default();
            for row in reconcile::windows_between(data, peer, from, now.secs())? {
                let hour = windows.iter_mut().find(|w| (w.start..w.end).contains(&row.window.from));
                if let Some(hour) = hour {
                    hour.items += row.count;
                }
            }
        }
        Ok(seen)
    }

    fn take_witnesses(&mut self, shown: Shown) {
        for own in shown.own {
            let cosigner = Cosigner { name: own.partner, size: own.cosigned.size, at: own.cosigned.at };
            self.cosigners.push((own.cosigned.origin, cosigner));
        }
        for cosigned in shown.cosigned {
            let region = cosigned.origin.split('/').nth(1).unwrap_or_default().to_owned();
            let place = self.witnessed.entry(region).or_insert((cosigned.at, cosigned.size));
            *place = (*place).max((cosigned.at, cosigned.size));
        }
    }

    fn take_day(&mut self, day: Day) {
        let windows = self.windows.entry(day.peer.clone()).or_default();
        for hour in &day.hours {
            let state = match (hour.disputed, hour.missing) {
                (1.., _) => WindowState::Different,
                (0, 1..) => WindowState::Open,
                (0, 0) => WindowState::Agreed,
            };
            if state == WindowState::Open {
                self.oldest_open = Some(self.oldest_open.map_or(hour.from, |oldest| oldest.min(hour.from)));
            }
            windows.push(Window { start: hour.from, end: hour.from + 3600, items: 0, state });
        }
        let found = day.differences.into_iter().map(|row| Difference {
            // The proof names it where this side has the exchange.
            exchange: row.proof.get("exchange").and_then(Value::as_str).map_or(row.x, str::to_owned),
            class: row.kind.to_owned(),
            window: row.window.from,
        });
        self.differences.entry(day.peer).or_default().extend(found);
    }
}

/// How a log stands to the policy; `None` when the policy asks for nobody.
fn quorum(policy: &Policy, own: &[OwnCosigned], origin: &str, now: Now) -> Option<Quorum> {
    if !policy.needs_witnesses() {
        return None;
    }
    let notes = own.iter().filter(|own| own.cosigned.origin == origin);
    let judged = notes.filter_map(|own| policy.judge(&Note::parse(&own.cosigned.note).ok()?).ok());
    let fresh = judged.flat_map(|judged| judged.by).filter(|(_, at)| now.secs() - at <= QUORUM_LATE);
    let names: BTreeSet<String> = fresh.map(|(name, _)| name).collect();
    let (signed, missing): (Vec<&str>, Vec<&str>) =
        policy.counted().into_iter().partition(|name| names.contains(*name));
    Some(Quorum {
        need: policy.least(),
        of: signed.len() + missing.len(),
        signed: signed.len(),
        met: policy.is_met_by(&signed),
        missing: missing.into_iter().map(str::to_owned).collect(),
    })
}

impl Around for Neighbours {
    fn cosigners(&self, origin: &str) -> Vec<Cosigner> {
        let seen = self.0.load();
        seen.cosigners.iter().filter(|(of, _)| of == origin).map(|(_, cosigner)| cosigner.clone()).collect()
    }

    fn quorum(&self) -> Option<Quorum> {
        self.0.load().quorum.clone()
    }

    fn windows(&self, partner: Region, since: i64) -> Vec<Window> {
        let seen = self.0.load();
        let all = seen.windows.get(partner.as_str()).into_iter().flatten();
        all.filter(|window| window.start >= since).copied().collect()
    }

    fn differences(&self, partner: Region) -> Vec<Difference> {
        self.0.load().differences.get(partner.as_str()).cloned().unwrap_or_default()
    }

    fn oldest_open_window(&self) -> Option<i64> {
        self.0.load().oldest_open
    }

    fn witnessed(&self, partner: Region) -> Option<(i64, u64)> {
        self.0.load().witnessed.get(partner.as_str()).copied()
    }
}
