//! The files that are still coming: which parts there are, and how many transfers at each.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::part::Part;
use super::shelf::create_folder;
use super::{
    Arrival, Begun, Deposit, Depositor, FREE_FLOOR, LARGEST_MATERIAL, MaterialDigest, MaterialFault,
    PART_LIFE, PARTS_KEPT, Piece, ShelfStats, TRANSFERS_AT_ONCE,
};
use crate::clock::Now;
use crate::domain::Region;

const FOLDER: &str = "coming";
const PART: &str = "part";

/// The limits of [`super`], which tests make small.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) transfers: usize,
    pub(super) parts: usize,
    pub(super) free_floor: u64,
}

pub(super) const LIMITS: Limits =
    Limits { transfers: TRANSFERS_AT_ONCE, parts: PARTS_KEPT, free_floor: FREE_FLOOR };

type PartKey = (Depositor, MaterialDigest);

pub(super) struct Coming {
    root: PathBuf,
    limits: Limits,
    parts: Mutex<HashMap<PartKey, Arc<Slot>>>,
    transfers: Mutex<HashMap<Depositor, usize>>,
    pub(super) stats: ShelfStats,
}

/// A part and the number of transfers at it.
pub(super) struct Slot {
    key: PartKey,
    live: AtomicUsize,
    part: Mutex<Part>,
}

impl Slot {
    pub(super) fn part(&self) -> MutexGuard<'_, Part> {
        // A part stays what its length and hash say, whoever panicked beside it.
        self.part.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transfer counts as long as this lives.
pub(super) struct Live {
    coming: Arc<Coming>,
    pub(super) slot: Arc<Slot>,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.slot.live.fetch_sub(1, Ordering::AcqRel);
        let mut transfers = self.coming.transfers();
        let (depositor, _) = self.slot.key;
        if let Some(count) = transfers.get_mut(&depositor) {
            *count -= 1;
            if *count == 0 {
                transfers.remove(&depositor);
            }
        }
    }
}

impl Coming {
    pub(super) fn open(root: PathBuf, limits: Limits, now: Now) -> io::Result<Self> {
        let (parts, transfers, stats) = (Mutex::default(), Mutex::default(), ShelfStats::default());
        let coming = Self { root, limits, parts, transfers, stats };
        create_folder(&coming.root.join(FOLDER))?;
        coming.find_parts(now)?;
        Ok(coming)
    }

    pub(super) fn transfers_now(&self) -> usize {
        self.transfers().values().sum()
    }

    pub(super) fn place(&self, digest: &MaterialDigest) -> PathBuf {
        let name = digest.to_string();
        self.root.join(name.get(..2).unwrap_or_default()).join(name)
    }

    fn parts(&self) -> MutexGuard<'_, HashMap<PartKey, Arc<Slot>>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn transfers(&self) -> MutexGuard<'_, HashMap<Depositor, usize>> {
        self.transfers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(self: &Arc<Self>, arrival: Arrival, now: Now) -> Result<Begun, MaterialFault> {
        arrival.check()?;
        loop {
            if self.place(&arrival.digest).is_file() {
                return Ok(Begun::Already);
            }
            let live = self.enter((arrival.depositor, arrival.digest), now)?;
            let slot = Arc::clone(&live.slot);
            let mut part = slot.part();
            if part.is_gone() {
                // Finished or forgotten between the list and the lock: look again.
                drop(part);
                self.strike(&slot);
                continue;
            }
            let have = match arrival.piece {
                Piece::Whole => 0,
                Piece::Ask { total } | Piece::Range { total, .. } => part.have(total),
            };
            self.room_for(&arrival, have)?;
            // Asking takes nothing from who is writing. Where all bytes are here (a crash before
            // the end), a transfer without bytes brings the end.
            let told = match arrival.piece {
                Piece::Range { first, .. } if first > have => Err(MaterialFault::Gap { have }),
                Piece::Ask { total } if have < total => Ok(Begun::SoFar { have }),
                _ => {
                    let pen = part.enter(arrival.piece, now)?;
                    let have = part.len();
                    drop(part);
                    self.make_room(arrival.depositor);
                    return Ok(Begun::Deposit(Deposit::new(Arc::clone(self), live, arrival, pen, have)));
                }
            };
            if have == 0 && slot.live.load(Ordering::Acquire) == 1 {
                // A question about nothing leaves nothing behind.
                part.forget()?;
                drop(part);
                self.strike(&slot);
            }
            return told;
        }
    }

    /// A place for one more transfer, at its part.
    fn enter(self: &Arc<Self>, key: PartKey, now: Now) -> Result<Live, MaterialFault> {
        let (depositor, digest) = key;
        let mut transfers = self.transfers();
        let count = transfers.entry(depositor).or_insert(0);
        if *count >= self.limits.transfers {
            return Err(MaterialFault::TooMany);
        }
        *count += 1;
        drop(transfers);
        let mut parts = self.parts();
        let slot = Arc::clone(parts.entry(key).or_insert_with(|| {
            let path = self.root.join(FOLDER).join(folder_of(depositor));
            Slot::new(key, path.join(digest.to_string()).with_extension(PART), now)
        }));
        slot.live.fetch_add(1, Ordering::AcqRel);
        drop(parts);
        Ok(Live { coming: Arc::clone(self), slot })
    }

    /// Forgets what one depositor touched longest ago, until no more than its share is left.
    fn make_room(&self, depositor: Depositor) {
        let mut idle: Vec<_> = {
            let parts = self.parts();
            let of_this = parts.values().filter(|slot| slot.key.0 == depositor);
            let slots: Vec<_> = of_this.cloned().collect();
            if slots.len() <= self.limits.parts {
                return;
            }
            slots
        };
        let too_many = idle.len() - self.limits.parts;
        idle.retain(|slot| slot.live.load(Ordering::Acquire) == 0);
        idle.sort_by_cached_key(|slot| slot.part().touched());
        for slot in idle.into_iter().take(too_many) {
            self.forget(&slot);
        }
    }

    pub(super) fn sweep(&self, now: Now) -> usize {
        let slots: Vec<_> = self.parts().values().cloned().collect();
        let life = i64::try_from(PART_LIFE.as_secs()).unwrap_or(i64::MAX);
        let old = |slot: &&Arc<Slot>| {
            slot.live.load(Ordering::Acquire) == 0 && now.secs() - slot.part().touched().secs() >= life
        };
        slots.iter().filter(old).filter(|slot| self.forget(slot)).count()
    }

    /// Unless a transfer began at it meanwhile.
    fn forget(&self, slot: &Arc<Slot>) -> bool {
        let mut part = slot.part();
        if slot.live.load(Ordering::Acquire) > 0 {
            return false;
        }
        // What cannot be removed now is found again at the next start.
        let forgotten = part.forget().is_ok();
        drop(part);
        self.strike(slot);
        forgotten
    }

    /// Takes a part that is gone off the list.
    pub(super) fn strike(&self, slot: &Arc<Slot>) {
        if !slot.part().is_gone() {
            return;
        }
        let mut parts = self.parts();
        if parts.get(&slot.key).is_some_and(|listed| Arc::ptr_eq(listed, slot)) {
            parts.remove(&slot.key);
        }
    }

    fn room_for(&self, arrival: &Arrival, have: u64) -> Result<(), MaterialFault> {
        let total = arrival.piece.total().or(arrival.body).or(arrival.bytes).unwrap_or(LARGEST_MATERIAL);
        let disk = rustix::fs::statvfs(&self.root).map_err(io::Error::from)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < self.limits.free_floor.saturating_add(total.saturating_sub(have)) {
            return Err(MaterialFault::DiskFull);
        }
        Ok(())
    }

    fn find_parts(&self, now: Now) -> io::Result<()> {
        let mut parts = self.parts();
        for folder in fs::read_dir(self.root.join(FOLDER))? {
            let folder = folder?;
            let Some(depositor) = folder.file_name().to_str().and_then(depositor_of) else { continue };
            for file in fs::read_dir(folder.path())? {
                let path = file?.path();
                let digest = path.file_stem().and_then(|s| s.to_str()).and_then(MaterialDigest::parse);
                if let Some(digest) = digest.filter(|_| path.extension().is_some_and(|e| e == PART)) {
                    let key = (depositor, digest);
                    parts.insert(key, Slot::new(key, path, now));
                }
            }
        }
        Ok(())
    }
}

impl Slot {
    fn new(key: PartKey, path: PathBuf, now: Now) -> Arc<Self> {
        Arc::new(Self { key, live: AtomicUsize::new(0), part: Mutex::new(Part::new(path, now)) })
    }
}

const LOCAL: &str = "local";

fn folder_of(depositor: Depositor) -> String {
    match depositor {
        Depositor::Local => LOCAL.to_owned(),
        Depositor::Partner(region) => region.to_string(),
    }
}

fn depositor_of(folder: &str) -> Option<Depositor> {
    if folder == LOCAL {
        return Some(Depositor::Local);
    }
    Region::parse(folder).ok().map(Depositor::Partner)
}
