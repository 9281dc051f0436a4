//! `authorize issue --qr`: shows a one-time code as the citizen's app would, and gives the
//! authorization for it once, to the gateway that it was said yes to.
//!
//! The code is random and never the token; whoever photographs the screen has 60 s, and gets
//! an authorization that only the asking gateway's key can use.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, value_parser};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use qrcode::render::{svg, unicode};
use qrcode::{EcLevel, QrCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::super::durable::replace_file;
use super::super::new_keys::random;
use super::super::{Exit, Outcome, Stop, out};
use super::{Asked, DevAuthority, Issued, Moment};
use crate::door::answer::{self, HttpAnswer};
use crate::door::listener::{self, Limits, ListenerStats, collect_body};
use crate::envelope::digest;
use crate::json;

/// A code lives as long as a screen is held up.
const MOST_SECONDS: u32 = 60;
/// Random bytes of a code: 192 bits where 128 are asked for, and still a small picture.
const CODE_BYTES: usize = 24;
/// Octets of a redeem request; ours has about 200.
const MOST_ASK_BYTES: usize = 4096;
const ASK_DEADLINE: Duration = Duration::from_secs(5);
/// Side of the SVG (pixels) at least: readable by a window's scanner at arm's length.
const SVG_SIDE: u32 = 240;

#[derive(Args)]
pub(super) struct Show {
    /// Show a one-time code instead of printing the token 以二维码亮证
    #[arg(long)]
    pub(super) qr: bool,
    /// Also write the code as an SVG picture 另存为 SVG
    #[arg(long, value_name = "FILE", requires = "qr")]
    svg: Option<PathBuf>,
    /// How long the code lives 亮证码有效秒数
    #[arg(long, value_name = "N", default_value_t = MOST_SECONDS, value_parser = value_parser!(u32).range(1..=i64::from(MOST_SECONDS)), requires = "qr")]
    seconds: u32,
}

/// A code on a screen, and what it stands for.
struct Shown {
    /// SHA-256 of the code: comparing it tells nothing about the code.
    code: [u8; 32],
    authority: DevAuthority,
    asked: Asked,
    moment: Moment,
    given: Mutex<Option<Issued>>,
    done: watch::Sender<bool>,
}

pub(super) fn show(
    authority: DevAuthority,
    asked: Asked,
    show: &Show,
    moment: Moment,
    as_json: bool,
) -> Outcome {
    let code = URL_SAFE_NO_PAD.encode(random::<CODE_BYTES>()?);
    let listen = authority.redeem_listen()?;
    let taken = |e: std::io::Error| Stop::failed(format_args!("{listen}: cannot listen ({})", e.kind()));
    // Before the code is shown: who scans it at once finds somebody there.
    let socket = std::net::TcpListener::bind(listen).map_err(taken)?;
    socket.set_nonblocking(true).map_err(taken)?;
    draw(&code, show, &format!("http://{listen}/redeem"), as_json)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Stop::failed(format_args!("the runtime cannot start ({})", e.kind())))?;
    let (done, given) = watch::channel(false);
    let (code, last) = (digest(code.as_bytes()), Duration::from_secs(show.seconds.into()));
    let shown = Arc::new(Shown { code, authority, asked, moment, given: Mutex::default(), done });
    runtime.block_on(async {
        let socket = TcpListener::from_std(socket).map_err(taken)?;
        shown.clone().serve(socket, given, last).await;
        Ok::<_, Stop>(())
    })?;
    let given = shown.given.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(issued) = given.as_ref() else {
        out::complain("the code has expired; nobody redeemed it 亮证码已过期，未被兑换");
        return Ok(Exit::Failed);
    };
    if as_json {
        out::json(&json!({ "redeemed": true, "jti": issued.jti, "idx": issued.index, "exp": issued.exp }));
    } else {
        out::line(format_args!("redeemed, jti {} 已兑换", issued.jti));
    }
    Ok(Exit::Well)
}

fn draw(code: &str, show: &Show, redeem: &str, as_json: bool) -> anyhow::Result<()> {
    let picture = QrCode::with_error_correction_level(code, EcLevel::M)?;
    if let Some(file) = &show.svg {
        let svg = picture.render::<svg::Color<'_>>().min_dimensions(SVG_SIDE, SVG_SIDE).build();
        replace_file(file, svg.as_bytes(), 0o600)?;
    }
    if as_json {
        out::json(&json!({ "code": code, "seconds": show.seconds, "redeem": redeem, "svg": show.svg }));
        return Ok(());
    }
    // Terminals are dark and what is drawn on them shines: blocks are drawn for the light modules.
    let (block, blank) = (unicode::Dense1x2::Dark, unicode::Dense1x2::Light);
    out::line(picture.render::<unicode::Dense1x2>().dark_color(blank).light_color(block).build());
    out::line(format_args!("{code}"));
    out::note(format_args!("valid {} s, once · {redeem} 一次有效，{} 秒", show.seconds, show.seconds));
    Ok(())
}

impl Shown {
    /// Until the authorization was given, or the time is over.
    async fn serve(self: Arc<Self>, socket: TcpListener, mut given: watch::Receiver<bool>, last: Duration) {
        let (stop, stopped) = watch::channel(false);
        let service = move |request: Request<Incoming>, _| {
            let shown = Arc::clone(&self);
            async move { shown.answer(request).await }
        };
        let stats = Arc::new(ListenerStats::default());
        let door = tokio::spawn(listener::serve(socket, None, Limits::default(), stats, service, stopped));
        // Either way it is over.
        let _ = tokio::time::timeout(last, given.wait_for(|given| *given)).await;
        stop.send_replace(true);
        // The answer that is on its way is finished first.
        let _ = door.await;
    }

    async fn answer(&self, request: Request<Incoming>) -> HttpAnswer {
        if request.uri().path() != "/redeem" {
            return answer::empty(StatusCode::NOT_FOUND);
        }
        if request.method() != Method::POST {
            return answer::not_allowed("POST");
        }
        let Ok(body) = collect_body(request.into_body(), MOST_ASK_BYTES, ASK_DEADLINE).await else {
            return answer::empty(StatusCode::BAD_REQUEST);
        };
        let ask = json::parse(&body).unwrap_or_default();
        match self.redeem(&ask) {
            Ok(jws) => answer::after_body(answer::json(StatusCode::OK, &json!({ "authorization": jws }))),
            Err(status) => answer::after_body(answer::empty(status)),
        }
    }

    /// Gives the authorization once; a wrong asker does not use it up.
    fn redeem(&self, ask: &Value) -> Result<String, StatusCode> {
        let text = |name| ask.get(name).and_then(Value::as_str).ok_or(StatusCode::BAD_REQUEST);
        let (code, client, jkt) = (text("code")?, text("client_id")?, text("jkt")?);
        if digest(code.as_bytes()) != self.code {
            return Err(StatusCode::NOT_FOUND);
        }
        let bound = self.asked.jkt.as_deref().is_none_or(|bound| bound == jkt);
        if client != self.asked.client.gateway_urn() || !bound {
            return Err(StatusCode::FORBIDDEN);
        }
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if given.is_some() {
            return Err(StatusCode::GONE);
        }
        let asked = Asked { jkt: Some(jkt.to_owned()), ..self.asked.clone() };
        let issued = self.authority.issue(&asked, self.moment.now());
        let issued = issued.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        let jws = issued.jws.clone();
        *given = Some(issued);
        self.done.send_replace(true);
        Ok(jws)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{AT, asked};
    use super::*;

    fn shown(dir: &std::path::Path) -> Shown {
        Shown {
            code: digest(b"code"),
            authority: DevAuthority::create(dir, "mengsuban", AT, 24).unwrap(),
            asked: Asked { jkt: None, ..asked() },
            moment: Moment { at: Some(AT.secs()) },
            given: Mutex::default(),
            done: watch::channel(false).0,
        }
    }

    #[test]
    fn a_code_is_good_once_and_for_the_gateway_it_was_meant_for() {
        let dir = tempfile::tempdir().unwrap();
        let shown = shown(dir.path());
        let jkt = "A".repeat(43);
        let ask = |code: &str, client: &str| json!({"code": code, "client_id": client, "jkt": jkt});
        let client = "urn:tongban:gw:331083";
        assert_eq!(shown.redeem(&json!({"code": "code"})), Err(StatusCode::BAD_REQUEST));
        assert_eq!(shown.redeem(&ask("other", client)), Err(StatusCode::NOT_FOUND));
        assert_eq!(shown.redeem(&ask("code", "urn:tongban:gw:421202")), Err(StatusCode::FORBIDDEN));
        let jws = shown.redeem(&ask("code", client)).unwrap();
        let payload = URL_SAFE_NO_PAD.decode(jws.split('.').nth(1).unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&payload).unwrap()["cnf"]["jkt"], *jkt);
        assert_eq!(shown.redeem(&ask("code", client)), Err(StatusCode::GONE));
    }
}
