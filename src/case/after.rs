//! What follows a case's end: 好差评 and 校核纠错. None of it moves the case's state.

use super::copy::{Case, CaseFault};
use super::event::{CorrectionData, CorrectionOutcome, EvaluationData};
use super::machine::Illegal;
use super::record::{Correction, Evaluation};
use super::state::Role;
use crate::fault::Fault;

impl Case {
    /// Once per side, and one follow-up (好差评).
    pub(super) fn evaluate(&mut self, data: &EvaluationData) -> Result<(), CaseFault> {
        let given = self.evaluations.iter().filter(|evaluation| evaluation.role == data.role).count();
        if usize::from(data.times) != given + 1 {
            return Err(Illegal::Evaluated.into());
        }
        self.evaluations.push(Evaluation {
            role: data.role,
            times: data.times,
            satisfaction: data.satisfaction.clone(),
            channel: data.channel.clone(),
            at: data.at,
            rectified_at: None,
        });
        Ok(())
    }

    pub(super) fn rectify(&mut self, role: Role, times: u8, at: i64, from: Role) -> Result<(), CaseFault> {
        if role != from {
            return Err(Illegal::Role.into());
        }
        let mut open = self.evaluations.iter_mut().filter(|e| e.role == role && e.times == times);
        let evaluation = open.find(|e| e.awaits_rectification()).ok_or(Illegal::NothingOpen)?;
        evaluation.rectified_at = Some(at);
        Ok(())
    }

    pub(super) fn request_correction(
        &mut self,
        data: &CorrectionData,
        from: Role,
        at: i64,
    ) -> Result<(), CaseFault> {
        if self.corrections.iter().any(|known| known.id == data.id) {
            let words = ("names a correction a second time", "纠错编号重复");
            return Err(CaseFault::Schema(vec![Fault::new("/data/id", "uniqueItems", words.0, words.1)]));
        }
        self.corrections.push(Correction {
            id: data.id.clone(),
            asked_by: from,
            exchange: data.exchange.clone(),
            license_id: data.license_id.clone(),
            field: data.field.clone(),
            at,
            due: data.due,
            answered: None,
        });
        Ok(())
    }

    /// The side that was asked answers, once.
    pub(super) fn answer_correction(
        &mut self,
        id: &str,
        outcome: CorrectionOutcome,
        from: Role,
        at: i64,
    ) -> Result<(), CaseFault> {
        let mut open = self.corrections.iter_mut().filter(|correction| correction.answered.is_none());
        let correction = open.find(|correction| correction.id == id).ok_or(Illegal::NothingOpen)?;
        if correction.asked_by == from {
            return Err(Illegal::Role.into());
        }
        correction.answered = Some((at, outcome));
        Ok(())
    }
}
