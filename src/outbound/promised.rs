//! The partner's half of one exchange, held against ours: for an auditor who asks.
//!
//! Where we asked, the partner's signed answer promised a place in its ledger (protocol §3.2): the
//! entry there is fetched, proven under the partner's checkpoint, and must say what ours says.
//! Where we answered, the message names no place: what the partner's ledger key signed of the
//! window that the exchange falls into is the partner's word.
//!
//! Promises: nothing of the partner's is called verified that its ledger key has not signed;
//! what cannot be known says why and is no accusation; what is proven to be otherwise is told apart
//! from it. Ends within [`MOST_WAIT`]. Nothing is recorded and nothing asked of exchanges' state.

use std::time::Duration;

use tokio::time::timeout;

use crate::domain::Region;
use crate::house::House;
use crate::ledger::checkpoint::CheckpointFault;
use crate::ledger::note::{Note, NoteFault};
use crate::ledger::proof::{Proof, ProofFault};
use crate::ledger::tree::leaf_hash;
use crate::ledger::{Leaf, LeafHash, LeafKind, Promise, Vkey};
use crate::peer::PartnerAnswer;
use crate::reconcile::{self, DifferenceKind, Item, State, Statement, Window, WindowRow};

/// One look in all: a person waits for the page.
pub const MOST_WAIT: Duration = Duration::from_secs(5);
/// The call to the partner; the rest is for our own files.
const MOST_CALL: Duration = Duration::from_secs(3);
/// Milliseconds after which a promised entry is served (protocol §7), and as much again for the way.
const SERVED_AFTER: i64 = 20_000;

/// What is known of the partner's half.
#[derive(Clone, Debug, PartialEq)]
pub enum Counterpart {
    /// Its own entry, proven.
    Entry(Box<TheirEntry>),
    /// Both ledger keys signed a window that holds the exchange as our leaf has it.
    Signed { window: Window, count: u64 },
    /// Not known.
    Unverified(Unverified),
    /// Proven to be otherwise.
    Contradicts(Contradiction),
}

/// The partner's entry as it stands in its ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct TheirEntry {
    pub promise: Promise,
    pub leaf: Leaf,
    /// Entries under the checkpoint that it was proven under.
    pub size: u64,
    /// When we cosigned that very checkpoint (seconds): then it continues all we saw before.
    pub cosigned: Option<i64>,
}

/// Why nothing can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    #[error("no signed answer came, so nothing was promised")]
    NoAnswer,
    #[error("the partner's card names no ledger key that could be believed")]
    NoKey,
    #[error("the promise is of a ledger whose key is no longer on the partner's card")]
    OtherKey,
    #[error("the partner cannot be reached now")]
    Unreachable,
    #[error("the partner did not serve its entry (status {0})")]
    NotServed(u16),
    #[error("the entry is not under a checkpoint yet: try again in some seconds")]
    TooEarly,
    #[error("exchanges of this kind are in no reconciliation window")]
    NotCounted,
    #[error("the reconciliation window is not decided yet")]
    NoWindow,
    #[error("the window differs in other exchanges, so both have not signed it")]
    OtherDiffers,
    #[error("this side cannot reckon the signed window again")]
    NotReckoned,
}

impl Unverified {
    pub const fn zh(self) -> &'static str {
        match self {
            Self::NoAnswer => "未收到签名应答,对方没有作出承诺",
            Self::NoKey => "对方名片没有可信的账本公钥",
            Self::OtherKey => "该承诺属于旧账本,其公钥已不在对方名片上",
            Self::Unreachable => "暂时无法连通对方",
            Self::NotServed(_) => "对方未提供该记录",
            Self::TooEarly => "对方检查点尚未覆盖该记录,请数秒后再试",
            Self::NotCounted => "此类交换不列入对账窗口",
            Self::NoWindow => "所在对账窗口尚未完成对账",
            Self::OtherDiffers => "该窗口另有差异,双方未共同签署",
            Self::NotReckoned => "本方无法复算已签署的窗口",
        }
    }
}

/// What is not as the partner signed it, or not as our leaf has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    #[error("the partner signed a promise and does not have the entry")]
    Absent,
    #[error("the partner's proof does not hold: it {0}")]
    Proof(ProofFault),
    #[error("another entry stands at the promised place")]
    OtherEntry,
    #[error("its entry says otherwise than ours: {}", .0.join(", "))]
    Says(Vec<&'static str>),
    #[error("reconciliation found: {0}")]
    Difference(&'static str),
}

impl Contradiction {
    pub fn zh(&self) -> String {
        match self {
            Self::Absent => "对方已签署承诺,却拿不出这条记录".to_owned(),
            Self::Proof(_) => "对方给出的证明不成立".to_owned(),
            Self::OtherEntry => "承诺的位置上是另一条记录".to_owned(),
            Self::Says(members) => format!("对方记录与本方不一致:{}", members.join("、")),
            Self::Difference(kind) => format!("对账发现差异:{kind}"),
        }
    }
}

/// Looks at the partner's half of the exchange that `leaf`, of our own ledger, is about.
pub async fn look(house: &House, leaf: &Leaf) -> Counterpart {
    let found = match timeout(MOST_WAIT, looked(house, leaf)).await {
        Ok(found) => found,
        Err(_) => Err(Unverified::Unreachable),
    };
    found.unwrap_or_else(Counterpart::Unverified)
}

async fn looked(house: &House, leaf: &Leaf) -> Result<Counterpart, Unverified> {
    let peer = leaf.peer.as_deref().and_then(|text| Region::parse(text).ok()).ok_or(Unverified::NoKey)?;
    match (leaf.t, &leaf.pl) {
        (LeafKind::OutDone, Some(promise)) => {
            let fetched = timeout(MOST_CALL, entry(house, peer, leaf, promise)).await;
            match fetched.unwrap_or(Err(Unverified::Unreachable)) {
                // What both signed before does not need the partner to be up.
                Err(why) => match window(house, peer, leaf).await {
                    Ok(signed @ Counterpart::Signed { .. }) => Ok(signed),
                    _ => Err(why),
                },
                found => found,
            }
        }
        (LeafKind::In | LeafKind::OutDone, _) => window(house, peer, leaf).await,
        _ => Err(Unverified::NoAnswer),
    }
}

/// The name and key of the ledger on the partner's card.
fn ledger_key(house: &House, peer: Region) -> Option<Vkey> {
    let trust = house.trust.load();
    let ledger = trust.directory.card(peer)?.ledger()?;
    Vkey::parse(&ledger.vkey).ok()
}

async fn entry(
    house: &House,
    peer: Region,
    leaf: &Leaf,
    promise: &Promise,
) -> Result<Counterpart, Unverified> {
    let card = ledger_key(house, peer).ok_or(Unverified::NoKey)?;
    // One key signs a region's half-years; a promise of anybody else's log is none.
    let of_peer = promise.origin.split('/').nth(1) == Some(peer.as_str());
    let vkey =
        of_peer.then(|| Vkey::new(&promise.origin, *card.public())).flatten().ok_or(Unverified::OtherKey)?;
    let path = format!("/v1/log/{}/entry/{}", promise.origin, promise.index);
    let answer = house.clients.watch(peer, &path).await.map_err(|_| Unverified::Unreachable)?;
    let now = house.clock.now().ms();
    let judged = judge(&answer, leaf, promise, &vkey, now);
    match judged {
        // The card of the promise's time may have named another key (B-8).
        Err(Found::Contradicts(Contradiction::Proof(fault)))
            if unsigned(&fault) && card.name() != promise.origin =>
        {
            Err(Unverified::OtherKey)
        }
        Err(Found::Contradicts(contradiction)) => Ok(Counterpart::Contradicts(contradiction)),
        Err(Found::Unverified(why)) => Err(why),
        Ok((leaf, size, note)) => {
            let note = Note::parse(&note).ok();
            let cosigned = note.and_then(|note| house.witness.vkey().cosigned_at(&note).ok()?);
            Ok(Counterpart::Entry(Box::new(TheirEntry { promise: promise.clone(), leaf, size, cosigned })))
        }
    }
}

fn unsigned(fault: &ProofFault) -> bool {
    matches!(
        fault,
        ProofFault::Checkpoint(CheckpointFault::Note(NoteFault::Unsigned | NoteFault::BadSignature))
    )
}

enum Found {
    Unverified(Unverified),
    Contradicts(Contradiction),
}

impl From<Contradiction> for Found {
    fn from(contradiction: Contradiction) -> Self {
        Self::Contradicts(contradiction)
    }
}

/// The entry that an answer proves, the size of the tree it stands in and its checkpoint's note.
fn judge(
    answer: &PartnerAnswer,
    ours: &Leaf,
    promise: &Promise,
    vkey: &Vkey,
    now: i64,
) -> Result<(Leaf, u64, Vec<u8>), Found> {
    match answer.status {
        200 => {}
        404 if now < ours.ts + SERVED_AFTER => return Err(Found::Unverified(Unverified::TooEarly)),
        404 => return Err(Contradiction::Absent.into()),
        status => return Err(Found::Unverified(Unverified::NotServed(status))),
    }
    let proof = Proof::parse(&answer.body).map_err(Contradiction::Proof)?;
    let note = proof.checkpoint.clone();
    let proven = proof.verify(vkey).map_err(Contradiction::Proof)?;
    if proven.index != promise.index || LeafHash(leaf_hash(&proven.leaf)) != promise.leaf {
        return Err(Contradiction::OtherEntry.into());
    }
    let theirs = Leaf::from_bytes(&proven.leaf).ok_or(Contradiction::Says(vec!["t"]))?;
    let differ = differing(ours, &theirs);
    if differ.is_empty() {
        Ok((theirs, proven.checkpoint.size, note))
    } else {
        Err(Contradiction::Says(differ).into())
    }
}

/// Members in which the answering side's leaf must say what the asking side's says (B-9).
fn differing(ours: &Leaf, theirs: &Leaf) -> Vec<&'static str> {
    let members = [
        ("t", theirs.t == LeafKind::In),
        ("me", theirs.me == ours.peer),
        ("peer", theirs.peer == ours.me),
        ("x", theirs.x == ours.x),
        ("op", theirs.op == ours.op),
        ("status", theirs.status == ours.status),
        ("rq", theirs.rq == ours.rq),
        ("rd", theirs.rd == ours.rd),
    ];
    members.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}

/// What both signed of the window that the exchange falls into.
async fn window(house: &House, peer: Region, leaf: &Leaf) -> Result<Counterpart, Unverified> {
    let leaf = &leaf.glance();
    let (item, moment) = Item::of(leaf).zip(reconcile::moment(leaf)).ok_or(Unverified::NotCounted)?;
    let card = ledger_key(house, peer).ok_or(Unverified::NoKey)?;
    let row = row(house, peer, moment).await.ok_or(Unverified::NoWindow)?;
    match row.state {
        State::Open => Err(Unverified::NoWindow),
        State::Differs => {
            let kind = difference(house, peer, row.window, item).await;
            Ok(kind.map_or(Counterpart::Unverified(Unverified::OtherDiffers), |kind| {
                Counterpart::Contradicts(Contradiction::Difference(kind.word()))
            }))
        }
        State::Agreed => {
            let own = house.own_window(peer, row.window).await.map_err(|_| Unverified::NotReckoned)?;
            let items = own.items();
            let statement =
                Statement::of(house.me, peer, row.window, items.len() as u64, reconcile::root(&items));
            let note = row.note.unwrap_or_default();
            let signed = statement.check(note.as_bytes(), peer, Some(&card.to_string()));
            if signed.is_ok() && items.contains(&item) {
                Ok(Counterpart::Signed { window: row.window, count: statement.count })
            } else {
                Err(Unverified::NotReckoned)
            }
        }
    }
}

async fn row(house: &House, peer: Region, moment: i64) -> Option<WindowRow> {
    let data = house.config.data_dir();
    let read = tokio::task::spawn_blocking(move || {
        reconcile::windows_between(&data, peer.as_str(), moment, moment.saturating_add(1))
    });
    // Of several tries at one hour the decided one counts.
    let mut rows = read.await.ok()?.ok()?;
    rows.sort_by_key(|row| row.state == State::Agreed);
    rows.pop()
}

/// The serious difference that a window has in this exchange.
async fn difference(house: &House, peer: Region, window: Window, item: Item) -> Option<DifferenceKind> {
    let (data, now) = (house.config.data_dir(), house.clock.now());
    let read =
        tokio::task::spawn_blocking(move || reconcile::days(&data, Some(peer.as_str()), None, now)).await;
    let days = read.ok()?.ok()?;
    let mut rows = days.into_iter().flat_map(|day| day.differences);
    let row = rows.find(|row| row.window == window && row.x == hex::encode(item.x))?;
    DifferenceKind::from_word(row.kind).filter(|kind| kind.is_serious())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::ledger::LedgerKey;
    use crate::ledger::checkpoint::Checkpoint;

    const ORIGIN: &str = "tongban/421202/2030h1";

    fn ours() -> Leaf {
        Leaf {
            x: Some("0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22".into()),
            me: Some("331083".into()),
            peer: Some("421202".into()),
            op: Some("license.query".into()),
            status: Some(200),
            rq: Some(LeafHash([1; 32])),
            rd: Some(LeafHash([2; 32])),
            ts: 1_900_000_000_000,
            ..Leaf::new(LeafKind::OutDone)
        }
    }

    fn theirs() -> Leaf {
        Leaf { me: Some("421202".into()), peer: Some("331083".into()), t: LeafKind::In, ..ours() }
    }

    /// The answer of a ledger of one entry, and what was promised of it.
    fn served(leaf: &Leaf) -> (PartnerAnswer, Promise, Vkey) {
        let key = LedgerKey::from_seed(&[1; 32]).unwrap();
        let bytes = leaf.to_bytes().unwrap();
        let root = leaf_hash(&bytes);
        let checkpoint = Checkpoint { origin: ORIGIN.into(), size: 1, root }.sign(&key).unwrap();
        let proof = Proof { leaf: Some(bytes), index: 0, path: Vec::new(), checkpoint };
        let promise = Promise { index: 0, leaf: LeafHash(root), origin: ORIGIN.into() };
        (answer(200, proof.to_bytes()), promise, key.vkey(ORIGIN).unwrap())
    }

    fn answer(status: u16, body: Vec<u8>) -> PartnerAnswer {
        let body = Bytes::from(body);
        PartnerAnswer { status, signed: false, retry_after: None, body, certificate: Bytes::new() }
    }

    fn told(answer: &PartnerAnswer, promise: &Promise, vkey: &Vkey, now: i64) -> Counterpart {
        match judge(answer, &ours(), promise, vkey, now) {
            Ok((leaf, size, _)) => {
                let promise = promise.clone();
                Counterpart::Entry(Box::new(TheirEntry { promise, leaf, size, cosigned: None }))
            }
            Err(Found::Unverified(why)) => Counterpart::Unverified(why),
            Err(Found::Contradicts(contradiction)) => Counterpart::Contradicts(contradiction),
        }
    }

    const LATE: i64 = 1_900_000_100_000;

    #[test]
    fn an_entry_that_is_proven_and_says_the_same_is_the_partners_half() {
        let (answer, promise, vkey) = served(&theirs());
        let Counterpart::Entry(entry) = told(&answer, &promise, &vkey, LATE) else { panic!() };
        assert_eq!((entry.leaf, entry.size), (theirs(), 1));
    }

    #[test]
    fn an_entry_that_says_otherwise_is_named_by_what_differs() {
        for (differs, leaf) in [
            (vec!["rd"], Leaf { rd: Some(LeafHash([9; 32])), ..theirs() }),
            (vec!["status"], Leaf { status: Some(403), ..theirs() }),
            (vec!["peer", "x"], Leaf { peer: Some("320922".into()), x: None, ..theirs() }),
            (vec!["t"], Leaf { t: LeafKind::OutSent, ..theirs() }),
        ] {
            let (answer, promise, vkey) = served(&leaf);
            let found = told(&answer, &promise, &vkey, LATE);
            assert_eq!(found, Counterpart::Contradicts(Contradiction::Says(differs)));
        }
    }

    #[test]
    fn a_promise_that_is_broken_is_told_apart_from_one_that_cannot_be_looked_at() {
        let (good, promise, vkey) = served(&theirs());
        let contradicts = Counterpart::Contradicts;
        assert_eq!(told(&answer(404, vec![]), &promise, &vkey, LATE), contradicts(Contradiction::Absent));
        let early = told(&answer(404, vec![]), &promise, &vkey, 1_900_000_005_000);
        assert_eq!(early, Counterpart::Unverified(Unverified::TooEarly));
        let busy = told(&answer(503, vec![]), &promise, &vkey, LATE);
        assert_eq!(busy, Counterpart::Unverified(Unverified::NotServed(503)));
        let elsewhere = Promise { leaf: LeafHash([7; 32]), ..promise.clone() };
        assert_eq!(told(&good, &elsewhere, &vkey, LATE), contradicts(Contradiction::OtherEntry));
        let stranger = LedgerKey::from_seed(&[2; 32]).unwrap().vkey(ORIGIN).unwrap();
        assert!(matches!(
            told(&good, &promise, &stranger, LATE),
            Counterpart::Contradicts(Contradiction::Proof(ProofFault::Checkpoint(_)))
        ));
        let garbled = told(&answer(200, b"x".to_vec()), &promise, &vkey, LATE);
        assert_eq!(garbled, contradicts(Contradiction::Proof(ProofFault::Malformed)));
    }
}
