//! Does the ledger prove what clients hold? Compares books with what stands on the disk.
//!
//! | promise | fault when broken |
//! |---|---|
//! | a signed answer stands at its place, with its hash, and is this exchange's (S-4, B-9) | [`Fault::Lost`], [`Fault::OtherExchange`] |
//! | its evidence is there and opens | [`Fault::Unsealed`] |
//! | a signed checkpoint covers it | [`Fault::Unproven`] |
//! | an id is judged once, across kills (O-4 to O-8) | [`Fault::AnsweredTwice`], [`Fault::CountedTwice`] |
//! | exactly `max_uses` are granted (A-12) | [`Fault::Overused`], [`Fault::Undercounted`], [`Fault::UsedUpTooEarly`] |
//! | an application is taken once, its receipt stays (P-2, P-6) | [`Fault::CaseLost`], [`Fault::CaseUnlogged`], [`Fault::ReceiptDiffers`] |
//! | checkpoints never contradict each other (B-3) | [`Fault::Contradicted`], [`Fault::WentBack`] |
//! | `audit verify` finds nothing | [`Fault::Unsound`] |

use std::collections::{HashMap, HashSet};

use tongban::ledger::checkpoint::Checkpoint;
use tongban::ledger::tree::{Hash, node_hash};
use tongban::ledger::{LedgerKey, Vkey};

use super::books::{Answer, Books, Exchange};
use super::disk::{Disk, LeafFacts};
use super::message::{Kind, Submit};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    Lost { x: String },
    OtherExchange { x: String },
    Unsealed { x: String },
    Unproven { x: String },
    AnsweredTwice { x: String },
    CountedTwice { x: String },
    Overused { auth: String },
    Undercounted { auth: String },
    UsedUpTooEarly { auth: String },
    CaseLost { case: String },
    CaseUnlogged { case: String },
    ReceiptDiffers { case: String },
    Contradicted { size: u64 },
    WentBack { size: u64 },
    Unsound { what: String },
}

/// Books and disk of a run, side by side.
#[derive(Clone)]
pub struct Evidence {
    pub books: Books,
    pub disk: Disk,
}

impl Evidence {
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults: Vec<Fault> =
            self.disk.findings.iter().map(|what| Fault::Unsound { what: what.clone() }).collect();
        for (x, exchange, answer) in self.books.answers() {
            faults.extend(self.of_answer(x, exchange, answer));
        }
        let leaves = self.leaves_by_exchange();
        for (x, exchange) in &self.books.exchanges {
            let found = leaves.get(x.as_str()).map_or(&[][..], Vec::as_slice);
            faults.extend(of_exchange(x, exchange, found));
        }
        faults.extend(self.of_tokens());
        faults.extend(self.of_cases(&leaves));
        faults.extend(self.of_checkpoints());
        faults
    }

    fn leaf(&self, answer: &Answer) -> Option<&LeafFacts> {
        self.disk.logs.get(&answer.origin)?.get(usize::try_from(answer.index).unwrap())
    }

    fn leaves_by_exchange(&self) -> HashMap<&str, Vec<&LeafFacts>> {
        let mut leaves: HashMap<&str, Vec<&LeafFacts>> = HashMap::new();
        for leaf in self.disk.logs.values().flatten().filter(|leaf| leaf.t == "in") {
            leaves.entry(leaf.x.as_deref().unwrap_or_default()).or_default().push(leaf);
        }
        leaves
    }

    fn of_answer(&self, x: &str, exchange: &Exchange, answer: &Answer) -> Option<Fault> {
        let named = || x.to_owned();
        let Some(leaf) = self.leaf(answer).filter(|leaf| leaf.hash == answer.leaf) else {
            return Some(Fault::Lost { x: named() });
        };
        let says = (leaf.t.as_str(), leaf.x.as_deref(), leaf.status, leaf.rq.as_deref(), leaf.rd.as_deref());
        if says != ("in", Some(x), Some(answer.status), Some(&*exchange.rq), Some(&*answer.rd)) {
            return Some(Fault::OtherExchange { x: named() });
        }
        if leaf.ev.is_none() || self.disk.unopened.contains(&(answer.origin.clone(), answer.index)) {
            return Some(Fault::Unsealed { x: named() });
        }
        let sealed = self.disk.sealed.get(&answer.origin).copied().unwrap_or_default();
        (answer.index >= sealed).then(|| Fault::Unproven { x: named() })
    }

    fn of_tokens(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let acknowledged = self.acknowledged_uses();
        let mut leaves: HashMap<&str, Vec<&LeafFacts>> = HashMap::new();
        let mut logs: Vec<_> = self.disk.logs.iter().collect();
        logs.sort_unstable_by_key(|(origin, _)| *origin);
        for leaf in logs.into_iter().flat_map(|(_, log)| log) {
            if let Some(auth) = &leaf.auth {
                leaves.entry(auth).or_default().push(leaf);
            }
        }
        for (number, token) in self.books.tokens.iter().enumerate() {
            let auth = || token.auth.clone();
            let (mut uses, mut too_early) = (0, false);
            for leaf in leaves.get(token.auth.as_str()).into_iter().flatten() {
                uses += u32::from(leaf.status == Some(200));
                too_early |= leaf.code.as_deref() == Some("authorization-used-up") && uses < token.max;
            }
            if uses > token.max {
                faults.push(Fault::Overused { auth: auth() });
            }
            if uses < acknowledged.get(&number).copied().unwrap_or_default() {
                faults.push(Fault::Undercounted { auth: auth() });
            }
            if too_early {
                faults.push(Fault::UsedUpTooEarly { auth: auth() });
            }
        }
        faults
    }

    fn acknowledged_uses(&self) -> HashMap<usize, u32> {
        let mut uses = HashMap::new();
        for (_, exchange, answer) in self.books.answers() {
            if let Kind::Lookup(number) = exchange.kind
                && answer.status == 200
            {
                *uses.entry(number).or_default() += 1;
            }
        }
        uses
    }

    fn of_cases(&self, leaves: &HashMap<&str, Vec<&LeafFacts>>) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut receipts: HashMap<&Submit, HashSet<&str>> = HashMap::new();
        let mut logged: HashSet<&str> = HashSet::new();
        for (x, exchange) in &self.books.exchanges {
            let Kind::Submit(submit) = &exchange.kind else { continue };
            if leaves.get(x.as_str()).is_some_and(|found| found.iter().any(|leaf| leaf.status == Some(202))) {
                logged.insert(&submit.case);
            }
            for answer in exchange.answers.iter().filter(|answer| answer.status == 202) {
                receipts.entry(submit).or_default().insert(&answer.rd);
            }
        }
        for (submit, told) in receipts {
            let case = || submit.case.clone();
            if self.disk.cases.get(&submit.case) != Some(&vec![submit.digest.clone()]) {
                faults.push(Fault::CaseLost { case: case() });
            }
            if told.len() > 1 {
                faults.push(Fault::ReceiptDiffers { case: case() });
            }
        }
        let unlogged = self.disk.cases.keys().filter(|case| !logged.contains(case.as_str()));
        faults.extend(unlogged.map(|case| Fault::CaseUnlogged { case: case.clone() }));
        faults
    }

    fn of_checkpoints(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut trees: HashMap<String, Vec<Checkpoint>> = HashMap::new();
        for note in &self.books.checkpoints {
            let origin = Checkpoint::peek(note).unwrap().origin;
            let signed = Checkpoint::open(note, &Vkey::new(&origin, self.disk.ledger_key).unwrap()).unwrap();
            let before = trees.entry(origin).or_default();
            if before.last().is_some_and(|last| last.size > signed.size) {
                faults.push(Fault::WentBack { size: signed.size });
            }
            before.push(signed);
        }
        for (origin, signed) in trees {
            let leaves = self.disk.logs.get(&origin).map_or(&[][..], Vec::as_slice);
            let roots = roots_at(leaves, signed.iter().map(|one| one.size).collect());
            let wrong = signed.iter().filter(|one| roots.get(&one.size) != Some(&one.root));
            faults.extend(wrong.map(|one| Fault::Contradicted { size: one.size }));
        }
        faults
    }
}

fn of_exchange(x: &str, exchange: &Exchange, leaves: &[&LeafFacts]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let judged = |code: &str| code != "replay";
    let answers: Vec<&Answer> = exchange.answers.iter().filter(|answer| judged(&answer.code)).collect();
    let twice = match exchange.kind {
        // The first answer again, byte for byte (O-5).
        Kind::Submit(_) => answers.windows(2).any(|two| two[0].bytes != two[1].bytes),
        Kind::Ping | Kind::Lookup(_) => answers.len() > 1,
    };
    if twice {
        faults.push(Fault::AnsweredTwice { x: x.to_owned() });
    }
    let counted = leaves.iter().filter(|leaf| judged(leaf.code.as_deref().unwrap_or_default())).count();
    if counted > 1 || leaves.len() > exchange.sends {
        faults.push(Fault::CountedTwice { x: x.to_owned() });
    }
    faults
}

/// The roots of the trees of these sizes (RFC 6962 §2.1), from full subtrees alone: not by the
/// ledger's own arithmetic.
fn roots_at(leaves: &[LeafFacts], sizes: HashSet<u64>) -> HashMap<u64, Hash> {
    let (mut roots, mut full): (HashMap<u64, Hash>, Vec<(u64, Hash)>) = Default::default();
    for (leaf, size) in leaves.iter().zip(1_u64..) {
        let mut grown = (1, leaf.hashed);
        while let Some((_, left)) = full.pop_if(|(width, _)| *width == grown.0) {
            grown = (grown.0 * 2, node_hash(&left, &grown.1));
        }
        full.push(grown);
        if sizes.contains(&size) {
            let joined = full.iter().rev().copied().reduce(|right, left| (0, node_hash(&left.1, &right.1)));
            roots.extend(joined.map(|(_, root)| (size, root)));
        }
    }
    roots
}
