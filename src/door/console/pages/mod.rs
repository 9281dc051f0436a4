//! The pages: each turns what the rooms know into markup. Which role may open which stands in
//! one table ([`PAGES`]).

mod acts;
mod asking;
mod cases;
mod checks;
mod entry;
mod evidence;
mod exchange;
mod integrity;
mod overview;
mod parts;
mod partners;
mod people;
mod registers;
mod search;
mod security;
mod timeline;

use std::sync::Arc;

use hyper::StatusCode;

use crate::account::Role;
use crate::clock::Now;
use crate::house::House;

use super::super::answer::{self, HttpAnswer};
use super::Console;
use super::form::{Fields, decode_segment};
use super::layout;
use super::markup::{El, Markup, el};
use super::session::Visit;
use super::words::Lang;

/// One entry of the navigation: a path and everything below it.
pub struct Place {
    pub path: &'static str,
    pub zh: &'static str,
    pub en: &'static str,
    pub roles: &'static [Role],
    /// Stands in the navigation.
    pub listed: bool,
}

impl Place {
    pub fn holds(&self, path: &str) -> bool {
        match path.strip_prefix(self.path) {
            Some(rest) => rest.is_empty() || (self.path != "/" && rest.starts_with('/')),
            None => false,
        }
    }
}

const ALL: &[Role] = &Role::ALL;
const WATCHING: &[Role] = &[Role::System, Role::Audit];
const AUDIT: &[Role] = &[Role::Audit];
const SECURITY: &[Role] = &[Role::Security];

const fn place(path: &'static str, zh: &'static str, en: &'static str, roles: &'static [Role]) -> Place {
    Place { path, zh, en, roles, listed: true }
}

const fn unlisted(path: &'static str, zh: &'static str, en: &'static str, roles: &'static [Role]) -> Place {
    Place { path, zh, en, roles, listed: false }
}

/// Who may see what. A path that stands here for no role of yours is refused.
pub const PAGES: &[Place] = &[
    place("/", "总览", "Overview", ALL),
    place("/search", "检索", "Search", AUDIT),
    place("/subject", "主体报告", "Subject report", AUDIT),
    place("/authorization", "授权使用", "Authorization", AUDIT),
    unlisted("/exchanges", "交换", "Exchange", AUDIT),
    unlisted("/leaves", "记录", "Entry", AUDIT),
    unlisted("/proofs", "证明", "Proof", AUDIT),
    place("/evidence", "证据", "Evidence", AUDIT),
    place("/partners", "伙伴", "Partners", WATCHING),
    place("/cases", "办件", "Cases", WATCHING),
    place("/integrity", "完整性", "Integrity", ALL),
    place("/registers", "登记簿", "Registers", SECURITY),
    place("/approvals", "双人审批", "Approvals", SECURITY),
    place("/accounts", "账号", "Accounts", SECURITY),
];

/// One request of somebody who is signed in.
pub struct Call<'c> {
    pub console: &'c Arc<Console>,
    pub house: &'c Arc<House>,
    pub lang: Lang,
    pub now: Now,
    pub visit: &'c Visit,
    pub query: Fields,
    /// Of a POST.
    pub fields: Fields,
}

impl Call<'_> {
    pub fn t<'t>(&self, zh: &'t str, en: &'t str) -> &'t str {
        self.lang.pick(zh, en)
    }

    /// A form of this session that changes something or must be recorded.
    pub fn form(&self, action: &str) -> El {
        let token = el("input").attr("type", "hidden").attr("name", "csrf").attr("value", &self.visit.csrf);
        el("form").attr("method", "post").attr("action", action).add(token)
    }

    /// Runs what reads files where blocking is allowed; `None` when it could not be read.
    pub async fn read<T, E>(&self, read: impl FnOnce(&House) -> Result<T, E> + Send + 'static) -> Option<T>
    where
        T: Send + 'static,
        E: std::fmt::Display + Send + 'static,
    {
        let house = Arc::clone(self.house);
        let read = tokio::task::spawn_blocking(move || read(&house).map_err(|fault| fault.to_string())).await;
        match read {
            Ok(Ok(read)) => Some(read),
            Ok(Err(fault)) => {
                tracing::error!(target: "console", fault, "a page could not be read");
                None
            }
            Err(_) => None,
        }
    }
}

/// What a page comes to.
pub struct Page {
    pub status: StatusCode,
    pub title: String,
    pub body: Markup,
}

impl Page {
    pub fn new(title: impl Into<String>, body: impl Into<Markup>) -> Self {
        Self { status: StatusCode::OK, title: title.into(), body: body.into() }
    }

    fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

/// A page, or an answer that is none (a download, a redirect).
pub enum Shown {
    Page(Page),
    Other(HttpAnswer),
}

impl From<Page> for Shown {
    fn from(page: Page) -> Self {
        Self::Page(page)
    }
}

impl From<HttpAnswer> for Shown {
    fn from(answer: HttpAnswer) -> Self {
        Self::Other(answer)
    }
}

pub async fn answer(call: &Call<'_>, path: &str, post: bool) -> HttpAnswer {
    let shown = match PAGES.iter().filter(|page| page.holds(path)).max_by_key(|page| page.path.len()) {
        None => missing(call).into(),
        Some(page) if !page.roles.contains(&call.visit.account.role()) => not_yours(call).into(),
        Some(_) => dispatch(call, path, post).await,
    };
    match shown {
        Shown::Page(page) => layout::inside(call, path, page),
        Shown::Other(answer) => answer,
    }
}

async fn dispatch(call: &Call<'_>, path: &str, post: bool) -> Shown {
    let parts: Option<Vec<String>> = path.split('/').skip(1).map(decode_segment).collect();
    let parts = parts.unwrap_or_default();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match (post, parts.as_slice()) {
        (false, [""]) => overview::page(call).await.into(),
        (false, ["partners"]) => partners::list(call).into(),
        (false, ["partners", region]) => partners::one(call, region).into(),
        (false, ["cases"]) => cases::list(call).await.into(),
        (false, ["cases", number]) => cases::one(call, number).await.into(),
        (false, ["integrity"]) => integrity::page(call).await.into(),
        (false, ["integrity", "progress"]) => integrity::progress(call).into(),
        (true, ["integrity"]) => integrity::start(call).into(),
        (false, ["search"]) => search::search(call).await,
        (true, ["search"]) => search::sought(call).await.into(),
        (false, ["subject"]) => people::subject_form(call).into(),
        (true, ["subject"]) => people::subject(call).await.into(),
        (false, ["authorization"]) => people::authorization_form(call).into(),
        (true, ["authorization"]) => people::authorization(call).await.into(),
        (false, ["exchanges", exchange]) => exchange::by_id(call, exchange).await.into(),
        (true, ["exchanges", exchange]) => exchange::ask_partner(call, exchange).await,
        (false, ["leaves", shard, index]) => exchange::by_place(call, shard, index).await.into(),
        (true, ["leaves", shard, index]) => acts::act(call, shard, index).await,
        (false, ["evidence"]) => evidence::list(call).await.into(),
        (false, ["evidence", id]) => evidence::one(call, id).await.into(),
        (false, ["evidence", id, "bundle.json"]) => evidence::bundle(call, id).await,
        (false, ["proofs", shard, name]) => exchange::proof(call, shard, name).await,
        (false, ["registers"]) => registers::page(call).await.into(),
        (false, ["approvals"]) => security::approvals(call).await.into(),
        (true, ["approvals"]) => security::decide(call).await,
        (false, ["accounts"]) => security::accounts(call).into(),
        (true, _) => answer::not_allowed("GET").into(),
        (false, _) => missing(call).into(),
    }
}

pub fn missing(call: &Call<'_>) -> Page {
    let words = call.t("没有这一页或这条记录。", "There is no such page or entry.");
    Page::new(call.t("未找到", "Not found"), el("p").class("notice").add(words))
        .with_status(StatusCode::NOT_FOUND)
}

fn not_yours(call: &Call<'_>) -> Page {
    let words = call.t(
        "您的角色不能查看此页。系统、审计、安全三类管理员各司其职,不得兼任。",
        "Your role may not see this page: system, audit and security administrators each have their own.",
    );
    let status = StatusCode::FORBIDDEN;
    Page::new(call.t("无权查看", "Not for this role"), el("p").class("notice bad").add(words))
        .with_status(status)
}

/// What is shown where files could not be read.
pub fn unreadable(call: &Call<'_>) -> Markup {
    let words = call.t("暂时无法读取,请稍后再试。", "This cannot be read at the moment; try again.");
    el("p").class("notice bad").attr("role", "alert").add(words).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole matrix, as a reviewer reads it.
    #[test]
    fn each_role_sees_its_own_pages() {
        let matrix: String = PAGES
            .iter()
            .map(|page| {
                let roles: Vec<_> = page.roles.iter().map(|role| role.word()).collect();
                format!("{:<15} {}\n", page.path, roles.join(" "))
            })
            .collect();
        insta::assert_snapshot!(matrix, @r"
        /               system audit security
        /search         audit
        /subject        audit
        /authorization  audit
        /exchanges      audit
        /leaves         audit
        /proofs         audit
        /evidence       audit
        /partners       system audit
        /cases          system audit
        /integrity      system audit security
        /registers      security
        /approvals      security
        /accounts       security
        ");
    }

    #[test]
    fn a_place_holds_what_is_below_it_and_nothing_beside() {
        let cases = PAGES.iter().find(|page| page.path == "/cases").unwrap();
        assert!(cases.holds("/cases") && cases.holds("/cases/K1"));
        assert!(!cases.holds("/casesx") && !cases.holds("/") && !PAGES[0].holds("/cases"));
    }
}
