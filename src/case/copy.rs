//! One side's copy of a case: made from the submit, and from then on only by events.

use serde::{Deserialize, Serialize};

use super::content::{self, Sides};
use super::event::Actor;
use super::machine::{self, Act, Facts, Illegal};
use super::record::{
    Acceptance, Correction, Decision, Delivery, Evaluation, LocalStep, Mark, Material, Notice, Part, Special,
    Transfer,
};
use super::state::{Role, State};
use super::submit::{CollectingSide, HandlingSide, Native, Proof, Shown, SubmitBody};
use super::terms::Terms;
use crate::clock::Now;
use crate::domain::{CaseNumber, HandlingMode, Unpublished};
use crate::fault::{Fault, MOST_FAULTS};

/// A case as one side holds it. Every change makes a new one; stored as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    pub(super) number: String,
    /// Which of the two copies this is.
    pub(super) role: Role,
    /// Id of the agreement.
    pub(super) agreement: String,
    pub(super) terms: Terms,
    pub(super) parent: Option<String>,
    pub(super) parts: Vec<Part>,
    pub(super) collecting: CollectingSide,
    pub(super) handling: HandlingSide,
    pub(super) native: Native,
    /// The applicant's name with all but its first character hidden: enough for a list.
    pub(super) applicant: String,
    pub(super) state: State,
    /// Event 0 and what followed, in order.
    pub(super) events: Vec<Mark>,
    pub(super) local: Vec<LocalStep>,
    /// When the handling side received it.
    pub(super) received_at: Option<i64>,
    pub(super) materials: Vec<Material>,
    pub(super) nacks: u8,
    pub(super) notice: Option<Notice>,
    pub(super) acceptance: Option<Acceptance>,
    pub(super) specials: Vec<Special>,
    /// Working days of the one extension.
    pub(super) extension: Option<u32>,
    pub(super) decision: Option<Decision>,
    pub(super) licenses: Vec<String>,
    pub(super) delivery: Option<Delivery>,
    pub(super) transfers: Vec<Transfer>,
    pub(super) evaluations: Vec<Evaluation>,
    pub(super) corrections: Vec<Correction>,
}

/// Why something is not done to a case. The case is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaseFault {
    #[error("the event is not possible: {0}")]
    IllegalTransition(Illegal),
    #[error("seq or prev does not continue the case")]
    SequenceGap,
    /// Pointers are within the body.
    #[error("the body disagrees with the case or the agreement")]
    Schema(Vec<Fault>),
    #[error(transparent)]
    CalendarUnpublished(#[from] Unpublished),
    #[error("the receipt is of another event")]
    ForeignReceipt,
}

impl From<Illegal> for CaseFault {
    fn from(illegal: Illegal) -> Self {
        Self::IllegalTransition(illegal)
    }
}

/// What a case is opened with.
pub struct Opening<'a> {
    pub number: &'a CaseNumber,
    /// Which copy this is.
    pub role: Role,
    pub sides: Sides,
    /// Id of the agreement, and its terms for the item.
    pub agreement: &'a str,
    pub terms: Terms,
}

impl Case {
    /// Opens this side's copy from a submit that met its schema. At the handling side the case
    /// is RECEIVED at once; at the collecting side it is COLLECTED, or SUBMITTED where there
    /// is no window, and waits for [`Case::local`] to relay it. `digest` is that of the body.
    pub fn open(opening: Opening<'_>, submit: &SubmitBody, digest: &str, at: Now) -> Result<Self, CaseFault> {
        let Opening { number, role, sides, agreement, terms } = opening;
        faultless(content::submit(submit, number, sides, &terms, at.shanghai_day()))?;
        let collected_at = submit.collecting.collected_at;
        let state = match role {
            Role::Handling => State::Received,
            Role::Collecting if terms.mode == HandlingMode::Online => State::Submitted,
            Role::Collecting => State::Collected,
        };
        Ok(Self {
            number: number.as_str().to_owned(),
            role,
            agreement: agreement.to_owned(),
            parent: submit.parent.clone(),
            parts: Vec::new(),
            collecting: submit.collecting.clone(),
            handling: submit.handling.clone(),
            native: submit.native.clone().unwrap_or_default(),
            applicant: masked(&submit.applicant.name),
            state,
            events: vec![Mark {
                seq: 0,
                event: Act::Submit.event().to_owned(),
                at: collected_at,
                from: Role::Collecting,
                org: submit.collecting.org.clone(),
                officer: submit.collecting.officer.clone(),
                digest: digest.to_owned(),
                state: State::Received,
            }],
            local: Vec::new(),
            received_at: (role == Role::Handling).then(|| at.secs()),
            materials: shown(&submit.materials, collected_at, Role::Collecting, &submit.collecting.officer),
            terms,
            nacks: 0,
            notice: None,
            acceptance: None,
            specials: Vec::new(),
            extension: None,
            decision: None,
            licenses: Vec::new(),
            delivery: None,
            transfers: Vec::new(),
            evaluations: Vec::new(),
            corrections: Vec::new(),
        })
    }

    /// A step before the relay, at the collecting side: route, collect, reject_form, relay; or
    /// a withdrawal that the handling side need not hear of.
    pub fn local(&self, act: Act, by: &Actor, at: Now) -> Result<Self, CaseFault> {
        let unsent =
            matches!(self.state, State::Submitted | State::Collected | State::Returned | State::RelayFailed);
        let possible = (act.is_local() && act != Act::Resubmit) || (act == Act::Withdraw && unsent);
        if self.role != Role::Collecting || !possible {
            return Err(Illegal::State.into());
        }
        let mut next = self.clone();
        next.step(act, by, at)?;
        Ok(next)
    }

    /// The application again after [`Act::RejectForm`], with the body that will be relayed.
    pub fn resubmit(
        &self,
        opening: Opening<'_>,
        submit: &SubmitBody,
        digest: &str,
        by: &Actor,
        at: Now,
    ) -> Result<Self, CaseFault> {
        let mut next = Self::open(opening, submit, digest, at)?;
        next.state = self.state;
        next.local.clone_from(&self.local);
        next.step(Act::Resubmit, by, at)?;
        Ok(next)
    }

    fn step(&mut self, act: Act, by: &Actor, at: Now) -> Result<(), Illegal> {
        self.state = machine::next(Some(self.state), act, Role::Collecting, &self.facts())?;
        let (event, officer) = (act.event().to_owned(), by.officer.clone());
        self.local.push(LocalStep { event, at: at.secs(), officer, state: self.state });
        Ok(())
    }

    /// The past, as the machine asks for it.
    pub fn facts(&self) -> Facts {
        let at_once = |kind: Option<&String>| kind.is_some_and(|kind| kind == "1");
        let accepted_as = self.acceptance.as_ref().and_then(|a| a.project_type.as_ref());
        let tolerance = self.acceptance.as_ref().and_then(|a| a.tolerance.as_ref());
        let decides_elsewhere = self.role == Role::Collecting;
        Facts {
            mode: self.terms.mode,
            at_once: at_once(accepted_as.or(self.terms.project_type.as_ref())),
            nacks: self.nacks,
            notice_given: self.notice.is_some(),
            silence_accepts: self.terms.silence_accepts(),
            extended: self.extension.is_some(),
            tolerant: tolerance.is_some_and(|tolerance| !tolerance.filled),
            // How the parts stand, the side that decides knows; the other hears of them in
            // whatever order they come.
            parts_final: decides_elsewhere || self.parts.iter().all(|part| part.state.is_final()),
            parts_granted: decides_elsewhere || self.parts.iter().all(|part| part.granted || !part.mandatory),
        }
    }

    pub fn number(&self) -> &str {
        &self.number
    }
    pub fn role(&self) -> Role {
        self.role
    }
    pub fn agreement(&self) -> &str {
        &self.agreement
    }
    pub fn terms(&self) -> &Terms {
        &self.terms
    }
    pub fn parent(&self) -> Option<&str> {
        self.parent.as_deref()
    }
    pub fn state(&self) -> State {
        self.state
    }
    pub fn collecting(&self) -> &CollectingSide {
        &self.collecting
    }
    pub fn handling(&self) -> &HandlingSide {
        &self.handling
    }
    /// The region that holds the other copy.
    pub fn partner(&self) -> crate::domain::Region {
        match self.role {
            Role::Collecting => self.handling.region,
            Role::Handling => self.collecting.region,
        }
    }
    pub fn events(&self) -> &[Mark] {
        &self.events
    }
    pub fn materials(&self) -> &[Material] {
        &self.materials
    }
    pub fn licenses(&self) -> &[String] {
        &self.licenses
    }
    pub fn evaluations(&self) -> &[Evaluation] {
        &self.evaluations
    }
    pub fn corrections(&self) -> &[Correction] {
        &self.corrections
    }
    pub fn received_at(&self) -> Option<i64> {
        self.received_at
    }
    /// Number and digest of the last event: what the next one continues.
    pub fn last(&self) -> (u32, &str) {
        self.events.last().map_or((0, ""), |last| (last.seq, last.digest.as_str()))
    }
    /// The event with this number, if it has been applied.
    pub fn event(&self, seq: u32) -> Option<&Mark> {
        self.events.iter().find(|mark| mark.seq == seq)
    }
    /// Decided in the applicant's favour.
    pub fn is_granted(&self) -> bool {
        self.decision.as_ref().is_some_and(|decision| decision.outcome == super::event::Outcome::Grant)
    }
    /// SHA-256 (hex) of the files that are not yet at the handling side, in the order shown.
    pub fn awaiting(&self) -> Vec<String> {
        let mut awaited = Vec::new();
        for material in self.materials.iter().filter(|material| material.here_at.is_none()) {
            if let Proof::Upload { sha256, .. } = &material.proof
                && !awaited.contains(sha256)
            {
                awaited.push(sha256.clone());
            }
        }
        awaited
    }
}

/// Shown materials as a case keeps them.
pub(super) fn shown(materials: &[Shown], at: i64, by: Role, officer: &str) -> Vec<Material> {
    let material = |shown: &Shown| Material {
        code: shown.code.clone(),
        name: shown.name.clone(),
        proof: shown.proof.clone(),
        shown_at: at,
        shown_by: by,
        officer: officer.to_owned(),
        here_at: None,
        verified: None,
        lapsed_at: None,
        checked: None,
    };
    materials.iter().map(material).collect()
}

pub(super) fn faultless(mut faults: Vec<Fault>) -> Result<(), CaseFault> {
    faults.truncate(MOST_FAULTS);
    if faults.is_empty() { Ok(()) } else { Err(CaseFault::Schema(faults)) }
}

/// 测试甲 → 测**.
fn masked(name: &str) -> String {
    let mut characters = name.chars();
    let first: String = characters.next().into_iter().collect();
    first + &"*".repeat(characters.count())
}
