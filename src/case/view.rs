//! A case as it is told: to the partner (`application.status`) and to the region's own
//! people, with how each material was proven, by whom and when.

use serde::Serialize;

use super::clock;
use super::copy::Case;
use super::event::CommitmentOutcome;
use super::message::{ClockView, EventLine, Receipt, StatusResult, Transport, VerificationOutcome};
use super::record::{
    Acceptance, Correction, Decision, Delivery, Evaluation, LocalStep, Mark, Material, Notice, Part, Special,
    Transfer,
};
use super::state::{Role, State};
use super::submit::{CollectingSide, HandlingSide, Native, Proof};
use super::supervision::{Supervision, supervision};
use crate::clock::Now;
use crate::domain::{Calendar, Evidence, HandlingMode, Necessity, Unpublished};

/// The result of `application.status`.
pub fn status(
    case: &Case,
    transport: Transport,
    now: Now,
    calendar: &Calendar,
) -> Result<StatusResult, Unpublished> {
    let line = |mark: &Mark| EventLine {
        seq: mark.seq,
        event: mark.event.clone(),
        at: mark.at,
        digest: mark.digest.clone(),
    };
    Ok(StatusResult {
        case: case.number.clone(),
        state: case.state,
        transport,
        clock: clock::view(case, now, calendar)?,
        events: case.events.iter().map(line).collect(),
    })
}

/// The receipt of the event with this number; of the submit, with what is awaited now.
pub fn receipt(case: &Case, seq: u32) -> Option<Receipt> {
    let mark = case.event(seq)?;
    let of_submit = seq == 0;
    Some(Receipt {
        case: case.number.clone(),
        seq,
        digest: mark.digest.clone(),
        state: mark.state,
        received_at: case.received_at.filter(|_| of_submit),
        awaiting: of_submit.then(|| case.awaiting()),
    })
}

/// A case for the region's own window systems and pages.
#[derive(Debug, Serialize)]
pub struct CaseView<'c> {
    pub case: &'c str,
    pub role: Role,
    pub agreement: &'c str,
    pub item: &'c str,
    pub item_name: &'c str,
    pub mode: HandlingMode,
    pub parent: Option<&'c str>,
    pub parts: &'c [Part],
    pub collecting: &'c CollectingSide,
    pub handling: &'c HandlingSide,
    pub native: &'c Native,
    /// The name, masked.
    pub applicant: &'c str,
    pub state: State,
    pub state_zh: &'static str,
    pub transport: Transport,
    /// `None` while the calendar of a year it reaches into is unpublished.
    pub clock: Option<ClockView>,
    pub legal_due: Option<i64>,
    pub legal_overdue: bool,
    pub received_at: Option<i64>,
    pub awaiting: Vec<String>,
    pub materials: Vec<MaterialView<'c>>,
    pub notice: Option<&'c Notice>,
    pub acceptance: Option<&'c Acceptance>,
    pub specials: &'c [Special],
    pub extended_working_days: Option<u32>,
    pub decision: Option<&'c Decision>,
    pub licenses: &'c [String],
    pub delivery: Option<&'c Delivery>,
    pub transfers: &'c [Transfer],
    pub evaluations: &'c [Evaluation],
    pub corrections: &'c [Correction],
    pub supervision: Vec<Supervision>,
    pub local: &'c [LocalStep],
    pub events: &'c [Mark],
}

/// How a material stands and who says so.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct MaterialView<'c> {
    pub code: &'c str,
    pub name: &'c str,
    pub necessity: Option<Necessity>,
    pub evidence: Evidence,
    pub evidence_zh: &'static str,
    /// The lookup, the verification, the told text's digest or the file's SHA-256.
    pub reference: &'c str,
    pub standing: Standing,
    pub standing_zh: &'static str,
    /// Since when it stands so (seconds since the epoch), and by whose word.
    pub at: i64,
    pub by: &'c str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Shown by a register, an answer or a file that is here.
    Proven,
    /// A file or an answer is still to come.
    Awaited,
    /// Promised by the applicant.
    Committed,
    /// Answered or found otherwise.
    Refuted,
    Lapsed,
    Unable,
}

/// The view of the region's own people. `transport` is the outbox's word.
pub fn view<'c>(case: &'c Case, transport: Transport, now: Now, calendar: &Calendar) -> CaseView<'c> {
    let running = clock::running(case, calendar).ok();
    CaseView {
        case: &case.number,
        role: case.role,
        agreement: &case.agreement,
        item: &case.terms.item,
        item_name: &case.terms.name,
        mode: case.terms.mode,
        parent: case.parent.as_deref(),
        parts: &case.parts,
        collecting: &case.collecting,
        handling: &case.handling,
        native: &case.native,
        applicant: &case.applicant,
        state: case.state,
        state_zh: case.state.zh(),
        transport,
        clock: clock::view(case, now, calendar).ok(),
        legal_due: running.and_then(|running| running.legal_due).map(Now::secs),
        legal_overdue: running
            .and_then(|running| running.standing(now, calendar).ok())
            .is_some_and(|(_, legal)| legal),
        received_at: case.received_at,
        awaiting: case.awaiting(),
        materials: case.materials.iter().map(|material| of_material(case, material)).collect(),
        notice: case.notice.as_ref(),
        acceptance: case.acceptance.as_ref(),
        specials: &case.specials,
        extended_working_days: case.extension,
        decision: case.decision.as_ref(),
        licenses: &case.licenses,
        delivery: case.delivery.as_ref(),
        transfers: &case.transfers,
        evaluations: &case.evaluations,
        corrections: &case.corrections,
        supervision: supervision(case, now, calendar).unwrap_or_default(),
        local: &case.local,
        events: &case.events,
    }
}

fn of_material<'c>(case: &Case, material: &'c Material) -> MaterialView<'c> {
    let shown = (material.shown_at, material.officer.as_str());
    let (reference, standing, (at, by)) = match &material.proof {
        Proof::SharedData { exchange } => (exchange, Standing::Proven, shown),
        Proof::TimedVerification { verification } => match &material.verified {
            Some(answer) => (verification, verified(answer.outcome), (answer.at, answer.officer.as_str())),
            None => match material.lapsed_at {
                Some(at) => (verification, Standing::Lapsed, (at, shown.1)),
                None => (verification, Standing::Awaited, shown),
            },
        },
        Proof::Commitment { commitment } => match &material.checked {
            Some(check) => {
                (&commitment.text_digest, checked(check.outcome), (check.at, check.officer.as_str()))
            }
            None => (&commitment.text_digest, Standing::Committed, shown),
        },
        Proof::Upload { sha256, .. } => match material.here_at {
            Some(at) => (sha256, Standing::Proven, (at, shown.1)),
            None => (sha256, Standing::Awaited, shown),
        },
    };
    let evidence = material.proof.evidence();
    MaterialView {
        code: &material.code,
        name: &material.name,
        necessity: case.terms.material(&material.code).map(|terms| terms.necessity),
        evidence,
        evidence_zh: match evidence {
            Evidence::SharedData => "数据共享",
            Evidence::TimedVerification => "部门限时核验",
            Evidence::Commitment => "告知承诺",
            Evidence::Upload => "上传材料",
        },
        reference,
        standing,
        standing_zh: match standing {
            Standing::Proven => "已证明",
            Standing::Awaited => "待到达",
            Standing::Committed => "已承诺",
            Standing::Refuted => "不属实",
            Standing::Lapsed if evidence == Evidence::TimedVerification => "逾期未答复",
            Standing::Lapsed => "逾期未兑现",
            Standing::Unable => "无法核验",
        },
        at,
        by,
    }
}

const fn verified(outcome: VerificationOutcome) -> Standing {
    match outcome {
        VerificationOutcome::Confirmed => Standing::Proven,
        VerificationOutcome::Refuted => Standing::Refuted,
        VerificationOutcome::Unable => Standing::Unable,
    }
}

const fn checked(outcome: CommitmentOutcome) -> Standing {
    match outcome {
        CommitmentOutcome::Fulfilled => Standing::Proven,
        CommitmentOutcome::Lapsed => Standing::Lapsed,
        CommitmentOutcome::False => Standing::Refuted,
    }
}
