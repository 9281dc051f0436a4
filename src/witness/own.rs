//! Our own checkpoints as partners cosigned them.

use std::sync::atomic::Ordering;

use super::book::{Cosigned, OwnCosigned};
use super::cosigner::CosignerVkey;
use super::{Judged, Witness, WitnessFault};
use crate::clock::Now;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::note::{Note, NoteFault, SignatureLine, note_of};

/// A checkpoint of ours with every cosignature gathered for its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    pub note: Vec<u8>,
    /// What the policy says; without one nobody's word is needed.
    pub judged: Judged,
}

impl Witness {
    /// Takes a partner's answer to a checkpoint of ours: its lines under `vkey` that hold.
    /// `None` when there is none. Writes to disk.
    pub fn take_cosignature(
        &self,
        partner: &str,
        vkey: &CosignerVkey,
        note: &[u8],
        answer: &[u8],
        now: Now,
    ) -> Result<Option<i64>, WitnessFault> {
        let signed = Note::parse(note)?;
        let Ok(checkpoint) = Checkpoint::parse_text(signed.text()) else {
            return Err(NoteFault::Malformed.into());
        };
        let lines = std::str::from_utf8(answer).unwrap_or_default().lines();
        let own = lines
            .filter_map(SignatureLine::parse)
            .filter(|line| vkey.claims(line))
            .find_map(|line| Some((vkey.time_of(signed.text(), &line).ok()?, line)));
        let Some((time, line)) = own else { return Ok(None) };
        let note = note_of(signed.text(), signed.signatures().iter().chain([&line]));
        let cosigned = Cosigned { origin: checkpoint.origin, size: checkpoint.size, note, at: now.secs() };
        let mut book = self.book();
        book.put_witness(partner, &vkey.to_string(), now.secs())?;
        book.put_own(&OwnCosigned { partner: partner.to_owned(), cosigned })?;
        Ok(Some(time))
    }

    /// Joins what was gathered for this checkpoint; kept when it is enough. Writes to disk.
    pub fn join(&self, note: &[u8], now: Now) -> Result<Joined, WitnessFault> {
        let signed = Note::parse(note)?;
        let Ok(checkpoint) = Checkpoint::parse_text(signed.text()) else {
            return Err(NoteFault::Malformed.into());
        };
        let mut book = self.book();
        let mut lines: Vec<SignatureLine> = signed.signatures().to_vec();
        for own in book.shown()?.own {
            let same = own.cosigned.origin == checkpoint.origin && own.cosigned.size == checkpoint.size;
            let Some(kept) = Note::parse(&own.cosigned.note).ok().filter(|_| same) else { continue };
            if kept.text() == signed.text() {
                lines.extend(
                    kept.signatures().iter().filter(|line| !signed.signatures().contains(line)).cloned(),
                );
            }
        }
        let note = note_of(signed.text(), &lines);
        let joined = Note::parse(&note)?;
        let judged = match self.policy() {
            Some(policy) => policy.judge(&joined)?,
            None => Judged { quorum: true, by: Vec::new() },
        };
        // Without a cosignature there is nothing to show that the plain note would not.
        if judged.quorum && lines.len() > signed.signatures().len() {
            let Checkpoint { origin, size, .. } = checkpoint;
            book.put_quorum(&Cosigned { origin, size, note: note.clone(), at: now.secs() })?;
            self.inner.quorum_at.fetch_max(now.secs(), Ordering::Relaxed);
        }
        Ok(Joined { note, judged })
    }
}
