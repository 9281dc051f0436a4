//! `partner`: taking up another region's gateway: its card in, who they are, are they there.

mod add;
mod list;
mod ping;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::{Common, Outcome};
use crate::config::Config;
use crate::folder::{FileFault, Folder};
use crate::peer::{Card, Status};

/// Partner gateways.
#[derive(Args)]
pub struct Partner {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take up a partner by its card 按名片添加伙伴
    Add(add::Add),
    /// Who the partners are, and what is agreed with each 列出伙伴
    List,
    /// A whole signed exchange with a partner, through the running gateway 测试与伙伴的连通
    Ping(ping::Ping),
}

impl Partner {
    pub fn run(self, common: &Common) -> Outcome {
        match self.command {
            Command::Add(command) => command.run(common),
            Command::List => list::list(common),
            Command::Ping(command) => command.run(common),
        }
    }
}

fn cards(config: &Config) -> (HashMap<PathBuf, Arc<Card>>, Vec<FileFault>) {
    Folder::new(&config.path(&config.trust.partners), Card::from_value).load()
}

const fn status(status: Status) -> &'static str {
    match status {
        Status::Active => "active 有效",
        Status::Suspended => "suspended 暂停",
        Status::Removed => "removed 移除",
    }
}
