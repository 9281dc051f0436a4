//! The second half of the demonstration's application: 咸安 verifies, decides, issues and delivers,
//! the applicant evaluates, and both copies of the case are one chain.

use std::io::Cursor;

use serde_json::{Value, json};

use super::application::case_path;
use super::county::{County, said};
use super::papers::{self, CITIZEN, HOUSEHOLD, OFFICE, WINDOW};
use super::stage::Stage;
use super::{Story, license, text, unexpected};
use crate::cli::Stop;
use crate::clock::Clock;
use crate::license::register::import;

/// 咸安's part: verify, accept, check, decide, issue.
pub fn handle(story: &mut Story, stage: &Stage) -> Result<(), Stop> {
    story.step(
        "咸安的部门在限时内答复核验",
        "咸安's department answers the verification in time",
        || verification(stage),
    )?;
    story.step(
        "咸安受理,两地倒计时一致",
        "咸安 accepts; both sides show the same clock",
        || {
            let seen = act(
                stage,
                &stage.xianan,
                "accept",
                json!({"doc_no": "咸公受〔演示〕1号", "project_type": "2",
                   "promise_date": papers::days_from(Clock::system().now(), 7)}),
            )?;
            let own = stage.xianan.get(&case_path(stage))?;
            if seen.get("clock") != own.get("clock") {
                return Err("the clocks differ".to_owned());
            }
            let due = seen.pointer("/clock/due").and_then(Value::as_i64).map(crate::cli::out::in_shanghai);
            Ok(format!(
                "{} · 期限 due {} · {}",
                text(&seen, "/state_zh"),
                due.unwrap_or_default(),
                text(&seen, "/clock/colour")
            ))
        },
    )?;
    story.step("承诺事项经核查属实", "the commitment is checked and kept", || {
        let seen = act(
            stage,
            &stage.xianan,
            "verify_commitment",
            json!({"material": "M4", "outcome": "fulfilled", "check_mode": "online"}),
        )?;
        standing(&seen, "M4")
    })?;
    let mut page = String::new();
    story.step(
        "咸安准予落户,登记并签发新户口簿页",
        "咸安 grants it and issues the new page of the household register",
        || {
            act(
                stage,
                &stage.xianan,
                "decide",
                json!({"outcome": "grant", "decision_no": "咸公户〔演示〕1号"}),
            )?;
            page = register_page(stage)?;
            let seen = act(stage, &stage.xianan, "issue_license", json!({"licenses": [page]}))?;
            Ok(format!("{} · {page}", text(&seen, "/state_zh")))
        },
    )?;
    story.step(
        "玉环立即查到新页,旧缓存已失效",
        "玉环 finds the new page at once: the cached one is gone",
        || {
            let token = stage.authorize_for(CITIZEN, &[HOUSEHOLD], &["head_name"], 1)?;
            let read = json!({"mode": "read", "fields": ["head_name"]});
            let answer = stage.query(Some(&token.jws), HOUSEHOLD, &read)?;
            let found = license(&answer)?;
            match text(found, "/license_id") {
                id if id == page => Ok(format!("{} {id}", text(found, "/name"))),
                id => Err(format!("found {id}")),
            }
        },
    )
}

/// The new page in 咸安's register, as its own system would put it there; its id.
fn register_page(stage: &Stage) -> Result<String, String> {
    let now = Clock::system().now();
    let (id, license) = papers::registered(now).map_err(said)?;
    let register = stage.xianan.home.join("data/register.db");
    let report = import(&register, Cursor::new(format!("{license}\n")), now.shanghai_day(), |_| {})
        .map_err(|fault| fault.to_string())?;
    match report.refused.first().and_then(|line| line.faults.first()) {
        Some(fault) => Err(format!("the register refuses the page: {fault}")),
        None => Ok(id),
    }
}

fn verification(stage: &Stage) -> Result<String, String> {
    let asked = stage.xianan.until("/local/v1/verifications?state=open", |seen| {
        seen.get("verifications").and_then(Value::as_array).is_some_and(|all| !all.is_empty())
    })?;
    let question = asked.pointer("/verifications/0").ok_or_else(|| unexpected(&asked))?;
    let answer =
        json!({"outcome": "confirmed", "note": "属实,同意落户", "by": {"org": OFFICE, "officer": "XA0456"}});
    let path = format!("/local/v1/verifications/{}/answer", text(question, "/id"));
    let answered = stage.xianan.post(&path, &answer)?;
    if text(&answered, "/state") != "answered" {
        return Err(unexpected(&answered));
    }
    let seen = stage.yuhuan.until(&case_path(stage), |seen| standing(seen, "M8").is_ok())?;
    Ok(format!("“{}” → {}", text(question, "/request/question"), standing(&seen, "M8")?))
}

/// How a material stands, once it is proven.
fn standing(seen: &Value, code: &str) -> Result<String, String> {
    let materials = seen.get("materials").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let material = materials.iter().find(|material| text(material, "/code") == code);
    match material {
        Some(material) if text(material, "/standing") == "proven" => Ok(format!(
            "{} {} · {} by {}",
            text(material, "/name"),
            text(material, "/standing_zh"),
            text(material, "/evidence"),
            text(material, "/by")
        )),
        _ => Err(format!("{code} is not proven")),
    }
}

/// Delivery at the window, evaluation, archive, and the two chains compared.
pub fn finish(story: &mut Story, stage: &Stage) -> Result<(), Stop> {
    story.step("由玉环窗口代发送达", "delivered to the applicant at 玉环's window", || {
        let delivered =
            json!({"method": "collecting", "signer": "测试甲", "at": Clock::system().now().secs()});
        act(stage, &stage.xianan, "deliver", delivered).map(|seen| text(&seen, "/state_zh").to_owned())
    })?;
    story.step(
        "群众分别评价收件地与办理地",
        "the applicant evaluates both sides, each by itself",
        || {
            for role in ["collecting", "handling"] {
                let evaluation = json!({"role": role, "channel": "窗口平板", "satisfaction": "1", "times": 1,
                "at": Clock::system().now().secs()});
                act(stage, &stage.yuhuan, "evaluate", evaluation)?;
            }
            Ok("非常满意 ×2 · very satisfied, twice".to_owned())
        },
    )?;
    story.step("咸安归档办结", "咸安 closes the case", || {
        let archive = crate::case::digest_text(&json!(stage.case));
        act(stage, &stage.xianan, "close", json!({"archive_digest": archive}))
            .map(|seen| text(&seen, "/state_zh").to_owned())
    })?;
    story.step(
        "两地办件逐事件比对:同一条链",
        "both copies compared event by event: one chain",
        || {
            let (ours, theirs) = (chain(&stage.yuhuan, stage)?, chain(&stage.xianan, stage)?);
            match ours.last() {
                Some(last) if ours == theirs => Ok(format!("{} 个事件 events · {last}", ours.len())),
                _ => Err("the two copies differ".to_owned()),
            }
        },
    )
}

/// Adds an event at one side and waits until both know it; the case as 玉环 sees it.
fn act(stage: &Stage, at: &County, event: &str, data: Value) -> Result<Value, String> {
    let (org, officer) =
        if at.region == stage.xianan.region { (OFFICE, "XA0456") } else { (WINDOW, "YH0123") };
    let path = case_path(stage);
    let before = stage.yuhuan.get(&path)?;
    let count = |seen: &Value| seen.get("events").and_then(Value::as_array).map_or(0, Vec::len);
    let body = json!({"event": event, "by": {"org": org, "officer": officer}, "data": data});
    let answer = at.post(&format!("{path}/events"), &body)?;
    if answer.get("case").is_none() {
        return Err(unexpected(&answer));
    }
    let known = |seen: &Value| count(seen) > count(&before);
    stage.xianan.until(&path, known)?;
    stage.yuhuan.until(&path, known)
}

/// Number, name, digest and state of every event.
fn chain(county: &County, stage: &Stage) -> Result<Vec<String>, String> {
    let seen = county.until(&case_path(stage), |seen| text(seen, "/transport") == "delivered")?;
    let events = seen.get("events").and_then(Value::as_array).ok_or_else(|| unexpected(&seen))?;
    let line = |event: &Value| {
        let seq = event.get("seq").unwrap_or(&Value::Null);
        format!("{seq} {} {} {}", text(event, "/event"), text(event, "/state"), text(event, "/digest"))
    };
    Ok(events.iter().map(line).collect())
}
