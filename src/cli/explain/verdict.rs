//! What is told of one message: the checks, the verdict, the cause.

use serde_json::{Value, json};

use super::super::out;
use crate::answer::{Advice, Code, Refusal};
use crate::diagnosis::{self, Finding, Look};
use crate::inbound::checks::{self, Outcome as Checked};
use crate::inbound::judge::Stopped;
use crate::inbound::steps::Step;

/// How many likely causes are shown where the bytes show none.
const MOST_LIKELY: usize = 3;

/// Where a message stopped, if it did, and what was seen of it.
pub(super) struct Verdict {
    pub stopped: Option<Stopped>,
    looks: Vec<Look>,
    findings: Vec<Finding>,
}

impl Verdict {
    pub fn of(stopped: Option<Stopped>) -> Self {
        Self { stopped, looks: Vec::new(), findings: Vec::new() }
    }

    pub fn stopped(step: Step, code: Code) -> Self {
        Self::of(Some(Stopped { step, refusal: code.into() }))
    }

    /// With what each check found, and what the bytes show of a refusal.
    pub fn looked_into(mut self, view: &diagnosis::View<'_>, body: &[u8]) -> Self {
        let last = self.stopped.as_ref().map_or(Step::Authorization, |stopped| stopped.step);
        self.looks = diagnosis::looks(view, body, last);
        if let Some(Stopped { step, refusal }) = &self.stopped {
            self.findings = diagnosis::diagnose(view, body, Some(*step), refusal);
        }
        self
    }

    fn refusal(&self) -> Option<&Refusal> {
        self.stopped.as_ref().map(|stopped| &stopped.refusal)
    }

    /// The answer to one line of `--jsonl`.
    pub fn line(&self, id: &Value) -> Value {
        let refusal = self.refusal();
        json!({
            "id": id,
            "accepted": refusal.is_none(),
            "status": refusal.map_or(200, |r| r.code.status()),
            "code": refusal.map(|r| r.code.word()),
            "reason": refusal.and_then(|r| r.reason),
        })
    }

    /// Each check with its outcome.
    fn checks(&self) -> impl Iterator<Item = (Step, Checked, Option<&Look>)> {
        checks::stopped_at(self.stopped.as_ref().map(|stopped| stopped.step))
            .map(|(step, outcome)| (step, outcome, self.looks.iter().find(|look| look.step == step)))
    }

    pub fn whole(&self) -> Value {
        let mut whole = self.line(&Value::Null);
        if let Some(object) = whole.as_object_mut() {
            object.shift_remove("id");
            object.insert("step".into(), self.stopped.as_ref().map(|s| s.step.word()).into());
            object.insert("signed".into(), self.refusal().map(Refusal::is_signed).into());
            object.insert("errors".into(), json!(self.refusal().map_or(&[][..], |r| &r.errors)));
            let checks: Vec<Value> =
                self.checks().map(|(step, outcome, look)| check(step, outcome, look)).collect();
            object.insert("checks".into(), checks.into());
            if let Some(Stopped { step, refusal }) = &self.stopped {
                object.insert("explained".into(), diagnosis::told(refusal, Some(*step), &self.findings));
            }
        }
        whole
    }

    pub fn print(&self) {
        for (step, outcome, look) in self.checks() {
            let mark = match outcome {
                Checked::Passed => "✓",
                Checked::Failed => "✗",
                _ => "·",
            };
            let (says, says_zh) = step.says();
            out::line(format_args!("{mark} {:<14} {:<5} {says_zh} / {says}", step.word(), step.clause()));
            if let Some(Look { expected, found, .. }) = look {
                out::line(format_args!("    应为 {}", both(&expected.zh, &expected.en)));
                out::line(format_args!("    实为 {}", both(&found.zh, &found.en)));
            }
        }
        let Some(refusal) = self.refusal() else {
            out::line("\naccepted / 通过: every check passed; the door would act on it");
            return;
        };
        let code = refusal.code;
        let reason = refusal.reason.map(|r| format!(" · {r}")).unwrap_or_default();
        out::line(format_args!("\nrefused / 拒绝: {} {}{reason}", code.status(), code.word()));
        out::line(format_args!("{} / {}", code.title_zh(), code.title()));
        out::line(refusal.detail());
        for fault in &refusal.errors {
            out::line(format_args!("  {fault}"));
        }
        self.print_causes(refusal);
    }

    fn print_causes(&self, refusal: &Refusal) {
        if !self.findings.is_empty() {
            out::line("\n原因 / the cause:");
        }
        for Finding { cause, measured } in &self.findings {
            out::line(format_args!("  {} [{}, {}]", cause.zh, cause.id, cause.clause));
            out::line(format_args!("  {}", cause.en));
            if let Some(measured) = measured {
                out::line(format_args!("    → {}", both(&measured.zh, &measured.en)));
            }
            out::line(format_args!("    {}", both(&cause.see_zh, &cause.see)));
        }
        if self.findings.is_empty() {
            out::line("\n可能的原因 / likely causes:");
            for cause in diagnosis::likely(refusal).take(MOST_LIKELY) {
                out::line(format_args!(
                    "  {} / {} ({})",
                    cause.zh,
                    cause.en,
                    both(&cause.see_zh, &cause.see)
                ));
            }
        }
        if let Some(advice) = Advice::of(refusal.code) {
            out::line(format_args!("\n怎么办 / what to do [{}]:", advice.clauses.join(", ")));
            out::line(format_args!("  {}\n  {}", advice.what_to_do_zh, advice.what_to_do));
        }
    }
}

fn check(step: Step, outcome: Checked, look: Option<&Look>) -> Value {
    let (says, says_zh) = step.says();
    let mut check = json!({"check": step.word(), "outcome": outcome.word(), "says": says, "says_zh": says_zh,
        "clause": step.clause()});
    if let (Some(object), Some(Look { expected, found, .. })) = (check.as_object_mut(), look) {
        for (name, said) in [("expected", expected), ("found", found)] {
            object.insert(name.into(), said.en.as_str().into());
            object.insert(format!("{name}_zh"), said.zh.as_str().into());
        }
    }
    check
}

/// Once where both languages say the same.
fn both(zh: &str, en: &str) -> String {
    if zh == en { zh.to_owned() } else { format!("{zh} / {en}") }
}
