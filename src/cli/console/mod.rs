//! `console`: what the machine's administrator does for the auditors' console: accounts and
//! one-time links.

mod account;
mod link;

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
    /// A one-time sign-in link for an account 一次性登录链接
    Link(link::Link),
}

impl ConsoleCommand {
    pub fn run(self, common: &Common) -> Outcome {
        match self.command {
            Command::Account(command) => command.run(common),
            Command::Link(command) => command.run(common),
        }
    }
}
