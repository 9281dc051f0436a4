//! What we cosign for a partner, and the six answers (c2sp.org/tlog-witness).
//!
//! Promises: a cosignature is given only for a tree that continues the last one cosigned of
//! that log, and is on disk before it is given; two checkpoints of one size with two roots
//! are kept, as the proof that their log lied to somebody.

use super::book::{Act, Seen};
use super::request::AddCheckpoint;
use super::{Witness, WitnessFault};
use crate::clock::Now;
use crate::domain::Region;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::held::shard_of;
use crate::ledger::note::{Note, Vkey, note_of};
use crate::ledger::tree::{empty_root, verify_consistency};

/// A log that may bring its checkpoints: a partner's, under each half-year's name.
#[derive(Clone, Copy, Debug)]
pub struct KnownLog {
    pub region: Region,
    /// The ledger key on the partner's card.
    pub public: [u8; 32],
}

/// What `add-checkpoint` is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200: our signature line, with its newline.
    Cosigned(String),
    /// 400: not such a request, or it goes backwards.
    Bad,
    /// 404: no log of this partner's.
    UnknownLog,
    /// 403: the log's key did not sign it.
    NotSigned,
    /// 409: this many leaves were cosigned last.
    Conflict(u64),
    /// 422: another root at the size that was cosigned; kept as evidence.
    Contradiction,
    /// 422: does not continue what was cosigned.
    NotConsistent,
}

impl Witness {
    /// Judges a checkpoint that a partner brought. Writes to disk: call it where blocking is
    /// allowed.
    pub fn add_checkpoint(
        &self,
        log: Option<KnownLog>,
        body: &[u8],
        now: Now,
    ) -> Result<Answer, WitnessFault> {
        let Some(request) = AddCheckpoint::parse(body) else { return Ok(Answer::Bad) };
        let parsed = Note::parse(&request.note).ok();
        let checkpoint = parsed.as_ref().and_then(|note| Checkpoint::parse_text(note.text()).ok());
        let Some((note, brought)) = parsed.zip(checkpoint) else { return Ok(Answer::Bad) };
        if i64::try_from(brought.size).is_err() {
            return Ok(Answer::Bad);
        }
        let known = log.filter(|log| shard_of(log.region, &brought.origin).is_some());
        let Some(vkey) = known.and_then(|log| Vkey::new(&brought.origin, log.public)) else {
            return Ok(Answer::UnknownLog);
        };
        if note.verify(&[&vkey]).is_err() {
            return Ok(Answer::NotSigned);
        }
        if request.old > brought.size {
            return Ok(Answer::Bad);
        }
        // Of all its signatures only the log's own is kept, and ours.
        let own = note.signatures().iter().filter(|l| l.name == vkey.name() && l.key_id == vkey.key_id());
        let cosignature = self.inner.key.cosign(note.text(), now);
        let signed = note_of(note.text(), own.clone());
        let cosigned = note_of(note.text(), own.chain([&cosignature]));
        let line = format!("{cosignature}\n");
        let decide = |seen: Option<Seen>| {
            let (size, root) = seen.map_or((0, empty_root()), |seen| (seen.size, seen.root));
            if request.old != size {
                return Act::Nothing(Answer::Conflict(size));
            }
            if brought.size == size && brought.root != root {
                return Act::Contradicts {
                    size,
                    root: brought.root,
                    note: signed,
                    told: Answer::Contradiction,
                };
            }
            if !verify_consistency(&request.proof, size, &root, brought.size, &brought.root) {
                return Act::Nothing(Answer::NotConsistent);
            }
            Act::Keep { size: brought.size, root: brought.root, note: cosigned, told: Answer::Cosigned(line) }
        };
        Ok(self.book().decide(&brought.origin, now.secs(), decide)?)
    }

    /// The last cosigned checkpoint of the log whose origin has this hex SHA-256.
    pub fn last_cosigned(&self, id: &str) -> Result<Option<Vec<u8>>, WitnessFault> {
        Ok(self.book().cosigned(id)?)
    }
}
