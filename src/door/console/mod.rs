//! The auditors' console: pages over TLS for the three administrators, on a door of its own.
//!
//! Promises: nobody sees a page without an account in force, and each only what its role may;
//! what changes anything is a POST of this console's own form; what partners wrote stays text;
//! a page about a person needs a purpose and an order number first and stands in the log. It
//! works without JavaScript; with it, the browser itself verifies the log.
//! Leaves to others: the accounts' files ([`crate::account`]), and what an act does ([`crate::audit`]).

mod around;
mod assets;
mod counterparts;
mod desk;
mod form;
mod guard;
mod layout;
mod links;
mod log;
mod markup;
mod pages;
mod plot;
mod session;
mod signin;
mod tally;
mod verification;
mod words;

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use tokio::sync::watch;

use crate::account::Pin;
use crate::clock::Now;
use crate::house::House;

use super::answer::{self, HttpAnswer};
use super::listener::{BodyFault, ConnInfo, Limits, collect_body};
use counterparts::Counterparts;
use desk::Desk;
use form::{Fields, LARGEST_FORM};
use links::Links;
use pages::Call;
use session::{Sessions, Visit};
use tally::Tally;
use verification::Verification;
use words::Lang;

pub use around::{Around, Cosigner, Difference, Quorum, Window, WindowState};
pub use links::LINK_MS;

/// How often new leaves are counted into the hours.
const COUNT_EVERY: Duration = Duration::from_secs(2);

/// Connections at once: a handful of people, each with a browser's six.
const CONNECTIONS: usize = 256;

/// The console of one gateway.
pub struct Console {
    house: Arc<House>,
    desk: Desk,
    around: Box<dyn Around>,
    sessions: Sessions,
    links: Links,
    tally: Tally,
    verification: Verification,
    counterparts: Counterparts,
}

/// Why there is no link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkFault {
    #[error("there is no active account of that name 没有此账号或已停用")]
    NoSuchAccount,
    #[error("no random number could be drawn 无法取得随机数")]
    NoRandom,
}

impl Console {
    pub fn new(house: Arc<House>, around: Box<dyn Around>) -> Arc<Self> {
        Arc::new(Self {
            desk: Desk::new(house.clone()),
            house,
            around,
            sessions: Sessions::default(),
            links: Links::default(),
            tally: Tally::default(),
            verification: Verification::default(),
            counterparts: Counterparts::default(),
        })
    }

    /// The path (`/link/…`) that signs this account in once within five minutes.
    pub fn mint_link(&self, account: &str) -> Result<String, LinkFault> {
        let trust = self.house.trust.load();
        let account = trust.accounts.named(account).ok_or(LinkFault::NoSuchAccount)?;
        let secret = self.links.mint(account.name(), self.house.clock.now()).ok_or(LinkFault::NoRandom)?;
        Ok(format!("/link/{secret}"))
    }

    /// The limits of this door's listener.
    pub fn limits() -> Limits {
        Limits { connections: CONNECTIONS, ..Limits::default() }
    }

    /// Counts new leaves now. Reads files: call it where blocking is allowed.
    pub fn count(&self) {
        if let Err(fault) = self.tally.catch_up(&self.house.ledger, self.house.clock.now()) {
            tracing::warn!(target: "console", %fault, "the hours could not be counted");
        }
    }
}

/// Counts leaves into hours, until `stopped`.
pub async fn tend(console: Arc<Console>, mut stopped: watch::Receiver<bool>) {
    loop {
        let this = console.clone();
        // An interrupted count is gone on with at the next one.
        let _ = console.house.background.run(move || this.count()).await;
        tokio::select! {
            () = tokio::time::sleep(COUNT_EVERY) => {}
            _ = stopped.changed() => return,
        }
    }
}

/// Answers one request of a browser (or of an auditor's tool, for the log).
pub async fn serve(console: Arc<Console>, request: Request<Incoming>, conn: Arc<ConnInfo>) -> HttpAnswer {
    guard::secured(route(&console, request, &conn).await)
}

/// Who asks: what every answer depends on.
struct Asker {
    lang: Lang,
    now: Now,
    /// The key of the certificate that the connection showed, if it is valid today.
    shown: Option<Pin>,
    cookie: Option<String>,
    visit: Option<Visit>,
}

async fn route(console: &Arc<Console>, request: Request<Incoming>, conn: &ConnInfo) -> HttpAnswer {
    let Some(host) = guard::own_host(&console.house.config, &request) else {
        return answer::empty(StatusCode::MISDIRECTED_REQUEST);
    };
    let path = request.uri().path().to_owned();
    let post = match *request.method() {
        Method::GET => false,
        Method::POST => true,
        _ => return answer::not_allowed("GET, POST"),
    };
    if post && !guard::of_our_own_page(request.headers(), &host) {
        return answer::empty(StatusCode::FORBIDDEN);
    }
    if let Some(asset) = assets::assets().find(&path).filter(|_| !post) {
        return answer::immutable(asset.media_type, asset.bytes);
    }
    let asker = asker(console, &request, conn, &path);
    if let Some(rest) = path.strip_prefix("/log/").filter(|_| !post) {
        return log::serve(console, &asker, rest).await;
    }
    let query = Fields::parse(request.uri().query().unwrap_or_default().as_bytes());
    let fields = match form(request, post).await {
        Ok(fields) => fields,
        Err(status) => return answer::empty(status),
    };
    if let Some(answer) = signin::serve(console, &asker, conn, &path, post, &fields) {
        return answer;
    }
    let Some(visit) = &asker.visit else {
        return if post { answer::empty(StatusCode::FORBIDDEN) } else { signin::page(console, &asker) };
    };
    if post && !fields.get("csrf").is_some_and(|token| visit.has_token(token)) {
        return answer::empty(StatusCode::FORBIDDEN);
    }
    let call =
        Call { console, house: &console.house, lang: asker.lang, now: asker.now, visit, query, fields };
    let answered = pages::answer(&call, &path, post).await;
    if post { answer::after_body(answered) } else { answered }
}

fn asker(console: &Console, request: &Request<Incoming>, conn: &ConnInfo, path: &str) -> Asker {
    let now = console.house.clock.now();
    let shown = guard::shown_pin(conn, now);
    let cookie = form::cookie(request.headers(), guard::SESSION_COOKIE).map(str::to_owned);
    // What a page fetches by itself keeps nobody signed in.
    let busy = !path.starts_with("/log/") && path != "/integrity/progress" && !path.ends_with("/bundle.json");
    let trust = console.house.trust.load();
    let visit = cookie
        .as_deref()
        .and_then(|cookie| console.sessions.find(cookie, shown.as_ref(), &trust.accounts, now, busy));
    let lang =
        form::cookie(request.headers(), guard::LANG_COOKIE).and_then(Lang::from_word).unwrap_or_default();
    Asker { lang, now, shown, cookie, visit }
}

/// The fields of a POST's form.
async fn form(request: Request<Incoming>, post: bool) -> Result<Fields, StatusCode> {
    if !post {
        return Ok(Fields::default());
    }
    let of_a_form = request
        .headers()
        .get(hyper::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    if !of_a_form {
        return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    match collect_body(request.into_body(), LARGEST_FORM, super::listener::BODY_DEADLINE).await {
        Ok(body) => Ok(Fields::parse(&body)),
        Err(BodyFault::TooLarge) => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(BodyFault::Timeout) => Err(StatusCode::REQUEST_TIMEOUT),
        Err(BodyFault::Broken) => Err(StatusCode::BAD_REQUEST),
    }
}
