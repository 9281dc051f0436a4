//! When each list is pulled next, and what was last said about it.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{PULL_EVERY, PullFault, Pulled, PulledList};
use crate::authorization::{Authorities, StatusListWhere};

/// By authority and uri.
#[derive(Default)]
pub struct Timetable {
    lines: HashMap<(String, String), Line>,
}

struct Line {
    list: PulledList,
    next: Instant,
    /// The fault that stands, told when it began.
    fault: Option<PullFault>,
}

impl Timetable {
    /// The lists of the active authorities; a new one, or one with a new address, is due at once.
    pub fn follow(&mut self, authorities: &Authorities, at: Instant) {
        let mut before = std::mem::take(&mut self.lines);
        for authority in authorities.iter().filter(|authority| authority.is_active()) {
            for source in authority.status_lists() {
                let StatusListWhere::Https(url) = &source.source else { continue };
                let place = (authority.id().to_owned(), source.uri.clone());
                let list =
                    PulledList { authority: authority.clone(), uri: source.uri.clone(), url: url.clone() };
                let line = match before.remove(&place) {
                    Some(known) if known.list.url == *url => Line { list, ..known },
                    _ => Line { list, next: at, fault: None },
                };
                self.lines.insert(place, line);
            }
        }
    }

    /// The lists to pull now. Each is due again in [`PULL_EVERY`], whatever becomes of this pull.
    pub fn due(&mut self, at: Instant) -> Vec<PulledList> {
        let due = self.lines.values_mut().filter(|line| line.next <= at);
        due.map(|line| {
            line.next = at + PULL_EVERY;
            line.list.clone()
        })
        .collect()
    }

    /// What became of a pull. A fault is told when it begins or changes, and when it ends.
    pub fn note(&mut self, list: &PulledList, outcome: Result<Pulled, PullFault>, at: Instant) {
        let (authority, uri) = (list.authority.id(), list.uri.as_str());
        let Some(line) = self.lines.get_mut(&(authority.to_owned(), uri.to_owned())) else { return };
        match outcome {
            Ok(_) => {
                if line.fault.take().is_some() {
                    tracing::info!(target: "trust", authority, uri, "the status list can be pulled again");
                }
            }
            Err(fault) => {
                line.next = at + full_jitter();
                if line.fault.as_ref() != Some(&fault) {
                    tracing::warn!(target: "trust", authority, uri, %fault, "the status list was not pulled; the one in force stays");
                    line.fault = Some(fault);
                }
            }
        }
    }

    #[cfg(test)]
    pub fn fault(&self, authority: &str, uri: &str) -> Option<&PullFault> {
        self.lines.get(&(authority.to_owned(), uri.to_owned()))?.fault.as_ref()
    }
}

/// Between nothing and [`PULL_EVERY`], evenly: a hundred gateways whose province came back do
/// not call in one instant. Never more, or the next publication would be late.
fn full_jitter() -> Duration {
    let mut bytes = [0; 4];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return PULL_EVERY;
    }
    PULL_EVERY.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}
