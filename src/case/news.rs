//! What a case learns otherwise than by an event: the receipt of its submit, files that
//! arrive, answers of departments, and how its parts stand.

use super::copy::{Case, CaseFault};
use super::machine::Act;
use super::message::{Receipt, VerificationAnswerBody};
use super::record::{LocalStep, Part, Verified};
use super::state::{Role, State};
use super::submit::Proof;
use crate::clock::Now;

impl Case {
    /// The handling side's signed receipt of event 0 has arrived at the collecting side.
    pub fn received(&self, receipt: &Receipt) -> Result<Self, CaseFault> {
        let of_submit = self.events.first().is_some_and(|first| first.digest == receipt.digest);
        if self.role != Role::Collecting || receipt.case != self.number || receipt.seq != 0 || !of_submit {
            return Err(CaseFault::ForeignReceipt);
        }
        let mut next = self.clone();
        if next.state.is_before_receipt() {
            next.state = State::Received;
        }
        next.received_at = receipt.received_at.or(next.received_at);
        let awaited = receipt.awaiting.as_deref().unwrap_or_default();
        for material in &mut next.materials {
            if let Proof::Upload { sha256, .. } = &material.proof
                && material.here_at.is_none()
                && !awaited.contains(sha256)
            {
                material.here_at = receipt.received_at;
            }
        }
        Ok(next)
    }

    /// The handling side has signed that it does not take the submit: it was never its case.
    #[must_use]
    pub fn refused(&self, at: Now) -> Self {
        let mut next = self.clone();
        if next.role == Role::Collecting && next.state == State::Relayed {
            next.state = State::RelayFailed;
            next.local.push(LocalStep {
                event: Act::Nack.event().to_owned(),
                at: at.secs(),
                officer: String::new(),
                state: State::RelayFailed,
            });
        }
        next
    }

    /// A file is at the handling side, whole and with its digest.
    #[must_use]
    pub fn arrived(&self, file: &str, at: Now) -> Self {
        let mut next = self.clone();
        for material in &mut next.materials {
            if matches!(&material.proof, Proof::Upload { sha256, .. } if sha256 == file) {
                material.here_at = material.here_at.or(Some(at.secs()));
            }
        }
        next
    }

    /// A department answered the verification that stands for a material.
    #[must_use]
    pub fn verified(&self, answer: &VerificationAnswerBody) -> Self {
        let mut next = self.clone();
        for material in &mut next.materials {
            if matches!(&material.proof, Proof::TimedVerification { verification } if *verification == answer.id)
            {
                material.verified = Some(Verified {
                    outcome: answer.outcome,
                    at: answer.at,
                    org: answer.by.org.clone(),
                    officer: answer.by.officer.clone(),
                });
            }
        }
        next
    }

    /// The time of the verification that stands for a material is over. A late answer still
    /// counts: it is told with its own day.
    #[must_use]
    pub fn verification_lapsed(&self, id: &str, at: Now) -> Self {
        let mut next = self.clone();
        for material in &mut next.materials {
            if matches!(&material.proof, Proof::TimedVerification { verification } if verification == id) {
                material.lapsed_at = material.lapsed_at.or(Some(at.secs()));
            }
        }
        next
    }

    /// Whether `part` may stand as a part of this case on this side: taken in by the same
    /// window's region, and of a case that is no part itself.
    pub fn may_have_part(&self, part: &Case) -> bool {
        part.parent.as_deref() == Some(self.number.as_str())
            && self.parent.is_none()
            && self.role == part.role
            && self.collecting.region == part.collecting.region
    }

    /// What is known here of a part of this case.
    #[must_use]
    pub fn with_part(&self, part: &Case, mandatory: bool) -> Self {
        let mut next = self.clone();
        next.parts.retain(|known| known.case != part.number);
        next.parts.push(Part {
            case: part.number.clone(),
            mandatory,
            state: part.state,
            granted: part.is_granted(),
        });
        next
    }
}
