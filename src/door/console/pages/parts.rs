//! Pieces that several pages are made of.

use serde_json::Value;

use crate::answer::Code;
use crate::clock::Now;
use crate::ledger::{Decision, Leaf, LeafKind, Standing};

use super::super::desk::shard_of;
use super::super::markup::{El, Markup, el, segment};
use super::super::words::{Lang, exact_moment};
use super::Call;

/// A titled part of a page.
pub fn panel(title: &str, body: impl Into<Markup>) -> El {
    el("section").class("panel").add(el("h2").add(title)).add(body)
}

/// A table that becomes a list of cards on a small screen: each cell knows its column's name.
pub struct Table<'t> {
    head: Vec<(&'t str, bool)>,
    caption: &'t str,
    rows: Vec<Vec<Markup>>,
}

impl<'t> Table<'t> {
    /// A name that begins with `#` heads a column of numbers.
    pub fn new(caption: &'t str, head: &[&'t str]) -> Self {
        let head = head.iter().map(|name| match name.strip_prefix('#') {
            Some(name) => (name, true),
            None => (*name, false),
        });
        Self { head: head.collect(), caption, rows: Vec::new() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = Markup>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table, or `nothing` where it has no row.
    pub fn or(self, nothing: &str) -> Markup {
        if self.rows.is_empty() {
            return el("p").class("nothing").add(nothing).into();
        }
        let class = |number: bool| if number { "number" } else { "" };
        let head = self
            .head
            .iter()
            .map(|(name, number)| el("th").attr("scope", "col").class(class(*number)).add(*name));
        let rows = self.rows.into_iter().map(|cells| {
            let cells = cells.into_iter().zip(&self.head).map(|(cell, (name, number))| {
                el("td").attr("data-label", name).class(class(*number)).add(cell)
            });
            el("tr").each(cells)
        });
        let table = el("table")
            .class("list")
            .add(el("caption").class("unseen").add(self.caption))
            .add(el("thead").add(el("tr").each(head)))
            .add(el("tbody").each(rows));
        table.into()
    }
}

/// Names with their values.
pub fn facts<'f>(facts: impl IntoIterator<Item = (&'f str, Markup)>) -> El {
    let facts = facts.into_iter().filter(|(_, value)| !value.is_empty());
    el("dl")
        .class("facts")
        .each(facts.map(|(name, value)| el("div").add(el("dt").add(name)).add(el("dd").add(value))))
}

/// A word that is told by colour, too.
pub fn badge(class: &'static str, word: impl Into<Markup>) -> Markup {
    el("span").class(class).add(word).into()
}

/// Text that others wrote: apart from ours in its direction.
pub fn theirs(text: &str) -> Markup {
    el("bdi").add(text).into()
}

pub fn code(text: impl Into<Markup>) -> Markup {
    el("code").add(text).into()
}

pub fn link(path: &str, text: impl Into<Markup>) -> Markup {
    el("a").href(path).add(text).into()
}

pub fn at(now: Now) -> Markup {
    el("time").add(exact_moment(now)).into()
}

pub fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// How an exchange ended, in a word and a colour.
pub fn decision(lang: Lang, leaf: &Leaf) -> Markup {
    let (class, zh, en) = match (leaf.t, leaf.dec) {
        (LeafKind::OutSent, _) => ("badge", "已发出", "sent"),
        (_, Some(Decision::Permit)) => ("badge good", "准予", "permit"),
        (_, Some(Decision::Deny)) => ("badge warn", "拒绝", "deny"),
        (_, Some(Decision::Error)) => ("badge bad", "失败", "error"),
        (_, None) => return Markup::default(),
    };
    badge(class, lang.pick(zh, en))
}

/// A refusal's code with its title.
pub fn code_with_title(lang: Lang, word: &str) -> Markup {
    let title = Code::from_word(word).map(|code| lang.pick(code.title_zh(), code.title()));
    match title {
        Some(title) => code(word).and(" ").and(title),
        None => code(word),
    }
}

/// What a leaf is of, in people's words.
pub const fn kind(lang: Lang, kind: LeafKind) -> &'static str {
    let (zh, en) = match kind {
        LeafKind::In => ("答复", "answered"),
        LeafKind::OutSent => ("发出请求", "request sent"),
        LeafKind::OutDone => ("收到答复", "answer received"),
        LeafKind::OutFailed => ("请求失败", "request failed"),
        LeafKind::Event => ("办件事件", "case event"),
        LeafKind::Recon => ("对账", "reconciliation"),
        LeafKind::Search => ("检索", "search"),
        LeafKind::Open => ("开启证据", "evidence opened"),
        LeafKind::Export => ("导出", "export"),
        LeafKind::Erase => ("删除与保全", "erasure or hold"),
        LeafKind::Key => ("密钥变更", "key changed"),
        LeafKind::Config => ("配置变更", "configuration"),
        LeafKind::Genesis => ("账本开篇", "log begun"),
        LeafKind::Close => ("账本封结", "log closed"),
        LeafKind::Incident => ("异常", "incident"),
    };
    lang.pick(zh, en)
}

/// The path of a leaf's own page.
pub fn leaf_path(standing: &Standing) -> String {
    format!("/leaves/{}/{}", segment(shard_of(&standing.origin)), standing.index)
}

/// The path of an exchange's page.
pub fn exchange_path(exchange: &str) -> String {
    format!("/exchanges/{}", segment(exchange))
}

/// Leaves as a list with links.
pub fn leaves(call: &Call<'_>, found: &[Standing], nothing: &str) -> Markup {
    let lang = call.lang;
    let caption = call.t("记录", "Entries");
    let mut table = Table::new(
        caption,
        &[
            call.t("#序号", "#Index"),
            call.t("时间", "Time"),
            call.t("类别", "Kind"),
            call.t("对方", "Partner"),
            call.t("操作", "Op"),
            call.t("事项 / 证照", "Item / license"),
            call.t("结果", "Result"),
            call.t("交换", "Exchange"),
        ],
    );
    for standing in found {
        let Some(leaf) = standing.leaf() else { continue };
        let what = [leaf.item.as_deref(), leaf.lt.as_deref()].into_iter().flatten().map(code);
        let result = decision(lang, &leaf).and(" ").and(leaf.code.as_deref().map(code));
        table.row([
            link(&leaf_path(standing), standing.index.to_string()),
            at(Now::from_ms(leaf.ts)),
            kind(lang, leaf.t).into(),
            leaf.peer.as_deref().map(Markup::from).into(),
            leaf.op.as_deref().map(code).into(),
            what.fold(Markup::default(), |all, one| if all.is_empty() { one } else { all.and(" ").and(one) }),
            result,
            leaf.x.as_deref().map(|x| link(&exchange_path(x), code(x))).into(),
        ]);
    }
    table.or(nothing)
}
