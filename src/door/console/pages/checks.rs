//! What was checked of an exchange: each check in its order with its clause and its end, as far as
//! the entry tells. What it does not tell is called open.

use crate::answer::{Advice, Code};
use crate::envelope::Op;
use crate::inbound::checks::{Kept, Outcome};
use crate::ledger::{Decision, Leaf, LeafKind};

use super::super::markup::{El, Markup, el};
use super::Call;
use super::parts::{badge, code_with_title, panel};

/// The panel of a leaf that ends an exchange; nothing for others.
pub fn shown(call: &Call<'_>, leaf: &Leaf) -> Option<El> {
    match leaf.t {
        LeafKind::In => {
            Some(panel(call.t("对请求核查了什么", "What was checked of the request"), request(call, leaf)))
        }
        LeafKind::OutDone | LeafKind::OutFailed => {
            Some(panel(call.t("对应答核查了什么", "What was checked of the answer"), answer(call, leaf)))
        }
        _ => None,
    }
}

/// The checks of protocol §3.4 on a partner's request.
fn request(call: &Call<'_>, leaf: &Leaf) -> Markup {
    let code = leaf.code.as_deref().and_then(Code::from_word);
    if code.is_none() && leaf.dec != Some(Decision::Permit) {
        let words =
            call.t("此记录的代码不在本版本的表中。", "This entry's code stands in no table of this version.");
        return el("p").class("nothing").add(words).into();
    }
    let kept = Kept {
        code,
        op: leaf.op.as_deref().and_then(Op::from_name),
        agreement: leaf.agr.is_some(),
        license: leaf.lt.is_some(),
        authorization: leaf.auth.is_some(),
    };
    let told = kept.reconstruct();
    let rows = told.checks.iter().map(|(step, outcome)| {
        let (en, zh) = step.says();
        let (class, word) = word(call, *outcome);
        el("li")
            .add(badge(class, word))
            .add(" ")
            .add(call.lang.pick(zh, en))
            .add(" ")
            .add(el("small").add(step.clause()))
    });
    let refused = code.map(|code| {
        let words = if !told.after {
            call.t("拒绝于上述核查:", "Refused by the check above: ")
        } else if told.checks.iter().any(|(_, outcome)| *outcome == Outcome::MayHaveFailed) {
            call.t(
                "账本不能断定止于所标核查之一,还是其后办理之时:",
                "The log does not tell whether one of the marked checks or the work after them refused: ",
            )
        } else {
            call.t("核查均通过;办理中拒绝:", "All checks passed; refused in the work after them: ")
        };
        el("p")
            .class("refused")
            .add(words)
            .add(code_with_title(call.lang, code.word()))
            .add(" ")
            .add(Advice::of(code).map(|advice| el("small").add(advice.clauses.join(", "))))
    });
    Markup::from(el("ol").class("checks").each(rows)).and(refused)
}

fn word<'t>(call: &Call<'t>, outcome: Outcome) -> (&'static str, &'t str) {
    match outcome {
        Outcome::Passed => ("badge good", call.t("通过", "passed")),
        Outcome::Failed => ("badge bad", call.t("未通过", "failed")),
        Outcome::MayHaveFailed => ("badge warn", call.t("可能止于此", "may have failed")),
        Outcome::Open => ("badge", call.t("不能断定", "not told")),
        Outcome::NotReached => ("badge", call.t("未进行", "not reached")),
        Outcome::NotAsked => ("badge", call.t("不适用", "not asked for")),
    }
}

/// The checks of protocol §3.2 (clause S-5) on a partner's answer: an `out.done` stands only where
/// all of them passed; an `out.failed` does not keep which failed.
fn answer(call: &Call<'_>, leaf: &Leaf) -> Markup {
    let list = call.t(
        "格式、类型、密钥、算法、签名、载荷、签发方、接收方、请求编号、请求摘要、状态、时间、模式",
        "form, type, key, algorithm, signature, payload, issuer, audience, request's id, request's digest, status, times, schema",
    );
    let clause = el("small").add("S-5");
    if leaf.t == LeafKind::OutDone {
        let passed = badge("badge good", call.t("均通过", "all passed"));
        return el("p").add(passed).add(" ").add(list).add(" ").add(clause).into();
    }
    let word = leaf.code.as_deref().unwrap_or_default();
    let judged = word == "partner-answer-invalid";
    let told = if judged {
        badge("badge bad", call.t("未通过", "failed"))
    } else {
        badge("badge", call.t("未进行", "not reached"))
    };
    let words = if judged {
        call.t("收到的应答未通过其中一项,未被采信:", "The answer failed one of these and was not believed: ")
    } else {
        call.t("没有可采信的签名应答:", "There was no signed answer to check: ")
    };
    let what =
        el("p").add(told).add(" ").add(words).add(code_with_title(call.lang, word)).add(" ").add(clause);
    Markup::from(what).and(el("p").class("nothing").add(list))
}
