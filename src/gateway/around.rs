//! What other gateways say of our log, as the console shows it: who cosigned, which windows
//! both sides signed, whom we watch.
//!
//! Promises: read from the two books every few seconds, off the threads that answer; a page
//! reads a snapshot and waits for nobody.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::sync::watch;

use crate::domain::Region;
use crate::door::console::{Around, Cosigner, Difference, Window, WindowState};
use crate::house::House;
use crate::reconcile::{self, days};

/// How old what a page shows may be.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The newest snapshot.
#[derive(Clone, Default)]
pub(super) struct Neighbours(Arc<ArcSwap<Seen>>);

#[derive(Default)]
struct Seen {
    cosigners: Vec<(String, Cosigner)>,
    windows: HashMap<String, Vec<Window>>,
    differences: HashMap<String, Vec<Difference>>,
    oldest_open: Option<i64>,
    witnessed: HashMap<String, (i64, u64)>,
}

impl Neighbours {
    /// Looks every few seconds, until `stopped`.
    pub async fn look(self, house: Arc<House>, mut stopped: watch::Receiver<bool>) {
        loop {
            let (this, seen) = (self.clone(), house.clone());
            // An interrupted look is made again at the next one.
            let _ = tokio::task::spawn_blocking(move || match seen_by(&seen) {
                Ok(seen) => this.0.store(Arc::new(seen)),
                Err(fault) => {
                    tracing::warn!(target: "console", fault, "other gateways' words cannot be read")
                }
            })
            .await;
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = stopped.changed() => return,
            }
        }
    }
}

fn seen_by(house: &House) -> Result<Seen, String> {
    let (now, data) = (house.clock.now(), house.config.data_dir());
    let shown = house.witness.shown().map_err(|fault| fault.to_string())?;
    let mut seen = Seen::default();
    for own in shown.own {
        let cosigner = Cosigner { name: own.partner, size: own.cosigned.size, at: own.cosigned.at };
        seen.cosigners.push((own.cosigned.origin, cosigner));
    }
    for cosigned in shown.cosigned {
        let region = cosigned.origin.split('/').nth(1).unwrap_or_default().to_owned();
        let place = seen.witnessed.entry(region).or_insert((cosigned.at, cosigned.size));
        *place = (*place).max((cosigned.at, cosigned.size));
    }
    for day in days(&data, None, None, now).map_err(|fault| fault.to_string())? {
        let windows = seen.windows.entry(day.peer.clone()).or_default();
        for hour in &day.hours {
            let state = match (hour.disputed, hour.missing) {
                (1.., _) => WindowState::Different,
                (0, 1..) => WindowState::Open,
                (0, 0) => WindowState::Agreed,
            };
            if state == WindowState::Open {
                seen.oldest_open = Some(seen.oldest_open.map_or(hour.from, |oldest| oldest.min(hour.from)));
            }
            windows.push(Window { start: hour.from, end: hour.from + 3600, items: 0, state });
        }
        let found = day.differences.into_iter().map(|row| Difference {
            // The proof names it where this side has the exchange.
            exchange: row.proof.get("exchange").and_then(Value::as_str).map_or(row.x, str::to_owned),
            class: row.kind.to_owned(),
            window: row.window.from,
        });
        seen.differences.entry(day.peer).or_default().extend(found);
    }
    for (peer, windows) in &mut seen.windows {
        let from = windows.iter().map(|window| window.start).min().unwrap_or_default();
        let rows = reconcile::windows_between(&data, peer, from, now.secs()).map_err(|f| f.to_string())?;
        for row in rows {
            let hour = windows.iter_mut().find(|w| (w.start..w.end).contains(&row.window.from));
            if let Some(hour) = hour {
                hour.items += row.count;
            }
        }
    }
    Ok(seen)
}

impl Around for Neighbours {
    fn cosigners(&self, origin: &str) -> Vec<Cosigner> {
        let seen = self.0.load();
        seen.cosigners.iter().filter(|(of, _)| of == origin).map(|(_, cosigner)| cosigner.clone()).collect()
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
