//! The line itself: who stands in it, and whether one more may.

use std::collections::HashMap;
use std::time::Duration;

use super::pace::Pace;
use super::{Class, Standing};
use crate::domain::Region;

/// What each class bears, from the first to be turned away to the last.
struct Bears {
    /// Of waiting in line. As much again may pass before and after, in sockets and queues that are
    /// not ours; all of it must stay well below the second in which an answer is of use.
    wait: Duration,
    /// Places in line that it may fill however slow the line seems: what several partners may
    /// send at once to a gateway that had nothing to learn from.
    least: usize,
    /// Exchanges held in all, those that wait for somebody else included. A bound on memory:
    /// each is a message of mostly 3 KiB and at most 256; the last stays below what the ledger
    /// queues ([`crate::ledger::LONGEST_QUEUE`]).
    most: usize,
}

impl Class {
    const fn bears(self) -> Bears {
        match self {
            Self::Lookup => Bears { wait: Duration::from_millis(50), least: 256, most: 2_048 },
            Self::Status => Bears { wait: Duration::from_millis(75), least: 272, most: 2_560 },
            Self::Submit => Bears { wait: Duration::from_millis(110), least: 288, most: 3_072 },
            Self::Receipt => Bears { wait: Duration::from_millis(160), least: 304, most: 3_584 },
        }
    }
}

/// One partner may hold so many times the room that is still free. So whoever floods leaves a
/// third of it, two who flood leave a fifth, and whoever asks little finds a place.
const SHARE: usize = 2;

#[derive(Default)]
pub struct Line {
    all: Held,
    partners: HashMap<Region, Held>,
    pace: Pace,
    turned_away: u32,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Held {
    in_line: usize,
    aside: usize,
}

impl Line {
    /// Takes a place if there is one for this class and this partner, and tells the line's length
    /// with it.
    pub fn join(&mut self, class: Class, partner: Region) -> Option<usize> {
        let own = self.partners.get(&partner).copied().unwrap_or_default();
        let fits = |room: usize, all: usize, own: usize| own < room.saturating_sub(all).saturating_mul(SHARE);
        let may = fits(self.room(class), self.all.in_line, own.in_line)
            && fits(class.bears().most, self.all.sum(), own.sum());
        may.then(|| {
            self.change(partner, |held| held.in_line += 1);
            self.all.in_line
        })
    }

    pub fn leave(&mut self, partner: Region) {
        self.change(partner, |held| held.in_line = held.in_line.saturating_sub(1));
    }

    pub fn step_aside(&mut self, partner: Region) {
        self.change(partner, |held| {
            held.in_line = held.in_line.saturating_sub(1);
            held.aside += 1;
        });
    }

    pub fn step_back(&mut self, partner: Region) {
        self.change(partner, |held| {
            held.aside = held.aside.saturating_sub(1);
            held.in_line += 1;
        });
    }

    /// Somebody who made the line so long got through after so much of its own time in it.
    pub fn learn(&mut self, length: usize, took: Duration) {
        self.pace.learn(length, took);
    }

    /// Counts one more that was turned away, and tells which it was.
    pub fn turned_away(&mut self) -> u32 {
        self.turned_away = self.turned_away.wrapping_add(1);
        self.turned_away
    }

    pub fn standing(&self) -> Standing {
        Standing {
            line: self.all.in_line,
            held: self.all.sum(),
            room: self.room(Class::Lookup),
            wait: self.pace.time_of(self.all.in_line),
        }
    }

    /// Places that get through while this class bears to wait.
    fn room(&self, class: Class) -> usize {
        let Bears { wait, least, most } = class.bears();
        self.pace.places_in(wait).map_or(least, |places| places.clamp(least, most))
    }

    fn change(&mut self, partner: Region, change: impl Fn(&mut Held)) {
        change(&mut self.all);
        let held = self.partners.entry(partner).or_default();
        change(held);
        if *held == Held::default() {
            self.partners.remove(&partner);
        }
    }
}

impl Held {
    fn sum(self) -> usize {
        self.in_line + self.aside
    }
}
