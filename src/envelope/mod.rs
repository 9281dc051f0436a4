//! The signed envelope: one compact JWS, the whole HTTP body (protocol §3).
//!
//! Promises: nothing of a message is believed before its signature holds, what is accepted has
//! exactly one reading, and every fault is the first one in the order of protocol §3.4. Only
//! canonical messages are made here. Leaves to others: who the peer is, what the claims allow.

mod claimed;
mod claims;
mod id;
mod jws;
mod replay;
mod response;
#[cfg(test)]
mod tests;
pub mod times;

pub use claimed::claimed_op;
pub use claims::{Basis, MOST_SHORT_MESSAGE_BYTES, Op, PingBody, RequestClaims, is_message_id};
pub use id::{new_answer_id, new_message_id, new_trace};
pub use jws::MOST_MESSAGE_BYTES;
pub use jws::{
    EnvelopeFault, MalformedReason, Opened, SignatureReason, SignedMessage, Typ, digest, seal, seal_text,
};
pub use replay::{Claim, FreshId, Replay, UsedId, id_key};
pub use response::{Asked, LogPlace, RequestReference, ResponseClaims, ResponseFault, check_response};
pub use times::TimeFault;
