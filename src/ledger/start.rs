//! Starting and stopping: what was recovered is handed to the two threads, the writer and
//! the sealer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{channel, sync_channel};
use std::thread::JoinHandle;

use tokio::runtime::Handle;

use super::case_tag::CaseTags;
use super::evidence::{Epochs, Sealing, SearchKeys};
use super::held::Lost;
use super::sealer::{Sealer, ToSealer};
use super::search::{Indexer, ToIndexer};
use super::shared::{Published, Shared};
use super::tile_files::TileFiles;
use super::waits::Waits;
use super::writer::Writer;
use super::{
    Carrier, Inner, LONGEST_QUEUE, Leaf, Ledger, LedgerFault, LedgerSettings, OpenSend, Recovered, origin,
    recover,
};
use crate::domain::Region;
use crate::store::{Engine, Heads, Shard, Shelf, sqlite};

/// Who works for a ledger.
pub(super) struct Hands {
    pub engine: Box<dyn Engine>,
    pub heads: Box<dyn Heads>,
    pub shelf: Box<dyn Shelf>,
    pub carrier: Box<dyn Carrier>,
}

impl Ledger {
    pub(super) fn start(
        settings: LedgerSettings,
        hands: Hands,
        lock: Option<sqlite::StoreLock>,
    ) -> Result<(Self, Recovered), LedgerFault> {
        Self::start_after(settings, hands, lock, None)
    }

    pub(super) fn start_after(
        settings: LedgerSettings,
        hands: Hands,
        lock: Option<sqlite::StoreLock>,
        lost: Option<Lost>,
    ) -> Result<(Self, Recovered), LedgerFault> {
        let Hands { engine, mut heads, shelf, carrier } = hands;
        let LedgerSettings { data_dir: data, region, key, auditors, clock, workers } = settings;
        let now = clock.now();
        let standing = match &lost {
            None => recover::stand(&data, region, &key, &*shelf, &mut *heads, now)?,
            Some(lost) => recover::begin_after(lost, region, &*shelf, &mut *heads, now)?,
        };
        let last_ms = last_leaf_ms(&*shelf, standing.shard, standing.size)?;
        let case_tags = CaseTags::open(&data.join("ledger").join("case.key"))?;
        let sealing = Arc::new(Sealing {
            epochs: Epochs::new(auditors, last_ms),
            keys: SearchKeys::of_data_dir(&data),
        });
        let shared = Arc::new(Shared::default());
        shared.free_disk.store(u64::MAX, Ordering::Relaxed);
        shared.size.store(standing.size, Ordering::Release);
        shared.count_uses(shelf.takes(now)?.into_iter(), now);
        let used_ids = shelf.used_ids(now)?;
        let open_sends = open_sends(region, &*shelf)?;
        let deeds = shelf.deeds()?;
        let public = key.public();
        let origin_now = origin(region, standing.shard);
        if let Some(head) = &standing.head {
            // A stop between the head and its file leaves an older file.
            let files = TileFiles::new(&data, &origin_now);
            files.write_checkpoint(&head.note).map_err(|e| LedgerFault::Tiles { kind: e.kind() })?;
        }
        let sealed = standing.head.as_ref().map_or(0, |head| head.size);
        if let Some(head) = standing.head {
            shared.published.store(Some(Arc::new(Published {
                shard: standing.shard,
                size: head.size,
                note: head.note,
            })));
        }
        let (to_sealer, orders) = channel();
        let (to_indexer, errands) = channel();
        let indexer = Indexer::new(&data, shared.clone());
        let sealer = Sealer {
            data: data.clone(),
            region,
            key,
            clock: clock.clone(),
            heads,
            shared: shared.clone(),
            shard: standing.shard,
            edge: standing.edge,
            sealed,
            full: standing.full,
            last: None,
            told: false,
            unrested: false,
        };
        let waking = engine.waking();
        let mut writer = Writer {
            engine,
            carrier,
            region,
            public,
            clock: clock.clone(),
            sealing: sealing.clone(),
            to_sealer: to_sealer.clone(),
            shared: shared.clone(),
            workers: workers.clone().zip(Handle::try_current().ok()),
            shard: standing.shard,
            month: standing.month,
            origin: origin_now.into(),
            next: standing.size,
            closed: standing.closed,
            lost,
            disk_seen: None,
            last_batch: 0,
            waits: Waits::default(),
        };
        let mut inner = Inner {
            data,
            region,
            public,
            clock,
            case_tags,
            sealing,
            shared,
            workers,
            waking,
            shelf,
            jobs: None,
            to_sealer,
            to_indexer,
            threads: vec![
                thread("ledger-sealer", move || sealer.run(&orders))?,
                thread("ledger-indexer", move || indexer.run(&errands))?,
            ],
            _lock: lock,
        };
        if standing.size > 0 {
            inner.sealing.keys.write_to(writer.shard);
            inner.shared.writing.store(Some(Arc::new(writer.origin.to_string())));
        }
        writer.look_at_disk();
        writer.turn(now).map_err(|()| LedgerFault::NotBegun)?;
        let recovered = Recovered {
            used_ids,
            open_sends,
            deeds,
            origin: writer.origin.clone(),
            size: writer.next,
            last_ms,
        };
        let (jobs, queue) = sync_channel(LONGEST_QUEUE);
        inner.jobs = Some(jobs);
        // Joined in order: the writer first, so that the sealer hears all of it.
        inner.threads.insert(0, thread("ledger-writer", move || writer.run(&queue))?);
        Ok((Self { inner: Arc::new(inner) }, recovered))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.jobs = None;
        for (place, thread) in self.threads.drain(..).enumerate() {
            match place {
                1 => drop(self.to_sealer.send(ToSealer::Stop)),
                2 => drop(self.to_indexer.send(ToIndexer::Stop)),
                _ => {}
            }
            let _ = thread.join();
        }
    }
}

/// The moment of the newest leaf: a clock behind it cannot be right.
fn last_leaf_ms(shelf: &dyn Shelf, shard: Shard, size: u64) -> Result<Option<i64>, LedgerFault> {
    let Some(last) = size.checked_sub(1) else { return Ok(None) };
    let stored = shelf.leaves(shard, last..size)?;
    Ok(stored.first().and_then(|stored| Leaf::from_bytes(&stored.leaf)).map(|leaf| leaf.ts))
}

fn open_sends(region: Region, shelf: &dyn Shelf) -> Result<Vec<OpenSend>, LedgerFault> {
    let stored = shelf.open_sends()?;
    Ok(stored
        .into_iter()
        .filter_map(|(shard, stored)| {
            let leaf = Leaf::from_bytes(&stored.leaf)?;
            Some(OpenSend { origin: origin(region, shard), index: stored.index, leaf })
        })
        .collect())
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, LedgerFault> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|e| LedgerFault::Thread { kind: e.kind() })
}
