//! The misbehaving partner: the door that the target asks, with an answer for each question.
//!
//! HTTP by hand, because much of what it says no server would. Questions that no case has an
//! answer for get a good one, so that what a case left behind at the target comes to rest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::super::message::Draft;
use super::super::moment::{Asked, Moment};
use super::super::wire::server_config;
use super::super::{ConformanceFault, Ground, unb64url};

/// What a partner sends at most (bytes): a message and its head.
const MOST: usize = 512 * 1024;

/// How a case wants questions answered.
#[derive(Clone)]
pub(super) struct Plan {
    pub moment: Moment,
    /// `{"base", "change"}` of the case data.
    pub answer: Value,
}

#[derive(Default)]
struct State {
    lookup: Option<Plan>,
    /// By case number, because couriers try again while other cases play.
    submits: BTreeMap<String, Plan>,
    seen: Vec<Asked>,
    /// When each message came (milliseconds), by its id.
    came: BTreeMap<String, i64>,
    /// What this partner has cosigned of the target's ledger: the path, and the note.
    cosigned: Option<(String, String)>,
    certificate: String,
}

pub(super) struct Door {
    state: Arc<Mutex<State>>,
}

impl Door {
    pub(super) async fn open(ground: &Ground) -> Result<Self, ConformanceFault> {
        let listener = TcpListener::bind(ground.peer).await.map_err(|e| ConformanceFault::Door(e.kind()))?;
        let mut configs = BTreeMap::new();
        for name in ["answering", "third"] {
            let identity = ground.identities.get(name).ok_or(ConformanceFault::Key)?;
            configs.insert(name.to_owned(), Arc::new(server_config(&ground.ca, identity)?));
        }
        let state = Arc::new(Mutex::new(State { certificate: "answering".into(), ..State::default() }));
        let spare = Plan { moment: Moment::new(Arc::clone(&ground.scene), 0), answer: Value::Null };
        let door = Self { state: Arc::clone(&state) };
        tokio::spawn(listen(listener, configs, state, spare));
        Ok(door)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, until the next.
    pub(super) fn for_lookups(&self, plan: Plan) {
        let certificate = plan.answer.pointer("/change/server_certificate").and_then(Value::as_str);
        let certificate = certificate.unwrap_or("answering").to_owned();
        let mut state = self.state();
        state.certificate = certificate;
        state.lookup = Some(plan);
    }

    pub(super) fn for_submit(&self, case: &str, plan: Plan) {
        let mut state = self.state();
        "answering".clone_into(&mut state.certificate);
        state.submits.insert(case.to_owned(), plan);
    }

    /// What comes now is answered well.
    pub(super) fn behave(&self, case: Option<&str>) {
        let mut state = self.state();
        "answering".clone_into(&mut state.certificate);
        state.lookup = None;
        if let Some(case) = case {
            state.submits.remove(case);
        }
    }

    /// Shows this note to whoever asks what was cosigned under `path`; without one, nothing was.
    pub(super) fn shows_cosigned(&self, cosigned: Option<(String, String)>) {
        self.state().cosigned = cosigned;
    }

    /// The last lookup: its id, and when it came (milliseconds).
    pub(super) fn last_lookup(&self) -> Option<(String, i64)> {
        let state = self.state();
        let lookup = |asked: &&Asked| asked.claims.get("op").is_some_and(|op| op == "license.query");
        let jti = state.seen.iter().rev().find(lookup)?.claims.get("jti")?.as_str()?.to_owned();
        let came = *state.came.get(&jti)?;
        Some((jti, came))
    }

    /// The messages about a case so far.
    pub(super) fn seen(&self, case: &str) -> Vec<Asked> {
        let of_case = |asked: &&Asked| asked.claims.get("case").and_then(Value::as_str) == Some(case);
        self.state().seen.iter().filter(of_case).cloned().collect()
    }
}

async fn listen(
    listener: TcpListener,
    configs: BTreeMap<String, Arc<ServerConfig>>,
    state: Arc<Mutex<State>>,
    spare: Plan,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let certificate = state.lock().unwrap_or_else(PoisonError::into_inner).certificate.clone();
        let Some(config) = configs.get(&certificate) else { continue };
        let (acceptor, state, spare) =
            (TlsAcceptor::from(Arc::clone(config)), Arc::clone(&state), spare.clone());
        tokio::spawn(async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                // Whoever hangs up on a misbehaving partner does well.
                let _ = serve(&mut stream, &state, spare).await;
                let _ = stream.shutdown().await;
            }
        });
    }
}

type Stream = TlsStream<TcpStream>;

async fn serve(stream: &mut Stream, state: &Mutex<State>, spare: Plan) -> std::io::Result<()> {
    let Some((head, body)) = read(stream).await? else { return Ok(()) };
    let mut line = head.split(' ');
    let (method, path) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
    if method == "PUT" && path.starts_with("/v1/materials/") {
        return stream
            .write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await;
    }
    let cosigned = state.lock().unwrap_or_else(PoisonError::into_inner).cosigned.clone();
    if let Some((_, note)) = cosigned.filter(|(shown, _)| method == "GET" && shown == path) {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n",
            note.len()
        );
        stream.write_all(head.as_bytes()).await?;
        return stream.write_all(note.as_bytes()).await;
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    let came = crate::clock::Clock::system().now().ms();
    let claims: Option<Value> =
        text.split('.').nth(1).and_then(unb64url).and_then(|payload| serde_json::from_slice(&payload).ok());
    let (true, Some(claims)) = (path == "/v1/exchange", claims) else {
        return stream
            .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await;
    };
    let asked = Asked { text, claims };
    let plan = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.seen.push(asked.clone());
        if let Some(jti) = asked.claims.get("jti").and_then(Value::as_str) {
            state.came.insert(jti.to_owned(), came);
        }
        let case = asked.claims.get("case").and_then(Value::as_str).unwrap_or_default();
        match asked.claims.get("op").and_then(Value::as_str) {
            Some("license.query") => state.lookup.clone(),
            Some("application.submit") => state.submits.get(case).cloned(),
            _ => None,
        }
    };
    answer(stream, &asked, plan.unwrap_or_else(|| good(&asked, spare))).await
}

/// The answer that a partner in order would give.
fn good(asked: &Asked, mut spare: Plan) -> Plan {
    spare.moment.at = crate::clock::Clock::system().now().secs();
    spare.answer = match asked.claims.get("op").and_then(Value::as_str) {
        Some("ping") => json!({"base": "answer-pong"}),
        Some("license.query") => json!({"base": "answer-not-found"}),
        Some("application.submit") => json!({"base": "receipt", "change": {"both": [
            {"set": {"/payload/result/case": asked.claims.get("case")}},
            {"set": {"/payload/result/awaiting": []}},
        ]}}),
        _ => json!({"base": null, "change": {"http": {"status": 503, "problem": "overloaded"}}}),
    };
    spare
}

/// One request, by its length.
async fn read(stream: &mut Stream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            let (start, length) = (end + 4, length.unwrap_or_default());
            if bytes.len() >= start + length {
                return Ok(Some((head, bytes.get(start..start + length).unwrap_or_default().to_vec())));
            }
        }
        let read = stream.read(&mut buffer).await?;
        if read == 0 || bytes.len() > MOST {
            return Ok(None);
        }
        bytes.extend_from_slice(buffer.get(..read).unwrap_or_default());
    }
}

async fn answer(stream: &mut Stream, asked: &Asked, plan: Plan) -> std::io::Result<()> {
    let change = plan.answer.get("change");
    let http = change.and_then(|change| change.get("http")).cloned().unwrap_or_default();
    if http.get("close") == Some(&Value::Bool(true)) {
        return Ok(());
    }
    let another;
    let asked = if change.is_some_and(|change| change.get("answer_of").is_some()) {
        another = another_question(asked);
        &another
    } else {
        asked
    };
    let base = plan.answer.get("base").filter(|base| !base.is_null());
    let (status, media_type, body) = match base {
        Some(base) => {
            match Draft::of(&plan.moment, base).and_then(|draft| draft.build(change, Some(asked))) {
                Ok(built) => (built.http_status, "application/tongban-response+jwt", built.body),
                // The case says so itself: the target hears nothing.
                Err(_) => return Ok(()),
            }
        }
        None => unsigned(&http),
    };
    let mut head = format!("HTTP/1.1 {status} Said\r\ncontent-type: {media_type}\r\n");
    for (name, value) in http.get("headers").and_then(Value::as_object).into_iter().flatten() {
        head.push_str(&format!("{name}: {}\r\n", value.as_str().unwrap_or_default()));
    }
    head.push_str(&format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()));
    let mut bytes = [head.as_bytes(), &body].concat();
    if http.get("twice") == Some(&Value::Bool(true)) {
        bytes.extend_from_within(..);
    }
    if let Some(cut) = http.get("cut_after").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok()) {
        bytes.truncate(head.len() + cut);
    }
    if let Some(seconds) = http.get("delay_seconds").and_then(Value::as_u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// Another request that this answer could be to.
fn another_question(asked: &Asked) -> Asked {
    let mut claims = asked.claims.clone();
    super::super::message::put(&mut claims, "jti", super::super::moment::new_id().into());
    Asked { text: claims.to_string(), claims }
}

fn unsigned(http: &Value) -> (u16, &'static str, Vec<u8>) {
    let status =
        http.get("status").and_then(Value::as_u64).and_then(|n| u16::try_from(n).ok()).unwrap_or(200);
    if let Some(body) = http.get("json") {
        return (status, "application/json", body.to_string().into_bytes());
    }
    match http.get("problem").and_then(Value::as_str) {
        None => (status, "text/plain", Vec::new()),
        Some(code) => {
            let problem = json!({
                "type": format!("urn:tongban:problem:{code}"), "title": "Refused", "title_zh": "已拒绝",
                "status": status, "code": code, "detail": "See the protocol.", "retry": "no",
                "trace": "t-0123456789abcdef",
            });
            (status, "application/problem+json", problem.to_string().into_bytes())
        }
    }
}
