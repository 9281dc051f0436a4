//! Integrity: the checkpoints that were signed, and a full check of everything on demand.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use serde_json::json;

use crate::audit::RegistersBound;
use crate::ledger::note::Note;
use crate::ledger::verify::Verdict;

use super::super::super::answer::{self, HttpAnswer};
use super::super::desk::shard_of;
use super::super::guard;
use super::super::markup::{El, Markup, el};
use super::super::verification::{Standing, percent};
use super::super::words::{Lang, count, minute, moment};
use super::parts::{Table, badge, code, panel};
use super::{Call, Page, unreadable};

/// Checkpoints on the page.
const MOST_CHECKPOINTS: usize = 50;

pub async fn page(call: &Call<'_>) -> Page {
    let body = Markup::from(panel(call.t("全面核验", "Verify everything"), full_check(call)))
        .and(panel(call.t("联署", "Cosignatures"), cosigners(call)))
        .and(panel(call.t("检查点", "Checkpoints"), checkpoints(call).await));
    Page::new(call.t("完整性", "Integrity"), body)
}

/// Begins a full check.
pub fn start(call: &Call<'_>) -> HttpAnswer {
    let ledger = &call.house.ledger;
    let (origin, leaves) = ledger.present();
    let key = ledger.vkey(&origin).map(|vkey| *vkey.public());
    let (data, clock) = (call.house.config.data_dir(), call.house.clock.clone());
    call.console.verification.start(data, key, leaves, clock);
    guard::see_other("/integrity")
}

/// For the page's script: how far a running check is.
pub fn progress(call: &Call<'_>) -> HttpAnswer {
    let told = match call.console.verification.standing() {
        Standing::Running { since, leaves } => {
            json!({"running": true, "percent": percent(since, leaves, call.now)})
        }
        _ => json!({"running": false}),
    };
    answer::json(StatusCode::OK, &told)
}

fn full_check(call: &Call<'_>) -> Markup {
    let begin =
        |words| call.form("/integrity").add(el("button").attr("type", "submit").class("primary").add(words));
    let about = el("p").class("nothing").add(call.t(
        "逐条核对全部记录、哈希片与已签检查点,并以账本核对登记簿;一百万条约需一分钟,不影响交换。",
        "Holds every entry, tile and signed checkpoint against each other, and the registers against the log; a million take about a minute and hold up no exchange.",
    ));
    match call.console.verification.standing() {
        Standing::Never => Markup::from(about).and(begin(call.t("开始核验", "Verify now"))),
        Standing::Running { since, leaves } => {
            let bar = el("progress")
                .attr("max", 100)
                .attr("value", percent(since, leaves, call.now))
                .attr("aria-label", call.t("核验进度", "Progress"))
                .flag("data-running", true);
            let words = format!(
                "{} {} · {} {}",
                call.t("正在核验,开始于", "Running since"),
                moment(since),
                count(leaves),
                call.t("条", "entries")
            );
            let again = el("a").href("/integrity").add(call.t("刷新", "Look again"));
            Markup::from(el("p").attr("role", "status").add(words))
                .and(el("p").add(bar))
                .and(el("noscript").add(el("p").add(again)))
        }
        Standing::Failed { since } => {
            let words = format!(
                "{} {}",
                call.t("核验未能完成,开始于", "The check could not be done, begun at"),
                moment(since)
            );
            Markup::from(el("p").class("notice bad").attr("role", "alert").add(words))
                .and(begin(call.t("重新核验", "Try again")))
        }
        Standing::Done { since, until, verdict, registers } => {
            let took = u64::try_from(until.ms() - since.ms()).unwrap_or_default();
            let when = format!("{} · {}.{:01} s", moment(since), took / 1000, took % 1000 / 100);
            verdict_shown(call, &verdict, &when)
                .and(registers_shown(call, &registers))
                .and(begin(call.t("再次核验", "Verify again")))
        }
    }
}

fn verdict_shown(call: &Call<'_>, verdict: &Verdict, when: &str) -> Markup {
    let words = if verdict.sound {
        el("p")
            .class("notice good")
            .attr("role", "status")
            .add(call.t("未发现任何改动。", "Nothing was found: the log is whole."))
    } else {
        let more = verdict.findings.len() + verdict.more;
        el("p")
            .class("notice bad")
            .attr("role", "alert")
            .add(format!("{} {more}", call.t("发现问题:", "Findings:")))
    };
    let mut logs = Table::new(
        call.t("账本", "Logs"),
        &[
            call.t("账本", "Log"),
            call.t("#条目", "#Entries"),
            call.t("#已签", "#Signed"),
            call.t("#检查点", "#Checkpoints"),
            call.t("#哈希片", "#Tiles"),
        ],
    );
    for log in &verdict.logs {
        logs.row([
            code(&log.origin),
            count(log.leaves).into(),
            count(log.sealed).into(),
            count(log.checkpoints).into(),
            count(log.tiles).into(),
        ]);
    }
    let findings = verdict.findings.iter().map(|finding| {
        let message = match call.lang {
            Lang::Zh => &finding.message_zh,
            Lang::En => &finding.message,
        };
        el("li").add(message)
    });
    let findings = (!verdict.sound).then(|| el("ul").class("findings").each(findings));
    Markup::from(words).and(el("p").class("nothing").add(when)).and(findings).and(logs.or(""))
}

/// The registers against the leaves of auditors' acts.
fn registers_shown(call: &Call<'_>, registers: &RegistersBound) -> Markup {
    let (entries, leaves) = (count(registers.entries), count(registers.leaves));
    let words = match (registers.sound, call.lang) {
        (true, Lang::Zh) => format!("登记簿与账本一致:{entries} 项登记,{leaves} 条对应记录。"),
        (true, Lang::En) => {
            format!("The registers are what the log says: {entries} entries, {leaves} leaves.")
        }
        (false, Lang::Zh) => format!("登记簿与账本不一致({entries} 项登记,{leaves} 条对应记录):"),
        (false, Lang::En) => {
            format!("The registers are not what the log says ({entries} entries, {leaves} leaves):")
        }
    };
    let shown = if registers.sound {
        el("p").class("notice good").attr("role", "status")
    } else {
        el("p").class("notice bad").attr("role", "alert")
    };
    let findings = registers.findings.iter().map(|finding| {
        el("li").add(match call.lang {
            Lang::Zh => finding.message_zh(),
            Lang::En => finding.message(),
        })
    });
    let findings = (!registers.sound).then(|| el("ul").class("findings").each(findings));
    let more = (registers.more > 0).then(|| format!("… +{}", count(registers.more)));
    Markup::from(shown.attr("id", "registers-bound").add(words)).and(findings).and(more)
}

fn cosigners(call: &Call<'_>) -> Markup {
    let around = &call.console.around;
    let origin = call.house.ledger.origin();
    let mut table = Table::new(
        call.t("联署", "Cosignatures"),
        &[call.t("联署方", "Cosigner"), call.t("#条目", "#Entries"), call.t("时间", "Time")],
    );
    for cosigner in around.cosigners(&origin) {
        let at = minute(crate::clock::Now::from_secs(cosigner.at));
        table.row([code(cosigner.name), count(cosigner.size).into(), at.into()]);
    }
    Markup::from(policy(call)).and(table.or(call.t("尚无伙伴联署。", "No partner has cosigned yet.")))
}

/// What the policy asks for and who has not cosigned within the hour.
fn policy(call: &Call<'_>) -> El {
    let Some(quorum) = call.console.around.quorum() else {
        let words = call.t(
            "未配置见证策略([ledger] policy):联署只供参考。",
            "No witness policy ([ledger] policy): cosignatures are for information.",
        );
        return el("p").class("nothing").add(words);
    };
    let words = match call.lang {
        Lang::Zh => format!(
            "策略至少要求 {} 个见证,{} 个见证人中 {} 个在一小时内联署。",
            quorum.need, quorum.of, quorum.signed
        ),
        Lang::En => format!(
            "The policy asks for at least {}; {} of {} witnesses have cosigned within the hour.",
            quorum.need, quorum.signed, quorum.of
        ),
    };
    let missing = (!quorum.missing.is_empty())
        .then(|| format!(" {} {}", call.t("未联署:", "Missing:"), quorum.missing.join(", ")));
    el("p").class(if quorum.met { "notice good" } else { "notice warn" }).add(words).add(missing)
}

async fn checkpoints(call: &Call<'_>) -> Markup {
    let Some(kept) = call.read(|house| house.ledger.kept_checkpoints(MOST_CHECKPOINTS)).await else {
        return unreadable(call);
    };
    let mut table = Table::new(
        call.t("检查点", "Checkpoints"),
        &[
            call.t("账本", "Log"),
            call.t("#条目", "#Entries"),
            call.t("树根", "Root"),
            call.t("签名", "Signatures"),
        ],
    );
    for kept in kept {
        let signed = Note::parse(&kept.note).map(|note| note.signatures().len()).unwrap_or_default();
        let holds = call
            .house
            .ledger
            .vkey(&kept.origin)
            .is_some_and(|vkey| crate::ledger::checkpoint::Checkpoint::open(&kept.note, &vkey).is_ok());
        let word = if holds {
            badge("badge good", format!("{signed}"))
        } else {
            badge("badge bad", call.t("签名不成立", "does not verify"))
        };
        table.row([
            code(shard_of(&kept.origin)),
            count(kept.checkpoint.size).into(),
            code(STANDARD.encode(kept.checkpoint.root)),
            word,
        ]);
    }
    let about = el("p")
        .class("nothing")
        .add(call.t("每小时保留一个,另加最新的一个。", "One of each hour is kept, and the newest."));
    Markup::from(about).and(table.or(call.t("尚无检查点。", "No checkpoint yet.")))
}
