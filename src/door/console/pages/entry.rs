//! One entry of our log: its members in their own words, and the ladder of its proof from the
//! entry to the signed root and its cosigners.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::ledger::Standing;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::note::Note;
use crate::ledger::proof::Proof;

use super::super::desk::shard_of;
use super::super::markup::{El, Markup, el, segment};
use super::super::words::{Lang, count};
use super::Call;
use super::parts::{code, link, panel};

/// What a leaf says, member by member, in its own words; also one of a partner's.
pub fn members(call: &Call<'_>, leaf: &[u8]) -> Markup {
    let value: Value = serde_json::from_slice(leaf).unwrap_or_default();
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
        "past" => ("前一账本", "the log before"),
        "peer" => ("对方", "other side"),
        "pl" => ("对方承诺的位置", "the place that the other side promised"),
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

/// Leaf → path → root → signature → cosigners, each rung with its hash.
pub async fn ladder(call: &Call<'_>, standing: &Standing) -> El {
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
