//! A development authority on disk: its key, the trust file gateways read, and its status list.
//!
//! Several `authorize` commands at once take turns on a lock; the list is replaced whole.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::durable::replace_file;
use super::super::new_keys::random;
use super::token::{Asked, Issued};
use crate::clock::Now;
use crate::envelope::{Typ, seal};
use crate::keys::{Algorithm, SigningKey, read_private_file, write_private_file};

/// Places in a development status list: 16 KiB of bits, which pack to nothing while all are
/// valid.
const PLACES: u64 = 131_072;

/// How long a published list speaks if nobody refreshes it (hours). A week: a developer who
/// comes back on Monday still finds the door open.
pub const LIST_LIFE_HOURS: u32 = 168;

/// Where `issue --qr` listens unless `init` was told another place.
pub const REDEEM: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8092);

const KEY_FILE: &str = "issuer.jwk";
const TRUST_FILE: &str = "authority.json";
const LIST_FILE: &str = "status.jwt";
const STATE_FILE: &str = "state.json";
const LOCK_FILE: &str = ".lock";

/// An authority that anybody with its directory can be; for development and demonstration.
pub struct DevAuthority {
    dir: PathBuf,
    key: SigningKey,
}

/// What the authority remembers between commands. Private: the secret makes the pairwise ids.
#[derive(Serialize, Deserialize)]
struct State {
    id: String,
    uri: String,
    next: u64,
    revoked: BTreeSet<u64>,
    pairwise_secret: String,
    #[serde(default = "redeem_by_default")]
    redeem: SocketAddr,
}

const fn redeem_by_default() -> SocketAddr {
    REDEEM
}

impl DevAuthority {
    /// Makes the directory with a new key, the trust file and a list in which all are valid.
    pub fn create(dir: &Path, name: &str, now: Now, list_hours: u32) -> anyhow::Result<Self> {
        Self::create_at(dir, name, now, list_hours, REDEEM)
    }

    /// The same, which gives authorizations for codes at `redeem`.
    pub fn create_at(
        dir: &Path,
        name: &str,
        now: Now,
        list_hours: u32,
        redeem: SocketAddr,
    ) -> anyhow::Result<Self> {
        if !redeem.ip().is_loopback() {
            bail!("{redeem}: a development authority listens on a loopback address only");
        }
        if !is_name(name) {
            bail!("an authority's name is 2 to 40 of a-z, 0-9 and -");
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .with_context(|| format!("{}: cannot be made", dir.display()))?;
        // The trust file names the list wherever the gateway runs on this machine.
        let dir = dir.canonicalize().with_context(|| format!("{}: cannot be found", dir.display()))?;
        let jwk = SigningKey::generate(Algorithm::Es256)?;
        write_private_file(&dir.join(KEY_FILE), jwk.to_string().as_bytes())?;
        let made = Self { key: SigningKey::from_jwk(&jwk)?, dir };
        let state = State {
            id: format!("urn:tongban:idp:{name}"),
            uri: format!("https://{name}.example/status/1"),
            next: 0,
            revoked: BTreeSet::new(),
            pairwise_secret: URL_SAFE_NO_PAD.encode(random::<32>()?),
            redeem,
        };
        let trust = made.trust_document(&state, name);
        replace_file(&made.dir.join(TRUST_FILE), format!("{trust:#}\n").as_bytes(), 0o644)?;
        made.keep(&state)?;
        made.publish(&state, now, list_hours)?;
        Ok(made)
    }

    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let dir = dir.canonicalize().with_context(|| {
            format!("{}: no such directory; make one with `tongban authorize init`", dir.display())
        })?;
        let key = SigningKey::load(&dir.join(KEY_FILE))?;
        Ok(Self { dir, key })
    }

    /// The file for a gateway's `trust/authorities/`.
    pub fn trust_file(&self) -> PathBuf {
        self.dir.join(TRUST_FILE)
    }

    /// Where codes are redeemed.
    pub fn redeem_listen(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.state()?.redeem)
    }

    /// Signs an authorization and gives it the next place in the status list.
    pub fn issue(&self, asked: &Asked, now: Now) -> anyhow::Result<Issued> {
        let _turn = self.take_turn()?;
        let mut state = self.state()?;
        let index = state.next;
        if asked.with_status {
            if index >= PLACES {
                bail!("the status list is full; make a new development authority");
            }
            state.next = index.saturating_add(1);
            self.keep(&state)?;
        }
        let list = asked.with_status.then_some((index, state.uri.as_str()));
        asked.sign(&self.key, &state.id, &state.pairwise_secret, list, now)
    }

    /// Marks a place as revoked and publishes.
    pub fn revoke(&self, index: u64, now: Now, list_hours: u32) -> anyhow::Result<()> {
        let _turn = self.take_turn()?;
        let mut state = self.state()?;
        if index >= state.next {
            bail!("no authorization has the index {index}; {} were issued with one", state.next);
        }
        state.revoked.insert(index);
        self.keep(&state)?;
        self.publish(&state, now, list_hours)
    }

    /// Publishes the list anew, with a later end; tells how many it revokes.
    pub fn refresh(&self, now: Now, list_hours: u32) -> anyhow::Result<usize> {
        let _turn = self.take_turn()?;
        let state = self.state()?;
        self.publish(&state, now, list_hours)?;
        Ok(state.revoked.len())
    }

    fn trust_document(&self, state: &State, name: &str) -> Value {
        json!({
            "id": state.id,
            "name": format!("{name} (development 开发测试)"),
            "jwks": { "keys": [self.key.public_jwk()] },
            "status_lists": [{ "uri": state.uri, "file": self.dir.join(LIST_FILE) }],
            "redeem": format!("http://{}/redeem", state.redeem),
            "status": "active",
        })
    }

    /// A Token Status List (one bit a token, least significant first, zlib) as a signed file.
    fn publish(&self, state: &State, now: Now, list_hours: u32) -> anyhow::Result<()> {
        let mut bits = vec![0u8; usize::try_from(PLACES / 8)?];
        for index in &state.revoked {
            if let Some(byte) = bits.get_mut(usize::try_from(index / 8)?) {
                *byte |= 1 << (index % 8);
            }
        }
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&bits)?;
        let claims = json!({
            "sub": state.uri,
            "iat": now.secs(),
            "exp": now.secs().saturating_add(i64::from(list_hours) * 3600),
            "ttl": 30,
            "status_list": { "bits": 1, "lst": URL_SAFE_NO_PAD.encode(packed.finish()?) },
        });
        let list = seal(&self.key, Typ::StatusList, &claims)?;
        replace_file(&self.dir.join(LIST_FILE), &list, 0o644)
    }

    fn state(&self) -> anyhow::Result<State> {
        let path = self.dir.join(STATE_FILE);
        let bytes = read_private_file(&path)?;
        serde_json::from_slice(&bytes)
            .with_context(|| format!("{}: is not a development authority's state", path.display()))
    }

    fn keep(&self, state: &State) -> anyhow::Result<()> {
        replace_file(&self.dir.join(STATE_FILE), serde_json::to_string(state)?.as_bytes(), 0o600)
    }

    /// Held until dropped.
    fn take_turn(&self) -> anyhow::Result<File> {
        let path = self.dir.join(LOCK_FILE);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("{}: cannot be opened", path.display()))?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
            .with_context(|| format!("{}: cannot be locked", path.display()))?;
        Ok(file)
    }
}

/// `[a-z0-9-]{2,40}` (protocol §1).
fn is_name(name: &str) -> bool {
    (2..=40).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
