//! The frame of every page: head, navigation by role, the integrity strip, foot.

use hyper::StatusCode;

use crate::house::House;

use super::super::answer::{self, HttpAnswer};
use super::assets::assets;
use super::markup::{El, Markup, el};
use super::pages::{Call, PAGES, Page};
use super::session::Bound;
use super::words::{Lang, bytes, count, minute, span};

/// A checkpoint older than this is told in words, not only in seconds (protocol §7: 10 s).
const CHECKPOINT_LATE_S: u64 = 60;

/// A page for somebody who is signed in.
pub fn inside(call: &Call<'_>, path: &str, page: Page) -> HttpAnswer {
    let lang = call.lang;
    let header =
        el("header").class("top").add(brand(call.house, lang)).add(nav(call, path)).add(who(call, path));
    let main = el("main").attr("id", "main").add(el("h1").add(page.title.as_str())).add(page.body);
    let body = el("body").add(skip_link(lang)).add(header).add(strip(call)).add(main).add(foot(lang));
    document(lang, &page.title, &call.house.config.region.name, page.status, body)
}

/// A page for somebody who is not.
pub fn outside(house: &House, lang: Lang, title: &str, status: StatusCode, body: Markup) -> HttpAnswer {
    let switch = el("div").class("who").add(language(lang, "/sign-in"));
    let header = el("header").class("top").add(brand(house, lang)).add(switch);
    let main = el("main").attr("id", "main").add(el("h1").add(title)).add(body);
    let body = el("body").add(skip_link(lang)).add(header).add(main).add(foot(lang));
    document(lang, title, &house.config.region.name, status, body)
}

fn document(lang: Lang, title: &str, region: &str, status: StatusCode, body: El) -> HttpAnswer {
    let meta = |name, content| el("meta").attr("name", name).attr("content", content);
    let link = |rel, path: &str| el("link").attr("rel", rel).href(path);
    let assets = assets();
    let script = el("script").attr("type", "module").attr("src", &assets.script.path);
    let head = el("head")
        .add(el("meta").attr("charset", "utf-8"))
        .add(meta("viewport", "width=device-width, initial-scale=1"))
        .add(meta("color-scheme", "light dark"))
        .add(el("title").add(format!("{title} · {region} · 通办")))
        .add(link("stylesheet", &assets.style.path))
        .add(link("icon", &assets.mark.path))
        .add(script);
    let html = el("html").attr("lang", lang.tag()).add(head).add(body);
    let text = format!("<!doctype html>\n{}\n", Markup::from(html).into_string());
    answer::bytes(status, "text/html; charset=utf-8", text)
}

fn skip_link(lang: Lang) -> El {
    el("a").class("skip").attr("href", "#main").add(lang.pick("跳到正文", "Skip to content"))
}

fn brand(house: &House, lang: Lang) -> El {
    let region = format!("{} {}", house.config.region.name, house.me);
    el("a")
        .class("brand")
        .href("/")
        .add(el("img").attr("src", &assets().mark.path).attr("alt", "").attr("width", 28).attr("height", 28))
        .add(
            el("span")
                .add(el("strong").add(lang.pick("通办审计台", "Tongban console")))
                .add(el("bdi").add(region)),
        )
}

fn nav(call: &Call<'_>, path: &str) -> El {
    let role = call.visit.account.role();
    let here = PAGES.iter().filter(|page| page.holds(path)).max_by_key(|page| page.path.len());
    let links = PAGES.iter().filter(|page| page.listed && page.roles.contains(&role)).map(|page| {
        let link = el("a").href(page.path).add(call.lang.pick(page.zh, page.en));
        let current = here.is_some_and(|here| here.path == page.path);
        el("li").add(if current { link.attr("aria-current", "page") } else { link })
    });
    el("nav").attr("aria-label", call.t("页面", "Pages")).add(el("ul").each(links))
}

fn who(call: &Call<'_>, path: &str) -> El {
    let account = &call.visit.account;
    let (zh, en) = account.role().says();
    let how = match call.visit.bound {
        Bound::Certificate(_) => call.t("证书登录", "by certificate"),
        Bound::Link => call.t("链接登录", "by link"),
    };
    let sign_out = call.form("/sign-out").class("inline");
    let sign_out =
        sign_out.add(el("button").attr("type", "submit").class("quiet").add(call.t("退出", "Sign out")));
    el("div")
        .class("who")
        .add(
            el("span")
                .attr(
                    "title",
                    format!("{how} · {} {}", call.t("会话至", "session until"), minute(call.visit.until)),
                )
                .add(el("bdi").add(account.title()))
                .add(format!(" · {}", call.lang.pick(zh, en))),
        )
        .add(language(call.lang, path))
        .add(sign_out)
}

/// The switch to the other language.
fn language(lang: Lang, back: &str) -> El {
    let (other, name) = match lang {
        Lang::Zh => (Lang::En, "English"),
        Lang::En => (Lang::Zh, "中文"),
    };
    let hidden =
        |name, value: &str| el("input").attr("type", "hidden").attr("name", name).attr("value", value);
    el("form")
        .attr("method", "post")
        .attr("action", "/language")
        .class("inline")
        .add(hidden("lang", other.word()))
        .add(hidden("back", back))
        .add(el("button").attr("type", "submit").class("quiet").attr("lang", other.tag()).add(name))
}

/// What every page says about the log. Green is the browser's own word: the script sets it
/// after it has verified; without a script it stays "not verified".
fn strip(call: &Call<'_>) -> El {
    let ledger = &call.house.ledger;
    let health = ledger.health();
    let origin = ledger.origin();
    let vkey = ledger.vkey(&origin).map(|vkey| vkey.to_string()).unwrap_or_default();
    let age = health.checkpoint_age.map(|age| age.as_secs());
    let around = &call.console.around;
    let facts: [(&str, Markup); 7] = [
        (call.t("账本", "Log"), origin.as_str().into()),
        (call.t("条目", "Entries"), format!("{} / {}", count(health.sealed_size), count(health.size)).into()),
        (
            call.t("检查点", "Checkpoint"),
            match age {
                None => call.t("尚无", "none yet").into(),
                Some(age) => {
                    let late = age > CHECKPOINT_LATE_S && health.unsealed_for.is_some();
                    let mark = if late { "!" } else { "" };
                    format!("{} {}{mark}", span(age), call.t("前", "ago")).into()
                }
            },
        ),
        (call.t("见证", "Witnesses"), witnesses(call, &origin)),
        (
            call.t("未对账起点", "Unreconciled since"),
            match around.oldest_open_window() {
                None => "–".into(),
                Some(start) => minute(crate::clock::Now::from_secs(start)).into(),
            },
        ),
        (call.t("写入", "Commit"), format!("{} ms", health.last_commit.as_millis()).into()),
        (call.t("磁盘余量", "Disk left"), health.free_disk.map_or_else(|| "–".to_owned(), bytes).into()),
    ];
    let facts = facts.map(|(name, value)| el("div").add(el("dt").add(name)).add(el("dd").add(value)));
    el("section")
        .attr("id", "integrity")
        .attr("aria-label", call.t("账本完整性", "Integrity of the log"))
        .attr("data-state", "unverified")
        .attr("data-origin", &origin)
        .attr("data-vkey", vkey)
        .add(
            el("p")
                .attr("role", "status")
                .add(el("span").class("lamp").attr("aria-hidden", "true"))
                .add(
                    el("strong")
                        .class("verdict")
                        .add(call.t("本浏览器尚未核验", "Not verified by this browser")),
                )
                .add(el("span").class("detail").add(call.t(
                    "核验由浏览器自己完成,需要 JavaScript",
                    "The browser verifies by itself, which needs JavaScript",
                ))),
        )
        .add(el("dl").each(facts))
}

/// How many witnesses cosigned, and what the policy in force asks for; amber when it is not met.
fn witnesses(call: &Call<'_>, origin: &str) -> Markup {
    let Some(quorum) = call.console.around.quorum() else {
        let signed = call.console.around.cosigners(origin).len();
        return format!("{signed} · {}", call.t("未设策略", "no policy")).into();
    };
    let words = match call.lang {
        Lang::Zh => format!("{}/{},策略要求 {}", quorum.signed, quorum.of, quorum.need),
        Lang::En => format!("{}/{}, the policy asks for {}", quorum.signed, quorum.of, quorum.need),
    };
    el("span").class(if quorum.met { "quorum" } else { "quorum badge warn" }).add(words).into()
}

fn foot(lang: Lang) -> El {
    el("footer").add(format!(
        "通办 Tongban {} · {}",
        env!("CARGO_PKG_VERSION"),
        lang.pick("时间均为北京时间", "all times are Asia/Shanghai")
    ))
}
