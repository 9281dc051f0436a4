//! Who is on the other side of the TLS connection, in both directions.
//!
//! Promises: a [`PeerIdentity`] exists only for a chain that names exactly one active
//! member and is trusted now (protocol §2); requests go to the endpoint of a partner's
//! card and to nobody but that partner.
//! Leaves to others: reading HTTP (the doors) and what the member may do (policy).

mod card;
mod client;
mod connection;
mod credentials;
mod directory;
mod tls;
mod trust;
mod upload;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
pub(crate) use tls::partner_client_config;

pub use card::{Card, Endpoint, LedgerName, Status};
pub use client::{Attempt, ClientLimits, PartnerAnswer, PartnerClients, SendFault};
pub use credentials::{Credentials, CredentialsFault, shows_published_key, spki_sha256};
pub use directory::{Directory, NotAMember, PeerIdentity, region_of};
pub use tls::{console_server_config, partner_server_config, plain_server_config, provider};
pub use trust::{CaFile, CrlFile, Distrust, Trust, TrustFileFault, Validity};
pub use upload::{Put, PutFault};
