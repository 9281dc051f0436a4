//! The advice on every refusal code, as a page (`docs/refusals.md`), as JSON, or for a terminal.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::{Exit, out};
use crate::answer::{Advice, Cause};

const HEAD: &str = "# Refusals: what they mean and what to do 拒绝码说明

Made by `tongban explain --all --markdown` from the gateway's own table of refusals; a test fails where both differ. Clauses are those of
[PROTOCOL.md](../conformance/PROTOCOL.md). A cause marked ◆ is one that `tongban explain`, and a [sandbox](partner-guide.md), find by
themselves in the bytes of a refused message, by the name in brackets.
本页由 `tongban explain --all --markdown` 生成,与程序不一致时测试失败。条款见 [PROTOCOL.md](../conformance/PROTOCOL.md)。
带 ◆ 的原因可由 `tongban explain` 或[沙箱](partner-guide.zh-CN.md)从被拒报文中直接查出,方括号内为其名称。

*Signed* refusals are facts: recorded in the answering side's ledger. Unsigned ones are hints: never act upon them (R-2, S-6).
“已签名”的拒绝已留痕,可作依据;“未签名”的仅为提示,不得据以办理(R-2、S-6)。
";

pub(super) fn print(as_json: bool, as_markdown: bool) -> Exit {
    if as_json {
        out::json(&Advice::all().iter().map(entry).collect());
    } else if as_markdown {
        out::line(markdown().trim_end());
    } else {
        for advice in Advice::all() {
            let code = advice.code;
            out::line(format_args!(
                "{} {} · {} / {}",
                code.status(),
                code.word(),
                code.title_zh(),
                code.title()
            ));
            out::line(format_args!("  {}\n  {}", advice.what_to_do_zh, advice.what_to_do));
        }
    }
    Exit::Well
}

fn entry(advice: &Advice) -> Value {
    let code = advice.code;
    let cause = |cause: &Cause| {
        json!({"id": cause.id, "reason": cause.reason, "found": cause.found, "clause": cause.clause,
            "en": cause.en, "zh": cause.zh, "see": {"en": cause.see, "zh": cause.see_zh}})
    };
    json!({
        "code": code.word(), "status": code.status(), "signed": code.signed(), "retry": code.retry().word(),
        "title": {"en": code.title(), "zh": code.title_zh()}, "clauses": advice.clauses,
        "do": {"en": advice.what_to_do, "zh": advice.what_to_do_zh},
        "causes": advice.causes.iter().map(cause).collect::<Vec<_>>(),
    })
}

fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for advice in Advice::all() {
        // Writing to a String does not fail.
        let _ = section(advice, &mut page);
    }
    page
}

fn section(advice: &Advice, page: &mut String) -> std::fmt::Result {
    let code = advice.code;
    let signed = if code.signed() { "signed 已签名" } else { "unsigned 未签名" };
    writeln!(page, "\n## {}\n\n**{} / {}**", code.word(), code.title_zh(), code.title())?;
    writeln!(
        page,
        "· {} · {signed} · retry `{}` · {}\n",
        code.status(),
        code.retry().word(),
        advice.clauses.join(", ")
    )?;
    writeln!(page, "{}\n\n{}\n", advice.what_to_do_zh, advice.what_to_do)?;
    writeln!(page, "| | 原因 | cause | 怎么看 | how to see it | |\n|---|---|---|---|---|---|")?;
    for cause in &advice.causes {
        let mark = if cause.found { "◆ " } else { "" };
        let reason = cause.reason.as_ref().map(|reason| format!("`{reason}` ")).unwrap_or_default();
        let Cause { id, clause, en, zh, see, see_zh, .. } = cause;
        writeln!(page, "| {mark}{reason}[{id}] | {zh} | {en} | {see_zh} | {see} | {clause} |")?;
    }
    Ok(())
}
