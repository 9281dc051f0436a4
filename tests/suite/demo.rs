//! To whoever tries it: `tongban demo` shows the main job, and leaves nothing behind unless
//! asked to.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::process::{Ran, finish, get, tongban, until};

/// What is told, in the order of the story.
const STEPS: [(&str, &str); 29] = [
    (
        "为咸安(421202)与玉环(331083)生成密钥、名片、协议、授权机构与虚构证照",
        "fresh keys, cards, one agreement, an authority, synthetic licenses",
    ),
    ("启动两个网关进程", "two gateway processes start"),
    ("联通测试:一次完整的签名、留痕的交换", "ping: a whole signed, logged exchange"),
    (
        "凭群众授权读取结婚证的两个字段",
        "two fields of a marriage certificate, under the citizen's authorization",
    ),
    ("再读一次:来自缓存,仍逐次授权、签名、留痕", "again: from the cache, authorized, signed and logged anew"),
    ("只核验、不出示:证号是否相符", "verify without showing: does the number match?"),
    ("查无此证:这也是应答,并给出其余办法", "no such license: an answer, with the ways that remain"),
    ("没有授权", "without an authorization"),
    ("请求了未授予的字段", "a field that the citizen did not grant"),
    ("一次性授权用第二次", "a one-use authorization, used twice"),
    ("同一报文重放", "the same message sent twice"),
    ("群众撤回授权后", "after the citizen has revoked"),
    (
        "窗口把 5 MB 附件交给本地网关,按摘要核对",
        "the window brings a 5 MB attachment to its own gateway, checked against its digest",
    ),
    (
        "提交申请:每份材料按协议次序免证提供",
        "the application is handed in, each material in the agreement's order of ways",
    ),
    (
        "申请与附件在途,咸安的进程被强行杀死(SIGKILL)",
        "application and file are on their way; 咸安's process is killed (SIGKILL)",
    ),
    ("窗口没等到页面,同一幂等键再交一次", "the window sends it again with the same idempotency key"),
    ("咸安重新启动,申请与附件送达", "咸安 starts again; application and file arrive"),
    ("咸安的部门在限时内答复核验", "咸安's department answers the verification in time"),
    ("咸安受理,两地倒计时一致", "咸安 accepts; both sides show the same clock"),
    ("承诺事项经核查属实", "the commitment is checked and kept"),
    ("咸安准予落户,登记并签发新户口簿页", "咸安 grants it and issues the new page of the household register"),
    ("玉环立即查到新页,旧缓存已失效", "玉环 finds the new page at once: the cached one is gone"),
    ("由玉环窗口代发送达", "delivered to the applicant at 玉环's window"),
    ("群众分别评价收件地与办理地", "the applicant evaluates both sides, each by itself"),
    ("咸安归档办结", "咸安 closes the case"),
    ("两地办件逐事件比对:同一条链", "both copies compared event by event: one chain"),
    ("校验咸安的账本", "verify 咸安's ledger"),
    ("校验玉环的账本", "verify 玉环's ledger"),
    ("复制一份,翻转一个字节,再校验", "flip one byte in a copy, verify again"),
];

/// `demo` with temporary files of its own, so that what it leaves is seen.
fn demo(tmp: &Path, arguments: &[&str]) -> Ran {
    finish(wide(tongban().arg("demo").args(arguments).env("TMPDIR", tmp)), b"").ended(0)
}

/// A window in which no cell of the table is broken.
fn wide(command: &mut Command) -> &mut Command {
    command.env("COLUMNS", "400")
}

fn left_in(tmp: &Path) -> Vec<PathBuf> {
    fs::read_dir(tmp).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Processes that work in `dir`, by their command lines.
fn processes_in(dir: &Path) -> Vec<Pid> {
    let of = |pid: i32| -> Option<Pid> {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        line.contains(dir.to_str()?).then(|| Pid::from_raw(pid))?
    };
    let all = fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    all.filter_map(of).collect()
}

#[test]
fn tells_every_step_in_both_languages_and_leaves_nothing_behind() {
    let tmp = tempfile::tempdir().unwrap();
    let told = demo(tmp.path(), &[]);
    let mut rest = told.out.as_str();
    for (zh, en) in STEPS {
        let step = format!("✓ {zh} / {en}\n");
        let at = rest.find(&step).unwrap_or_else(|| panic!("{step}: {}", told.out));
        rest = &rest[at + step.len()..];
    }
    let table = &rest[rest.find("步骤").expect("a closing table")..];
    for (zh, en) in STEPS {
        assert!(table.contains(zh) && table.contains(en), "{en}: {table}");
    }
    for code in ["authorization-missing", "authorization-insufficient", "authorization-used-up", "replay"] {
        assert!(table.contains(code), "{code}: {table}");
    }
    assert!(table.contains("is not what was recorded"), "the changed leaf is named: {table}");
    assert!(told.out.trim_end().lines().last().unwrap().contains("everything as promised"));
    assert_eq!(left_in(tmp.path()), Vec::<PathBuf>::new());
    assert_eq!(processes_in(tmp.path()), []);
}

#[test]
fn as_json_is_one_document_that_says_ok() {
    let tmp = tempfile::tempdir().unwrap();
    let told = demo(tmp.path(), &["--json"]).json();
    assert_eq!(told["ok"], true);
    assert!(told["seconds"].as_f64().unwrap() < 30.0);
    let steps = told["steps"].as_array().unwrap().iter().map(|step| {
        assert!(step["ms"].is_f64() && !step["outcome"].as_str().unwrap().is_empty(), "{step}");
        (step["step_zh"].as_str().unwrap(), step["step"].as_str().unwrap())
    });
    assert_eq!(steps.collect::<Vec<_>>(), STEPS);
    assert_eq!(left_in(tmp.path()), Vec::<PathBuf>::new());
}

#[test]
fn kept_gateways_answer_the_printed_commands_until_they_are_stopped() {
    let tmp = tempfile::tempdir().unwrap();
    let told = demo(tmp.path(), &["--keep"]);
    let stop = Stopping(processes_in(tmp.path()));
    assert_eq!(stop.0.len(), 2, "{}", told.out);

    let printed = |start: &str| {
        let at = told.out.find(start).unwrap_or_else(|| panic!("{start}: {}", told.out));
        told.out[at + start.len()..].lines().next().unwrap()
    };
    let xianan: SocketAddr = printed("curl http://").strip_suffix("/readyz").unwrap().parse().unwrap();
    assert_eq!(get(xianan, "/readyz").unwrap().1["ready"], true);

    // The commands as a person would paste them, all in one shell.
    let from = told.out.find("Try 试一试:").unwrap();
    let to = told.out.find("  curl ").unwrap();
    let script = told.out[from..to].split_once('\n').unwrap().1;
    let pasted = finish(Command::new("sh").args(["-ec", script]), b"").ended(0);
    for word in ["421202 answered in", "cert_no", "CLOSED 已归档", "平均用时", "sound 账本完好"] {
        assert!(pasted.out.contains(word), "{word}: {pasted:?}");
    }

    let line = printed("Stop them 停止: kill ");
    let (pids, folder) = line.split_once("   and 并删除 rm -r ").unwrap();
    let mut printed: Vec<i32> = pids.split(' ').map(|pid| pid.parse().unwrap()).collect();
    let mut running: Vec<i32> = stop.0.iter().map(|pid| pid.as_raw_nonzero().get()).collect();
    printed.sort_unstable();
    running.sort_unstable();
    assert_eq!(printed, running);
    drop(stop);
    fs::remove_dir_all(folder).unwrap();
    assert_eq!(left_in(tmp.path()), Vec::<PathBuf>::new());
}

/// Stops the processes when the test ends, whichever way.
struct Stopping(Vec<Pid>);

impl Drop for Stopping {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill_process(*pid, Signal::TERM);
        }
        for pid in &self.0 {
            // Adopted by init, which may not reap: a process without a command line is over.
            until("a kept gateway stops", || {
                let over = test_kill_process(*pid).is_err()
                    || fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()))
                        .map_or(true, |c| c.is_empty());
                over.then_some(())
            });
        }
    }
}
