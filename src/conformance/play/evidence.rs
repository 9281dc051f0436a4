//! Evidence as an auditor gets it, opened with the scene's published key (clause B-14). The
//! epoch's key is unwrapped by josekit, the rest is done here by the protocol's words.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use josekit::jwe::{self, ECDH_ES_A256KW};
use josekit::jwk::Jwk;
use serde_json::Value;

use super::super::keys::Keys;
use super::super::message::Message;
use super::super::tree::leaf_hash;
use super::super::{b64url, sha256, unb64url};
use super::checks::need;
use super::judge::{Heard, Judged};
use super::steps::Play;
use super::{Stopped, log};

const INFO: &[u8] = b"tongban/evidence/v1";

/// Bytes of a record's key.
struct RecordKey;

impl KeyType for RecordKey {
    fn len(&self) -> usize {
        32
    }
}

/// The evidence of the exchange just played: it opens, and holds what was sent and answered.
pub(super) async fn of_this(play: &Play<'_>, judged: &Judged<'_>, heard: &Heard) -> Result<(), Stopped> {
    let claims = heard.claims.as_ref().ok_or("the answer is not signed")?;
    let promised = |pointer: &str| claims.pointer(pointer).cloned().unwrap_or_default();
    let (origin, leaf) = (promised("/log/origin"), promised("/log/leaf"));
    let (origin, leaf) = (origin.as_str().unwrap_or_default(), leaf.as_str().unwrap_or_default());
    // Sealed with its leaf; it can be asked for once that stands under a checkpoint.
    log::promised_entry(play, judged, heard).await?;
    let index = promised("/log/index").to_string();
    let given = play.told(&["evidence", origin, &index]).await?;
    let content = opened(&play.moment.scene.keys, &given, leaf)?;
    let text = |name: &str| content.get(name).and_then(Value::as_str).unwrap_or_default();
    let sent = judged.message.map(Message::text).unwrap_or_default();
    need(text("request") == sent, "the evidence holds another request")?;
    let outcome = claims.get("result").or_else(|| claims.get("problem")).cloned().unwrap_or_default();
    let canonical = serde_json_canonicalizer::to_vec(&outcome).unwrap_or_default();
    need(text("result").as_bytes() == canonical, "the evidence holds another result")
}

/// What an auditor is given of one leaf: `epoch` (the JWE, a text or an object) and in b64url
/// `leaf`, `r` and `sealed`.
fn opened(keys: &Keys, given: &Value, promised: &str) -> Result<Value, Stopped> {
    let part = |name: &str| given.get(name).and_then(Value::as_str).and_then(unb64url);
    let (Some(leaf), Some(r), Some(sealed)) = (part("leaf"), part("r"), part("sealed")) else {
        return Err(Stopped::NotRun("what the operator gave has no leaf, r and sealed in b64url".into()));
    };
    need(b64url(&leaf_hash(&leaf)) == promised, "the evidence is given with another leaf than the promised")?;
    let said: Value = serde_json::from_slice(&leaf).map_err(|_| "the leaf is no JSON")?;
    let member = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    need(member("ev") == b64url(&sha256(&sealed)), "ev is not the SHA-256 of the sealed evidence")?;
    let short = sha256(&r);
    need(member("rh") == b64url(short.get(..16).unwrap_or_default()), "rh is not SHA-256(r)[0:16]")?;
    let epoch = match given.get("epoch") {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => return Err(Stopped::NotRun("what the operator gave has no epoch".into())),
    };
    let key = epoch_key(keys, &epoch).ok_or("the epoch's key does not unwrap for the scene's auditor")?;
    let bound = associated(&said)?;
    let plain = unsealed(&key, &r, &bound, &sealed).ok_or("the evidence does not open")?;
    let content: Value = serde_json::from_slice(&plain).map_err(|_| "what opens is no JSON")?;
    let result = content.get("result").and_then(Value::as_str).unwrap_or_default();
    need(member("rd") == b64url(&sha256(result.as_bytes())), "rd is not the SHA-256 of the result within")?;
    Ok(content)
}

/// The leaf's JCS bytes without `ev`.
fn associated(leaf: &Value) -> Result<Vec<u8>, Stopped> {
    let mut members = leaf.as_object().cloned().ok_or("the leaf is no JSON object")?;
    members.remove("ev");
    serde_json_canonicalizer::to_vec(&members).map_err(|_| "the leaf has no canonical form".into())
}

fn epoch_key(keys: &Keys, wrapped: &str) -> Option<Vec<u8>> {
    let auditor = keys.get("auditor")?;
    let jwk = Jwk::from_map(auditor.private.as_object()?.clone()).ok()?;
    let decrypter = ECDH_ES_A256KW.decrypter_from_jwk(&jwk).ok()?;
    let ours = |header: &jwe::JweHeader| {
        let kid = header.claim("kid").and_then(Value::as_str);
        Ok((kid == Some(auditor.kid.as_str())).then_some(&decrypter as &dyn jwe::JweDecrypter))
    };
    let (payload, _) = jwe::deserialize_json_with_selector(wrapped, ours).ok()?;
    let payload: Value = serde_json::from_slice(&payload).ok()?;
    unb64url(payload.get("key")?.as_str()?)
}

fn unsealed(epoch: &[u8], r: &[u8], bound: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let secret = Salt::new(HKDF_SHA256, &[]).extract(&[epoch, r].concat());
    let mut key = [0; 32];
    secret.expand(&[INFO], RecordKey).ok()?.fill(&mut key).ok()?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).ok()?);
    let mut bytes = sealed.to_vec();
    let plain =
        key.open_in_place(Nonce::assume_unique_for_key([0; 12]), Aad::from(bound), &mut bytes).ok()?;
    Some(plain.to_vec())
}
