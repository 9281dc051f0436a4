//! The arithmetic: josekit's [`JwsVerifier`] and [`JwsSigner`] over aws-lc. josekit defines the
//! shape, so that another algorithm can join; aws-lc computes, because a key parsed once
//! verifies there in half the time (measured: `reference/jose.md` §3).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, Digest, SHA256};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPairComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    ParsedPublicKey, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use josekit::JoseError;
use josekit::jws::{JwsAlgorithm, JwsSigner, JwsVerifier};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::jwk::{self, JwkFault, PublicJwk, PublicPoint};
use super::{Algorithm, SignFault};

/// 65537, big-endian.
const EXPONENT: &[u8] = &[1, 0, 1];

/// The signature does not fit; says no more, as nobody may act on more.
#[derive(Debug, thiserror::Error)]
#[error("signature mismatch")]
struct Mismatch;

/// A public key, ready to verify. Its ES256 signatures are raw r ‖ s, 64 bytes.
#[derive(Clone)]
pub(super) struct Verifier {
    alg: Algorithm,
    kid: String,
    key: ParsedPublicKey,
}

impl Verifier {
    pub(super) fn new(jwk: &PublicJwk) -> Result<Self, JwkFault> {
        let key = match &jwk.point {
            PublicPoint::P256(point) => {
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(|_| JwkFault::NotOnCurve)?
            }
            PublicPoint::Ed25519(point) => {
                ParsedPublicKey::new(&ED25519, point).map_err(|_| JwkFault::NotOnCurve)?
            }
            PublicPoint::Rsa(n) => RsaPublicKeyComponents { n: n.as_slice(), e: EXPONENT }
                .to_parsed_public_key(&RSA_PSS_2048_8192_SHA256)
                .map_err(|_| JwkFault::Modulus)?,
        };
        Ok(Self { alg: jwk.alg, kid: jwk.kid.clone(), key })
    }
}

/// A text beside its SHA-256, made together: so that what is hashed for one purpose need not be
/// hashed again for the next.
pub struct Hashed<'a> {
    text: &'a [u8],
    sha256: Digest,
    whole: Digest,
}

impl<'a> Hashed<'a> {
    /// `text`, and what follows it in the message that it begins.
    pub fn new(text: &'a [u8], rest: &[u8]) -> Self {
        let mut hash = Context::new(&SHA256);
        hash.update(text);
        let sha256 = hash.clone().finish();
        hash.update(rest);
        Self { text, sha256, whole: hash.finish() }
    }

    /// Of the text.
    pub fn sha256(&self) -> [u8; 32] {
        octets(&self.sha256)
    }

    /// Of the text and what follows it.
    pub fn sha256_of_whole(&self) -> [u8; 32] {
        octets(&self.whole)
    }
}

fn octets(digest: &Digest) -> [u8; 32] {
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

impl Verifier {
    /// [`JwsVerifier::verify`] of a text that is hashed already. ES256 signs just this hash; the
    /// others make one of their own.
    pub(super) fn verify_hashed(&self, message: &Hashed<'_>, signature: &[u8]) -> bool {
        match self.alg {
            Algorithm::Es256 => self.key.verify_digest_sig(&message.sha256, signature).is_ok(),
            _ => self.verify(message.text, signature).is_ok(),
        }
    }
}

impl JwsVerifier for Verifier {
    fn algorithm(&self) -> &dyn JwsAlgorithm {
        &self.alg
    }
    fn key_id(&self) -> Option<&str> {
        Some(&self.kid)
    }
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), JoseError> {
        self.key.verify_sig(message, signature).map_err(|_| JoseError::InvalidSignature(Mismatch.into()))
    }
    fn box_clone(&self) -> Box<dyn JwsVerifier> {
        Box::new(self.clone())
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.alg.name())
    }
}

/// A private key, ready to sign. aws-lc wipes it when the last clone goes.
#[derive(Clone)]
pub(super) struct Signer {
    alg: Algorithm,
    kid: String,
    signature_len: usize,
    key: Arc<Private>,
}

enum Private {
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    pub(super) fn new(public: &PublicJwk, members: &Map<String, Value>) -> Result<Self, JwkFault> {
        let secret = |name| jwk::bytes(members, name).map(Zeroizing::new);
        let inconsistent = |_| JwkFault::Inconsistent;
        let key = match &public.point {
            PublicPoint::P256(point) => {
                let d: Zeroizing<[u8; 32]> = Zeroizing::new(jwk::fixed(members, "d")?);
                let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
                Private::P256(
                    EcdsaKeyPair::from_private_key_and_public_key(alg, d.as_slice(), point)
                        .map_err(inconsistent)?,
                )
            }
            PublicPoint::Ed25519(point) => {
                let d: Zeroizing<[u8; 32]> = Zeroizing::new(jwk::fixed(members, "d")?);
                Private::Ed25519(
                    Ed25519KeyPair::from_seed_and_public_key(d.as_slice(), point).map_err(inconsistent)?,
                )
            }
            PublicPoint::Rsa(n) => {
                let components = KeyPairComponents {
                    public_key: RsaPublicKeyComponents {
                        n: Zeroizing::new(n.clone()),
                        e: Zeroizing::new(EXPONENT.to_vec()),
                    },
                    d: secret("d")?,
                    p: secret("p")?,
                    q: secret("q")?,
                    dP: secret("dp")?,
                    dQ: secret("dq")?,
                    qInv: secret("qi")?,
                };
                Private::Rsa(RsaKeyPair::from_components(&components).map_err(inconsistent)?)
            }
        };
        Ok(Self {
            alg: public.alg,
            kid: public.kid.clone(),
            signature_len: public.signature_len(),
            key: Arc::new(key),
        })
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignFault> {
        let random = SystemRandom::new();
        match &*self.key {
            Private::P256(key) => key.sign(&random, message).map(|s| s.as_ref().to_vec()),
            Private::Ed25519(key) => key.try_sign(message).map(|s| s.as_ref().to_vec()),
            Private::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PSS_SHA256, &random, message, &mut signature).map(|()| signature)
            }
        }
        .map_err(|_| SignFault)
    }
}

impl JwsSigner for Signer {
    fn algorithm(&self) -> &dyn JwsAlgorithm {
        &self.alg
    }
    fn key_id(&self) -> Option<&str> {
        Some(&self.kid)
    }
    fn signature_len(&self) -> usize {
        self.signature_len
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, JoseError> {
        Self::sign(self, message).map_err(|fault| JoseError::InvalidSignature(fault.into()))
    }
    fn box_clone(&self) -> Box<dyn JwsSigner> {
        Box::new(self.clone())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.alg.name())
    }
}

impl PublicJwk {
    /// The one length a signature by this key has (bytes).
    pub(super) fn signature_len(&self) -> usize {
        match &self.point {
            PublicPoint::P256(_) | PublicPoint::Ed25519(_) => 64,
            PublicPoint::Rsa(n) => n.len(),
        }
    }
}
