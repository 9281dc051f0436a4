//! What the corridor answers: a result or a refusal, with its HTTP face.

use serde_json::Value;

use super::Refusal;

/// The outcome of one exchange. Both kinds are recorded and signed alike.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Status 200 with this result.
    Result(Value),
    /// Status 202: taken in, with this receipt.
    Accepted(Value),
    Refused(Refusal),
}

impl Reply {
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Result(_) | Self::Accepted(_) => None,
        }
    }

    pub fn status(&self) -> u16 {
        match self {
            Self::Result(_) => 200,
            Self::Accepted(_) => 202,
            Self::Refused(refusal) => refusal.code.status(),
        }
    }
}

/// The body of an unsigned refusal: `application/problem+json`.
pub fn unsigned_problem(refusal: &Refusal, trace: &str) -> Vec<u8> {
    refusal.problem_text(trace)
}
