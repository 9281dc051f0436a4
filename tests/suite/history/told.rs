//! What the people at the windows were told, act by act, and what they saw in between.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// The two gateways of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// 收件地.
    Collecting,
    /// 办理地.
    Handling,
}

pub const SIDES: [Side; 2] = [Side::Collecting, Side::Handling];

/// One act at a local door. Its `mark` is the officer's number, which no other act bears: an
/// event with it is this act's effect.
#[derive(Clone, Debug)]
pub struct Act {
    pub mark: String,
    pub side: Side,
    /// `submit`, or the event's name.
    pub event: &'static str,
    /// Of a submit: the digest that its body must have in the chain.
    pub digest: Option<String>,
    pub told: Told,
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// 202, with the answer.
    Taken(Value),
    /// A refusal in words: nothing happened.
    Refused(u16, String),
    /// No answer, or one that says "perhaps" (5xx).
    Unknown,
}

/// What somebody saw of a case.
#[derive(Clone, Debug)]
pub struct Look {
    pub side: Side,
    pub case: String,
    pub state: String,
    /// Digests of the chain, in order.
    pub chain: Vec<String>,
    /// Parcels that had come to their end: they never wait again by themselves.
    pub ended: HashSet<String>,
}

impl Look {
    pub fn of(side: Side, view: &Value) -> Self {
        let words = |pointer: &str, member: &str| -> Vec<String> {
            let all = view[pointer].as_array().unwrap().iter();
            all.map(|one| one[member].as_str().unwrap().to_owned()).collect()
        };
        let parcels = view["parcels"].as_array().unwrap().iter();
        let ended = parcels.filter(|parcel| parcel["state"] != "waiting");
        Self {
            side,
            case: view["case"].as_str().unwrap().to_owned(),
            state: view["state"].as_str().unwrap().to_owned(),
            chain: words("events", "digest"),
            ended: ended.map(|parcel| parcel["id"].as_str().unwrap().to_owned()).collect(),
        }
    }
}

/// The history as it grows. Clones write into one book.
#[derive(Clone, Default)]
pub struct History(Arc<Book>);

#[derive(Default)]
struct Book {
    acts: Mutex<Vec<Act>>,
    looks: Mutex<Vec<Look>>,
    marks: AtomicU64,
    /// Calls that came to an end, in whatever way: what a history's time is counted in.
    calls: AtomicU64,
}

impl History {
    pub fn mark(&self) -> String {
        format!("P{:07}", self.0.marks.fetch_add(1, Ordering::Relaxed))
    }

    pub fn act(&self, act: Act) {
        self.0.acts.lock().unwrap().push(act);
    }

    pub fn look(&self, look: Look) {
        self.0.looks.lock().unwrap().push(look);
    }

    pub fn called(&self) {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub fn calls(&self) -> u64 {
        self.0.calls.load(Ordering::Relaxed)
    }

    pub fn acts(&self) -> Vec<Act> {
        self.0.acts.lock().unwrap().clone()
    }

    pub fn looks(&self) -> Vec<Look> {
        self.0.looks.lock().unwrap().clone()
    }
}
