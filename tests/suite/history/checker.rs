//! Is what was told true? Compares what people were told with what stands on both sides.
//!
//! | promise (issue 3, protocol §6) | fault when broken |
//! |---|---|
//! | every 202 ends as exactly one effect, or as one visible rejection | [`Fault::Lost`], [`Fault::Twice`], [`Fault::BothWays`], [`Fault::StillWaiting`] |
//! | a refusal changed nothing | [`Fault::RefusedAndDone`] |
//! | no answer: none or one effect | [`Fault::Twice`] |
//! | effects carry the digest that was told | [`Fault::OtherDigest`] |
//! | order per case: each event continues the one before | [`Fault::BrokenChain`] |
//! | both sides have one chain | [`Fault::ChainsDiffer`] |
//! | nothing that was seen goes back | [`Fault::WentBack`] |
//! | what was answered stands in the ledger | [`Fault::Unrecorded`], [`Fault::OpenSend`], [`Fault::LedgerUnsound`] |

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde_json::Value;
use tongban::casebook::{EventRow, ParcelRow, ParcelState};

use super::effects::{Effects, claims};
use super::told::{Act, Look, Side, Told};
use crate::support::{b64, sha256};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    Lost { mark: String, event: &'static str },
    Twice { mark: String },
    BothWays { mark: String },
    StillWaiting { parcel: String },
    RefusedAndDone { mark: String },
    OtherDigest { mark: String },
    BrokenChain { case: String, seq: u64 },
    ChainsDiffer { case: String },
    WentBack { side: Side, case: String },
    Unrecorded { what: String },
    OpenSend { exchange: String },
    LedgerUnsound { side: Side },
}

/// Everything there is to know about a run.
#[derive(Clone)]
pub struct Evidence {
    pub acts: Vec<Act>,
    pub looks: Vec<Look>,
    pub collecting: Effects,
    pub handling: Effects,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cases, {} events, {} acts ({} taken, {} refused, {} without an answer), {} looks, {} leaves",
            self.collecting.cases.len(),
            self.handling.chains.values().map(Vec::len).sum::<usize>(),
            self.acts.len(),
            self.told(|told| matches!(told, Told::Taken(_))),
            self.told(|told| matches!(told, Told::Refused(..))),
            self.told(|told| *told == Told::Unknown),
            self.looks.len(),
            self.collecting.leaves.len() + self.handling.leaves.len()
        )
    }
}

impl Evidence {
    /// How many acts were told so.
    pub fn told(&self, so: impl Fn(&Told) -> bool) -> usize {
        self.acts.iter().filter(|act| so(&act.told)).count()
    }

    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let marks = self.marks();
        for act in &self.acts {
            faults.extend(self.of_act(act, &marks));
        }
        for effects in [&self.collecting, &self.handling] {
            faults.extend(of_chains(effects));
            faults.extend(self.of_ledger(effects));
        }
        faults.extend(self.differences());
        faults.extend(went_back(&self.looks));
        faults
    }

    fn side(&self, side: Side) -> &Effects {
        if side == Side::Collecting { &self.collecting } else { &self.handling }
    }

    /// Events by the mark of who made them, on either side.
    fn marks(&self) -> HashMap<(Side, &str), Vec<&EventRow>> {
        let mut marks: HashMap<_, Vec<_>> = HashMap::new();
        for effects in [&self.collecting, &self.handling] {
            for row in effects.chains.values().flatten() {
                marks.entry((effects.side, mark_of(row))).or_default().push(row);
            }
        }
        marks
    }

    fn of_act(&self, act: &Act, marks: &HashMap<(Side, &str), Vec<&EventRow>>) -> Vec<Fault> {
        let found = |side| marks.get(&(side, act.mark.as_str())).map_or(&[][..], Vec::as_slice);
        let (here, there) = (found(Side::Collecting), found(Side::Handling));
        let mark = act.mark.clone();
        let mut faults = Vec::new();
        if here.len() > 1 || there.len() > 1 {
            faults.push(Fault::Twice { mark: mark.clone() });
        }
        match &act.told {
            Told::Taken(answer) => {
                let rejected = self.is_rejected(act);
                // A submit stands at the side that took it even when the other refuses it.
                let own_copy = usize::from(act.event == "submit");
                match (here.len().min(1), there.len().min(1), rejected) {
                    (1, 1, false) => {}
                    (copies, 0, true) if copies == own_copy => {}
                    (_, _, true) => faults.push(Fault::BothWays { mark: mark.clone() }),
                    _ => faults.push(Fault::Lost { mark: mark.clone(), event: act.event }),
                }
                if here.iter().chain(there).any(|row| !carries(row, act, answer)) {
                    faults.push(Fault::OtherDigest { mark: mark.clone() });
                }
                if let Some(digest) = answer["digest"].as_str()
                    && !self.side(act.side).acts.contains(digest)
                {
                    faults.push(Fault::Unrecorded { what: mark });
                }
            }
            Told::Refused(..) if here.len() + there.len() > 0 => faults.push(Fault::RefusedAndDone { mark }),
            Told::Refused(..) | Told::Unknown => {}
        }
        faults
    }

    /// Is there a parcel of this act that ended without a receipt, for everybody to see?
    fn is_rejected(&self, act: &Act) -> bool {
        let ended =
            |parcel: &ParcelRow| matches!(parcel.state, ParcelState::Refused | ParcelState::Undeliverable);
        self.side(act.side).parcels.iter().any(|parcel| ended(parcel) && mark_in(&parcel.body) == act.mark)
    }

    fn differences(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let cases: HashSet<&String> =
            self.collecting.cases.keys().chain(self.handling.cases.keys()).collect();
        for case in cases {
            let digests = |effects: &Effects| -> Vec<String> {
                effects.chain(case).iter().map(|row| row.digest.clone()).collect()
            };
            let (ours, theirs) = (digests(&self.collecting), digests(&self.handling));
            let refused = theirs.is_empty() && self.submit_was_rejected(case);
            if ours != theirs && !refused {
                faults.push(Fault::ChainsDiffer { case: case.clone() });
            }
            let state = |effects: &Effects| effects.cases.get(case).map(|row| row.state.clone());
            if !refused && state(&self.collecting) != state(&self.handling) {
                faults.push(Fault::ChainsDiffer { case: case.clone() });
            }
        }
        for effects in [&self.collecting, &self.handling] {
            let waiting = effects.parcels.iter().filter(|parcel| parcel.state == ParcelState::Waiting);
            faults.extend(waiting.map(|parcel| Fault::StillWaiting { parcel: parcel.id.clone() }));
        }
        faults
    }

    fn submit_was_rejected(&self, case: &str) -> bool {
        self.collecting.parcels.iter().any(|parcel| {
            parcel.line == case
                && parcel.seq == 0
                && matches!(parcel.state, ParcelState::Refused | ParcelState::Undeliverable)
        })
    }

    /// Every receipt is a promise of the other side's ledger; every send has its end; what was
    /// applied from outside was recorded as an exchange.
    fn of_ledger(&self, effects: &Effects) -> Vec<Fault> {
        let other = if effects.side == Side::Collecting { &self.handling } else { &self.collecting };
        let mut faults = Vec::new();
        for parcel in &effects.parcels {
            let receipt = parcel.receipt.as_deref().map(claims);
            if parcel.state == ParcelState::Delivered && receipt.is_none() {
                faults.push(Fault::Unrecorded { what: parcel.id.clone() });
            }
            if receipt.is_some_and(|receipt| !other.keeps(&receipt["log"])) {
                faults.push(Fault::Unrecorded { what: parcel.id.clone() });
            }
        }
        let mut sends: HashMap<&str, i64> = HashMap::new();
        for leaf in &effects.leaves {
            let Some(x) = leaf["x"].as_str() else { continue };
            match leaf["t"].as_str() {
                Some("out.sent") => *sends.entry(x).or_default() += 1,
                Some("out.done" | "out.failed") => *sends.entry(x).or_default() -= 1,
                _ => {}
            }
        }
        let open = sends.into_iter().filter(|(_, left)| *left != 0);
        faults.extend(open.map(|(x, _)| Fault::OpenSend { exchange: x.to_owned() }));
        let heard: HashSet<&str> = effects
            .leaves
            .iter()
            .filter(|leaf| leaf["t"] == "in")
            .filter_map(|leaf| leaf["x"].as_str())
            .collect();
        for row in effects.chains.values().flatten().filter(|row| !row.mine) {
            if !row.exchange.as_deref().is_some_and(|exchange| heard.contains(exchange)) {
                faults.push(Fault::Unrecorded { what: format!("{}#{}", row.case, row.seq) });
            }
        }
        if !effects.ledger_sound {
            faults.push(Fault::LedgerUnsound { side: effects.side });
        }
        faults
    }
}

/// Whose act an event or a parcel is.
fn mark_in(body: &Value) -> &str {
    let by = body.pointer("/by/officer").or_else(|| body.pointer("/collecting/officer"));
    by.and_then(Value::as_str).unwrap_or_default()
}

fn mark_of(row: &EventRow) -> &str {
    mark_in(&row.body)
}

/// Is the event what was asked for and what the 202 said?
fn carries(row: &EventRow, act: &Act, answer: &Value) -> bool {
    let told = answer["digest"].as_str().is_none_or(|digest| digest == row.digest);
    let asked = act.digest.as_ref().is_none_or(|digest| *digest == row.digest);
    told && asked && row.event == act.event
}

/// One after the other, each with the digest of its body and of the one before.
fn of_chains(effects: &Effects) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (case, chain) in &effects.chains {
        let mut prev: Option<&str> = None;
        for (seq, row) in (0_u64..).zip(chain) {
            let continues = prev.is_none_or(|prev| row.body["prev"] == prev && row.body["seq"] == seq);
            let digest = b64(sha256(&tongban::json::jcs(&row.body)));
            if row.seq != seq || digest != row.digest || !continues {
                faults.push(Fault::BrokenChain { case: case.clone(), seq });
            }
            prev = Some(&row.digest);
        }
        let known: Option<Vec<&str>> = effects.cases.get(case).map(|row| {
            row.doc["events"]
                .as_array()
                .unwrap()
                .iter()
                .map(|mark| mark["digest"].as_str().unwrap())
                .collect()
        });
        if known.is_none_or(|known| known != chain.iter().map(|row| row.digest.as_str()).collect::<Vec<_>>())
        {
            faults.push(Fault::BrokenChain { case: case.clone(), seq: u64::MAX });
        }
    }
    faults
}

/// Before the handling side's word, in order; afterwards the chain says how far a case is.
const BEFORE_RECEIPT: [&str; 3] = ["SUBMITTED", "COLLECTED", "RELAYED"];

/// Whoever looks again sees what was there, and perhaps more.
pub fn went_back(looks: &[Look]) -> Vec<Fault> {
    let mut last: HashMap<(Side, &str), &Look> = HashMap::new();
    let mut faults = Vec::new();
    for look in looks {
        let before = last.insert((look.side, look.case.as_str()), look);
        let Some(before) = before else { continue };
        let rank = |look: &Look| BEFORE_RECEIPT.iter().position(|state| *state == look.state).unwrap_or(3);
        let same_chain = look.chain == before.chain;
        let state_stands = look.state == before.state || rank(before) < 3;
        if !look.chain.starts_with(&before.chain)
            || rank(look) < rank(before)
            || (same_chain && !state_stands)
            || !look.ended.is_superset(&before.ended)
        {
            faults.push(Fault::WentBack { side: look.side, case: look.case.clone() });
        }
    }
    faults
}
