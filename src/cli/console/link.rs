//! `console link`: the running gateway's console lets an account in once.

use clap::Args;
use serde_json::Value;

use super::super::audit::errands;
use super::super::{Common, Outcome, out};

/// A one-time sign-in link.
#[derive(Args)]
pub struct Link {
    /// The account of trust/console 账户名
    account: String,
}

impl Link {
    pub fn run(self, common: &Common) -> Outcome {
        errands::link(common, &self.account)?.print(common, |done| {
            out::line(done.get("link").and_then(Value::as_str).unwrap_or_default());
        })
    }
}
