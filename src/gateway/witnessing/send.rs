//! One checkpoint to one witness, and what becomes of its answer.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::timeout;

use super::standing;
use super::whom::{Answered, CALL, Whom};
use crate::domain::Region;
use crate::house::House;
use crate::witness::{AddCheckpoint, CosignerVkey, read_size};

/// A checkpoint of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpointed {
    pub origin: String,
    pub size: u64,
    pub note: Vec<u8>,
}

/// What is known of a partner as our witness in this run.
#[derive(Default)]
pub struct Witnessing {
    /// Under this key its word is believed: it told us over its own TLS identity.
    vkey: Option<CosignerVkey>,
    /// Its memory of our logs has been held against ours.
    compared: bool,
    /// What it cosigned last.
    pub last: Option<Checkpointed>,
}

/// What came of a sending.
pub struct Sent {
    pub whom: Whom,
    pub witnessing: Witnessing,
    pub told: Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Cosigned,
    Unreachable,
    /// It publishes no witness key.
    NoWitness,
    /// It answered with this status.
    Refused(u16),
    /// 200, but nothing that its key signed.
    NotItsWord,
    /// We could not make the proof or keep the answer.
    Ours,
}

/// Sends the newest checkpoint, after the last one of a log that has ended meanwhile.
pub async fn send(house: Arc<House>, whom: Whom, mut witnessing: Witnessing, newest: Checkpointed) -> Sent {
    let mut checkpoints = Vec::new();
    if let Some(last) = witnessing.last.as_ref().filter(|last| last.origin != newest.origin) {
        checkpoints.extend(end_of(&house, &last.origin).filter(|end| end.size > last.size));
    }
    checkpoints.push(newest);
    let mut told = Told::Ours;
    for checkpoint in checkpoints {
        told = witnessing.bring(&house, &whom, checkpoint).await.err().unwrap_or(Told::Cosigned);
    }
    Sent { whom, witnessing, told }
}

fn end_of(house: &House, origin: &str) -> Option<Checkpointed> {
    let note = house.ledger.own_checkpoint(origin)?;
    let size = crate::ledger::checkpoint::Checkpoint::peek(&note).ok()?.size;
    Some(Checkpointed { origin: origin.to_owned(), size, note })
}

impl Witnessing {
    async fn bring(&mut self, house: &Arc<House>, whom: &Whom, ours: Checkpointed) -> Result<(), Told> {
        if !self.compared {
            standing::hold_against(house, whom).await.map_err(|_| Told::Unreachable)?;
            self.compared = true;
        }
        let vkey = match whom {
            Whom::Partner(region) => self.learn_key(house, *region).await?,
            // The policy says by which key it is believed.
            Whom::Other(other) => other.vkey.clone(),
        };
        let mut old = match &self.last {
            Some(last) if last.origin == ours.origin => last.size,
            _ => 0,
        };
        let mut answer = self.post(house, whom, &ours, old).await?;
        // It remembers another size: one more time from there.
        if answer.status == 409
            && let Some(size) = told_size(&answer)
            && size <= ours.size
            && size != old
        {
            old = size;
            answer = self.post(house, whom, &ours, old).await?;
        }
        match answer.status {
            200 => {
                self.keep(house, whom, vkey, &ours, answer.body).await?;
                self.last = Some(ours);
                Ok(())
            }
            status => {
                if matches!(status, 409 | 422) {
                    // Only our own signature on something else proves that we are an old copy.
                    let _ = standing::hold_against(house, whom).await;
                }
                Err(Told::Refused(status))
            }
        }
    }

    async fn learn_key(&mut self, house: &House, region: Region) -> Result<CosignerVkey, Told> {
        if let Some(vkey) = &self.vkey {
            return Ok(vkey.clone());
        }
        let answer = timeout(CALL, house.clients.watch(region, "/v1/witness")).await;
        let answer = answer.ok().and_then(Result::ok).ok_or(Told::Unreachable)?;
        let text = std::str::from_utf8(&answer.body).unwrap_or_default().trim_end();
        let vkey = CosignerVkey::parse(text).ok().filter(|_| answer.status == 200);
        let vkey = vkey.ok_or(Told::NoWitness)?;
        self.vkey = Some(vkey.clone());
        Ok(vkey)
    }

    async fn post(
        &self,
        house: &Arc<House>,
        whom: &Whom,
        ours: &Checkpointed,
        old: u64,
    ) -> Result<Answered, Told> {
        let (ledger, origin, size) = (house.ledger.clone(), ours.origin.clone(), ours.size);
        let proof = tokio::task::spawn_blocking(move || ledger.consistency(&origin, old, size)).await;
        let proof = proof.ok().and_then(Result::ok).flatten().ok_or(Told::Ours)?;
        let body = Bytes::from(AddCheckpoint { old, proof, note: ours.note.clone() }.to_bytes());
        whom.add_checkpoint(&house.clients, &house.web, body).await.map_err(|_| Told::Unreachable)
    }

    async fn keep(
        &mut self,
        house: &Arc<House>,
        whom: &Whom,
        vkey: CosignerVkey,
        ours: &Checkpointed,
        answer: Bytes,
    ) -> Result<(), Told> {
        let (house, ours, by) = (house.clone(), ours.clone(), whom.name().to_owned());
        let kept = tokio::task::spawn_blocking(move || {
            let now = house.clock.now();
            let taken = house.witness.take_cosignature(&by, &vkey, &ours.note, &answer, now);
            if taken.map_err(|fault| told(&fault))?.is_none() {
                return Err(Told::NotItsWord);
            }
            let joined = house.witness.join(&ours.note, now).map_err(|fault| told(&fault))?;
            if joined.judged.quorum {
                let shown = house.ledger.show_cosigned(&ours.origin, joined.note);
                shown.map_err(|fault| {
                    tracing::error!(target: "witness", %fault, "a cosigned checkpoint cannot be shown");
                    Told::Ours
                })?;
            }
            Ok(())
        });
        let kept = kept.await.unwrap_or(Err(Told::Ours));
        if kept == Err(Told::NotItsWord) {
            // It may have a new key: asked for again next time.
            self.vkey = None;
        }
        kept
    }
}

fn told(fault: &crate::witness::WitnessFault) -> Told {
    tracing::error!(target: "witness", %fault, "a cosignature cannot be kept");
    Told::Ours
}

/// The size in a 409's body.
fn told_size(answer: &Answered) -> Option<u64> {
    read_size(std::str::from_utf8(&answer.body).ok()?.strip_suffix('\n')?)
}
