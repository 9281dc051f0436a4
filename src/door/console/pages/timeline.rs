//! Both sides of an exchange, one above the other in the order of cause: ours from our log, the
//! partner's as far as it is known, each with what stands behind it. Each side tells the time
//! of its own clock.

use crate::clock::Now;
use crate::ledger::{Leaf, LeafKind, Standing};
use crate::outbound::promised::{Counterpart, TheirEntry};

use super::super::counterparts::Looked;
use super::super::desk::shard_of;
use super::super::markup::{El, Markup, el};
use super::super::words::{Lang, count, exact_moment, minute, moment};
use super::Call;
use super::entry::members;
use super::parts::{at, badge, code, decision, exchange_path, kind, leaf_path, link, theirs};

/// Does the partner have a half that could be asked for?
pub fn has_counterpart(leaf: &Leaf) -> bool {
    matches!(leaf.t, LeafKind::In | LeafKind::OutDone | LeafKind::OutFailed)
}

/// The two columns, alarms above them, the question to the partner below.
pub fn shown(call: &Call<'_>, exchange: &str, found: &[Standing]) -> Markup {
    let mut steps = Vec::new();
    let mut alarms = Markup::default();
    let mut peer = None;
    let mut askable = false;
    for (standing, leaf) in found.iter().filter_map(|standing| Some((standing, standing.leaf()?))) {
        askable |= has_counterpart(&leaf);
        let looked = call.console.counterparts.of(standing);
        if let Some(Counterpart::Contradicts(what)) = looked.as_ref().map(|looked| &looked.found) {
            let words = match call.lang {
                Lang::Zh => format!("告警:{}", what.zh()),
                Lang::En => format!("Alarm: {what}"),
            };
            alarms = alarms.and(el("p").class("notice bad").attr("role", "alert").add(words));
        }
        match leaf.t {
            LeafKind::In => {
                steps.push(their_request(call, &leaf));
                steps.push(own(call, standing, &leaf));
                steps.push(their_word(call, &leaf, looked.as_ref()));
            }
            LeafKind::OutDone | LeafKind::OutFailed => {
                steps.push(their_word(call, &leaf, looked.as_ref()));
                steps.push(own(call, standing, &leaf));
            }
            _ => steps.push(own(call, standing, &leaf)),
        }
        peer = peer.or(leaf.peer);
    }
    alarms
        .and(sides(call, peer.as_deref()))
        .and(el("ol").class("both").each(steps))
        .and(askable.then(|| question(call, exchange)))
}

/// Whose column is whose.
fn sides(call: &Call<'_>, peer: Option<&str>) -> El {
    let trust = call.house.trust.load();
    let named = |region: &str| {
        let region = crate::domain::Region::parse(region).ok()?;
        trust.directory.card(region).map(|card| card.name().to_owned())
    };
    let here = format!("{} {}", call.house.config.region.name, call.house.me);
    let there = peer.map(|peer| format!("{} {peer}", named(peer).unwrap_or_default()));
    el("div")
        .class("sides")
        .add(el("p").add(el("strong").add(call.t("本方", "Our side"))).add(" ").add(theirs(&here)))
        .add(
            el("p")
                .add(el("strong").add(call.t("对方", "The partner's side")))
                .add(" ")
                .add(theirs(there.as_deref().unwrap_or_default().trim())),
        )
}

fn question(call: &Call<'_>, exchange: &str) -> El {
    let about = call.t(
        "本方请求的:向对方索取其记录与包含证明并逐项比对;本方答复的:以双方签署的对账窗口复算。不改变任何一方的账本。",
        "Where we asked, its own entry is fetched with its proof; where we answered, the window that both signed is reckoned again. Neither log is changed.",
    );
    let button =
        el("button").attr("type", "submit").class("primary").add(call.t("向对方核对", "Ask the partner"));
    call.form(&exchange_path(exchange)).class("ask").add(button).add(" ").add(el("small").add(about))
}

fn verified(call: &Call<'_>) -> Markup {
    badge("badge good", call.t("已核验", "verified"))
}

fn unverified(call: &Call<'_>) -> Markup {
    badge("badge warn", call.t("未核验", "not verified"))
}

fn step(side: &'static str, head: impl Into<Markup>, body: impl Into<Markup>) -> El {
    el("li").class(side).add(el("div").class("step").add(el("p").add(head)).add(body))
}

/// An entry of our own log.
fn own(call: &Call<'_>, standing: &Standing, leaf: &Leaf) -> El {
    let head = at(Now::from_ms(leaf.ts))
        .and(" ")
        .and(el("strong").add(kind(call.lang, leaf.t)))
        .and(" ")
        .and(decision(call.lang, leaf))
        .and(" ")
        .and(el("small").add(format!("{} {}", call.t("账本", "log"), shard_of(&standing.origin))))
        .and(" ")
        .and(link(&leaf_path(standing), format!("#{}", standing.index)));
    step("ours", head, members(call, &standing.bytes))
}

/// What the partner's signed request says of its making; the door believed it only with its
/// signature.
fn their_request(call: &Call<'_>, leaf: &Leaf) -> El {
    let when = leaf.iat.map(|iat| Markup::from(el("time").add(moment(Now::from_secs(iat)))).and(" "));
    let head = Markup::from(when)
        .and(el("strong").add(call.t("签发请求", "request signed")))
        .and(" ")
        .and(badge("badge good", call.t("签名已验", "signature verified")));
    let held = call
        .t("签名原文由本方密封为证据,摘要", "We hold the signed message as sealed evidence; its digest is");
    let digest = leaf.rq.map(|rq| code(rq.to_string()));
    step("theirs", head, el("p").add(held).add(" ").add(digest))
}

/// The partner's half of a leaf that ends an exchange.
fn their_word(call: &Call<'_>, leaf: &Leaf, looked: Option<&Looked>) -> El {
    let when = looked.map(|looked| {
        let words = call.t("核对于", "asked at");
        el("p").class("nothing").add(format!("{words} {}", exact_moment(looked.at)))
    });
    match looked.map(|looked| &looked.found) {
        Some(Counterpart::Entry(entry)) => their_entry(call, entry, when),
        Some(Counterpart::Signed { window, count: items }) => {
            let head = Markup::from(el("strong").add(call.t("对账签署", "reconciliation signed")))
                .and(" ")
                .and(verified(call));
            let (from, to) = (minute(Now::from_secs(window.from)), minute(Now::from_secs(window.to)));
            let words = match call.lang {
                Lang::Zh => format!(
                    "对方账本密钥签署了 {from} 至 {to} 的对账窗口(共 {} 次交换),其中本次交换与本方记录逐字节一致。",
                    count(*items)
                ),
                Lang::En => format!(
                    "Its ledger key signed the window {from} – {to} ({} exchanges), which holds this one as our entry has it.",
                    count(*items)
                ),
            };
            step("theirs", head, Markup::from(el("p").add(words)).and(when))
        }
        Some(Counterpart::Contradicts(what)) => {
            let head = Markup::from(el("strong").add(call.t("与本方不符", "contradicts ours")))
                .and(" ")
                .and(badge("badge bad", call.t("不符", "differs")));
            let words = match call.lang {
                Lang::Zh => what.zh(),
                Lang::En => what.to_string(),
            };
            step("theirs alarm", head, Markup::from(el("p").add(words)).and(promise(call, leaf)).and(when))
        }
        Some(Counterpart::Unverified(why)) => {
            let words = match call.lang {
                Lang::Zh => why.zh().to_owned(),
                Lang::En => why.to_string(),
            };
            let body = Markup::from(el("p").add(words)).and(promise(call, leaf)).and(when);
            step("theirs", claim(call, leaf).and(" ").and(unverified(call)), body)
        }
        None => {
            let words = call.t("尚未向对方核对。", "The partner has not been asked.");
            let body = Markup::from(el("p").add(words)).and(promise(call, leaf));
            step("theirs", claim(call, leaf).and(" ").and(unverified(call)), body)
        }
    }
}

/// What the partner is believed to have done, in words.
fn claim(call: &Call<'_>, leaf: &Leaf) -> Markup {
    let words = match leaf.t {
        LeafKind::OutDone => call.t("答复并记账", "answered and recorded"),
        LeafKind::OutFailed => call.t("没有可信的答复", "no answer to believe"),
        _ => call.t("收到答复并记账", "answer received and recorded"),
    };
    el("strong").add(words).into()
}

/// What its signed answer, which we hold, promised.
fn promise(call: &Call<'_>, leaf: &Leaf) -> Markup {
    let Some(promise) = &leaf.pl else { return Markup::default() };
    let words = call.t(
        "其签名应答(由本方密封为证据)承诺:账本",
        "Its signed answer, held as sealed evidence, promises: log",
    );
    el("p")
        .add(words)
        .add(" ")
        .add(theirs(shard_of(&promise.origin)))
        .add(format!(" #{} ", promise.index))
        .add(code(promise.leaf.to_string()))
        .into()
}

fn their_entry(call: &Call<'_>, entry: &TheirEntry, when: Option<El>) -> El {
    let head = at(Now::from_ms(entry.leaf.ts))
        .and(" ")
        .and(el("strong").add(kind(call.lang, entry.leaf.t)))
        .and(" ")
        .and(decision(call.lang, &entry.leaf))
        .and(" ")
        .and(verified(call))
        .and(" ")
        .and(el("small").add(call.t("账本", "log")).add(" ").add(theirs(shard_of(&entry.promise.origin))))
        .and(format!(" #{}", entry.promise.index));
    let proven = match call.lang {
        Lang::Zh => format!(
            "包含证明成立:在对方账本密钥签署的检查点({} 条)之内,与本方记录逐项一致。",
            count(entry.size)
        ),
        Lang::En => format!(
            "Proven under a checkpoint of {} entries that its ledger key signed, and says what our entry says.",
            count(entry.size)
        ),
    };
    let cosigned = match entry.cosigned {
        Some(at) => {
            let words = call.t("该检查点经本方联署于", "We cosigned that checkpoint at");
            format!("{words} {}", moment(Now::from_secs(at)))
        }
        None => call
            .t("该检查点尚未经本方联署。", "That checkpoint does not bear our cosignature yet.")
            .to_owned(),
    };
    let bytes = entry.leaf.to_bytes().unwrap_or_default();
    let body = Markup::from(el("p").add(proven)).and(el("p").class("nothing").add(cosigned));
    step("theirs", head, body.and(when).and(members(call, &bytes)))
}
