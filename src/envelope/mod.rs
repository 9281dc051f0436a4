//! The signed envelope: one compact JWS, the whole HTTP body (protocol §3).

mod claims;

pub use claims::{Basis, Op, RequestClaims};
