//! A gateway's public card (protocol §8): who it is, where it listens, which keys speak
//! for it. One JSON file per partner, and our own for `GET /v1/card`.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value;

use crate::domain::Region;
use crate::fault::{Fault, MOST_FAULTS};
use crate::keys::KeySet;
use crate::schema::{Admissible, Catalog, Kind};

/// A card that met its schema and its cross-checks.
pub struct Card {
    region: Region,
    name: String,
    endpoint: Endpoint,
    pins: Vec<[u8; 32]>,
    keys: KeySet,
    ledger: Option<LedgerName>,
    contact: Option<String>,
    status: Status,
    document: Value,
}

/// What the operator says of a member; anything else is a fault, never "active".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Active,
    Suspended,
    Removed,
}

impl Status {
    /// As the card writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Removed => "removed",
        }
    }
}

/// Where a partner listens. The only place of its that we connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    host: String,
    port: u16,
}

/// Under which name and key a partner's ledger signs its checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LedgerName {
    pub origin: String,
    /// C2SP signed-note verifier key.
    pub vkey: String,
}

/// Twin of `schemas/card.json`.
#[derive(Deserialize)]
struct Document {
    id: String,
    region: Region,
    name: String,
    endpoint: String,
    #[serde(default)]
    tls: Tls,
    jwks: Value,
    ledger: Option<LedgerName>,
    contact: Option<String>,
    status: Status,
}

#[derive(Default, Deserialize)]
struct Tls {
    #[serde(default)]
    spki_sha256: Vec<String>,
}

impl Admissible for Document {
    const KIND: Kind = Kind::Card;
}

impl Card {
    /// Reads a card; tells all its faults at once.
    pub fn from_value(value: &Value) -> Result<Self, Vec<Fault>> {
        let (read, mut faults) = match Catalog::embedded().admit::<Document>(value) {
            Ok(read) => (read.into_inner(), Vec::new()),
            // What can be read nevertheless is checked for the faults that no schema sees.
            Err(faults) => match Document::deserialize(value) {
                Ok(read) => (read, faults),
                Err(_) => return Err(faults),
            },
        };
        let by_schema = faults.len();
        if read.id != read.region.gateway_urn() {
            faults.push(Fault::new(
                "/id",
                "region",
                "does not name the card's region",
                "与本卡片的区划不一致",
            ));
        }
        let endpoint = Endpoint::parse(&read.endpoint);
        if endpoint.is_none() {
            let words = "is not an https URL of host and port alone";
            faults.push(Fault::new("/endpoint", "endpoint", words, "须为仅含主机与端口的https地址"));
        }
        let pins = read_pins(&read.tls.spki_sha256, &mut faults);
        if let Some(ledger) = &read.ledger {
            check_ledger(ledger, read.region, &mut faults);
        }
        let keys = KeySet::from_jwks(&read.jwks)
            .map_err(|of_keys| faults.extend(of_keys.into_iter().map(|f| f.under("/jwks"))));
        match (endpoint, keys) {
            (Some(endpoint), Ok(keys)) if faults.is_empty() => Ok(Self {
                region: read.region,
                name: read.name,
                endpoint,
                pins,
                keys,
                ledger: read.ledger,
                contact: read.contact,
                status: read.status,
                document: value.clone(),
            }),
            _ => Err(once_a_place(faults, by_schema)),
        }
    }

    pub fn region(&self) -> Region {
        self.region
    }
    pub fn name(&self) -> &str {
        &self.name
    }
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
    /// SHA-256 of the DER SPKIs that stand for this member beside the CAs.
    pub fn pins(&self) -> &[[u8; 32]] {
        &self.pins
    }
    /// The keys that sign this gateway's requests and responses.
    pub fn keys(&self) -> &KeySet {
        &self.keys
    }
    pub fn ledger(&self) -> Option<&LedgerName> {
        self.ledger.as_ref()
    }
    pub fn contact(&self) -> Option<&str> {
        self.contact.as_deref()
    }
    pub fn status(&self) -> Status {
        self.status
    }
    /// The card as its file says it; there is nothing secret on a card.
    pub fn public_json(&self) -> &Value {
        &self.document
    }
}

impl Endpoint {
    /// `https://host[:port]`, port 443 if none is named; no user, path or query.
    pub fn parse(text: &str) -> Option<Self> {
        let uri: hyper::Uri = text.parse().ok()?;
        let authority = uri.authority()?;
        let bare = uri.scheme_str() == Some("https")
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
            && !text.contains('#')
            && !authority.as_str().contains('@')
            && !authority.host().is_empty();
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            // `host:` and `host:99999` leave no port behind, yet are none of ours.
            None if authority.as_str().len() == authority.host().len() => 443,
            None => return None,
        };
        (bare && port != 0).then(|| Self { host: authority.host().to_owned(), port })
    }

    /// As in a URL: an IPv6 address stands in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }
    pub fn port(&self) -> u16 {
        self.port
    }
    /// `host:port`, as for a `Host` header.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}:{}", self.host, self.port)
    }
}

/// The schema's faults, and of ours those at places of which the schema said nothing.
fn once_a_place(mut faults: Vec<Fault>, by_schema: usize) -> Vec<Fault> {
    let mut ours = faults.split_off(by_schema);
    ours.retain(|ours| !faults.iter().any(|schemas| schemas.pointer == ours.pointer));
    faults.extend(ours);
    faults.truncate(MOST_FAULTS);
    faults
}

fn read_pins(texts: &[String], faults: &mut Vec<Fault>) -> Vec<[u8; 32]> {
    let mut pins = Vec::with_capacity(texts.len());
    for (i, text) in texts.iter().enumerate() {
        match URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok()) {
            Some(pin) => pins.push(pin),
            None => faults.push(Fault::new(
                format!("/tls/spki_sha256/{i}"),
                "spki-sha256",
                "is not base64url of 32 bytes",
                "不是32字节的base64url",
            )),
        }
    }
    pins
}

fn check_ledger(ledger: &LedgerName, region: Region, faults: &mut Vec<Fault>) {
    if !is_origin_of(&ledger.origin, region) {
        let words = "is not an origin of the card's region";
        faults.push(Fault::new("/ledger/origin", "origin", words, "不是本区划的账本名称"));
    }
    if !is_vkey_of(&ledger.vkey, &ledger.origin) {
        let words = "is not an Ed25519 verifier key of that origin";
        faults.push(Fault::new("/ledger/vkey", "vkey", words, "不是该账本的Ed25519验证公钥"));
    }
}

/// `tongban/<region>/<year>h<1 or 2>` (protocol §1).
fn is_origin_of(origin: &str, region: Region) -> bool {
    let half = origin
        .strip_prefix("tongban/")
        .and_then(|rest| rest.strip_prefix(region.as_str()))
        .and_then(|rest| rest.strip_prefix('/'));
    matches!(half.map(str::as_bytes), Some([y @ .., b'h', b'1' | b'2']) if y.len() == 4 && y.iter().all(u8::is_ascii_digit))
}

/// C2SP signed-note: `<name>+<hex key hash>+<base64(0x01 ‖ public key)>`, the hash being
/// the first 4 bytes of SHA-256(name ‖ LF ‖ 0x01 ‖ public key).
fn is_vkey_of(vkey: &str, name: &str) -> bool {
    let Some((hash, key)) =
        vkey.strip_prefix(name).and_then(|r| r.strip_prefix('+')).and_then(|r| r.split_once('+'))
    else {
        return false;
    };
    let Ok(key) = STANDARD.decode(key) else { return false };
    let named = [name.as_bytes(), b"\n", &key].concat();
    let expected = digest(&SHA256, &named);
    key.len() == 33
        && key.first() == Some(&1)
        && expected.as_ref().get(..4).map(hex::encode).as_deref() == Some(hash)
}

#[cfg(test)]
impl Card {
    pub(crate) fn with_keys(mut self, keys: KeySet) -> Self {
        self.keys = keys;
        self
    }

    /// A card for tests of this room: no keys, an endpoint, pins.
    pub(crate) fn for_test(region: &str, port: u16, pins: Vec<[u8; 32]>, status: Status) -> Self {
        let region = Region::parse(region).unwrap();
        Self {
            region,
            name: "测试县".into(),
            endpoint: Endpoint { host: "127.0.0.1".into(), port },
            pins,
            keys: KeySet::default(),
            ledger: None,
            contact: None,
            status,
            document: Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::keys::{Algorithm, SigningKey};

    fn card() -> Value {
        let key = SigningKey::from_jwk(&SigningKey::generate(Algorithm::Es256).unwrap()).unwrap();
        let origin = "tongban/421202/2026h2";
        let public = [&[1][..], &[9; 32]].concat();
        let hash = digest(&SHA256, &[origin.as_bytes(), b"\n", &public].concat());
        let vkey = format!("{origin}+{}+{}", hex::encode(&hash.as_ref()[..4]), STANDARD.encode(&public));
        json!({
            "id": "urn:tongban:gw:421202", "region": "421202", "name": "咸宁市咸安区",
            "endpoint": "https://gw.xianan.gov.cn:8443",
            "tls": {"spki_sha256": [URL_SAFE_NO_PAD.encode([7; 32])]},
            "jwks": {"keys": [key.public_jwk()]},
            "ledger": {"origin": origin, "vkey": vkey}, "contact": "0715-0000000", "status": "active"
        })
    }

    fn faults(changes: &[(&str, Value)]) -> Vec<(String, String)> {
        let mut card = card();
        for (pointer, value) in changes {
            *card.pointer_mut(pointer).unwrap() = value.clone();
        }
        let faults = Card::from_value(&card).err().unwrap_or_default();
        faults.into_iter().map(|f| (f.pointer, f.rule)).collect()
    }

    #[test]
    fn a_card_is_read_whole() {
        let value = card();
        let card = Card::from_value(&value).ok().unwrap();
        assert_eq!(card.region().as_str(), "421202");
        assert_eq!(card.endpoint().to_string(), "https://gw.xianan.gov.cn:8443");
        assert_eq!((card.pins(), card.status()), ([[7; 32]].as_slice(), Status::Active));
        assert_eq!((card.keys().kids().count(), card.ledger().is_some()), (1, true));
        assert_eq!(card.public_json(), &value);
    }

    #[test]
    fn a_card_without_tls_ledger_and_contact_is_one_too() {
        let mut value = card();
        for name in ["tls", "ledger", "contact"] {
            value.as_object_mut().unwrap().remove(name);
        }
        let card = Card::from_value(&value).ok().unwrap();
        assert!(card.pins().is_empty() && card.ledger().is_none() && card.contact().is_none());
    }

    #[test]
    fn a_card_tells_all_its_faults_at_once() {
        let found = faults(&[
            ("/id", "urn:tongban:gw:331083".into()),
            ("/endpoint", "https://gw:99999".into()),
            ("/jwks/keys/0/x", "AAAA".into()),
            ("/ledger/vkey", "tongban/421202/2026h2+00000000+AAAA".into()),
        ]);
        let places: Vec<&str> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(places, ["/id", "/endpoint", "/ledger/vkey", "/jwks/keys/0/x"]);
    }

    #[test]
    fn an_unknown_status_is_a_fault_never_active() {
        assert_eq!(faults(&[("/status", "paused".into())])[0].0, "/status");
        assert_eq!(faults(&[("/status", Value::Null)])[0].0, "/status");
    }

    #[test]
    fn a_private_key_on_a_card_is_a_fault() {
        let private = SigningKey::generate(Algorithm::Es256).unwrap();
        let found = faults(&[("/jwks/keys/0", private)]);
        assert!(found.iter().all(|(place, _)| place.starts_with("/jwks/keys/0")) && !found.is_empty());
    }

    #[test]
    fn an_endpoint_is_an_https_host_and_port_and_nothing_more() {
        let good = |t: &str| Endpoint::parse(t).map(|e| e.authority());
        assert_eq!(good("https://gw.xianan.gov.cn:8443").as_deref(), Some("gw.xianan.gov.cn:8443"));
        assert_eq!(good("https://[::1]:8443/").as_deref(), Some("[::1]:8443"));
        assert_eq!(good("https://gw.xianan.gov.cn").as_deref(), Some("gw.xianan.gov.cn:443"));
        for bad in [
            "http://gw:8443",
            "gw:8443",
            "https://gw:8443/v1",
            "https://gw:8443/?x",
            "https://gw:8443/#x",
            "https://u@gw:8443",
            "https://gw:0",
            "https://gw:",
            "https://gw:99999",
            "https://",
            "",
        ] {
            assert_eq!(good(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_ledger_is_named_after_its_region() {
        let region = Region::parse("421202").unwrap();
        assert!(is_origin_of("tongban/421202/2026h2", region));
        for bad in
            ["tongban/331083/2026h2", "tongban/421202/2026h3", "tongban/421202/26h1", "421202/2026h2", ""]
        {
            assert!(!is_origin_of(bad, region), "{bad}");
        }
    }

    #[test]
    fn a_vkey_belongs_to_its_name() {
        // The example of golang.org/x/mod/sumdb/note.
        let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        assert!(is_vkey_of(vkey, "PeterNeumann"));
        assert!(!is_vkey_of(vkey, "Peter"));
        assert!(!is_vkey_of(&vkey.replace("c74f", "c75f"), "PeterNeumann"));
        assert!(!is_vkey_of("PeterNeumann+c74f20a3", "PeterNeumann"));
    }

    #[test]
    fn pins_are_32_bytes_of_base64url() {
        let mut faults = Vec::new();
        let pin = URL_SAFE_NO_PAD.encode([7; 32]);
        let texts = [pin.clone(), format!("{pin}="), "AAAA".into(), pin.replace('B', "+")];
        assert_eq!(read_pins(&texts, &mut faults), [[7; 32]]);
        let places: Vec<_> = faults.iter().map(|f| f.pointer.as_str()).collect();
        assert_eq!(places, ["/tls/spki_sha256/1", "/tls/spki_sha256/2", "/tls/spki_sha256/3"]);
    }
}
