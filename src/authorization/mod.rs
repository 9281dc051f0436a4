//! The citizen's yes: a token signed by an authority (the province's app), carried by a request,
//! which must by itself cover exactly what is asked (protocol §3.3).
//!
//! Promises: a [`Consent`] exists only if the token is an authority's, of now, for this asking
//! gateway and this answering one, for this holder, bound to the key that signed the request,
//! not revoked, and one of its entries alone covers the request. Asking for more is refused,
//! never narrowed. Leaves counting uses to the ledger, which commits them with the answer, and
//! fetching status lists to the gateway.

mod authority;
mod authorizer;
mod cover;
mod redeemed;
mod status_list;
#[cfg(test)]
mod tests;
mod token;

pub use authority::{
    Authorities, Authority, AuthorityDocument, StatusListEntry, StatusListSource, StatusListWhere,
};
pub use authorizer::{Authorizer, Consent};
pub use cover::{Action, Ask};
pub use redeemed::{Redeemed, check_redeemed};
pub use status_list::{MOST_LIST_FILE_BYTES, Status, StatusList, StatusListFault, StatusLists};
pub use token::{
    AuthorizationClaims, Confirmation, Detail, Guardian, LICENSE_DETAIL, LicenseDetail, StatusClaim,
    StatusReference, holder_digest, token_id,
};

use crate::envelope::{EnvelopeFault, MalformedReason, SignatureReason};

/// The whole token (bytes): protocol §3.
pub const MOST_TOKEN_BYTES: usize = 8 * 1024;

/// Why a token does not authorize the request: the first check that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AuthorizationFault {
    #[error("the authorization is invalid: {}", .0.word())]
    Invalid(InvalidReason),
    #[error("the authorization has expired")]
    Expired,
    #[error("the authorization was revoked")]
    Revoked,
    /// The status list that would say is missing or past its own `exp`: nobody can tell.
    #[error("the status list of the authorization is stale")]
    StatusStale,
    #[error("no single entry of the authorization covers the request")]
    Insufficient,
    /// Found by the ledger when it counts, not here.
    #[error("the authorization has no uses left")]
    UsedUp,
}

/// The `reason` of `authorization-invalid`: stable words, in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InvalidReason {
    Size,
    Characters,
    Parts,
    Base64url,
    Header,
    Typ,
    KidNotTheirs,
    AlgNotRegistered,
    SignatureMismatch,
    Json,
    Schema,
    Issuer,
    Audience,
    Client,
    NotYetValid,
    Lifetime,
    Holder,
    KeyBinding,
    StatusListUnknown,
    StatusIndex,
}

impl InvalidReason {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Characters => "characters",
            Self::Parts => "parts",
            Self::Base64url => "base64url",
            Self::Header => "header",
            Self::Typ => "typ",
            Self::KidNotTheirs => "kid-not-theirs",
            Self::AlgNotRegistered => "alg-not-registered",
            Self::SignatureMismatch => "signature-mismatch",
            Self::Json => "JSON",
            Self::Schema => "schema",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Client => "client",
            Self::NotYetValid => "not-yet-valid",
            Self::Lifetime => "lifetime",
            Self::Holder => "holder",
            Self::KeyBinding => "key-binding",
            Self::StatusListUnknown => "status-list-unknown",
            Self::StatusIndex => "status-index",
        }
    }
}

impl From<EnvelopeFault> for AuthorizationFault {
    fn from(fault: EnvelopeFault) -> Self {
        Self::Invalid(match fault {
            EnvelopeFault::TooLarge => InvalidReason::Size,
            EnvelopeFault::Malformed(MalformedReason::Characters) => InvalidReason::Characters,
            EnvelopeFault::Malformed(MalformedReason::Parts) => InvalidReason::Parts,
            EnvelopeFault::Malformed(MalformedReason::Base64url) => InvalidReason::Base64url,
            EnvelopeFault::Malformed(MalformedReason::Header) => InvalidReason::Header,
            EnvelopeFault::Malformed(MalformedReason::Typ) => InvalidReason::Typ,
            EnvelopeFault::Malformed(MalformedReason::Json) => InvalidReason::Json,
            EnvelopeFault::Signature(SignatureReason::KidNotYours) => InvalidReason::KidNotTheirs,
            EnvelopeFault::Signature(SignatureReason::AlgNotRegistered) => InvalidReason::AlgNotRegistered,
            EnvelopeFault::Signature(SignatureReason::SignatureMismatch) => InvalidReason::SignatureMismatch,
        })
    }
}
