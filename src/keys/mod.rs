//! Keys: what may sign what.
//!
//! Promises: a key has one algorithm and one owner, its id is recomputed from its own bytes,
//! weak and ill-formed keys are refused when they are loaded, and the verifier is built then,
//! never per message. A role (gateway, authority) is a separate [`KeySet`], so a key outside its
//! role is simply unknown. Only JWK comes in: no DER or PEM from a partner is ever parsed.

mod algorithm;
pub mod example;
mod jwk;
mod jws;
mod private_file;
mod set;
mod signing;
#[cfg(test)]
mod forgery_tests;
#[cfg(test)]
mod tests;
mod weak;

pub use algorithm::Algorithm;
pub use jwk::JwkFault;
pub use jws::Hashed;
pub use private_file::{KeyFileFault, read_or_make_secret, read_private_file, write_private_file};
pub use set::{KeySet, MOST_KEYS, VerifyingKey};
pub use signing::{GenerateFault, SignFault, SigningKey};
