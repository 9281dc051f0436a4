//! One exchange or one entry: its timeline, what was checked, and the ladder of its proof from
//! the entry to the signed root and its cosigners.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{CONTENT_DISPOSITION, HeaderValue};
use serde_json::Value;

use crate::answer::Code;
use crate::clock::Now;
use crate::inbound::steps::Step;
use crate::ledger::note::Note;
use crate::ledger::proof::Proof;
use crate::ledger::{Decision, Leaf, LeafKind, Standing, checkpoint::Checkpoint};

use super::super::super::answer::{self, HttpAnswer};
use super::super::desk::shard_of;
use super::super::markup::{El, Markup, el, segment};
use super::super::words::{Lang, count};
use super::parts::{
    at, badge, code, code_with_title, decision, exchange_path, facts, kind, leaf_path, link, panel,
};
use super::{Call, Page, Shown, acts, missing, unreadable};

/// `/exchanges/{id}`: every leaf of it that this side has.
pub async fn by_id(call: &Call<'_>, exchange: &str) -> Page {
    let wanted = exchange.to_owned();
    let Some(found) = call.read(move |house| house.ledger.of_exchange(&wanted)).await else {
        return Page::new(call.t("交换", "Exchange"), unreadable(call));
    };
    if found.is_empty() {
        return missing(call);
    }
    let mut body = summary(call, exchange, &found);
    body = body.and(panel(call.t("经过", "Timeline"), timeline(call, &found)));
    let judged = found.iter().filter_map(Standing::leaf).find(|leaf| leaf.t == LeafKind::In);
    body = body.and(judged.map(|leaf| panel(call.t("核查了什么", "What was checked"), checked(call, &leaf))));
    for standing in &found {
        body = body.and(ladder(call, standing).await);
    }
    if let Some(last) = found.last() {
        body = body.and(acts::forms(call, last));
    }
    Page::new(call.t("一次交换", "One exchange"), body)
}

/// `/leaves/{shard}/{index}`: one entry, whatever it is of.
pub async fn by_place(call: &Call<'_>, shard: &str, index: &str) -> Page {
    let Some(standing) = at_place(call, shard, index).await else { return missing(call) };
    let leaf = standing.leaf();
    let exchange = leaf.as_ref().and_then(|leaf| leaf.x.as_deref());
    let to_exchange =
        exchange.map(|x| el("p").add(link(&exchange_path(x), call.t("查看整个交换", "The whole exchange"))));
    let body = Markup::from(panel(call.t("记录", "Entry"), fields(call, &standing)))
        .and(to_exchange)
        .and(ladder(call, &standing).await)
        .and(exchange.map(|_| acts::forms(call, &standing)));
    let title = format!("{} {}/{}", call.t("记录", "Entry"), shard_of(&standing.origin), standing.index);
    Page::new(title, body)
}

/// `/proofs/{shard}/{index}.tlog-proof`.
pub async fn proof(call: &Call<'_>, shard: &str, name: &str) -> Shown {
    let Some(standing) = at_place(call, shard, name.strip_suffix(".tlog-proof").unwrap_or_default()).await
    else {
        return missing(call).into();
    };
    let file = format!("{}-{}.tlog-proof", shard_of(&standing.origin), standing.index);
    let (origin, index) = (standing.origin, standing.index);
    match call.read(move |house| house.ledger.entry(&origin, index)).await.flatten() {
        Some(entry) => download(&file, "text/plain; charset=utf-8", entry.proof).into(),
        None => missing(call).into(),
    }
}

pub fn download(name: &str, media_type: &'static str, bytes: Vec<u8>) -> HttpAnswer {
    let mut answer = answer::bytes(StatusCode::OK, media_type, bytes);
    // Half-year and index: nothing in it needs quoting.
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        answer.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    answer
}

/// The leaf at a place of one of our logs.
pub async fn at_place(call: &Call<'_>, shard: &str, index: &str) -> Option<Standing> {
    let index: u64 = index.parse().ok()?;
    let origin = format!("tongban/{}/{shard}", call.house.me);
    call.read(move |house| house.ledger.leaves(&origin, index..index.saturating_add(1))).await?.pop()
}

fn summary(call: &Call<'_>, exchange: &str, found: &[Standing]) -> Markup {
    let leaves: Vec<Leaf> = found.iter().filter_map(Standing::leaf).collect();
    let first = leaves.first();
    let last = leaves.last();
    let of = |read: fn(&Leaf) -> Option<&String>| leaves.iter().find_map(read).map(code);
    let answering = first.is_some_and(|leaf| leaf.t == LeafKind::In);
    let side =
        if answering { call.t("本方作答", "we answered") } else { call.t("本方请求", "we asked") };
    let outcome = last.map(|leaf| {
        decision(call.lang, leaf)
            .and(" ")
            .and(leaf.code.as_deref().map(|word| code_with_title(call.lang, word)))
    });
    facts([
        (call.t("交换编号", "Exchange id"), code(exchange)),
        (call.t("方向", "Direction"), side.into()),
        (call.t("对方", "Partner"), of(|leaf| leaf.peer.as_ref()).into()),
        (call.t("操作", "Operation"), of(|leaf| leaf.op.as_ref()).into()),
        (call.t("事项", "Item"), of(|leaf| leaf.item.as_ref()).into()),
        (call.t("证照类型", "License type"), of(|leaf| leaf.lt.as_ref()).into()),
        (call.t("结果", "Outcome"), outcome.into()),
    ])
    .into()
}

/// Leaves of both sides in the order of their clocks. Theirs are what reconciliation and
/// evidence bring here; until then only ours.
fn timeline(call: &Call<'_>, found: &[Standing]) -> Markup {
    let steps =
        found.iter().filter_map(|standing| Some((standing, standing.leaf()?))).map(|(standing, leaf)| {
            let ours = call.house.me.to_string();
            let who = leaf.me.clone().unwrap_or(ours);
            let head = el("p")
                .class("step")
                .add(at(Now::from_ms(leaf.ts)))
                .add(" ")
                .add(el("strong").add(kind(call.lang, leaf.t)))
                .add(" ")
                .add(decision(call.lang, &leaf))
                .add(" ")
                .add(el("small").add(format!(
                    "{} {who} · {}",
                    call.t("账本", "log of"),
                    shard_of(&standing.origin)
                )))
                .add(" ")
                .add(link(&leaf_path(standing), format!("#{}", standing.index)));
            el("li").add(head).add(fields(call, standing))
        });
    let theirs = el("p").class("nothing").add(call.t(
        "对方账本中的记录可凭应答中的承诺(账本、序号、哈希)取得并比对;对账页列出差异。",
        "The other side's entry can be fetched by the promise in its answer; reconciliation lists differences.",
    ));
    Markup::from(el("ol").class("timeline").each(steps)).and(theirs)
}

/// What the leaf says, member by member, in its own words.
fn fields(call: &Call<'_>, standing: &Standing) -> Markup {
    let value: Value = serde_json::from_slice(&standing.bytes).unwrap_or_default();
    let members = value.as_object().into_iter().flatten().map(|(name, value)| {
        let shown = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let about = about(name).map(|(zh, en)| call.lang.pick(zh, en)).unwrap_or_default();
        el("div").add(el("dt").add(code(name)).add(" ").add(about)).add(el("dd").add(code(shown)))
    });
    let members: Vec<El> = members.collect();
    el("details")
        .add(el("summary").add(call.t("记录内容", "The entry's members")))
        .add(el("dl").class("facts members").each(members))
        .into()
}

/// What a leaf's member means (protocol §7.1).
fn about(member: &str) -> Option<(&'static str, &'static str)> {
    Some(match member {
        "agr" => ("协议摘要", "agreement digest"),
        "auth" => ("授权标识的哈希", "hash of the authorization's id"),
        "by" => ("账号", "account"),
        "case" => ("办件编号的密钥标签", "keyed tag of the case number"),
        "code" => ("代码", "code"),
        "dec" => ("决定", "decision"),
        "ev" => ("密封证据的哈希", "hash of the sealed evidence"),
        "iat" => ("请求签发时间", "the request's iat"),
        "item" => ("事项", "item"),
        "lt" => ("证照类型", "license type"),
        "me" => ("本方", "this side"),
        "ms" => ("用时(毫秒)", "latencies in ms"),
        "n" => ("次数", "count"),
        "of" => ("涉及的序号", "indices concerned"),
        "op" => ("操作", "operation"),
        "peer" => ("对方", "other side"),
        "rd" => ("结果的哈希", "hash of the result"),
        "ek" => ("时段密钥的承诺", "commitment to the epoch's wrapped key"),
        "rh" => ("可擦除密钥的承诺", "commitment to the erasable secret"),
        "rq" => ("请求报文的哈希", "hash of the request"),
        "rs" => ("应答报文的哈希", "hash of the response"),
        "status" => ("状态码", "status"),
        "sz" => ("大小(字节)", "sizes in bytes"),
        "t" => ("类别", "kind"),
        "tags" => ("随机化检索标签", "randomised search tags"),
        "ts" => ("时间(毫秒)", "time in ms"),
        "v" => ("版本", "version"),
        "x" => ("交换编号", "exchange id"),
        _ => return None,
    })
}

/// The checks of protocol §3.4 in their order: passed, the one that stopped it, not reached.
fn checked(call: &Call<'_>, leaf: &Leaf) -> Markup {
    let stopped = match (leaf.dec, leaf.code.as_deref().and_then(Code::from_word)) {
        (Some(Decision::Permit), _) | (_, None) => None,
        (_, Some(code)) => step_of(code),
    };
    let rows = Step::ALL.into_iter().map(|step| {
        let (en, zh) = step.says();
        let (class, word) = match stopped {
            Some(at) if step == at => ("badge bad", call.t("未通过", "failed")),
            Some(at) if step > at => ("badge", call.t("未进行", "not reached")),
            _ if !applies(step, leaf) => ("badge", call.t("不适用", "not asked for")),
            _ => ("badge good", call.t("通过", "passed")),
        };
        el("li").add(badge(class, word)).add(" ").add(call.lang.pick(zh, en))
    });
    let after = match (stopped, leaf.code.as_deref()) {
        (None, Some(word)) if leaf.dec != Some(Decision::Permit) => {
            let words = call.t("核查均通过;此后:", "All checks passed; afterwards: ");
            Some(el("p").add(words).add(code_with_title(call.lang, word)))
        }
        _ => None,
    };
    Markup::from(el("ol").class("checks").each(rows)).and(after)
}

/// Did this exchange ask for what the step judges? The leaf names agreement, license type and
/// authorization where there were any.
fn applies(step: Step, leaf: &Leaf) -> bool {
    match step {
        Step::Agreement => leaf.agr.is_some(),
        Step::License => leaf.lt.is_some(),
        Step::Authorization => leaf.auth.is_some(),
        _ => true,
    }
}

/// The step that gives this refusal; `None` for what comes after the checks.
fn step_of(code: Code) -> Option<Step> {
    Some(match code {
        Code::NotAMember => Step::Member,
        Code::TooLarge => Step::OpSize,
        Code::Malformed => Step::Header,
        Code::SignatureInvalid => Step::Signature,
        Code::UnknownOp => Step::Envelope,
        Code::IssuerMismatch => Step::Issuer,
        Code::AudienceMismatch => Step::Audience,
        Code::MessageExpired | Code::NotYetValid | Code::LifetimeTooLong => Step::Times,
        Code::Replay | Code::JtiReuse => Step::FirstUse,
        Code::NoAgreement
        | Code::UnknownItem
        | Code::ItemNotAgreed
        | Code::OpNotAgreed
        | Code::BasisNotAgreed => Step::Agreement,
        Code::SchemaViolation => Step::Body,
        Code::UnknownLicenseType | Code::LicenseNotAgreed | Code::FieldNotAgreed => Step::License,
        Code::AuthorizationMissing
        | Code::AuthorizationInvalid
        | Code::AuthorizationExpired
        | Code::AuthorizationRevoked
        | Code::AuthorizationUsedUp
        | Code::AuthorizationInsufficient
        | Code::StatusStale => Step::Authorization,
        _ => return None,
    })
}

/// Leaf → path → root → signature → cosigners, each rung with its hash.
async fn ladder(call: &Call<'_>, standing: &Standing) -> El {
    let title = format!("{} #{}", call.t("证明阶梯", "Proof"), standing.index);
    let (origin, index) = (standing.origin.clone(), standing.index);
    let entry = call.read(move |house| house.ledger.entry(&origin, index)).await.flatten();
    let proof = entry.and_then(|entry| Proof::parse(&entry.proof).ok());
    let Some(proof) = proof else {
        let words = call.t(
            "尚无检查点覆盖此记录,稍候即有。",
            "No checkpoint covers this entry yet; one will in seconds.",
        );
        return panel(&title, el("p").class("nothing").add(words));
    };
    let checkpoint = Checkpoint::peek(&proof.checkpoint).ok();
    let hash = |bytes: &[u8]| code(STANDARD.encode(bytes));
    let rung = |name: &str, value: Markup| {
        el("li").add(el("span").class("rung").add(name)).add(el("span").add(value))
    };
    let mut rungs = vec![rung(call.t("记录哈希", "leaf hash"), hash(&standing.hash))];
    rungs.extend(
        proof
            .path
            .iter()
            .enumerate()
            .map(|(nth, step)| rung(&format!("{} {}", call.t("路径", "path"), nth + 1), hash(step))),
    );
    if let Some(checkpoint) = &checkpoint {
        let size = format!("{} {}", count(checkpoint.size), call.t("条", "entries"));
        rungs.push(rung(call.t("树根", "root"), hash(&checkpoint.root).and(" ").and(size)));
    }
    let vkey = call.house.ledger.vkey(&standing.origin);
    for line in Note::parse(&proof.checkpoint).map(|note| note.signatures().to_vec()).unwrap_or_default() {
        let ours = vkey.as_ref().is_some_and(|vkey| vkey.key_id() == line.key_id);
        let name = if ours {
            call.t("本账本签名", "signed by the log")
        } else {
            call.t("联署", "cosigned by")
        };
        rungs.push(rung(name, code(line.name)));
    }
    let path = format!("/proofs/{}/{}.tlog-proof", segment(shard_of(&standing.origin)), standing.index);
    let download = el("p").add(link(&path, call.t("下载证明文件 .tlog-proof", "Download the .tlog-proof")));
    let about = match call.lang {
        Lang::Zh => "任何 C2SP tlog-proof 工具都可离线验证。",
        Lang::En => "Any C2SP tlog-proof tool verifies it offline.",
    };
    panel(
        &title,
        Markup::from(el("ol").class("ladder").each(rungs)).and(download.add(" ").add(el("small").add(about))),
    )
}
