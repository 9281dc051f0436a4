//! A county's license library over HTTP, which counts its calls and can be as awkward as a
//! test wants.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::papers::licenses;

/// What the library says to the next calls.
#[derive(Clone)]
pub enum Says {
    Licenses(Vec<Value>),
    Status(u16),
    Body(String),
    /// Takes the call and never answers.
    Nothing,
}

#[derive(Clone)]
pub struct Library {
    pub addr: SocketAddr,
    calls: Arc<AtomicUsize>,
    says: Arc<Mutex<Says>>,
    /// Calls wait here while the gate is shut.
    gate: Arc<Semaphore>,
}

/// More callers than any test has.
const OPEN: usize = 100_000;

impl Library {
    /// Opens with the licenses of this world.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let library = Self {
            addr: listener.local_addr().unwrap(),
            calls: Arc::default(),
            says: Arc::new(Mutex::new(Says::Licenses(licenses()))),
            gate: Arc::new(Semaphore::new(OPEN)),
        };
        let served = library.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let library = served.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(library.clone(), request));
                    let http = hyper::server::conn::http1::Builder::new();
                    drop(http.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        library
    }

    pub fn says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Calls wait until [`Library::open_gate`].
    pub fn shut_gate(&self) {
        self.gate.forget_permits(OPEN);
    }

    pub fn open_gate(&self) {
        self.gate.add_permits(OPEN);
    }

    /// `[register]` of a gateway that asks this library.
    pub fn settings(&self) -> String {
        let same = |names: &[&str]| {
            names.iter().map(|name| format!("{name} = \"/{name}\"\n")).collect::<String>()
        };
        format!(
            "kind = \"http\"\n\
             url = \"http://{0}/licenses?type={{type}}&holder={{holder_type}}:{{holder_number}}\"\n\
             url_by_id = \"http://{0}/licenses/{{license_id}}?type={{type}}\"\n\
             timeout_ms = 1000\nrecords = \"/list\"\n\
             [register.header]\n{1}\
             [register.holders]\nlist = \"/holders\"\nname = \"/name\"\ntype_code = \"/type_code\"\ncode = \"/code\"\n\
             [register.data_by_type.{2}]\n{3}[register.data_by_type.{4}]\n{5}",
            self.addr,
            same(&[
                "license_id", "type_code", "name", "number", "issuer_name", "issuer_code", "area_code", "issued_on",
                "valid_from", "valid_to", "long_term", "status", "version",
            ]),
            super::papers::MARRIAGE,
            same(&["data/cert_no", "data/registered_on", "data/authority", "data/op_type"]).replace("\"/", "\"/")
                .lines().map(|l| format!("{}\n", l.replacen("data/", "", 1))).collect::<String>(),
            super::papers::BUSINESS,
            same(&[
                "data/uscc", "data/name", "data/type", "data/legal_person", "data/established_on", "data/domicile",
                "data/scope", "data/registry", "data/issued_on",
            ])
            .lines().map(|l| format!("{}\n", l.replacen("data/", "", 1))).collect::<String>(),
        )
    }
}

async fn answer(
    library: Library,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    library.calls.fetch_add(1, Ordering::SeqCst);
    let _through = library.gate.acquire().await.unwrap();
    let says = library.says.lock().unwrap().clone();
    let asked = request.uri().to_string();
    let (status, body) = match says {
        Says::Licenses(all) => {
            let found: Vec<&Value> = all.iter().filter(|license| fits(license, &asked)).collect();
            (200, json!({"list": found}).to_string())
        }
        Says::Status(status) => (status, "内部错误 internal error at 10.1.2.3".to_owned()),
        Says::Body(text) => (200, text),
        Says::Nothing => std::future::pending().await,
    };
    Ok(Response::builder().status(status).body(Full::new(body.into())).unwrap())
}

fn fits(license: &Value, asked: &str) -> bool {
    let named = |value: &Value| asked.contains(value.as_str().unwrap());
    named(&license["type_code"])
        && (named(&license["license_id"])
            || license["holders"].as_array().unwrap().iter().any(|holder| named(&holder["code"])))
}
