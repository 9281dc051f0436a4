//! Signing in and out, and the language switch: the only things that need no session.
//!
//! Promises: what opened nothing is told alike, whatever was wrong with it.

use hyper::StatusCode;

use crate::account::Account;

use super::super::answer::{self, HttpAnswer};
use super::super::listener::ConnInfo;
use super::form::Fields;
use super::guard::{self, LANG_COOKIE, SESSION_COOKIE};
use super::layout;
use super::markup::{El, Markup, el, is_own_path};
use super::session::Bound;
use super::words::Lang;
use super::{Asker, Console};

/// How long a browser keeps its language: a year.
const LANG_SECONDS: u32 = 31_536_000;

/// Answers what belongs here; `None` for every other path.
pub fn serve(
    console: &Console,
    asker: &Asker,
    conn: &ConnInfo,
    path: &str,
    post: bool,
    fields: &Fields,
) -> Option<HttpAnswer> {
    let answer = match (path, post) {
        ("/language", true) => language(fields),
        ("/sign-in", false) => match &asker.visit {
            Some(_) => guard::see_other("/"),
            None => page(console, asker),
        },
        ("/sign-in", true) => with_certificate(console, asker),
        ("/link", true) => with_link(console, asker, conn, fields),
        ("/sign-out", true) => sign_out(console, asker, fields),
        ("/language" | "/link" | "/sign-out", false) => answer::not_allowed("POST"),
        (_, false) => link_page(console, asker, path.strip_prefix("/link/")?),
        _ => return None,
    };
    Some(if post { answer::after_body(answer) } else { answer })
}

fn language(fields: &Fields) -> HttpAnswer {
    let lang = fields.get("lang").and_then(Lang::from_word).unwrap_or_default();
    let back = fields.get("back").filter(|back| is_own_path(back)).unwrap_or("/");
    guard::set_cookie(guard::see_other(back), LANG_COOKIE, Some(lang.word()), Some(LANG_SECONDS))
}

fn with_certificate(console: &Console, asker: &Asker) -> HttpAnswer {
    let trust = console.house.trust.load();
    let opened = asker.shown.and_then(|pin| Some((pin, trust.accounts.of_pin(&pin)?)));
    match opened {
        Some((pin, account)) => begin(console, asker, account, Bound::Certificate(pin)),
        None => refused(console, asker),
    }
}

fn with_link(console: &Console, asker: &Asker, conn: &ConnInfo, fields: &Fields) -> HttpAnswer {
    let secret = fields.get("secret").unwrap_or_default();
    let trust = console.house.trust.load();
    let opened = console.links.open(secret, conn.remote().ip(), asker.now);
    match opened.as_deref().and_then(|name| trust.accounts.named(name)) {
        Some(account) => begin(console, asker, account, Bound::Link),
        None => refused(console, asker),
    }
}

/// Always a new session: one that was there before belongs to whoever made it.
fn begin(console: &Console, asker: &Asker, account: &Account, bound: Bound) -> HttpAnswer {
    if let Some(before) = &asker.cookie {
        console.sessions.end(before);
    }
    let Some(secret) = console.sessions.begin(account, bound, asker.now) else {
        return answer::empty(StatusCode::SERVICE_UNAVAILABLE);
    };
    tracing::info!(target: "console", account = account.name(), role = account.role().word(), how = how(bound), "signed in");
    guard::set_cookie(guard::see_other("/"), SESSION_COOKIE, Some(&secret), None)
}

const fn how(bound: Bound) -> &'static str {
    match bound {
        Bound::Certificate(_) => "certificate",
        Bound::Link => "link",
    }
}

fn sign_out(console: &Console, asker: &Asker, fields: &Fields) -> HttpAnswer {
    if let (Some(visit), Some(cookie)) = (&asker.visit, &asker.cookie) {
        if !fields.get("csrf").is_some_and(|token| visit.has_token(token)) {
            return answer::empty(StatusCode::FORBIDDEN);
        }
        console.sessions.end(cookie);
    }
    guard::set_cookie(guard::see_other("/sign-in"), SESSION_COOKIE, None, None)
}

fn refused(console: &Console, asker: &Asker) -> HttpAnswer {
    tracing::warn!(target: "console", "a sign-in was refused");
    let t = |zh, en| asker.lang.pick(zh, en);
    let words = el("p").class("notice bad").attr("role", "alert").add(t(
        "未能登录。请确认证书或链接有效;若多次失败,请稍候再试或向管理员索取新链接。",
        "Not signed in. Check that the certificate or the link is valid; after several failures wait a while or ask for a new link.",
    ));
    show(console, asker, StatusCode::FORBIDDEN, Markup::from(words).and(ways(console, asker)))
}

/// What somebody without a session sees instead of any page.
pub fn page(console: &Console, asker: &Asker) -> HttpAnswer {
    show(console, asker, StatusCode::UNAUTHORIZED, ways(console, asker))
}

fn ways(console: &Console, asker: &Asker) -> Markup {
    let t = |zh, en| asker.lang.pick(zh, en);
    let trust = console.house.trust.load();
    let account = asker.shown.and_then(|pin| trust.accounts.of_pin(&pin));
    let certificate = match account {
        Some(account) => {
            let (zh, en) = account.role().says();
            let who = el("p")
                .add(t("证书属于 ", "The certificate belongs to "))
                .add(el("strong").add(el("bdi").add(account.title())))
                .add(format!(" · {}", asker.lang.pick(zh, en)));
            let form = el("form").attr("method", "post").attr("action", "/sign-in");
            Markup::from(who).and(form.add(button(t("用证书登录", "Sign in with the certificate"))))
        }
        None => el("p")
            .add(t(
                "浏览器没有出示属于任何账号的证书。请导入管理员发放的 .p12 文件,重启浏览器后再打开本页。",
                "The browser showed no certificate of any account. Import the .p12 file you were given, restart the browser, open this page again.",
            ))
            .into(),
    };
    let link =
        el("p").add(t("或请管理员在服务器上运行 ", "Or have an administrator run this on the server: "));
    let link = link.add(el("code").add("tongban console link NAME"));
    let link = link.add(t(
        " ,并打开其给出的一次性链接(五分钟内有效)。",
        " and open the one-time link it prints (within five minutes).",
    ));
    el("section")
        .class("panel narrow")
        .add(el("h2").add(t("证书", "Certificate")))
        .add(certificate)
        .add(el("h2").add(t("一次性链接", "One-time link")))
        .add(link)
        .into()
}

/// Asks before it uses the link, so that nothing that merely looks at links uses it up; says
/// nothing about whether it will open.
fn link_page(console: &Console, asker: &Asker, secret: &str) -> HttpAnswer {
    let t = |zh, en| asker.lang.pick(zh, en);
    let form = el("form").attr("method", "post").attr("action", "/link");
    let form = form
        .add(el("input").attr("type", "hidden").attr("name", "secret").attr("value", secret))
        .add(button(t("登录", "Sign in")));
    let panel = el("section")
        .class("panel narrow")
        .add(el("p").add(t("此链接只能使用一次。", "This link opens once.")))
        .add(form);
    show(console, asker, StatusCode::OK, panel.into())
}

fn button(text: &str) -> El {
    el("button").attr("type", "submit").class("primary").add(text)
}

fn show(console: &Console, asker: &Asker, status: StatusCode, body: Markup) -> HttpAnswer {
    layout::outside(&console.house, asker.lang, asker.lang.pick("登录", "Sign in"), status, body)
}
