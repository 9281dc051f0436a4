//! Why a gateway does not start.

use std::net::SocketAddr;

use crate::casebook::CasebookFault;
use crate::folder::FileFault;
use crate::reconcile::BookFault;

/// Why the gateway does not start. One line each.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    #[error("{0}")]
    Key(#[from] crate::keys::KeyFileFault),
    #[error("{path}: {rule}")]
    File { path: String, rule: String },
    #[error("{}: {}", .0.file.display(), one_line(&.0.faults))]
    Trust(FileFault),
    #[error(
        "the clock shows a time before this program was built; set the clock 系统时钟早于程序构建时间,请校时"
    )]
    ClockBeforeBuild,
    #[error(
        "the clock is behind the exchange log's last entry by {0} s; set the clock 系统时钟落后于交换日志,请校时"
    )]
    ClockBehindLedger(i64),
    #[error("the exchange log cannot be opened: {0}")]
    Ledger(#[from] crate::ledger::LedgerFault),
    #[error(
        "this exchange log is an older copy: {origin} was signed with {size} leaves, as {by} knows; it is never \
         continued; to go on in the next half-year start once with `tongban serve --after-restore` \
         本机交换日志为旧副本：{origin} 已签发 {size} 条（{by} 存证），不得续写；确认后以 --after-restore 启动一次"
    )]
    OlderCopy { origin: String, size: u64, by: String },
    #[error(
        "--after-restore: nothing is known that this exchange log does not hold; start without it \
         未发现日志缺失，请勿使用 --after-restore"
    )]
    NothingLost,
    #[error(
        "no partner could be asked whether this exchange log is an older copy, and nothing is written to one; \
         start the gateway, or say --offline, which the register tells \
         无伙伴可核实本机日志是否为旧副本，未写入；请启动网关，或加 --offline（将记入登记）"
    )]
    NobodyAsked,
    #[error("the witness cannot be opened: {0}")]
    Witness(#[from] crate::witness::WitnessFault),
    #[error("the auditors' registers cannot be opened: {0}")]
    Desk(#[from] crate::audit::DeskFault),
    #[error("the casebook cannot be opened: {0}")]
    Casebook(#[from] CasebookFault),
    #[error("the comparisons with partners cannot be opened: {0}")]
    Reconcile(#[from] BookFault),
    #[error("the register cannot be opened: {0}")]
    Register(String),
    #[error("a thread cannot be started ({kind})")]
    Thread { kind: std::io::ErrorKind },
    #[error("{listen}: cannot listen ({kind})")]
    Listen { listen: SocketAddr, kind: std::io::ErrorKind },
    #[error("{0} is a published example key; make your own with `tongban init` 该密钥为公开示例,不得使用")]
    ExampleKey(&'static str),
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    #[error("[[webhook]] {0}")]
    Webhook(crate::webhook::CallerFault),
}

fn one_line(faults: &[crate::fault::Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
