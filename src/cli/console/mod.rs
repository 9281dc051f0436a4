//! `console`: accounts of the auditors' console.

mod account;

use clap::{Args, Subcommand};

use super::{Common, Outcome};

/// Accounts of the auditors' console 审计台账号
#[derive(Args)]
pub struct ConsoleCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make an account, and a certificate for its browser 新增账号并签发浏览器证书
    Account(account::NewAccount),
}

impl ConsoleCommand {
    pub fn run(self, common: &Common) -> Outcome {
        match self.command {
            Command::Account(command) => command.run(common),
        }
    }
}
