//! Keys of the scene: signing, and checking what a target signed.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeyPairComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::{Value, json};

use super::{ConformanceFault, b64, b64url, sha256, unb64url};

/// The published keys of the vectors: good for nothing but tests.
const PUBLISHED: &str = include_str!("../../conformance/vectors/keys.json");

/// Order of P-256, big-endian.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// Header of an Ed25519 seed in PKCS#8 (RFC 8410 §7).
const PKCS8_ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// A key pair of the scene, by its name.
pub struct Key {
    pub name: String,
    pub role: String,
    pub alg: String,
    pub kid: String,
    /// As it stands on a card.
    pub public: Value,
    /// As a gateway's key file has it.
    pub private: Value,
    pair: Pair,
}

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
    /// Of no use here (an auditor's key opens nothing in this suite).
    None,
}

impl Key {
    fn read(entry: &Value) -> Option<Self> {
        let public = entry.get("public")?.clone();
        let mut private = public.clone();
        for (name, value) in entry.get("private")?.as_object()? {
            private.as_object_mut()?.insert(name.clone(), value.clone());
        }
        let secret = |name: &str| unb64url(private.get(name)?.as_str()?);
        let alg = public.get("alg")?.as_str()?.to_owned();
        let pair = match alg.as_str() {
            "ES256" => {
                let point = [vec![4], secret("x")?, secret("y")?].concat();
                let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
                Pair::P256(EcdsaKeyPair::from_private_key_and_public_key(alg, &secret("d")?, &point).ok()?)
            }
            "EdDSA" | "Ed25519" => Pair::Ed25519(Ed25519KeyPair::from_seed_unchecked(&secret("d")?).ok()?),
            "PS256" => {
                let public_key = RsaPublicKeyComponents { n: secret("n")?, e: secret("e")? };
                let (d, p, q) = (secret("d")?, secret("p")?, secret("q")?);
                let (dp, dq, qi) = (secret("dp")?, secret("dq")?, secret("qi")?);
                let parts = KeyPairComponents { public_key, d, p, q, dP: dp, dQ: dq, qInv: qi };
                Pair::Rsa(Box::new(RsaKeyPair::from_components(&parts).ok()?))
            }
            _ => Pair::None,
        };
        Some(Self {
            name: entry.get("name")?.as_str()?.to_owned(),
            role: entry.get("role")?.as_str()?.to_owned(),
            alg,
            kid: public.get("kid")?.as_str()?.to_owned(),
            public,
            private,
            pair,
        })
    }

    /// An Ed25519 key made from its name, as the vectors make theirs.
    fn ledger_of(name: &str) -> Option<Self> {
        let seed = sha256(format!("tongban published test key: {name}").as_bytes());
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
        let x = b64url(aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref());
        let kid = b64url(&sha256(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#).as_bytes()));
        let public =
            json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "alg": "Ed25519", "use": "sig"});
        Self::read(
            &json!({"name": name, "role": "ledger", "public": public, "private": {"d": b64url(&seed)}}),
        )
    }

    /// As JWS wants it (ES256: raw r ‖ s); empty for a key that cannot sign.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let signed = match &self.pair {
            Pair::P256(key) => key.sign(&random, message).map(|s| s.as_ref().to_vec()),
            Pair::Ed25519(key) => key.try_sign(message).map(|s| s.as_ref().to_vec()),
            Pair::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PSS_SHA256, &random, message, &mut signature).map(|()| signature)
            }
            Pair::None => Ok(Vec::new()),
        };
        signed.unwrap_or_default()
    }

    /// The public point of an Ed25519 key.
    pub fn raw_public(&self) -> Vec<u8> {
        self.public.get("x").and_then(Value::as_str).and_then(unb64url).unwrap_or_default()
    }

    /// PKCS#8 PEM of an Ed25519 or P-256 key.
    pub fn pem(&self) -> String {
        if let Pair::P256(key) = &self.pair {
            let der = key.to_pkcs8v1().map(|der| b64(der.as_ref())).unwrap_or_default();
            return format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
        }
        let seed = self.private.get("d").and_then(Value::as_str).and_then(unb64url).unwrap_or_default();
        let der = [PKCS8_ED25519.as_slice(), &seed].concat();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", b64(&der))
    }

    /// The verifier key of a note signed under this name.
    pub fn vkey(&self, name: &str) -> String {
        let typed = [&[1], self.raw_public().as_slice()].concat();
        format!("{name}+{}+{}", hex::encode(key_id(name, &typed)), b64(&typed))
    }
}

/// The four bytes that name a key in a note.
pub fn key_id(name: &str, typed: &[u8]) -> [u8; 4] {
    let hash = sha256(&[name.as_bytes(), b"\n", typed].concat());
    [hash[0], hash[1], hash[2], hash[3]]
}

/// All keys on stage.
pub struct Keys(Vec<Key>);

/// Ledger keys that the vectors have none for.
const MORE_LEDGERS: [&str; 2] = ["third-ledger", "suspended-ledger"];

impl Keys {
    pub fn published() -> Result<Self, ConformanceFault> {
        let document: Value = serde_json::from_str(PUBLISHED).map_err(|_| ConformanceFault::Data("keys"))?;
        let listed = document.get("keys").and_then(Value::as_array).ok_or(ConformanceFault::Data("keys"))?;
        let mut keys: Vec<Key> =
            listed.iter().map(Key::read).collect::<Option<_>>().ok_or(ConformanceFault::Key)?;
        for name in MORE_LEDGERS {
            keys.push(Key::ledger_of(name).ok_or(ConformanceFault::Key)?);
        }
        Ok(Self(keys))
    }

    pub fn get(&self, name: &str) -> Option<&Key> {
        self.0.iter().find(|key| key.name == name)
    }

    /// Whether a key of this id stands among them.
    pub fn names(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid == kid)
    }

    pub fn kid(&self, name: &str) -> String {
        self.get(name).map(|key| key.kid.clone()).unwrap_or_default()
    }
}

/// Whether `signature` over `message` holds under a public JWK, by the algorithm registered in it.
pub fn holds(jwk: &Value, message: &[u8], signature: &[u8]) -> bool {
    let member = |name: &str| jwk.get(name).and_then(Value::as_str).and_then(unb64url).unwrap_or_default();
    match jwk.get("alg").and_then(Value::as_str) {
        Some("ES256") => {
            let point = [vec![4], member("x"), member("y")].concat();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
        }
        Some("EdDSA" | "Ed25519") => ed25519_holds(&member("x"), message, signature),
        Some("PS256") => RsaPublicKeyComponents { n: member("n"), e: member("e") }
            .verify(&RSA_PSS_2048_8192_SHA256, message, signature)
            .is_ok(),
        _ => false,
    }
}

pub fn ed25519_holds(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
}

/// `(r, n − s)`: the other signature that is as good as `(r, s)`.
pub fn malleated(signature: &[u8]) -> Vec<u8> {
    let Some((r, s)) = signature.split_at_checked(32) else { return signature.to_vec() };
    let mut borrow = 0i16;
    let mut other: Vec<u8> = Vec::with_capacity(32);
    for (n, s) in ORDER.iter().rev().zip(s.iter().rev()) {
        let difference = i16::from(*n) - i16::from(*s) - borrow;
        borrow = i16::from(difference < 0);
        other.push(u8::try_from(difference.rem_euclid(256)).unwrap_or_default());
    }
    other.reverse();
    [r, &other].concat()
}

/// The signature as ASN.1, which JWS does not have.
pub fn der(signature: &[u8]) -> Vec<u8> {
    let Some((r, s)) = signature.split_at_checked(32) else { return signature.to_vec() };
    let body = [integer(r), integer(s)].concat();
    [vec![0x30, u8::try_from(body.len()).unwrap_or_default()], body].concat()
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len().saturating_sub(1));
    let mut digits = bytes.get(start..).unwrap_or_default().to_vec();
    if digits.first().is_some_and(|first| first & 0x80 != 0) {
        digits.insert(0, 0);
    }
    [vec![2, u8::try_from(digits.len()).unwrap_or_default()], digits].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_key_signs_what_its_public_half_checks() {
        let keys = Keys::published().unwrap();
        for name in ["asking", "asking-ps256", "asking-eddsa", "asking-ed25519", "authority", "third-ledger"]
        {
            let key = keys.get(name).unwrap();
            let signature = key.sign(b"words");
            assert!(holds(&key.public, b"words", &signature), "{name}");
            assert!(!holds(&key.public, b"other words", &signature), "{name}");
        }
    }

    #[test]
    fn a_malleated_signature_holds_and_its_der_does_not() {
        let keys = Keys::published().unwrap();
        let key = keys.get("asking").unwrap();
        for nth in 0..8 {
            let message = format!("words {nth}");
            let signature = key.sign(message.as_bytes());
            let other = malleated(&signature);
            assert_ne!(other, signature);
            assert!(holds(&key.public, message.as_bytes(), &other));
            assert_eq!(malleated(&other), signature);
            let der = der(&signature);
            assert!(!holds(&key.public, message.as_bytes(), &der) && der.len() > 64 && der.len() <= 72);
        }
    }
}
