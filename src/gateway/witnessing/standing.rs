//! Is this the log that was signed, or an older copy of it? Before the first leaf, and again
//! with each partner that could not be asked then.
//!
//! Promises: only a checkpoint that our own key signed stops us, whoever shows it, so that no
//! partner can stop us by lying; one that does is never overlooked. A copy goes on in the
//! next half-year only when a person says so ([`super::super::Options::after_restore`]).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::StartFault;
use crate::clock::Now;
use crate::domain::Region;
use crate::house::House;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::held::{Held, Lost};
use crate::ledger::{ReadFault, Vkey};
use crate::peer::{Directory, PartnerClients};
use crate::web::WebClient;
use crate::witness::{Witness, id_of};

use super::whom::{self, Silent, Whom};

/// How long partners are waited for before the doors open; the rest are asked later.
const START: Duration = Duration::from_secs(3);

/// Why the process ends when a witness proves it later.
pub const OLDER_COPY: &str = "a witness knows a longer or another log under our key";

/// A checkpoint that our key signed, and who showed it.
#[derive(Clone, Debug)]
pub struct Signed {
    pub checkpoint: Checkpoint,
    pub note: Vec<u8>,
    pub by: String,
}

/// What is asked with.
pub struct Asking<'a> {
    pub data: &'a Path,
    pub region: Region,
    /// The ledger's.
    pub public: [u8; 32],
    pub clients: &'a Arc<PartnerClients>,
    pub web: &'a WebClient,
    pub directory: &'a Directory,
    pub witness: &'a Witness,
    pub now: Now,
}

/// What came of the question.
pub struct Stood {
    /// What was lost, where the log is to begin anew after it.
    pub lost: Option<Lost>,
    /// Those who could be asked, and those of them that answered in time.
    pub witnesses: usize,
    pub answered: usize,
}

/// What the log may do: go on, or begin anew after what was lost.
pub async fn stand(asking: Asking<'_>, after_restore: bool) -> Result<Stood, StartFault> {
    let held = Held::new(asking.data, asking.region);
    let mut known = asking.ours(&held, after_restore)?;
    let origins = held.origins(asking.now).map_err(|fault| unreadable(fault.into()))?;
    let (mut asked, mut answered) = (JoinSet::new(), 0);
    for whom in whom::all(asking.directory, asking.witness.policy().as_deref(), asking.witness.vkey()) {
        let (clients, web) = (asking.clients.clone(), asking.web.clone());
        let (origins, public) = (origins.clone(), asking.public);
        asked.spawn(async move { shown_by(&clients, &web, &whom, &origins, public).await });
    }
    // A log that was given up is not spoken of any more.
    known.retain(|signed| origins.contains(&signed.checkpoint.origin));
    let witnesses = asked.len();
    let all = async {
        while let Some(shown) = asked.join_next().await {
            let Some(shown) = shown.ok().and_then(Result::ok) else { continue };
            answered += 1;
            known.extend(shown);
        }
    };
    // Who does not answer is asked again in the background.
    let _ = timeout(START, all).await;
    let judged = tokio::task::spawn_blocking(move || judge(&held, known)).await;
    let judged = judged.map_err(|_| StartFault::Register("the log's comparison was interrupted".into()))?;
    let stood = |lost| Ok(Stood { lost, witnesses, answered });
    match (judged.map_err(unreadable)?, after_restore) {
        (None, false) => stood(None),
        (None, true) => Err(StartFault::NothingLost),
        (Some(newest), false) => Err(StartFault::OlderCopy {
            origin: newest.checkpoint.origin,
            size: newest.checkpoint.size,
            by: newest.by,
        }),
        (Some(newest), true) => stood(Some(Lost {
            note: crate::ledger::tree::sha256(&newest.note),
            origin: newest.checkpoint.origin,
            size: newest.checkpoint.size,
        })),
    }
}

fn unreadable(fault: ReadFault) -> StartFault {
    StartFault::Register(format!("the exchange log cannot be compared: {fault}"))
}

/// The newest checkpoint of all, if this directory does not hold the tree of any.
fn judge(held: &Held, known: Vec<Signed>) -> Result<Option<Signed>, ReadFault> {
    let mut holds = true;
    for signed in &known {
        holds &= held.holds(&signed.checkpoint)?;
    }
    if holds {
        return Ok(None);
    }
    Ok(known.into_iter().max_by_key(|signed| (signed.checkpoint.origin.clone(), signed.checkpoint.size)))
}

impl Asking<'_> {
    /// What we remember ourselves.
    fn ours(&self, held: &Held, after_restore: bool) -> Result<Vec<Signed>, StartFault> {
        let shown = self.witness.shown()?;
        let notes = shown.own.into_iter().map(|own| (own.partner, own.cosigned));
        let quorums = shown.quorum.into_iter().map(|cosigned| ("witness.db".to_owned(), cosigned));
        let mut known: Vec<Signed> = notes
            .chain(quorums)
            .filter_map(|(by, cosigned)| signed(self.public, &cosigned.origin, &cosigned.note, &by))
            .collect();
        if after_restore
            && let Some(note) = held.last_signed().map_err(|fault| unreadable(fault.into()))?
            && let Ok(peeked) = Checkpoint::peek(&note)
        {
            known.extend(signed(self.public, &peeked.origin, &note, "state.db"));
        }
        Ok(known)
    }
}

fn signed(public: [u8; 32], origin: &str, note: &[u8], by: &str) -> Option<Signed> {
    let checkpoint = Checkpoint::open(note, &Vkey::new(origin, public)?).ok()?;
    Some(Signed { checkpoint, note: note.to_vec(), by: by.to_owned() })
}

/// What a witness cosigned of our logs.
async fn shown_by(
    clients: &PartnerClients,
    web: &WebClient,
    whom: &Whom,
    origins: &[String],
    public: [u8; 32],
) -> Result<Vec<Signed>, Silent> {
    let mut shown = Vec::new();
    for origin in origins {
        let answer = whom.last_cosigned(clients, web, &id_of(origin)).await?;
        if answer.status == 200 {
            shown.extend(signed(public, origin, &answer.body, whom.name()));
        }
    }
    Ok(shown)
}

/// Holds a witness's memory of our logs against the running one. A copy that is proven to be
/// older stops recording at once.
pub async fn hold_against(house: &Arc<House>, whom: &Whom) -> Result<(), Silent> {
    let held = Held::new(&house.config.data_dir(), house.me);
    let origin = house.ledger.origin();
    let Some(public) = house.ledger.vkey(&origin).map(|vkey| *vkey.public()) else { return Ok(()) };
    // The newest is the one that is written: nothing is read for a witness that may not answer.
    let Some(newest) = held.shard_of(&origin) else { return Ok(()) };
    let origins = held.origins_from(newest, house.clock.now());
    let known = timeout(whom::CALL, shown_by(&house.clients, &house.web, whom, &origins, public)).await;
    let known = known.map_err(|_| Silent)??;
    let judged = tokio::task::spawn_blocking(move || judge(&held, known)).await;
    match judged {
        Ok(Ok(Some(newest))) => {
            tracing::error!(
                target: "witness",
                partner = whom.name(),
                origin = newest.checkpoint.origin,
                size = newest.checkpoint.size,
                "this log is an older copy of what was signed: nothing is recorded any more"
            );
            house.ledger.stop_recording(OLDER_COPY);
        }
        Ok(Ok(None)) => {}
        Ok(Err(fault)) => tracing::error!(target: "witness", %fault, "our log cannot be compared"),
        Err(_) => tracing::error!(target: "witness", "the comparison of our log was interrupted"),
    }
    Ok(())
}
