//! `demo`: the main job on this machine, told as it happens. Two regions as two processes
//! with fresh keys, one agreement, one authority, synthetic licenses; lookups, refusals, an
//! application from the window to the evaluation with one process killed on the way, an
//! audit, and one flipped byte that is found.
//!
//! Every step checks what it shows: the command fails if anything is not as it should be.

mod application;
mod county;
mod deciding;
pub(super) mod papers;
mod replay;
mod stage;
mod tamper;

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::{Common, Exit, Outcome, Stop, out};
use crate::ledger::verify::{FindingKind, verify};
use papers::MARRIAGE;
use stage::Stage;

/// See the whole thing work on this machine 在本机演示全过程
#[derive(Args)]
pub struct Demo {
    /// Leave both gateways running and print commands to try 保持运行并给出可复制的命令
    #[arg(long)]
    keep: bool,
}

/// One line of the story.
struct Told {
    what: &'static str,
    what_zh: &'static str,
    outcome: String,
    took: Duration,
}

/// The story so far; prints each step when it has happened.
struct Story {
    told: Vec<Told>,
    quiet: bool,
}

impl Story {
    fn chapter(&self, title_zh: &str, title: &str) {
        if !self.quiet {
            out::line(format_args!("\n── {title_zh} · {title}"));
        }
    }

    /// Runs a step; an `Err` says what was not as it should be and ends the demonstration.
    fn step(
        &mut self,
        what_zh: &'static str,
        what: &'static str,
        act: impl FnOnce() -> Result<String, String>,
    ) -> Result<(), Stop> {
        let started = Instant::now();
        let outcome = act().map_err(|wrong| Stop::failed(format_args!("{what_zh} / {what}: {wrong}")))?;
        let took = started.elapsed();
        if !self.quiet {
            out::line(format_args!("  ✓ {what_zh} / {what}"));
            out::line(format_args!("      {outcome}   [{:.1} ms]", took.as_secs_f64() * 1000.0));
        }
        self.told.push(Told { what, what_zh, outcome, took });
        Ok(())
    }

    fn table(&self) -> String {
        let rows = self.told.iter().enumerate().map(|(i, told)| {
            [
                (i + 1).to_string(),
                told.what_zh.to_owned(),
                told.what.to_owned(),
                told.outcome.clone(),
                format!("{:.1} ms", told.took.as_secs_f64() * 1000.0),
            ]
        });
        out::table(["#", "步骤", "step", "结果 outcome", "用时 took"], rows).to_string()
    }
}

impl Demo {
    pub fn run(self, common: &Common) -> Outcome {
        let began = Instant::now();
        let mut story = Story { told: Vec::new(), quiet: common.json };
        story.chapter("搭台", "Setting the stage");
        let mut stage = Stage::set()?;
        story.step(
            "为咸安(421202)与玉环(331083)生成密钥、名片、协议、授权机构与虚构证照",
            "fresh keys, cards, one agreement, an authority, synthetic licenses",
            || Ok(format!("{} 份证照 licenses, {}", stage.licenses, stage.dir.display())),
        )?;
        story.step("启动两个网关进程", "two gateway processes start", || stage.open())?;
        lookups(&mut story, &stage)?;
        refusals(&mut story, &stage)?;
        application::tell(&mut story, &mut stage)?;
        audit(&mut story, &stage)?;
        if common.json {
            out::json(&json!({
                "ok": true,
                "seconds": began.elapsed().as_secs_f64(),
                "steps": story.told.iter().map(|t| json!({
                    "step": t.what, "step_zh": t.what_zh, "outcome": t.outcome,
                    "ms": t.took.as_secs_f64() * 1000.0,
                })).collect::<Vec<_>>(),
            }));
        } else {
            out::line(format_args!("\n{}", story.table()));
            out::line(format_args!(
                "一切如约 everything as promised, {:.1} s",
                began.elapsed().as_secs_f64()
            ));
        }
        if self.keep {
            stage.keep_running(&out::line)?;
        }
        Ok(Exit::Well)
    }
}

/// The answer's first license, or what is wrong with the answer.
fn license(answer: &Value) -> Result<&Value, String> {
    answer.pointer("/result/licenses/0").ok_or_else(|| unexpected(answer))
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// What the answer says instead of what was expected: its code, never its content.
fn unexpected(answer: &Value) -> String {
    let word = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or("–").to_owned();
    let fault = answer
        .pointer("/errors/0")
        .map_or_else(String::new, |fault| format!(" {} {}", text(fault, "/pointer"), text(fault, "/rule")));
    format!("unexpected answer: {} {}{fault}", word("code"), word("reason"))
}

fn lookups(story: &mut Story, stage: &Stage) -> Result<(), Stop> {
    story.chapter("查询:玉环的窗口问,咸安作答", "Lookups: a window in 玉环 asks, 咸安 answers");
    story.step(
        "联通测试:一次完整的签名、留痕的交换",
        "ping: a whole signed, logged exchange",
        || {
            let answer = stage.ping()?;
            let index = answer.pointer("/log/index").ok_or_else(|| unexpected(&answer))?;
            Ok(format!("咸安账本第 {index} 条 · entry {index} of 咸安's ledger"))
        },
    )?;
    // One authorization, three uses: the first from the register, the second from the cache.
    let token = stage.authorize(&["cert_no", "registered_on"], 3).map_err(Stop::failed)?;
    let read = |source: &'static str| {
        let answer = stage.query(
            Some(&token.jws),
            MARRIAGE,
            &json!({"mode": "read", "fields": ["cert_no", "registered_on"]}),
        )?;
        let found = license(&answer)?;
        let from = answer.pointer("/result/source").and_then(Value::as_str);
        if from != Some(source) {
            return Err(format!("came from {}, not from the {source}", from.unwrap_or("nowhere")));
        }
        Ok(format!(
            "{} {} · {} · 来源 source {source} · 账本 ledger {}",
            text(found, "/name"),
            text(found, "/data/cert_no"),
            text(found, "/data/registered_on"),
            answer.pointer("/log/index").unwrap_or(&Value::Null),
        ))
    };
    story.step(
        "凭群众授权读取结婚证的两个字段",
        "two fields of a marriage certificate, under the citizen's authorization",
        || read("register"),
    )?;
    story.step(
        "再读一次:来自缓存,仍逐次授权、签名、留痕",
        "again: from the cache, authorized, signed and logged anew",
        || read("cache"),
    )?;
    story.step(
        "只核验、不出示:证号是否相符",
        "verify without showing: does the number match?",
        || {
            let ask = json!({"mode": "verify", "expect": {"cert_no": stage.cert_no}});
            let answer = stage.query(Some(&token.jws), MARRIAGE, &ask)?;
            let found = license(&answer)?;
            match (found.pointer("/match/cert_no"), found.get("data")) {
                (Some(Value::Bool(true)), None) => {
                    Ok("相符,未返回内容 · matches, nothing disclosed".to_owned())
                }
                _ => Err(unexpected(&answer)),
            }
        },
    )?;
    story.step(
        "查无此证:这也是应答,并给出其余办法",
        "no such license: an answer, with the ways that remain",
        || {
            let token = stage.authorize_other(&["cert_no"])?;
            let answer = stage.query_other(&token.jws, &json!({"mode": "read", "fields": ["cert_no"]}))?;
            match (answer.pointer("/result/found"), answer.pointer("/result/ways").and_then(Value::as_array))
            {
                (Some(Value::Bool(false)), Some(ways)) => {
                    let ways: Vec<_> = ways.iter().filter_map(Value::as_str).collect();
                    Ok(format!("found = false · {}", ways.join(" → ")))
                }
                _ => Err(unexpected(&answer)),
            }
        },
    )
}

fn refusals(story: &mut Story, stage: &Stage) -> Result<(), Stop> {
    story.chapter("拒绝:同样签名、同样留痕", "Refusals: signed and logged alike");
    let refused = |answer: Result<Value, String>, code: &str| {
        let answer = answer?;
        if answer.get("code").and_then(Value::as_str) == Some(code) {
            let status = answer.get("status").unwrap_or(&Value::Null);
            Ok(format!("{status} {code} · {}", text(&answer, "/title_zh")))
        } else {
            Err(unexpected(&answer))
        }
    };
    let read = json!({"mode": "read", "fields": ["cert_no"]});
    story.step("没有授权", "without an authorization", || {
        refused(stage.query(None, MARRIAGE, &read), "authorization-missing")
    })?;
    story.step("请求了未授予的字段", "a field that the citizen did not grant", || {
        let token = stage.authorize(&["cert_no"], 1)?;
        let ask = json!({"mode": "read", "fields": ["cert_no", "authority"]});
        refused(stage.query(Some(&token.jws), MARRIAGE, &ask), "authorization-insufficient")
    })?;
    story.step("一次性授权用第二次", "a one-use authorization, used twice", || {
        let token = stage.authorize(&["cert_no"], 1)?;
        license(&stage.query(Some(&token.jws), MARRIAGE, &read)?)?;
        refused(stage.query(Some(&token.jws), MARRIAGE, &read), "authorization-used-up")
    })?;
    story.step("同一报文重放", "the same message sent twice", || {
        let (first, second) = replay::twice(stage)?;
        if first == 200 {
            refused(Ok(second), "replay")
        } else {
            Err(format!("the first was answered {first}"))
        }
    })?;
    story.step("群众撤回授权后", "after the citizen has revoked", || {
        // Uses enough for asking until the revocation is in force.
        let token = stage.authorize(&["cert_no"], 100)?;
        license(&stage.query(Some(&token.jws), MARRIAGE, &read)?)?;
        stage.revoke(&token)?;
        refused(stage.until_refused(&token.jws, &read), "authorization-revoked")
    })
}

fn audit(story: &mut Story, stage: &Stage) -> Result<(), Stop> {
    story.chapter("审计:日志可离线证明", "Audit: the log proves itself, offline");
    for (zh, en, county) in [
        ("校验咸安的账本", "verify 咸安's ledger", &stage.xianan),
        ("校验玉环的账本", "verify 玉环's ledger", &stage.yuhuan),
    ] {
        story.step(zh, en, || {
            let verdict = county.verify_sealed()?;
            let log = verdict.logs.last().ok_or("no log")?;
            Ok(format!("{} 条 leaves · 检查点覆盖 sealed {} · {}", log.leaves, log.sealed, log.origin))
        })?;
    }
    story.step("复制一份,翻转一个字节,再校验", "flip one byte in a copy, verify again", || {
        let copy = stage.dir.join("copy");
        let flipped = tamper::copy_with_one_byte_flipped(&stage.xianan.home.join("data"), &copy)?;
        let verdict = verify(&copy, Some(stage.xianan.ledger_public)).map_err(|fault| fault.to_string())?;
        let finding = verdict
            .findings
            .iter()
            .find(|finding| finding.kind == FindingKind::LeafChanged)
            .ok_or("the changed leaf was not named")?;
        Ok(format!("第 {flipped} 字节被改 byte {flipped} → {} · {}", finding.message_zh, finding.message,))
    })
}
