//! An application of the demonstration: a newborn of 咸安's, registered from a window in 玉环.
//! Its process at the handling side is killed while application and file are on their way.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

use super::county::said;
use super::papers::{self, CITIZEN, Family, MOTHER};
use super::stage::Stage;
use super::{Story, deciding, text, unexpected};
use crate::cli::Stop;
use crate::cli::apply::Attached;
use crate::clock::Clock;
use crate::envelope::new_message_id;

/// Octets of the attachment.
const ATTACHMENT: usize = 5 * 1024 * 1024;

pub fn tell(story: &mut Story, stage: &mut Stage) -> Result<(), Stop> {
    story.chapter(
        "办件:新生儿户口登记,玉环收件、咸安办理",
        "An application: a newborn's registration, collected in 玉环, handled in 咸安",
    );
    hand_in(story, stage)?;
    deciding::handle(story, stage)?;
    deciding::finish(story, stage)
}

/// From the window to the handling side, across its death.
fn hand_in(story: &mut Story, stage: &mut Stage) -> Result<(), Stop> {
    let mut upload = Value::Null;
    story.step(
        "窗口把 5 MB 附件交给本地网关,按摘要核对",
        "the window brings a 5 MB attachment to its own gateway, checked against its digest",
        || {
            let attached = attachment(stage)?;
            let brought = attached.bring(&stage.yuhuan.door()?).map_err(said)?;
            upload = attached.upload();
            match brought.status {
                201 => Ok(format!("SHA-256 {}…", text(&upload, "/sha256").get(..16).unwrap_or_default())),
                status => Err(format!("answered {status}")),
            }
        },
    )?;
    let (father, mother) = consents(stage).map_err(Stop::failed)?;
    let family =
        Family { father: &father, mother: &mother, upload, case: &stage.case, now: Clock::system().now() };
    let (application, key) = (family.application(), new_message_id());
    let submit = |stage: &Stage| {
        let door = stage.yuhuan.door()?;
        let answer = door.post_once("/local/v1/applications", &application, &key).map_err(said)?;
        if answer.status == 202 { Ok(answer.value) } else { Err(unexpected(&answer.value)) }
    };
    let mut first = Value::Null;
    story.step(
        "提交申请:每份材料按协议次序免证提供",
        "the application is handed in, each material in the agreement's order of ways",
        || {
            first = submit(stage)?;
            shown(&first)
        },
    )?;
    story.step(
        "申请与附件在途,咸安的进程被强行杀死(SIGKILL)",
        "application and file are on their way; 咸安's process is killed (SIGKILL)",
        || {
            let pid = stage.xianan.kill()?;
            let seen = stage.yuhuan.get(&case_path(stage))?;
            Ok(format!(
                "pid {pid} · 玉环所见 玉环 sees {} / {}",
                text(&seen, "/state"),
                text(&seen, "/transport")
            ))
        },
    )?;
    story.step(
        "窗口没等到页面,同一幂等键再交一次",
        "the window sends it again with the same idempotency key",
        || match submit(stage)? {
            again if again == first => Ok("同一办件、同一回执 · the same case, the same answer".to_owned()),
            _ => Err("another answer".to_owned()),
        },
    )?;
    story.step(
        "咸安重新启动,申请与附件送达",
        "咸安 starts again; application and file arrive",
        || arrival(stage),
    )
}

/// A file of its own kind each time: an upload that is known already would not travel.
fn attachment(stage: &Stage) -> Result<Attached, String> {
    let mut bytes = vec![0; ATTACHMENT];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| "no random bytes".to_owned())?;
    let file = stage.dir.join("application-form.pdf");
    std::fs::write(&file, &bytes).map_err(|e| e.kind().to_string())?;
    Attached::read(&file).map_err(said)
}

/// What each parent says yes to.
fn consents(stage: &Stage) -> Result<(String, String), String> {
    let (licenses, fields) = papers::consent_of_father();
    let father = stage.authorize_for(CITIZEN, &licenses, &fields, 4)?;
    let (licenses, fields) = papers::consent_of_mother();
    let mother = stage.authorize_for(MOTHER, &licenses, &fields, 2)?;
    Ok((father.jws, mother.jws))
}

/// Five lookups, one verification, one commitment, one upload.
fn shown(answer: &Value) -> Result<String, String> {
    let mut ways: BTreeMap<&str, u32> = BTreeMap::new();
    let materials = answer.get("materials").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for material in materials {
        *ways.entry(text(material, "/evidence")).or_default() += 1;
    }
    let wanted = [("commitment", 1), ("shared_data", 5), ("timed_verification", 1), ("upload", 1)];
    if !ways.iter().map(|(way, count)| (*way, *count)).eq(wanted) {
        return Err(format!("shown otherwise: {ways:?}"));
    }
    Ok(format!(
        "{} · 数据共享 shared_data ×5 · 限时核验 timed_verification ×1 · 告知承诺 commitment ×1 · 上传 upload ×1",
        text(answer, "/case")
    ))
}

fn arrival(stage: &mut Stage) -> Result<String, String> {
    let started = Instant::now();
    stage.xianan.start()?;
    let path = case_path(stage);
    let arrived = |seen: &Value| {
        text(seen, "/state") == "RECEIVED"
            && seen.get("awaiting").and_then(Value::as_array).is_some_and(Vec::is_empty)
    };
    stage.xianan.until(&path, arrived)?;
    stage.yuhuan.until(&path, |seen| arrived(seen) && text(seen, "/transport") == "delivered")?;
    Ok(format!(
        "两地均为 both sides RECEIVED, {:.1} s 后 after the start, 无一丢失 nothing lost",
        started.elapsed().as_secs_f64()
    ))
}

pub(super) fn case_path(stage: &Stage) -> String {
    format!("/local/v1/applications/{}", stage.case)
}
