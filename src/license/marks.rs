//! What has changed, so that nothing remembered from before is told again.
//!
//! Promises: a record read before a change is void from the moment the change is noted, also
//! when its reading was still under way; memory is bounded, and what is forgotten voids more
//! rather than less.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::record::{LicenseRecord, lineage, normalised_number};
use super::register::{Ask, Change, Changes};
use crate::domain::LicenseId;

/// Changes remembered one by one (≈ 2 MiB); beyond it everything remembered is void.
const MOST_MARKS: usize = 65_536;

/// What a change can be about, and what a remembered answer depends on. Kept as a keyed hash:
/// two that collide cost a register call, nothing else.
#[derive(Hash)]
enum Subject<'a> {
    /// Every answer about this license type.
    Type(&'a str),
    Holder(&'a str, &'a str, &'a str),
    /// One license in all its versions.
    Lineage(&'a str),
    /// Every "no such license id" of this type.
    MissingIds(&'a str),
}

/// The number of the last change when something was asked of the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Born(u64);

/// The subjects on which a remembered answer depends.
pub(super) struct Depends(Box<[u64]>);

#[derive(Default)]
pub(super) struct Marks {
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    count: u64,
    /// Whatever was born before this is void.
    floor: u64,
    last: HashMap<u64, u64>,
}

impl Marks {
    pub fn born(&self) -> Born {
        Born(self.state().count)
    }

    /// On what the answer to `ask` depends: `None` while the records are not known yet.
    pub fn depends(&self, ask: &Ask, records: Option<&[LicenseRecord]>) -> Depends {
        let mut subjects = vec![self.hash(Subject::Type(ask.license_type()))];
        match ask {
            Ask::Holder { license_type, kind, number } => {
                subjects.push(self.hash(Subject::Holder(license_type, kind, number)));
            }
            Ask::Id { license_type, license_id } => {
                subjects.push(self.hash(Subject::Lineage(&lineage(license_id))));
                if records.is_none_or(<[_]>::is_empty) {
                    subjects.push(self.hash(Subject::MissingIds(license_type)));
                }
            }
        }
        for record in records.unwrap_or_default() {
            subjects.push(self.hash(Subject::Lineage(&record.lineage())));
            for holder in record.holders() {
                subjects.push(self.hash(Subject::Holder(
                    record.type_code(),
                    &holder.type_code,
                    &holder.code,
                )));
            }
        }
        subjects.sort_unstable();
        subjects.dedup();
        Depends(subjects.into())
    }

    /// Whether nothing changed under it since.
    pub fn holds(&self, born: Born, depends: &Depends) -> bool {
        let state = self.state();
        born.0 >= state.floor
            && (state.last.is_empty()
                || depends.0.iter().all(|subject| state.last.get(subject).is_none_or(|at| *at <= born.0)))
    }

    pub fn note_all(&self, changes: &Changes) {
        match changes {
            Changes::None => {}
            Changes::Some(changes) => changes.iter().for_each(|change| self.note(change)),
            Changes::Everything => self.state().forget_everything(),
        }
    }

    pub fn note(&self, change: &Change) {
        match change {
            Change::Holder { license_type, kind, number } => {
                let number = normalised_number(kind, number);
                let holder = self.hash(Subject::Holder(license_type, kind, &number));
                self.state().mark(&[holder, self.hash(Subject::MissingIds(license_type))]);
            }
            Change::LicenseOfToldHolders { license_id } => {
                let license = self.hash(Subject::Lineage(&lineage(license_id)));
                self.state().mark(&[license]);
            }
            // An id alone does not say in whose list it is missing: all of its type go.
            Change::License { license_id } => match LicenseId::parse(license_id) {
                Ok(id) => {
                    let whole_type = self.hash(Subject::Type(id.type_code()));
                    self.state().mark(&[whole_type]);
                }
                Err(_) => self.state().forget_everything(),
            },
        }
    }

    fn hash(&self, subject: Subject<'_>) -> u64 {
        self.hasher.hash_one(subject)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn mark(&mut self, subjects: &[u64]) {
        self.count = self.count.saturating_add(1);
        self.last.extend(subjects.iter().map(|subject| (*subject, self.count)));
        if self.last.len() > MOST_MARKS {
            self.forget_everything();
        }
    }

    fn forget_everything(&mut self) {
        self.count = self.count.saturating_add(1);
        self.floor = self.count;
        self.last.clear();
    }
}
