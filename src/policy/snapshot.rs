//! All agreements of one moment, and the question put to them by every request.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::civil::Date;

use super::agreement::{Agreement, normalised, same_code};
use super::terms::{Evidence, Item, LicenseTerms, Limits};
use crate::domain::Region;
use crate::envelope::{Basis, Op, RequestClaims};
use crate::fault::Fault;
use crate::folder::FileFault;

/// The first step of protocol §3.4 that a request failed, agreement steps only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PolicyFault {
    #[error("no such agreement between the two regions is in force")]
    NoAgreement,
    #[error("no agreement here names the item")]
    UnknownItem,
    #[error("the agreement does not list the item")]
    ItemNotAgreed,
    #[error("the agreement does not allow the operation for this item")]
    OpNotAgreed,
    #[error("the agreement does not allow the basis for this item")]
    BasisNotAgreed,
    #[error("no schema and no agreement here names the license type")]
    UnknownLicenseType,
    #[error("the agreement does not allow the license type, the mode or the answering region")]
    LicenseNotAgreed,
    #[error("the agreement does not list one of the fields")]
    FieldNotAgreed,
}

/// An immutable snapshot of the agreements folder.
#[derive(Debug, Default)]
pub struct Policy {
    by_id: HashMap<String, Arc<Agreement>>,
    by_party: HashMap<Region, Vec<Arc<Agreement>>>,
    /// Every item any agreement names, lapsed ones included.
    items: HashSet<String>,
    /// Every license type any agreement names.
    license_types: Arc<HashSet<String>>,
}

impl Policy {
    /// The agreements of a folder. Of two files with one id neither holds, because which one
    /// would is anybody's guess; the same agreement twice is no contradiction.
    pub fn build(files: &HashMap<PathBuf, Arc<Agreement>>) -> (Self, Vec<FileFault>) {
        let mut by_id: HashMap<&str, HashSet<&[u8; 32]>> = HashMap::new();
        for agreement in files.values() {
            by_id.entry(agreement.id()).or_default().insert(agreement.digest());
        }
        let contradicted = |agreement: &Agreement| by_id.get(agreement.id()).is_some_and(|d| d.len() > 1);
        let mut refused: Vec<FileFault> = files
            .iter()
            .filter(|(_, agreement)| contradicted(agreement))
            .map(|(file, _)| FileFault { file: file.clone(), faults: vec![duplicate_id()] })
            .collect();
        refused.sort_by(|a, b| a.file.cmp(&b.file));
        let good = files.values().filter(|agreement| !contradicted(agreement)).cloned();
        (Self::of(good), refused)
    }

    fn of(agreements: impl Iterator<Item = Arc<Agreement>>) -> Self {
        let mut policy = Self::default();
        let mut license_types = HashSet::new();
        for agreement in agreements {
            if policy.by_id.insert(agreement.id().to_owned(), Arc::clone(&agreement)).is_some() {
                continue;
            }
            for item in agreement.items() {
                policy.items.insert(normalised(&item.code));
                license_types.extend(item.licenses.iter().map(|l| normalised(&l.kind)));
            }
            for party in agreement.parties() {
                policy.by_party.entry(*party).or_default().push(Arc::clone(&agreement));
            }
        }
        policy.license_types = Arc::new(license_types);
        policy
    }

    /// Protocol §3.4, "agreement, from the claims": party, in force, item, op, basis. The
    /// quota is [`super::Quotas`]'s word. `day` is a day of Asia/Shanghai.
    pub fn authorize(
        &self,
        claims: &RequestClaims,
        peer: &Region,
        me: &Region,
        day: Date,
    ) -> Result<Grant, PolicyFault> {
        let named = claims.agreement.as_deref().ok_or(PolicyFault::NoAgreement)?;
        let agreement = self
            .by_id
            .get(named)
            .filter(|a| a.between(peer, me) && a.in_force(day))
            .ok_or(PolicyFault::NoAgreement)?;
        let item = self.item(agreement, claims.item.as_deref().unwrap_or_default())?;
        check_op(item, claims.op)?;
        let basis = claims.basis.filter(|b| item.bases.contains(b)).ok_or(PolicyFault::BasisNotAgreed)?;
        Ok(Grant {
            agreement: Arc::clone(agreement),
            item: Arc::clone(item),
            basis,
            license_types: Arc::clone(&self.license_types),
        })
    }

    fn item<'a>(&self, agreement: &'a Agreement, code: &str) -> Result<&'a Arc<Item>, PolicyFault> {
        agreement.item(code).ok_or_else(|| {
            if self.items.contains(&normalised(code)) {
                PolicyFault::ItemNotAgreed
            } else {
                PolicyFault::UnknownItem
            }
        })
    }

    /// What a partner may spend before its signature is checked: the most generous figures
    /// of its agreements in force, or the default where there are none (`ping` needs none).
    pub fn budget(&self, peer: &Region, me: &Region, day: Date) -> Limits {
        self.between(*me, *peer)
            .filter(|a| a.in_force(day))
            .map(|a| a.limits())
            .reduce(Limits::most_generous)
            .unwrap_or(Limits::DEFAULT)
    }

    /// Every agreement that both regions signed, in force or not.
    pub fn between(&self, me: Region, peer: Region) -> impl Iterator<Item = &Arc<Agreement>> {
        self.by_party.get(&peer).into_iter().flatten().filter(move |a| a.between(&peer, &me))
    }

    pub fn agreement(&self, id: &str) -> Option<&Arc<Agreement>> {
        self.by_id.get(id)
    }

    pub fn agreements(&self) -> impl Iterator<Item = &Arc<Agreement>> {
        self.by_id.values()
    }
}

fn duplicate_id() -> Fault {
    Fault::new("/id", "duplicate-agreement", "another file carries the same id", "另一份文件使用了同一编号")
}

fn check_op(item: &Item, op: Op) -> Result<(), PolicyFault> {
    if item.ops.iter().any(|o| o == op.name()) { Ok(()) } else { Err(PolicyFault::OpNotAgreed) }
}

/// An agreement in force allows this request, from its claims. Made by [`Policy::authorize`] only.
#[derive(Clone, Debug)]
pub struct Grant {
    agreement: Arc<Agreement>,
    item: Arc<Item>,
    basis: Basis,
    license_types: Arc<HashSet<String>>,
}

impl Grant {
    pub fn agreement(&self) -> &Arc<Agreement> {
        &self.agreement
    }
    /// `agr` in the ledger.
    pub fn agreement_digest(&self) -> [u8; 32] {
        *self.agreement.digest()
    }
    pub fn item(&self) -> &Arc<Item> {
        &self.item
    }
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// Whether a department of `me` may be asked about a license of this type.
    pub fn verification(&self, kind: &str, me: &Region, known: bool) -> Result<(), PolicyFault> {
        let (_, terms) = self.listed(kind, known)?;
        if terms.holder_region.contains(me) { Ok(()) } else { Err(PolicyFault::LicenseNotAgreed) }
    }

    /// What the item says of the type, and its place in the item's list.
    fn listed(&self, kind: &str, known: bool) -> Result<(usize, &LicenseTerms), PolicyFault> {
        match self.item.licenses.iter().enumerate().find(|(_, terms)| same_code(&terms.kind, kind)) {
            Some(found) => Ok(found),
            None if known || self.license_types.contains(&normalised(kind)) => {
                Err(PolicyFault::LicenseNotAgreed)
            }
            None => Err(PolicyFault::UnknownLicenseType),
        }
    }

    /// Protocol §3.4, "agreement, from the body": license type, mode, answering region (`me`),
    /// then every field. `known` says whether there is a schema for the type here.
    pub fn license<'f>(
        &self,
        kind: &str,
        mode: &str,
        fields: impl IntoIterator<Item = &'f str>,
        me: &Region,
        known: bool,
    ) -> Result<LicensePermit, PolicyFault> {
        let (place, terms) = self.listed(kind, known)?;
        if !terms.modes.iter().any(|m| m.name() == mode) || !terms.holder_region.contains(me) {
            return Err(PolicyFault::LicenseNotAgreed);
        }
        if !fields.into_iter().all(|field| terms.fields.iter().any(|f| f == field)) {
            return Err(PolicyFault::FieldNotAgreed);
        }
        Ok(LicensePermit { kind: normalised(kind), item: Arc::clone(&self.item), place })
    }
}

/// What may be told of one license type, and the ways that remain when there is none.
#[derive(Clone, Debug)]
pub struct LicensePermit {
    kind: String,
    item: Arc<Item>,
    /// Where the item lists the type.
    place: usize,
}

impl LicensePermit {
    /// The license type, its check characters in upper case.
    pub fn license_type(&self) -> &str {
        &self.kind
    }
    pub fn allows(&self, field: &str) -> bool {
        self.item.licenses.get(self.place).is_some_and(|terms| terms.fields.iter().any(|f| f == field))
    }
    /// The ways other than a lookup, in the agreement's order (protocol §12).
    pub fn ways(&self) -> impl Iterator<Item = &'static str> {
        let mut materials = self.item.materials.iter();
        let shown_by =
            |license: &Option<String>| license.as_deref().is_some_and(|l| same_code(l, &self.kind));
        let listed = materials.find(|m| shown_by(&m.license)).map(|m| m.evidence.as_slice());
        let ways = listed.unwrap_or(&[Evidence::TimedVerification, Evidence::Commitment, Evidence::Upload]);
        ways.iter().filter(|way| **way != Evidence::SharedData).map(|way| way.name())
    }
}
