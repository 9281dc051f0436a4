//! The signed response of protocol §3.2. Made only from what the ledger has recorded: the
//! place it promises is the proof.
//!
//! Written straight into its text: nothing is built that would only be taken apart again. The
//! outcome keeps the order in which it was made (fields stand as they were asked for).

use std::io::Write as _;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::clock::Now;
use crate::domain::Region;
use crate::envelope::{self, Typ};
use crate::json::write_string;
use crate::keys::{SignFault, SigningKey};
use crate::ledger::Place;

/// Seconds an answer may be believed: it answers a caller that is waiting for it.
const LIFE: i64 = 120;
/// Octets reserved for everything but the outcome; some 500 are the rule.
const FRAME: usize = 640;
/// Octets reserved for the outcome: a license of some ten fields.
const OUTCOME: usize = 1024;

/// Everything a response says.
pub struct Response<'a> {
    pub me: Region,
    pub to: Region,
    pub now: Now,
    /// Absent when the request had no well-formed id.
    pub request_jti: Option<&'a str>,
    /// SHA-256 of the exact request body.
    pub request_digest: [u8; 32],
    pub op: &'static str,
    pub status: u16,
    /// The result or problem whose digest the leaf carries.
    pub outcome: &'a Value,
    pub place: &'a Place,
}

impl Response<'_> {
    pub fn sign(self, key: &SigningKey) -> Result<Vec<u8>, SignFault> {
        envelope::seal_text(key, Typ::Response, &self.text())
    }

    /// The payload. What is not a number, a digest or a word of ours is escaped as it is written.
    fn text(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FRAME + OUTCOME);
        let iat = self.now.secs();
        let (me, to, id) = (self.me.as_str(), self.to.as_str(), envelope::new_answer_id());
        // Writing to a vector does not fail.
        let _ = write!(
            out,
            "{{\"ver\":1,\"iss\":\"{URN}{me}\",\"aud\":\"{URN}{to}\",\"iat\":{iat},\"exp\":{},\"jti\":\"{id}\",\"req\":{{",
            iat + LIFE,
        );
        if let Some(jti) = self.request_jti {
            out.extend_from_slice(b"\"jti\":");
            write_string(jti, &mut out);
            out.push(b',');
        }
        out.extend_from_slice(b"\"digest\":");
        write_digest(&self.request_digest, &mut out);
        out.extend_from_slice(b"},\"op\":");
        write_string(self.op, &mut out);
        let name = if self.status < 300 { "result" } else { "problem" };
        let _ = write!(out, ",\"status\":{},\"{name}\":", self.status);
        // A `Value` is always written.
        let _ = serde_json::to_writer(&mut out, self.outcome);
        out.extend_from_slice(b",\"log\":{\"origin\":");
        write_string(&self.place.origin, &mut out);
        let _ = write!(out, ",\"index\":{},\"leaf\":", self.place.index);
        write_digest(&self.place.leaf_hash, &mut out);
        out.extend_from_slice(b"}}");
        out
    }
}

/// Before a region, the URN of its gateway.
const URN: &str = "urn:tongban:gw:";

/// A digest in base64url, quoted.
fn write_digest(digest: &[u8; 32], out: &mut Vec<u8>) {
    let mut text = [0; 43];
    // 32 octets are 43 characters.
    if URL_SAFE_NO_PAD.encode_slice(digest, &mut text).is_ok() {
        out.push(b'"');
        out.extend_from_slice(&text);
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::json;
    use crate::ledger::{Mark, Shard};

    fn said(status: u16, request_jti: Option<&str>, outcome: &Value) -> Value {
        let place = Place {
            origin: "tongban/421202/2026h2".into(),
            index: 7,
            leaf_hash: [9; 32],
            mark: Mark { shard: Shard::parse("2026h2").unwrap(), index: 7 },
        };
        let response = Response {
            me: Region::parse("421202").unwrap(),
            to: Region::parse("331083").unwrap(),
            now: Now::from_secs(1_000),
            request_jti,
            request_digest: [5; 32],
            op: "license.query",
            status,
            outcome,
            place: &place,
        };
        json::parse(&response.text()).unwrap()
    }

    #[test]
    fn a_response_says_everything_once_and_nothing_else() {
        let result = json!({"licenses": [{"name": "张\"三\\"}], "b": 1, "a": null});
        let mut told = said(200, Some("01890a5d-ac96-774b-bcce-b302099a8057"), &result);
        assert!(envelope::is_message_id(told["jti"].take().as_str().unwrap()));
        let b64 = |bytes: [u8; 32]| URL_SAFE_NO_PAD.encode(bytes);
        assert_eq!(
            told,
            json!({
                "ver": 1,
                "iss": "urn:tongban:gw:421202",
                "aud": "urn:tongban:gw:331083",
                "iat": 1_000,
                "exp": 1_120,
                "jti": null,
                "req": {"jti": "01890a5d-ac96-774b-bcce-b302099a8057", "digest": b64([5; 32])},
                "op": "license.query",
                "status": 200,
                "result": result,
                "log": {"origin": "tongban/421202/2026h2", "index": 7, "leaf": b64([9; 32])},
            })
        );
    }

    #[test]
    fn a_refusal_of_a_message_without_an_id_names_its_digest_only() {
        let told = said(403, None, &json!({"code": "no-agreement"}));
        assert_eq!(told["req"], json!({"digest": URL_SAFE_NO_PAD.encode([5; 32])}));
        assert_eq!(told["problem"], json!({"code": "no-agreement"}));
        assert_eq!(told.get("result"), None);
    }

    #[test]
    fn the_urn_is_the_regions_own() {
        let region: Region = Region::parse("421202").unwrap();
        assert_eq!(format!("{URN}{}", region.as_str()), region.gateway_urn());
    }
}
