//! The indexer: its own thread that makes the search index follow the log, when there is
//! time.
//!
//! Promises: the index is derived and may lag; a search reads what it has not taken in yet
//! from the log itself. Erased tokens leave it before the erasure is reported. Its faults
//! cost speed, never an answer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::super::shared::Shared;
use super::super::workers::give_way;
use super::super::{Glance, RecentLeaf};
use crate::clock::Now;
use crate::ledger::evidence::{TOKEN_BYTES, TOKEN_RECORD_BYTES, day_number};
use crate::store::sqlite::{
    FacetWriter, Facets, SqliteShelf, TokenWriter, Vaults, facet_index_path, remove_index, token_index_path,
};
use crate::store::{Month, RetentionClass, Shard, Shelf as _, StoreFault};

/// How often the log is looked at for something new.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// While leaves keep coming, so many wait: the machine has better things to do, and a search
/// still scans them in some hundredth of a second.
const MOST_WAITING: u64 = 8_192;
/// Leaves a second up to which the index finds in memory what it takes in; half as many where an index that
/// gives way to everybody comes a look late. Two cores record some 12 000.
const FASTEST: u64 = 20_000;
/// What waits at most when the index comes to take it, up to that rate.
pub(in crate::ledger) const MOST_BEHIND: u64 = MOST_WAITING + FASTEST * LOOK_EVERY.as_millis() as u64 / 1_000;
/// Leaves read at once.
const AT_ONCE: usize = 1_024;
/// Leaves whose tokens are taken in at once, in runs of their days; their tokens wait in memory,
/// some 6 MiB.
const TOKENS_OF_AT_ONCE: u64 = 65_536;

pub(in crate::ledger) enum ToIndexer {
    /// These leaves' tokens must be gone when this is answered.
    Forget(Shard, Vec<u64>, oneshot::Sender<()>),
    /// The index of a vault that was dropped must be gone when this is answered.
    Drop(Shard, Month, RetentionClass, oneshot::Sender<()>),
    /// Take in everything there is now.
    CatchUp(oneshot::Sender<()>),
    Stop,
}

pub(in crate::ledger) struct Indexer {
    data: PathBuf,
    shelf: SqliteShelf,
    vaults: Vaults,
    shared: Arc<Shared>,
    /// The month that grows; all before it have been taken in.
    open: Option<OpenIndex>,
    seen: u64,
}

struct OpenIndex {
    shard: Shard,
    month: Month,
    facets: FacetWriter,
    tokens: Vec<(RetentionClass, TokenWriter)>,
    /// Tokens of all that the facets have are in, too: what follows may be taken from memory.
    level: bool,
}

impl Indexer {
    pub fn new(data: &Path, shared: Arc<Shared>) -> Self {
        let (shelf, vaults) = (SqliteShelf::of_data_dir(data), Vaults::of_data_dir(data));
        Self { data: data.to_owned(), shelf, vaults, shared, open: None, seen: 0 }
    }

    pub fn run(mut self, orders: &Receiver<ToIndexer>) {
        give_way();
        self.follow(true);
        loop {
            match orders.recv_timeout(LOOK_EVERY) {
                Err(RecvTimeoutError::Timeout) => self.follow(false),
                Ok(ToIndexer::CatchUp(done)) => {
                    self.follow(true);
                    let _ = done.send(());
                }
                Ok(ToIndexer::Forget(shard, of, done)) => {
                    // Who hears nothing asks again.
                    match self.forget(shard, &of) {
                        Ok(()) => {
                            let _ = done.send(());
                        }
                        Err(fault) => {
                            tracing::warn!(%fault, "erased tokens are still in the search index");
                            // It may be gone, to be made anew.
                            self.open = None;
                        }
                    }
                }
                Ok(ToIndexer::Drop(shard, month, class, done)) => {
                    if let Some(open) = self.open.as_mut().filter(|o| (o.shard, o.month) == (shard, month)) {
                        open.tokens.retain(|(known, _)| *known != class);
                    }
                    let path = token_index_path(&self.data, shard, month, class);
                    match remove_index(&path) {
                        Ok(()) => {
                            let _ = done.send(());
                        }
                        Err(fault) => tracing::error!(%fault, "the index of a dropped month is still there"),
                    }
                }
                Ok(ToIndexer::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Takes in what is new, unless much is still coming.
    fn follow(&mut self, at_once: bool) {
        let size = self.shared.size.load(Ordering::Acquire);
        let grew = size != std::mem::replace(&mut self.seen, size);
        let waiting = size.saturating_sub(self.open.as_ref().and_then(|o| o.facets.upto()).unwrap_or(0));
        if !at_once && (waiting <= 1 || (grew && waiting < MOST_WAITING)) {
            return;
        }
        if let Err(fault) = self.take_in() {
            // Beside a writer that is just beginning a file, or on a full disk: next time.
            tracing::warn!(%fault, "the search index could not follow the log");
            self.open = None;
        }
    }

    fn take_in(&mut self) -> Result<(), StoreFault> {
        let before = self.open.as_ref().map(|open| (open.shard, open.month));
        for shard in self.shelf.shards()? {
            for month in self.shelf.months(shard)? {
                if before.is_some_and(|before| (shard, month) < before) {
                    continue;
                }
                let mut open = match self.open.take_if(|open| (open.shard, open.month) == (shard, month)) {
                    Some(open) => open,
                    None => self.open_index(shard, month)?,
                };
                if !self.take_in_recent(&mut open)? {
                    self.take_in_month(&mut open)?;
                }
                open.facets.rest()?;
                open.tokens.iter().try_for_each(|(_, index)| index.rest())?;
                self.open = Some(open);
            }
        }
        Ok(())
    }

    fn open_index(&self, shard: Shard, month: Month) -> Result<OpenIndex, StoreFault> {
        let facets = FacetWriter::open(facet_index_path(&self.data, shard, month))?;
        Ok(OpenIndex { shard, month, facets, tokens: Vec::new(), level: false })
    }

    /// [`Self::take_in_month`] from the leaves in memory, where these follow on what the index has; false
    /// where that is not all.
    fn take_in_recent(&self, open: &mut OpenIndex) -> Result<bool, StoreFault> {
        let Some(from) = open.facets.upto().map(|upto| upto + 1).filter(|_| open.level) else {
            return Ok(false);
        };
        let size = self.shared.durable(open.shard);
        let recent = self.shared.recent.from(open.shard, from);
        let leaves: Vec<(u64, &RecentLeaf)> = recent.iter().flat_map(|batch| batch.from(from)).collect();
        let Some((last, _)) = leaves.last().copied() else { return Ok(false) };
        let mut tokens: BTreeMap<RetentionClass, Vec<(i64, [u8; TOKEN_BYTES], u64)>> = BTreeMap::new();
        for (index, leaf) in &leaves {
            let Some((class, records)) = &leaf.tokens else { continue };
            let of_class = tokens.entry(*class).or_default();
            of_class.extend(entries_of(records, leaf.leaf.ts, *index));
        }
        let has_index = |class| open.tokens.iter().any(|(known, _)| known == class);
        if recent.iter().any(|batch| batch.month != open.month) || !tokens.keys().all(has_index) {
            return Ok(false);
        }
        // Where this breaks off, the files tell what is missing.
        open.level = false;
        for some in leaves.chunks(AT_ONCE) {
            let glances: Vec<(u64, Glance<'_>)> =
                some.iter().map(|(at, leaf)| (*at, leaf.leaf.glance())).collect();
            let facets: Vec<Facets<'_>> =
                glances.iter().map(|(index, leaf)| facets_of(*index, leaf)).collect();
            if let Some((upto, _)) = some.last() {
                open.facets.add(&facets, *upto)?;
            }
        }
        for (class, index) in &mut open.tokens {
            if let Some(tokens) = tokens.get_mut(class) {
                index.add(tokens, last)?;
            }
        }
        open.level = true;
        self.shared.recent.taken(open.shard, last + 1);
        // The writer's own leaves are in the files only.
        Ok(last + 1 >= size)
    }

    fn take_in_month(&self, open: &mut OpenIndex) -> Result<(), StoreFault> {
        let file = self.shelf.month(open.shard, open.month)?;
        // What a power cut could still take away must not stand in the index.
        let durable = self.shared.durable(open.shard);
        loop {
            let from = open.facets.upto().map_or(0, |upto| upto + 1);
            let mut stored = file.leaves_from(from, AT_ONCE)?;
            stored.retain(|leaf| leaf.index < durable);
            let Some(last) = stored.last().map(|stored| stored.index) else { break };
            let leaves: Vec<(u64, Glance<'_>)> =
                stored.iter().filter_map(|s| Some((s.index, Glance::from_bytes(&s.leaf)?))).collect();
            let facets: Vec<Facets<'_>> =
                leaves.iter().map(|(index, leaf)| facets_of(*index, leaf)).collect();
            open.facets.add(&facets, last)?;
        }
        for class in RetentionClass::ALL {
            let Some(vault) = self.vaults.open(open.shard, open.month, class)? else { continue };
            if !open.tokens.iter().any(|(known, _)| *known == class) {
                let path = token_index_path(&self.data, open.shard, open.month, class);
                let mut index = TokenWriter::open(path)?;
                // A stop may have come between an erasure and the index.
                let erased: Vec<u64> = vault.erased()?.into_keys().collect();
                if !erased.is_empty() {
                    index.forget(&erased)?;
                }
                open.tokens.push((class, index));
            }
            let Some((_, index)) = open.tokens.iter_mut().find(|(known, _)| *known == class) else {
                continue;
            };
            let (mut from, mut tokens) = (index.upto().map_or(0, |upto| upto + 1), Vec::new());
            let mut since = from;
            loop {
                let mut rows = vault.tokens_from(from, AT_ONCE)?;
                // A vault is ahead of its leaves; rows whose leaf is not there yet come later.
                rows.retain(|(index, _)| open.facets.upto().is_some_and(|upto| *index <= upto));
                let last = rows.last().map(|(last, _)| *last);
                if let Some(last) = last {
                    let mut times = open.facets.times(from, last)?.into_iter().peekable();
                    for (at, records) in &rows {
                        while times.next_if(|(index, _)| index < at).is_some() {}
                        let Some((_, ts)) = times.next_if(|(index, _)| index == at) else { continue };
                        tokens.extend(entries_of(records, ts, *at));
                    }
                    from = last + 1;
                }
                if from > since && (last.is_none() || from - since >= TOKENS_OF_AT_ONCE) {
                    index.add(&mut tokens, from - 1)?;
                    tokens.clear();
                    since = from;
                }
                if last.is_none() {
                    break;
                }
            }
        }
        open.level = true;
        Ok(())
    }

    fn forget(&mut self, shard: Shard, of: &[u64]) -> Result<(), StoreFault> {
        self.shared.recent.forget();
        for (month, class) in self.vaults.list(shard)? {
            let path = token_index_path(&self.data, shard, month, class);
            let open = self.open.as_mut().filter(|open| (open.shard, open.month) == (shard, month));
            let open = open.and_then(|open| open.tokens.iter_mut().find(|(known, _)| *known == class));
            match open {
                Some((_, index)) => index.forget(of)?,
                None if path.exists() => TokenWriter::open(path)?.forget(of)?,
                None => {}
            }
        }
        Ok(())
    }
}

/// Day, token and index of the tokens of a leaf that was stamped at `ts` (milliseconds).
fn entries_of(
    records: &[u8],
    ts: i64,
    index: u64,
) -> impl Iterator<Item = (i64, [u8; TOKEN_BYTES], u64)> + use<'_> {
    let day = day_number(Now::from_ms(ts));
    let tokens = records.chunks_exact(TOKEN_RECORD_BYTES).filter_map(|record| record.last_chunk());
    tokens.map(move |token| (day, *token, index))
}

/// What a leaf is found by.
pub(in crate::ledger) fn facets_of<'a>(index: u64, leaf: &'a Glance<'_>) -> Facets<'a> {
    Facets {
        index,
        ts: leaf.ts,
        kind: leaf.t.name(),
        peer: &leaf.peer,
        op: &leaf.op,
        item: &leaf.item,
        lt: &leaf.lt,
        dec: leaf.dec.map_or("", |decision| decision.name()),
        code: &leaf.code,
        auth: leaf.auth.map(|auth| auth.0),
        exchange: &leaf.x,
        ms: leaf.ms.first.unwrap_or(0),
    }
}
