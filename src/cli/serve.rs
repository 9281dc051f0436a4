//! `serve`: runs the gateway until it is told to stop. SIGTERM and SIGINT drain, SIGHUP
//! reloads.

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Common, Exit, Outcome, Stop, out};
use crate::clock::Clock;
use crate::gateway::{self, Options, StartFault};
use crate::ledger::Workers;
use crate::telemetry;

/// Run the gateway 运行网关
#[derive(Args)]
pub struct Serve {
    /// Accept the published example keys of certs-example/ (never outside a demonstration)
    #[arg(long)]
    demo: bool,
    /// This data directory is a restored copy: give up what was signed after it and go on in the next
    /// half-year's log 数据目录系从备份恢复：放弃其后的日志，自下一账本继续
    #[arg(long)]
    after_restore: bool,
}

impl Serve {
    pub fn run(self, common: &Common) -> Outcome {
        let config = common.load()?;
        telemetry::start_logging();
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let workers = Workers::of(&mut builder);
        let runtime = builder
            .enable_all()
            .build()
            .map_err(|e| Stop::failed(format_args!("the runtime cannot start ({})", e.kind())))?;
        runtime.block_on(serve(
            config,
            Options {
                demo: self.demo,
                after_restore: self.after_restore,
                workers: Some(workers),
                ..Options::default()
            },
        ))
    }
}

async fn serve(config: crate::config::Config, options: Options) -> Outcome {
    let mut term = listen_for(SignalKind::terminate())?;
    let mut interrupt = listen_for(SignalKind::interrupt())?;
    let mut hangup = listen_for(SignalKind::hangup())?;
    let running =
        gateway::start(config, Clock::system(), options).await.map_err(|faults| match faults.as_slice() {
            // Nothing in the configuration mends it.
            [older @ StartFault::OlderCopy { .. }] => Stop::failed(older),
            faults => Stop::Usage(faults.iter().map(ToString::to_string).collect()),
        })?;
    out::note(format_args!(
        "通办 {} {} · partner door https://{} · local door {} · console {}",
        running.house.me,
        running.house.config.region.name,
        running.partner_addr,
        running.local_addr.map_or_else(|| "closed".to_owned(), |addr| addr.to_string()),
        running.console_addr.map_or_else(|| "closed".to_owned(), |addr| format!("https://{addr}")),
    ));
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                running.reload().await;
                out::note("reloaded 已重新加载");
            }
            _ = term.recv() => break,
            _ = interrupt.recv() => break,
            () = running.poisoned() => {
                if running.is_older_copy() {
                    out::complain("a partner has a checkpoint under our key that this exchange log does not hold: it is an older copy; stopping 伙伴存有本网关密钥签发而本机日志没有的检查点：本机为旧副本，已停止服务");
                } else {
                    out::complain("the exchange log failed with an I/O error; stopping, nothing unrecorded was answered 交换日志读写错误,已停止服务");
                }
                running.stop().await;
                return Ok(Exit::Failed);
            }
        }
    }
    out::note("draining 正在平稳退出");
    running.stop().await;
    Ok(Exit::Well)
}

fn listen_for(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Stop> {
    signal(kind).map_err(|e| Stop::failed(format_args!("signals cannot be received ({})", e.kind())))
}
