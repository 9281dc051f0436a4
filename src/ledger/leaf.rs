//! The leaf: what the log keeps of an exchange for ever, one line of JCS JSON
//! (RFC 8785; protocol §7.1).
//!
//! Promises: an absent member is absent, never null; the bytes are canonical. Holds no
//! personal data by its types: codes, hashes, keyed tags. Leaves it to the corridors to
//! fill it and to [`super::Ledger::record`] to stamp `v`, `ts` and `me`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::tree::Hash;

/// Version of the leaf's shape.
pub const LEAF_VERSION: u8 = 1;
/// Bytes; entry bundles count them in 16 bits (tlog-tiles).
pub const LARGEST_LEAF: usize = 65_535;
/// Bytes made room for at once: what a leaf of an exchange with evidence has, and some more.
const USUAL_LEAF: usize = 1024;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeafKind {
    /// A request answered here, with a result or a refusal.
    In,
    /// A request of ours, before it leaves.
    #[serde(rename = "out.sent")]
    OutSent,
    /// Its verified answer.
    #[serde(rename = "out.done")]
    OutDone,
    /// Its end without one.
    #[serde(rename = "out.failed")]
    OutFailed,
    Event,
    Recon,
    Search,
    Open,
    Export,
    Erase,
    Key,
    Config,
    /// First leaf of a log; names the key and the log before it.
    Genesis,
    /// Last leaf of a log.
    Close,
    Incident,
}

impl LeafKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::OutSent => "out.sent",
            Self::OutDone => "out.done",
            Self::OutFailed => "out.failed",
            Self::Event => "event",
            Self::Recon => "recon",
            Self::Search => "search",
            Self::Open => "open",
            Self::Export => "export",
            Self::Erase => "erase",
            Self::Key => "key",
            Self::Config => "config",
            Self::Genesis => "genesis",
            Self::Close => "close",
            Self::Incident => "incident",
        }
    }
}

/// A hash as leaves write it: base64url without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafHash(pub Hash);

impl From<Hash> for LeafHash {
    fn from(hash: Hash) -> Self {
        Self(hash)
    }
}

impl std::fmt::Display for LeafHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl Serialize for LeafHash {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut text = [0_u8; 43];
        let length = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text).map_err(serde::ser::Error::custom)?;
        let text = text.get(..length).and_then(|t| std::str::from_utf8(t).ok());
        s.serialize_str(text.unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for LeafHash {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = LeafHash;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a hash of 32 bytes, base64url")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<LeafHash, E> {
                // Room for what the decoder expects of a text that is a little too long.
                let mut bytes = [0_u8; 36];
                let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).map_err(E::custom)?;
                let hash = bytes.first_chunk::<32>().filter(|_| length == 32);
                hash.copied().map(LeafHash).ok_or_else(|| E::custom("a hash has 32 bytes"))
            }
        }
        d.deserialize_str(Text)
    }
}

/// One leaf. The members stand in the order of their names, which is JCS order for ASCII
/// names; a test holds this. All numbers are integers within ±2^53.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// SHA-256 of JCS(agreement).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agr: Option<LeafHash>,
    /// SHA-256(iss ‖ 0x00 ‖ jti) of the citizen's authorization.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auth: Option<LeafHash>,
    /// Name of the account that searched, opened, exported or erased.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<String>,
    /// Keyed tag of the case number: [`super::Ledger::case_tag`], never the number.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub case: Option<String>,
    /// Genesis: SHA-256 of the final checkpoint note of the log before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ck: Option<LeafHash>,
    /// Refusal code (protocol §3.5), or why an `out.failed` failed; of a dropped vault, which:
    /// `2026-11.provision`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// `permit`, `deny` or `error`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dec: Option<Decision>,
    /// `SHA-256(wrapped)[0:16]` of the epoch's key as it is wrapped to the auditors: without it
    /// somebody could make all evidence of an epoch unreadable and nothing would show it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ek: Option<String>,
    /// SHA-256 of the sealed evidence.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ev: Option<LeafHash>,
    /// When the request says it was made, in seconds: both sides know it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub iat: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub item: Option<String>,
    /// License type code.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lt: Option<String>,
    /// Region that wrote the leaf; stamped by `record`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub me: Option<String>,
    /// Latencies in milliseconds: [checks, act].
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub ms: Vec<u32>,
    /// How often, where a leaf counts what was not recorded singly (protocol §7.2).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub n: Option<u64>,
    /// Indices of the leaves that an auditor's act concerns.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub of: Vec<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub op: Option<String>,
    /// Genesis: origin of the log before. An auditor's act: of the log that `of` counts in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub past: Option<String>,
    /// Region on the other side.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peer: Option<String>,
    /// What the answering side's signed answer promised (protocol §3.2).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pl: Option<Promise>,
    /// SHA-256 of JCS(result or problem), on both sides; of an auditor's act, of JCS(register entry); of
    /// what a `recon` leaf agreed or found.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rd: Option<LeafHash>,
    /// `SHA-256(r)[0:16]` of the evidence's erasable secret.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rh: Option<String>,
    /// SHA-256 of the request JWS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rq: Option<LeafHash>,
    /// SHA-256 of the response JWS, asking side.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rs: Option<LeafHash>,
    /// Status of the answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// Sizes in bytes: [request, response].
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub sz: Vec<u32>,
    pub t: LeafKind,
    /// Keyed, randomised search tags.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tags: Vec<String>,
    /// Milliseconds since 1970 on this side's clock; stamped by `record`.
    #[serde(default)]
    pub ts: i64,
    /// Stamped by `record`.
    #[serde(default)]
    pub v: u8,
    /// Genesis: the verifier key of this log's checkpoints.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub vkey: Option<String>,
    /// Exchange id: the request's jti.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub x: Option<String>,
}

/// The code of a `genesis` and an `incident` after a copy of the log was put back: the log
/// before has no `close`, and `ck` is the last checkpoint of it that a witness kept.
pub const RESTORED: &str = "restored";
/// The `log` of a signed answer: where the other side's ledger holds the exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promise {
    pub index: u64,
    /// Hash of the leaf there.
    pub leaf: LeafHash,
    pub origin: String,
}

/// How an exchange was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    Permit,
    Deny,
    Error,
}

impl Decision {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Deny => "deny",
            Self::Error => "error",
        }
    }
}

impl Leaf {
    /// A leaf of which nothing is known but its kind.
    pub const fn new(t: LeafKind) -> Self {
        Self {
            agr: None,
            auth: None,
            by: None,
            case: None,
            ck: None,
            code: None,
            dec: None,
            ek: None,
            ev: None,
            iat: None,
            item: None,
            lt: None,
            me: None,
            ms: Vec::new(),
            n: None,
            of: Vec::new(),
            op: None,
            past: None,
            peer: None,
            pl: None,
            rd: None,
            rh: None,
            rq: None,
            rs: None,
            status: None,
            sz: Vec::new(),
            t,
            tags: Vec::new(),
            ts: 0,
            v: LEAF_VERSION,
            vkey: None,
            x: None,
        }
    }

    /// The canonical bytes; `None` when they would not fit into an entry bundle.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(USUAL_LEAF);
        serde_json::to_writer(&mut bytes, self).ok()?;
        (bytes.len() <= LARGEST_LEAF).then_some(bytes)
    }

    /// Reads back stored bytes. A number that canonical JSON could not write again is no leaf's.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let leaf: Self = serde_json::from_slice(bytes).ok()?;
        let signed = [Some(leaf.ts), leaf.iat].into_iter().flatten().map(i64::unsigned_abs);
        let promised = leaf.pl.as_ref().map(|promise| promise.index);
        let mut numbers = signed.chain(leaf.n).chain(promised).chain(leaf.of.iter().copied());
        numbers.all(|number| number <= MOST_EXACT).then_some(leaf)
    }
}

/// The largest integer that every reader of JSON keeps (RFC 8785 §3.2.2.3).
const MOST_EXACT: u64 = 1 << 53;

/// Are these bytes one line of canonical JSON (RFC 8785)? Duplicate members are not.
pub fn is_canonical(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(bytes)
        .ok()
        .is_some_and(|value| crate::json::jcs(&value) == bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_beyond_canonical_json_is_no_leaf() {
        // Found by fuzzing: read, it was written back as another number.
        let leaf = |ts: &str| Leaf::from_bytes(format!(r#"{{"t":"in","ts":{ts},"v":1}}"#).as_bytes());
        assert!(leaf("9007199254740992").is_some());
        assert!(leaf("9007199254740993").is_none() && leaf("1900000000000051615").is_none());
    }

    fn full() -> Leaf {
        let mut leaf = Leaf::new(LeafKind::In);
        let hash = Some(LeafHash([0xfb; 32]));
        leaf.agr = hash;
        leaf.auth = hash;
        leaf.by = Some("li-auditor".into());
        leaf.case = Some("AAAAAAAAAAAAAAAAAAAAAA".into());
        leaf.ck = hash;
        leaf.code = Some("replay".into());
        leaf.dec = Some(Decision::Deny);
        leaf.ek = Some("AAAAAAAAAAAAAAAAAAAAAA".into());
        leaf.ev = hash;
        leaf.iat = Some(1_900_000_000);
        leaf.item = Some("11421202TECT0001914000709001000".into());
        leaf.lt = Some("111000000000131433001".into());
        leaf.me = Some("421202".into());
        leaf.ms = vec![1, 2];
        leaf.of = vec![7, 8];
        leaf.op = Some("license.query".into());
        leaf.past = Some("tongban/421202/2026h1".into());
        leaf.peer = Some("331083".into());
        leaf.pl =
            Some(Promise { index: 4711, leaf: LeafHash([0xfb; 32]), origin: "tongban/331083/2026h2".into() });
        leaf.rd = hash;
        leaf.rh = Some("AAAAAAAAAAAAAAAAAAAAAA".into());
        leaf.rq = hash;
        leaf.rs = hash;
        leaf.status = Some(409);
        leaf.sz = vec![3, 4];
        leaf.tags = vec!["\u{1}\"\\/é\u{7f}".into()];
        leaf.ts = 1_900_000_000_000;
        leaf.vkey = Some("k".into());
        leaf.x = Some("0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22".into());
        leaf
    }

    #[test]
    fn every_leaf_is_canonical_json_and_reads_back() {
        for leaf in [full(), Leaf::new(LeafKind::Genesis)] {
            let bytes = leaf.to_bytes().unwrap();
            assert!(is_canonical(&bytes), "{}", String::from_utf8_lossy(&bytes));
            assert_eq!(Leaf::from_bytes(&bytes), Some(leaf));
        }
    }

    #[test]
    fn a_hash_of_another_length_is_none() {
        for (length, read) in [(0, false), (31, false), (32, true), (33, false), (34, false), (99, false)] {
            let text = format!("\"{}\"", URL_SAFE_NO_PAD.encode(vec![7; length]));
            let hash = serde_json::from_str::<LeafHash>(&text).ok();
            assert_eq!(hash, read.then_some(LeafHash([7; 32])), "{length}");
        }
    }

    #[test]
    fn absent_members_are_absent() {
        let mut leaf = Leaf::new(LeafKind::OutSent);
        leaf.ts = 5;
        assert_eq!(leaf.to_bytes().unwrap(), br#"{"t":"out.sent","ts":5,"v":1}"#);
    }

    #[test]
    fn a_kind_has_the_same_word_everywhere() {
        for kind in [
            LeafKind::In,
            LeafKind::OutSent,
            LeafKind::OutDone,
            LeafKind::OutFailed,
            LeafKind::Event,
            LeafKind::Recon,
            LeafKind::Search,
            LeafKind::Open,
            LeafKind::Export,
            LeafKind::Erase,
            LeafKind::Key,
            LeafKind::Config,
            LeafKind::Genesis,
            LeafKind::Close,
            LeafKind::Incident,
        ] {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{}\"", kind.name()));
        }
    }

    #[test]
    fn anything_but_canonical_bytes_is_told() {
        for text in [
            r#"{"b":1,"a":2}"#,
            r#"{"a":1 }"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":"\u0041"}"#,
            "{\"a\":1}\n",
            "",
            "{",
        ] {
            assert!(!is_canonical(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_leaf_too_large_for_a_bundle_is_not_made() {
        let mut leaf = Leaf::new(LeafKind::In);
        leaf.x = Some("x".repeat(LARGEST_LEAF));
        assert_eq!(leaf.to_bytes(), None);
    }
}
