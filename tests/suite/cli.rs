//! To whoever types: commands end with the code and the words the protocol promises (§10).

mod auditing;
mod auditors;
mod cases;
mod explaining;
mod licenses;
mod onboarding;
mod served;
mod serving;

use crate::process::run;

const COMMANDS: [&str; 15] = [
    "demo",
    "init",
    "serve",
    "check",
    "explain",
    "audit",
    "console",
    "card",
    "partner",
    "agreement",
    "license",
    "query",
    "apply",
    "case",
    "authorize",
];

#[test]
fn help_is_no_fault_and_names_every_command() {
    let help = run(&["--help"]).ended(0).out;
    for command in COMMANDS {
        assert!(help.contains(&format!("\n  {command} ")), "{command}: {help}");
        let own = run(&[command, "--help"]).ended(0).out;
        assert!(own.contains("Usage: tongban"), "{own}");
    }
    assert!(help.contains("64 usage or configuration"), "{help}");
    assert!(run(&["--version"]).ended(0).out.starts_with("tongban "));
}

#[test]
fn a_wrong_usage_ends_with_64_and_says_how_it_is_meant() {
    for line in ["", "nonsense", "card --wrong", "serve extra", "query --to 421202", "init", "partner"] {
        let ran = run(&line.split_whitespace().collect::<Vec<_>>()).ended(64);
        assert!(ran.out.is_empty() && ran.err.contains("Usage"), "{line}: {ran:?}");
    }
}

#[test]
fn a_missing_configuration_ends_with_64_and_names_the_file() {
    for line in
        ["serve", "check", "card", "partner list", "license import x.jsonl", "audit verify", "case list"]
    {
        let words: Vec<&str> = line.split_whitespace().chain(["--config", "/nowhere/gateway.toml"]).collect();
        run(&words).refused_in_one_line(&["/nowhere/gateway.toml", "找不到"]);
    }
}
