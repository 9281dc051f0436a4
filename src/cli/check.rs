//! `check`: configuration, keys, cards, agreements, authorities and schemas, all faults at
//! once; what `serve` would refuse, told before anybody waits for it.

use clap::Args;
use serde_json::json;

use super::{Common, Exit, Outcome, out};
use crate::clock::Clock;
use crate::gateway::{self, Keys, Options};
use crate::house::TrustWatch;
use crate::schema::Catalog;

/// Check everything that serve reads, all faults at once 检查配置、密钥、名片、协议等
#[derive(Args)]
pub struct Check {
    /// Accept the published example keys of certs-example/
    #[arg(long)]
    demo: bool,
}

impl Check {
    pub fn run(self, common: &Common) -> Outcome {
        let config = common.load()?;
        let now = Clock::system().now();
        let mut faults = Vec::new();
        if let Err(of_keys) = Keys::load(&config, &Options { demo: self.demo, ..Options::default() }) {
            faults.extend(of_keys.iter().map(ToString::to_string));
        }
        if let Err(of_webhooks) = gateway::webhooks(&config) {
            faults.extend(of_webhooks.iter().map(ToString::to_string));
        }
        for (file, fault) in config.load_policy().err().unwrap_or_default() {
            faults.push(format!("{}: {fault}", file.display()));
        }
        let mut watch = match self.demo {
            true => TrustWatch::new(&config),
            false => TrustWatch::without_published_cas(&config),
        };
        let (trust, _) = watch.look(None, now);
        for file in watch.faults() {
            for fault in &file.faults {
                faults.push(format!("{}: {fault}", file.file.display()));
            }
        }
        for file in config.load_calendar().err().unwrap_or_default() {
            for fault in &file.faults {
                faults.push(format!("{}: {fault}", file.file.display()));
            }
        }
        // The embedded one is a file that serve makes; this one is only what the configuration says.
        if let Err(of_register) = gateway::http_register(&config) {
            faults.push(of_register.to_string());
        }
        let catalog = Catalog::embedded();
        for agreement in trust.policy.agreements() {
            let types = agreement.types_without_schema(|code| catalog.license_type(code).is_some());
            let forms = agreement.forms_without_schema(|name| catalog.form(name).is_some());
            for fault in types.iter().chain(&forms) {
                faults.push(format!("{}: {fault}", agreement.id()));
            }
        }
        if common.json {
            out::json(&json!({"ok": faults.is_empty(), "faults": faults, "auditors": trust.auditors.len()}));
        } else if faults.is_empty() {
            if trust.auditors.is_empty() {
                out::note(
                    "no auditor's key in [ledger] auditors: no evidence is kept (tongban audit key) \
                     未配置审计公钥:不留存证据",
                );
            }
            out::line(format_args!(
                "all is well 一切正常: {} partners, {} agreements, {} license types",
                trust.directory.cards().count(),
                trust.policy.agreements().count(),
                catalog.license_types().count(),
            ));
        } else {
            faults.iter().for_each(out::line);
        }
        Ok(if faults.is_empty() { Exit::Well } else { Exit::Found })
    }
}
