//! `console`: what the machine's administrator does for the auditors' console.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::audit::errands;
use super::{Common, Outcome, out};

/// The auditors' console 审计控制台
#[derive(Args)]
pub struct Console {
    #[command(subcommand)]
    command: ConsoleCommand,
}

#[derive(Subcommand)]
enum ConsoleCommand {
    /// A one-time sign-in link for an account 一次性登录链接
    Link {
        /// The account of trust/console 账户名
        account: String,
    },
}

impl Console {
    pub fn run(self, common: &Common) -> Outcome {
        match self.command {
            ConsoleCommand::Link { account } => errands::link(common, &account)?.print(common, |done| {
                out::line(done.get("link").and_then(Value::as_str).unwrap_or_default());
            }),
        }
    }
}
