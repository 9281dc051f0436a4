//! The signature algorithms a key may be registered with (protocol §3).

use josekit::jws::JwsAlgorithm;

/// A signature algorithm, the property of a registered key, never of a message. `EdDSA` and
/// `Ed25519` compute the same but are two names (RFC 9864): a header must carry the registered one.
///
/// SM2 will join here as one more [`JwsAlgorithm`] beside its key type in `keys/jwk.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Es256,
    Ps256,
    EdDsa,
    Ed25519,
}

impl Algorithm {
    /// The header's `alg` value, byte for byte.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Ps256 => "PS256",
            Self::EdDsa => "EdDSA",
            Self::Ed25519 => "Ed25519",
        }
    }

    /// The algorithm of exactly that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Es256, Self::Ps256, Self::EdDsa, Self::Ed25519].into_iter().find(|alg| alg.name() == name)
    }
}

impl JwsAlgorithm for Algorithm {
    fn name(&self) -> &str {
        Self::name(*self)
    }
    fn box_clone(&self) -> Box<dyn JwsAlgorithm> {
        Box::new(*self)
    }
}
