//! `console`: what the machine's administrator does for the auditors' console.

mod link;

use clap::{Args, Subcommand};

use super::{Common, Outcome};

/// The auditors' console 审计台
#[derive(Args)]
pub struct ConsoleCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A one-time sign-in link for an account 一次性登录链接
    Link(link::Link),
}

impl ConsoleCommand {
    pub fn run(self, common: &Common) -> Outcome {
        match self.command {
            Command::Link(command) => command.run(common),
        }
    }
}
