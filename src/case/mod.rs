//! The life of an application between two regions (protocol §6, domain reference §7).
//!
//! Promises: pure; the same events make the same case on both sides; an event that is not
//! allowed changes nothing; deadlines, colours and supervision follow from the case alone.
//! Durability, delivery, who may speak and whether an authorization holds is left to others.

mod after;
mod copy;
pub mod clock;
mod content;
mod event;
mod judge;
mod machine;
mod message;
mod news;
mod record;
mod state;
mod submit;
mod supervision;
mod terms;
#[cfg(test)]
mod tests;
mod timers;
mod view;

pub use content::Sides;
pub use copy::{Case, CaseFault, Opening};
pub use event::{
    AcceptData, Actor, CommitmentOutcome, CorrectionData, CorrectionOutcome, Defect, EvaluationData,
    EventBody, EventData, Lacking, Outcome, TolerantData, digest, digest_text,
};
pub use judge::MOST_EVENTS;
pub use machine::{Act, Facts, Illegal, MOST_RELAY_RETRIES, next};
pub use message::{
    ClockView, EventLine, Receipt, StatusBody, StatusResult, Transport, VerificationAnswerBody,
    VerificationOutcome, VerificationReceipt, VerificationRequestBody, VerifiedHolder, VerifiedLicense,
};
pub use record::{
    Acceptance, Checked, Correction, Decision, Delivery, Evaluation, LocalStep, Mark, Material, Notice, Part,
    Special, Tolerance, Transfer, Verified,
};
pub use state::{Role, State};
pub use submit::{
    Agent, Applicant, CollectingSide, Commitment, HandlingSide, Native, Proof, Shown, SubmitBody,
};
pub use supervision::{Supervision, Warning, supervision};
pub use terms::{MaterialTerms, Terms};
pub use timers::{RECTIFICATION_LIMIT, TimerEvent, timers};
pub use view::{CaseView, MaterialView, Standing, receipt, status, view};
