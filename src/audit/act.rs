//! One act, in its order: the registers, the leaf, the doing.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::entry::{Act, Entry};
use super::{Desk, DeskFault, Mandate, Registered};
use crate::ledger::evidence::Evidence;
use crate::ledger::{self, Leaf, LeafHash, Mark, RecordFault, RetentionClass, Shard, VaultOrder, origin};
use crate::store::Shelf as _;

/// What is about to be done.
pub(super) struct Intent {
    pub act: Act,
    pub n: u64,
    /// The log that `of` speaks of.
    pub shard: Option<Shard>,
    pub of: Vec<u64>,
    pub what: Value,
    pub with: Option<String>,
    /// Pseudonyms of whom it searches for.
    pub sought: Vec<String>,
    /// The month and class that go: the leaf's `code`.
    pub code: Option<String>,
}

impl Intent {
    pub fn new(act: Act) -> Self {
        Self {
            act,
            n: 0,
            shard: None,
            of: Vec::new(),
            what: Value::Null,
            with: None,
            sought: Vec::new(),
            code: None,
        }
    }
}

/// An act that stands in the registers and in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// `2026h2/4711`: its leaf.
    pub leaf: String,
    /// Its number in the registers.
    pub number: i64,
    #[serde(skip)]
    pub(super) mark: Mark,
}

impl Desk {
    /// Writes the act down and records it. What it asks for may be done when this returns.
    pub(super) async fn record(&self, mandate: &Mandate, intent: Intent) -> Result<Recorded, DeskFault> {
        mandate.may(intent.act)?;
        let entry = Entry {
            act: intent.act,
            at: self.inner.clock.now().ms(),
            by: mandate.by().name().to_owned(),
            id: uuid::Uuid::now_v7().to_string(),
            n: intent.n,
            of: intent.of,
            offline: self.inner.offline,
            order: mandate.order().to_owned(),
            purpose: mandate.purpose().to_owned(),
            role: mandate.by().role(),
            shard: intent.shard.map(|shard| shard.to_string()),
            what: intent.what,
            with: intent.with,
        };
        let mut leaf = entry.leaf();
        leaf.code = intent.code;
        leaf.past = intent.shard.map(|shard| origin(self.inner.region, shard));
        let mut evidence = Evidence::new(RetentionClass::Other);
        evidence.register = Some(entry.to_bytes());
        let sought = intent.sought;
        let number = self.blocking(move |desk| desk.inner.registers.begin(&entry, &sought)).await?;
        let mut recording = ledger::Entry::from(leaf);
        recording.evidence = Some(evidence);
        let place = match self.inner.ledger.record(recording).await {
            Ok(place) => place,
            Err(fault) => {
                // Whether the leaf stands is open only when the store failed: then the next
                // start tells.
                if matches!(fault, RecordFault::Overloaded | RecordFault::TooLong) {
                    self.blocking(move |desk| desk.inner.registers.forget(number)).await?;
                }
                return Err(fault.into());
            }
        };
        let mark = place.mark;
        self.blocking(move |desk| desk.inner.registers.placed(number, mark)).await?;
        Ok(Recorded { leaf: format!("{}/{}", mark.shard, mark.index), number, mark })
    }

    /// What the act asked for has been done.
    pub(super) async fn finish(&self, recorded: &Recorded) -> Result<(), DeskFault> {
        let number = recorded.number;
        self.blocking(move |desk| desk.inner.registers.done(number)).await
    }

    /// Has an order done on the vaults. A reader may stand in the way of leaving nothing behind:
    /// it is waited for, as long as somebody waits here.
    pub(super) async fn carry_out(&self, order: VaultOrder) -> Result<Vec<u64>, DeskFault> {
        let mut tries = 0;
        loop {
            match self.inner.ledger.obey(order.clone()).await {
                Err(RecordFault::Unavailable) if tries < MOST_TRIES => tries += 1,
                done => return Ok(done?),
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    /// After a crash: entries without a leaf go, and what a leaf announced is done. Call it
    /// before anybody stands at the desk; it tells how many acts it finished.
    pub async fn settle(&self) -> Result<usize, DeskFault> {
        let undone = self
            .blocking(|desk| {
                for entry in desk.inner.registers.unplaced()? {
                    match desk.leaf_of(&entry)? {
                        Some(at) => desk.inner.registers.placed(entry.number, at)?,
                        None => desk.inner.registers.forget(entry.number)?,
                    }
                }
                desk.inner.registers.undone()
            })
            .await?;
        let finished = undone.len();
        for entry in undone {
            if let Some(order) = order_of(&entry) {
                self.carry_out(order).await?;
            }
            let number = entry.number;
            self.blocking(move |desk| desk.inner.registers.done(number)).await?;
        }
        Ok(finished)
    }

    /// The leaf with this entry's `rd`, among those after the last that is known.
    fn leaf_of(&self, entry: &Registered) -> Result<Option<Mark>, DeskFault> {
        let rd = LeafHash(super::rd_of(&entry.entry.to_bytes()));
        for shard in self.shelf().shards()?.into_iter().rev().take(2) {
            let mut next = self.inner.registers.last_place(shard)?.map_or(0, |last| last + 1);
            let size = self.shelf().size(shard)?;
            while next < size {
                let until = size.min(next + LEAVES_AT_ONCE);
                let found =
                    self.shelf().leaves(shard, next..until)?.into_iter().find(|stored| {
                        Leaf::from_bytes(&stored.leaf).is_some_and(|leaf| leaf.rd == Some(rd))
                    });
                if let Some(stored) = found {
                    return Ok(Some(Mark { shard, index: stored.index }));
                }
                next = until;
            }
        }
        Ok(None)
    }
}

/// How long a reader of a vault is waited for: five seconds.
const MOST_TRIES: u32 = 50;
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Leaves read at once: some MiB.
pub(super) const LEAVES_AT_ONCE: u64 = 4096;

/// What an entry asks of the vaults; doing it twice is doing it once.
pub(super) fn order_of(registered: &Registered) -> Option<VaultOrder> {
    let (entry, leaf) = (&registered.entry, registered.mark()?);
    let shard = Shard::parse(entry.shard.as_deref()?)?;
    match entry.act {
        Act::Drop => {
            let text = |name: &str| entry.what.get(name).and_then(Value::as_str);
            let month = ledger::Month::parse(text("month")?)?;
            let class = RetentionClass::parse(text("class")?)?;
            Some(VaultOrder::Drop { shard, month, class })
        }
        act => order_of_parts(act, shard, entry.of.clone(), leaf),
    }
}

/// The same for acts about single leaves.
pub(super) fn order_of_parts(act: Act, shard: Shard, of: Vec<u64>, leaf: Mark) -> Option<VaultOrder> {
    match act {
        Act::Erase => Some(VaultOrder::Erase { shard, of, leaf }),
        Act::Hold => Some(VaultOrder::Hold { shard, of, leaf }),
        Act::Release => Some(VaultOrder::Release { shard, of }),
        _ => None,
    }
}
