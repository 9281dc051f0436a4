//! Our own private keys.

use std::path::Path;

use josekit::jwk::Jwk;
use josekit::jwk::alg::ec::EcCurve;
use josekit::jwk::alg::ed::EdCurve;
use serde_json::{Map, Value};
use zeroize::Zeroize as _;

use super::jwk::{self, JwkFault};
use super::jws::Signer;
use super::{Algorithm, KeyFileFault, read_private_file};

/// New RSA keys: 128-bit security (NIST SP 800-57), still 2 ms a signature (bits).
const NEW_RSA_BITS: u32 = 3072;

/// A private signing key. No `Debug`, no `Clone`, wiped when dropped.
pub struct SigningKey {
    kid: String,
    alg: Algorithm,
    signer: Signer,
    public: Value,
}

/// The signature could not be computed (no randomness, a fault in the key's memory).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature could not be computed")]
pub struct SignFault;

/// No key could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no key could be generated")]
pub struct GenerateFault;

impl SigningKey {
    /// Loads a private JWK file: regular, not a symlink, 0600, owned by this user.
    pub fn load(path: &Path) -> Result<Self, KeyFileFault> {
        let bytes = read_private_file(path)?;
        let unusable = |fault| KeyFileFault::Unusable(path.display().to_string(), fault);
        let mut jwk = crate::json::parse_config(&bytes).map_err(|_| unusable(JwkFault::Json))?;
        let key = Self::from_jwk(&jwk).map_err(unusable);
        wipe(&mut jwk);
        key
    }

    /// From a private JWK; `alg` and `kid` may be missing, the rules of public keys hold.
    pub fn from_jwk(jwk: &Value) -> Result<Self, JwkFault> {
        let members = jwk.as_object().ok_or(JwkFault::NotAnObject)?;
        let public = jwk::read_for(members, "sign")?;
        // The verifier checks what the signer does not: the point, the modulus.
        super::jws::Verifier::new(&public)?;
        let signer = Signer::new(&public, members)?;
        let shown = public_members(members, &public.kid, public.alg);
        Ok(Self { kid: public.kid, alg: public.alg, signer, public: shown })
    }

    /// A new private JWK with `kid`, `alg` and `use`, for [`super::write_private_file`].
    pub fn generate(alg: Algorithm) -> Result<Value, GenerateFault> {
        let made = match alg {
            Algorithm::Es256 => Jwk::generate_ec_key(EcCurve::P256),
            Algorithm::Ps256 => Jwk::generate_rsa_key(NEW_RSA_BITS),
            Algorithm::EdDsa | Algorithm::Ed25519 => Jwk::generate_ed_key(EdCurve::Ed25519),
        };
        let mut members: Map<String, Value> = made.map_err(|_| GenerateFault)?.into();
        members.insert("alg".to_owned(), alg.name().into());
        members.insert("use".to_owned(), "sig".into());
        let kid = jwk::read_for(&members, "sign").map_err(|_| GenerateFault)?.kid;
        members.insert("kid".to_owned(), kid.into());
        Ok(Value::Object(members))
    }

    /// RFC 7638 SHA-256 thumbprint, 43 characters.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub fn alg(&self) -> Algorithm {
        self.alg
    }

    /// The public half as it stands on a card: key members, `kid`, `alg`, `use`.
    pub fn public_jwk(&self) -> Value {
        self.public.clone()
    }

    /// The signature over `signing_input`, in the form JWS wants it (ES256: raw r ‖ s).
    pub fn sign(&self, signing_input: &[u8]) -> Result<Vec<u8>, SignFault> {
        self.signer.sign(signing_input)
    }
}

fn public_members(members: &Map<String, Value>, kid: &str, alg: Algorithm) -> Value {
    let mut public = Map::new();
    for name in ["kty", "crv", "x", "y", "n", "e"] {
        if let Some(value) = members.get(name) {
            public.insert(name.to_owned(), value.clone());
        }
    }
    public.insert("kid".to_owned(), kid.into());
    public.insert("alg".to_owned(), alg.name().into());
    public.insert("use".to_owned(), "sig".into());
    Value::Object(public)
}

/// Overwrites every string of a private JWK that was read from disk.
fn wipe(jwk: &mut Value) {
    if let Value::Object(members) = jwk {
        for (_, value) in members.iter_mut() {
            if let Value::String(text) = value {
                text.zeroize();
            }
        }
    }
}
