//! The life of an application between two regions (protocol §6).
//!
//! Promises: pure; the same events make the same case on both sides; an event that is not
//! allowed changes nothing. Durability, delivery and who may speak is left to others.

mod event;
mod machine;
mod message;
mod state;
mod submit;

pub use event::{
    AcceptData, Actor, CommitmentOutcome, CorrectionData, CorrectionOutcome, Defect, EvaluationData,
    EventBody, EventData, Lacking, Outcome, TolerantData, digest, digest_text,
};
pub use machine::{Act, Facts, Illegal, MOST_RELAY_RETRIES, next};
pub use message::{
    ClockView, EventLine, Receipt, StatusBody, StatusResult, Transport, VerificationAnswerBody,
    VerificationOutcome, VerificationReceipt, VerificationRequestBody, VerifiedHolder, VerifiedLicense,
};
pub use state::{Role, State};
pub use submit::{
    Agent, Applicant, CollectingSide, Commitment, HandlingSide, Native, Proof, Shown, SubmitBody,
};

#[cfg(test)]
mod tests;
