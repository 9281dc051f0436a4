//! Who watches our log: partners at their cards' addresses, and witnesses of the policy that are no
//! partners at the address that the policy gives them.
//!
//! A `witness` line may name a submission prefix (c2sp.org/tlog-policy). A partner is asked over
//! mutual TLS whatever stands there; anybody else over HTTPS with a public or configured CA, and
//! is believed for the key in the policy alone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::domain::Region;
use crate::peer::{Directory, PartnerClients, Status};
use crate::web::{Bounds, WebClient, is_callable};
use crate::witness::{CosignerVkey, Policy, cosigner_name};

/// One call to a witness in all.
pub const CALL: Duration = Duration::from_secs(10);
/// Octets of a witness's answer: a note with a hundred signatures.
const MOST: usize = 64 << 10;

/// A witness of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    Partner(Region),
    /// A witness of the policy that is no partner.
    Other(Arc<Elsewhere>),
}

/// Where a witness is that is no partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    pub vkey: CosignerVkey,
    /// Its submission prefix, without a slash at its end.
    url: String,
}

/// It could not be asked, or did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent;

/// What it answered; nothing in it is believed yet.
pub struct Answered {
    pub status: u16,
    pub body: Bytes,
}

/// The active partners, and the policy's other witnesses that have an address.
pub fn all(directory: &Directory, policy: Option<&Policy>, own: &CosignerVkey) -> Vec<Whom> {
    let active = directory.cards().filter(|card| card.status() == Status::Active);
    let partners: Vec<Region> = active.map(|card| card.region()).collect();
    let named: Vec<String> = partners.iter().map(|region| cosigner_name(*region)).collect();
    let mut all: Vec<Whom> = partners.into_iter().map(Whom::Partner).collect();
    for witness in policy.map(Policy::witnesses).unwrap_or_default() {
        let known = named.iter().any(|name| name == witness.vkey.name()) || witness.vkey == *own;
        let url = witness.url.as_deref().map(|url| url.trim_end_matches('/')).filter(|url| is_callable(url));
        if let Some(url) = url.filter(|_| !known) {
            all.push(Whom::Other(Arc::new(Elsewhere { vkey: witness.vkey.clone(), url: url.to_owned() })));
        }
    }
    all
}

impl Whom {
    /// Under what its cosignatures are kept: its region, or its key's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Partner(region) => region.as_str(),
            Self::Other(other) => other.vkey.name(),
        }
    }

    /// The checkpoint that it cosigned last of the log with this id.
    pub async fn last_cosigned(
        &self,
        clients: &PartnerClients,
        web: &WebClient,
        id: &str,
    ) -> Result<Answered, Silent> {
        match self {
            Self::Partner(region) => {
                let asked = clients.watch(*region, &format!("/v1/log/{id}/checkpoint")).await;
                asked.map(|answer| Answered { status: answer.status, body: answer.body }).map_err(|_| Silent)
            }
            Self::Other(other) => {
                let url = format!("{}/{id}/checkpoint", other.url);
                let asked = web.get(&url, "text/plain", Bounds { deadline: CALL, most: MOST }).await;
                asked.map(|answer| Answered { status: answer.status, body: answer.body }).map_err(|_| Silent)
            }
        }
    }

    /// `add-checkpoint` (c2sp.org/tlog-witness).
    pub async fn add_checkpoint(
        &self,
        clients: &PartnerClients,
        web: &WebClient,
        body: Bytes,
    ) -> Result<Answered, Silent> {
        match self {
            Self::Partner(region) => {
                let asked = tokio::time::timeout(CALL, clients.add_checkpoint(*region, body)).await;
                let answer = asked.ok().and_then(Result::ok).ok_or(Silent)?;
                Ok(Answered { status: answer.status, body: answer.body })
            }
            Self::Other(other) => {
                let url = format!("{}/add-checkpoint", other.url);
                let asked = web.post_text(&url, body, Bounds { deadline: CALL, most: MOST }).await;
                asked.map(|answer| Answered { status: answer.status, body: answer.body }).map_err(|_| Silent)
            }
        }
    }
}
