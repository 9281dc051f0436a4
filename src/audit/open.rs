//! Evidence for an auditor: one account asks, another one allows, an `open` leaf says so, and
//! what is released only the auditor's own key opens ([`super::unseal`]).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::act::Intent;
use super::find::EvidenceState;
use super::mandate::Actor;
use super::request::{Approved, MOST_IN_A_REQUEST, REQUEST_LIFE_MS, Request};
use super::{Act, Desk, DeskFault, Mandate};
use crate::account::Role;
use crate::ledger::{Mark, Shard, origin};
use crate::store::Shelf as _;

/// What an approved request gives. No `Debug`: it holds secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    pub request: Request,
    pub released: Vec<Released>,
    /// Those whose evidence is not there, and why.
    pub absent: Vec<Absent>,
}

/// One leaf's evidence, as sealed. With an auditor's private key it opens; the gateway has none.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Released {
    /// The epoch's key, wrapped to the auditors: a general-JSON JWE.
    pub epoch: String,
    pub index: u64,
    /// The leaf's exact bytes, base64url.
    pub leaf: String,
    pub origin: String,
    /// The record's secret, base64url.
    pub r: String,
    /// base64url.
    pub sealed: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    pub index: u64,
    pub evidence: EvidenceState,
}

impl Desk {
    /// The first person's word. `of` are indices of the log `shard` (without it the newest).
    pub async fn open_request(
        &self,
        mandate: &Mandate,
        shard: Option<&str>,
        of: Vec<u64>,
    ) -> Result<Request, DeskFault> {
        mandate.may(Act::Open)?;
        let of = in_order(of);
        if of.is_empty() || of.len() > MOST_IN_A_REQUEST {
            return Err(DeskFault::Asked("a request names 1 to 100 leaves"));
        }
        let at = self.inner.clock.now().ms();
        let (by, shard) = (mandate.by().clone(), shard.map(str::to_owned));
        let (purpose, order) = (mandate.purpose().to_owned(), mandate.order().to_owned());
        self.blocking(move |desk| {
            let shard = desk.shard(shard.as_deref())?;
            for index in &of {
                let leaf = desk.leaf(Mark { shard, index: *index })?;
                if leaf.ev.is_none() {
                    return Err(DeskFault::Asked("a leaf names no evidence"));
                }
            }
            let request = Request {
                id: uuid::Uuid::new_v4().simple().to_string(),
                at,
                expires: at + REQUEST_LIFE_MS,
                by: by.name().to_owned(),
                role: by.role(),
                purpose,
                order,
                shard: shard.to_string(),
                of,
                approved: None,
            };
            desk.inner.registers.put_request(&request)?;
            Ok(request)
        })
        .await
    }

    /// The second person's word: records the opening and releases. Approving twice is
    /// approving once.
    pub async fn open_approve(&self, by: &Actor, id: &str) -> Result<Opened, DeskFault> {
        if !by.may(Act::Open) {
            return Err(DeskFault::NotAllowed);
        }
        let mut request = self.live_request(id).await?;
        if request.by == by.name() {
            return Err(DeskFault::SamePerson);
        }
        if request.approved.is_some() {
            return self.release(request).await;
        }
        let asked = request.clone();
        let restricted = self
            .blocking(move |desk| {
                let shard = desk.shard(Some(&asked.shard))?;
                let restricted = desk.inner.registers.restricted(shard)?;
                Ok(asked.of.iter().any(|index| restricted.contains(index)))
            })
            .await?;
        if restricted && by.role() != Role::Security {
            return Err(DeskFault::Restricted);
        }
        // The first person's act, with the second one's name.
        let first = Actor::new(request.by.clone(), request.role);
        let mandate = Mandate::new(first, &request.purpose, &request.order)?;
        let intent = Intent {
            n: request.of.len() as u64,
            shard: Some(self.shard(Some(&request.shard))?),
            of: request.of.clone(),
            what: json!({"request": request.id}),
            with: Some(by.name().to_owned()),
            ..Intent::new(Act::Open)
        };
        let recorded = self.record(&mandate, intent).await?;
        let at = self.inner.clock.now().ms();
        request.approved = Some(Approved { by: by.name().to_owned(), at, leaf: recorded.leaf.clone() });
        request.expires = at + REQUEST_LIFE_MS;
        let kept = request.clone();
        self.blocking(move |desk| desk.inner.registers.put_request(&kept)).await?;
        self.finish(&recorded).await?;
        self.release(request).await
    }

    /// The second person's refusal: recorded, and the request is gone.
    pub async fn open_refuse(&self, by: &Actor, id: &str) -> Result<(), DeskFault> {
        if !by.may(Act::Open) {
            return Err(DeskFault::NotAllowed);
        }
        let mut request = self.live_request(id).await?;
        if request.by == by.name() {
            return Err(DeskFault::SamePerson);
        }
        let first = Actor::new(request.by.clone(), request.role);
        let mandate = Mandate::new(first, &request.purpose, &request.order)?;
        let intent = Intent {
            what: json!({"request": request.id, "refused": true}),
            with: Some(by.name().to_owned()),
            ..Intent::new(Act::Open)
        };
        let recorded = self.record(&mandate, intent).await?;
        request.expires = self.inner.clock.now().ms();
        self.blocking(move |desk| desk.inner.registers.put_request(&request)).await?;
        self.finish(&recorded).await
    }

    /// What was approved, for either of the two while it lasts.
    pub async fn opened(&self, by: &Actor, id: &str) -> Result<Opened, DeskFault> {
        let request = self.live_request(id).await?;
        let approved = request.approved.as_ref().ok_or(DeskFault::NotApproved)?;
        if by.name() != request.by && by.name() != approved.by {
            return Err(DeskFault::NotAllowed);
        }
        self.release(request).await
    }

    async fn live_request(&self, id: &str) -> Result<Request, DeskFault> {
        let (id, now) = (id.to_owned(), self.inner.clock.now().ms());
        let found = self.blocking(move |desk| desk.inner.registers.request(&id)).await?;
        found.filter(|request| now < request.expires).ok_or(DeskFault::NoSuchRequest)
    }

    async fn release(&self, request: Request) -> Result<Opened, DeskFault> {
        self.blocking(move |desk| {
            let shard = desk.shard(Some(&request.shard))?;
            let states = desk.states([shard])?;
            let (mut released, mut absent) = (Vec::new(), Vec::new());
            for index in request.of.iter().copied() {
                let at = Mark { shard, index };
                match desk.released(at)? {
                    Some(bundle) => released.push(bundle),
                    None => absent.push(Absent { index, evidence: states.of(at, &desk.leaf(at)?)? }),
                }
            }
            Ok(Opened { request, released, absent })
        })
        .await
    }

    /// One leaf's evidence as it lies there.
    fn released(&self, at: Mark) -> Result<Option<Released>, DeskFault> {
        let Some((file, row)) = self.vaults().row(at)? else { return Ok(None) };
        let leaf =
            self.shelf().leaves(at.shard, at.index..at.index + 1)?.pop().ok_or(DeskFault::NoSuchLeaf)?;
        let Some(epoch) = file.epoch(row.epoch)? else { return Ok(None) };
        Ok(Some(Released {
            epoch,
            index: at.index,
            leaf: URL_SAFE_NO_PAD.encode(leaf.leaf),
            origin: origin(self.inner.region, at.shard),
            r: URL_SAFE_NO_PAD.encode(row.r),
            sealed: URL_SAFE_NO_PAD.encode(row.sealed),
        }))
    }
}

/// Each index once, ascending.
pub(super) fn in_order(mut of: Vec<u64>) -> Vec<u64> {
    of.sort_unstable();
    of.dedup();
    of
}

impl Request {
    pub fn log(&self) -> Option<Shard> {
        Shard::parse(&self.shard)
    }
}
