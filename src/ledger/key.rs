//! The ledger key: Ed25519, signs checkpoints, reconciliation notes and the manifests of packages,
//! nothing else.
//!
//! Reads PKCS#8 in PEM, version 1 (`openssl genpkey`) and version 2 (RFC 5958, with the
//! public key). Who may read the file is the caller's check ([`crate::keys`]).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::note::{Vkey, assemble};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerKeyFault {
    #[error("is not one PEM block PRIVATE KEY")]
    Pem,
    #[error("is not an Ed25519 key in PKCS#8")]
    Pkcs8,
    #[error("no key could be made")]
    Random,
}

/// Signs checkpoints and packages. No `Debug`, no `Clone`.
pub struct LedgerKey {
    pair: Ed25519KeyPair,
}

impl LedgerKey {
    /// From the bytes of `keys/ledger.key`.
    pub fn from_pem(pem: &[u8]) -> Result<Self, LedgerKeyFault> {
        Ok(Self { pair: pair_from_pem(pem)? })
    }

    /// A fresh key as PKCS#8 version 1 PEM, which every tool reads.
    pub fn generate_pem() -> Result<Zeroizing<String>, LedgerKeyFault> {
        let der =
            Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).map_err(|_| LedgerKeyFault::Random)?;
        let base64 = Zeroizing::new(STANDARD.encode(der.as_ref()));
        // 48 bytes of DER are exactly one 64-character line.
        Ok(Zeroizing::new(format!("{BEGIN}\n{}\n{END}\n", base64.as_str())))
    }

    #[cfg(test)]
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, LedgerKeyFault> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| LedgerKeyFault::Pkcs8)?;
        Ok(Self { pair })
    }

    pub fn public(&self) -> [u8; 32] {
        // Ed25519 public keys have 32 bytes (RFC 8032 §5.1.5).
        self.pair.public_key().as_ref().try_into().unwrap_or([0; 32])
    }

    /// The verifier key under `name`; `None` when `name` cannot stand in a note.
    pub fn vkey(&self, name: &str) -> Option<Vkey> {
        Vkey::new(name, self.public())
    }

    /// The note of `text` signed under `name`.
    pub fn sign_note(&self, text: &str, name: &str) -> Option<Vec<u8>> {
        let signature = self.pair.sign(text.as_bytes());
        Some(assemble(text, &self.vkey(name)?, signature.as_ref()))
    }

    /// Signs a JWS signing input (RFC 7515 §5.1). `None` for anything with a line feed: such a
    /// signature could be taken for a note's.
    pub fn sign_jws(&self, input: &str) -> Option<Vec<u8>> {
        (!input.contains('\n')).then(|| self.pair.sign(input.as_bytes()).as_ref().to_vec())
    }
}

/// An Ed25519 pair out of PKCS#8 PEM, whatever its role.
pub(crate) fn pair_from_pem(pem: &[u8]) -> Result<Ed25519KeyPair, LedgerKeyFault> {
    let text = std::str::from_utf8(pem).map_err(|_| LedgerKeyFault::Pem)?.trim();
    let body = text.strip_prefix(BEGIN).and_then(|t| t.strip_suffix(END)).ok_or(LedgerKeyFault::Pem)?;
    let base64: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    let der = Zeroizing::new(STANDARD.decode(base64.as_bytes()).map_err(|_| LedgerKeyFault::Pem)?);
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| LedgerKeyFault::Pkcs8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8410 §10.3: the same key without and with its public half.
    const V1: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const V2: &str = "-----BEGIN PRIVATE KEY-----\nMHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\noB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\nZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";

    #[test]
    fn both_versions_of_pkcs8_give_the_same_key() {
        assert_eq!(hex::encode(LedgerKey::from_pem(V1.as_bytes()).unwrap().public()), PUBLIC);
        let plain_v2 = {
            let pair = Ed25519KeyPair::from_seed_unchecked(&[3; 32]).unwrap();
            let der = STANDARD.encode(pair.to_pkcs8().unwrap().as_ref());
            (format!("{BEGIN}\n{der}\n{END}"), pair.public_key().as_ref().to_vec())
        };
        assert_eq!(LedgerKey::from_pem(plain_v2.0.as_bytes()).unwrap().public().to_vec(), plain_v2.1);
        assert_eq!(hex::encode(LedgerKey::from_pem(V2.as_bytes()).unwrap().public()), PUBLIC);
    }

    #[test]
    fn a_generated_key_loads_and_other_bytes_do_not() {
        let pem = LedgerKey::generate_pem().unwrap();
        assert!(LedgerKey::from_pem(pem.as_bytes()).is_ok());
        assert_eq!(LedgerKey::from_pem(b"").err(), Some(LedgerKeyFault::Pem));
        let garbage = format!("{BEGIN}\nAAAA\n{END}");
        assert_eq!(LedgerKey::from_pem(garbage.as_bytes()).err(), Some(LedgerKeyFault::Pkcs8));
    }
}
