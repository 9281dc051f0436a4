//! The province's app: signs citizens' authorizations and publishes which are withdrawn.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tongban::envelope::{Typ, seal};
use tongban::keys::{Algorithm, SigningKey};

use super::member::new_key;
use super::message::b64;
use super::world::put;

pub const IDP: &str = "urn:tongban:idp:mengsuban";
pub const LIST: &str = "https://status.mengsuban.example/7";
/// Where the tokens of this world stand in the list.
pub const LIST_INDEX: u64 = 4711;
/// Entries of the list.
const LIST_SIZE: usize = 8192;
/// A list is good for so long (seconds).
pub const LIST_LIFE: i64 = 3600;

#[derive(Clone)]
pub struct Authority {
    pub key: Arc<SigningKey>,
}

impl Authority {
    pub fn new() -> Self {
        Self { key: new_key(Algorithm::Es256) }
    }

    pub fn document(&self) -> Value {
        json!({"id": IDP, "name": "测试授权平台", "jwks": {"keys": [self.key.public_jwk()]},
            "status_lists": [{"uri": LIST, "file": "lists/7.jwt"}], "status": "active"})
    }

    /// The signed list in which the tokens at `revoked` are withdrawn.
    pub fn status_list(&self, revoked: &[u64], iat: i64) -> Vec<u8> {
        let mut bits = vec![0_u8; LIST_SIZE / 8];
        for index in revoked {
            let index = usize::try_from(*index).unwrap();
            bits[index / 8] |= 1 << (index % 8);
        }
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        zlib.write_all(&bits).unwrap();
        let list = json!({"bits": 1, "lst": b64(zlib.finish().unwrap())});
        let claims = json!({"sub": LIST, "iat": iat, "exp": iat + LIST_LIFE, "ttl": 60, "status_list": list});
        seal(&self.key, Typ::StatusList, &claims).unwrap()
    }

    /// Puts authority and list into a gateway's directory.
    pub fn move_in(&self, home: &Path, now: i64) {
        put(&home.join("trust/authorities/mengsuban.json"), self.document().to_string());
        std::fs::create_dir_all(home.join("trust/authorities/lists")).unwrap();
        put(&home.join("trust/authorities/lists/7.jwt"), self.status_list(&[], now));
    }
}
