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

use super::papers::{BUSINESS, MARRIAGE, licenses};

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

    /// `[register]` of a gateway that asks this library, whose documents look like ours.
    pub fn settings(&self) -> String {
        const HEADER: [&str; 13] = [
            "license_id",
            "type_code",
            "name",
            "number",
            "issuer_name",
            "issuer_code",
            "area_code",
            "issued_on",
            "valid_from",
            "valid_to",
            "long_term",
            "status",
            "version",
        ];
        const OF_MARRIAGE: [&str; 4] = ["cert_no", "registered_on", "authority", "op_type"];
        const OF_BUSINESS: [&str; 9] = [
            "uscc",
            "name",
            "type",
            "legal_person",
            "established_on",
            "domicile",
            "scope",
            "registry",
            "issued_on",
        ];
        let door = self.addr;
        let (header, marriage, business) =
            (pointers("", &HEADER), pointers("/data", &OF_MARRIAGE), pointers("/data", &OF_BUSINESS));
        format!(
            r#"kind = "http"
url = "http://{door}/licenses?type={{type}}&holder={{holder_type}}:{{holder_number}}"
url_by_id = "http://{door}/licenses/{{license_id}}?type={{type}}"
timeout_ms = 1000
records = "/list"
[register.header]
{header}
[register.holders]
list = "/holders"
name = "/name"
type_code = "/type_code"
code = "/code"
[register.data_by_type.{MARRIAGE}]
{marriage}
[register.data_by_type.{BUSINESS}]
{business}"#
        )
    }
}

fn pointers(parent: &str, names: &[&str]) -> String {
    names.iter().map(|name| format!("{name} = \"{parent}/{name}\"\n")).collect()
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
