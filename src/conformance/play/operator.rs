//! Somebody at the target: the vendor's own command, called with words for what shall happen
//! there (`conformance/cases/README.md`, The operator).
//!
//! Promises: what a case arranged is undone when it ends, however it ends; a word that the
//! operator does not know leaves the case not run. Leaves to the operator how it is done.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use serde_json::Value;
use tokio::process::Command;

use super::super::change::placed;
use super::super::wire::Answer;
use super::judge::Judged;
use super::steps::Play;
use super::{Stopped, log};

/// How long one word may take: a restart with everything that a start does.
const PATIENCE: Duration = Duration::from_secs(120);
/// Exit codes of the command.
const DONE: i32 = 0;
const CANNOT: i32 = 3;
const DID_NOT_START: i32 = 4;
/// Most of what it says on standard error that a report repeats (characters).
const SHOWN: usize = 200;

/// What a case that has one `needs` only the operator can give.
pub(super) const NEED: &str = "operator";

/// The command, and what it is told in its environment.
#[derive(Clone, Debug)]
pub struct Operator {
    /// A program; it gets the words as its arguments.
    pub command: PathBuf,
    /// The scene's folder (`TONGBAN_SCENE`).
    pub scene: PathBuf,
}

/// What became of a word.
pub(super) enum Did {
    /// With what was printed.
    Done(Vec<u8>),
    /// Of `start` and `restart`: the gateway was called and would not serve.
    NotStarted,
}

impl Operator {
    pub(super) async fn does(&self, role: &str, words: &[String]) -> Result<Did, Stopped> {
        let shown = words.join(" ");
        let command = Command::new(&self.command)
            .args(words)
            .env("TONGBAN_SCENE", &self.scene)
            .env("TONGBAN_ROLE", role)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let ended = tokio::time::timeout(PATIENCE, command).await;
        let ended = ended.map_err(|_| {
            Stopped::NotRun(format!(
                "the operator was not done with `{shown}` after {} s",
                PATIENCE.as_secs()
            ))
        })?;
        let ended =
            ended.map_err(|e| Stopped::NotRun(format!("the operator cannot be called ({})", e.kind())))?;
        let why: String = String::from_utf8_lossy(&ended.stderr).trim().chars().take(SHOWN).collect();
        match ended.status.code() {
            Some(DONE) => Ok(Did::Done(ended.stdout)),
            Some(DID_NOT_START) => Ok(Did::NotStarted),
            Some(CANNOT) => Err(Stopped::NotRun(format!("the operator cannot `{shown}`: {why}"))),
            code => Err(Stopped::NotRun(format!("the operator failed at `{shown}` ({code:?}): {why}"))),
        }
    }
}

/// What puts right again what these words did.
fn undoing(words: &[String]) -> Option<Vec<String>> {
    let said: Vec<&str> = words.iter().map(String::as_str).collect();
    let back: &[&str] = match said.as_slice() {
        ["register", _] => &["register", "up"],
        ["ledger", _] => &["ledger", "up"],
        _ => return None,
    };
    Some(back.iter().map(|word| (*word).to_owned()).collect())
}

impl Play<'_> {
    pub(super) fn operator(&self) -> Result<&Operator, Stopped> {
        self.stage.operator.as_ref().ok_or_else(|| Stopped::NotRun(super::unmet(NEED)))
    }

    /// `{"operator": [words…]}`; with `paper`, the paper of that name is given as it is, or with
    /// members changed by `with`. What is printed is judged where something is expected of it.
    pub(super) async fn arrange(&mut self, step: &Value, expect: &Value) -> Result<(), Stopped> {
        self.moment.sent.push(None);
        self.heard.push(None);
        let said = step.get("operator").and_then(Value::as_array).into_iter().flatten();
        let mut words: Vec<String> = said.filter_map(Value::as_str).map(str::to_owned).collect();
        for word in &mut words {
            *word = log::path(self, word).await?;
        }
        if let [first, name] = words.as_slice()
            && first == "paper"
        {
            let given = self.paper(name, step.get("with"))?;
            let original = self.papers().join(name).display().to_string();
            self.undo.push(vec!["paper".to_owned(), name.clone(), original]);
            words.push(given);
        }
        self.undo.extend(undoing(&words));
        self.trail.sent = Some(format!("operator: {}", words.join(" ")));
        let did = self.operator()?.does(self.stage.target, &words).await?;
        let Did::Done(printed) = did else { return Err("the gateway did not start again".into()) };
        if expect.is_object() {
            let answer = Answer { status: 200, headers: HeaderMap::new(), body: Bytes::from(printed) };
            let heard = self.judge(&Judged { expect, answer: &answer, message: None }).await?;
            self.remember(heard);
        }
        Ok(())
    }

    /// Where the scene has the papers that the target trusts.
    fn papers(&self) -> PathBuf {
        let scene = self.stage.operator.as_ref().map(|operator| operator.scene.clone()).unwrap_or_default();
        scene.join(self.stage.target).join("papers")
    }

    /// A paper of the scene, changed, in a file of its own.
    fn paper(&self, name: &str, with: Option<&Value>) -> Result<String, Stopped> {
        let unreadable =
            |path: &std::path::Path| Stopped::NotRun(format!("{}: no paper of the scene", path.display()));
        let path = self.papers().join(name);
        let text = std::fs::read_to_string(&path).map_err(|_| unreadable(&path))?;
        let mut paper: Value = serde_json::from_str(&text).map_err(|_| unreadable(&path))?;
        for (pointer, value) in with.and_then(Value::as_object).into_iter().flatten() {
            placed(&mut paper, pointer, Some(self.moment.fill(value)?))?;
        }
        let given = self.papers().join("changed").join(name.replace('/', "-"));
        std::fs::create_dir_all(given.parent().unwrap_or(&given)).map_err(|_| unreadable(&given))?;
        std::fs::write(&given, format!("{paper:#}\n")).map_err(|_| unreadable(&given))?;
        Ok(given.display().to_string())
    }

    /// What the case arranged, the last first.
    pub(super) async fn undo(&mut self) -> Result<(), Stopped> {
        while let Some(words) = self.undo.pop() {
            match self.operator()?.does(self.stage.target, &words).await? {
                Did::Done(_) => {}
                Did::NotStarted => return Err("the gateway did not start again".into()),
            }
        }
        Ok(())
    }

    /// What the operator prints to these words, as JSON.
    pub(super) async fn told(&self, words: &[&str]) -> Result<Value, Stopped> {
        let said: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        match self.operator()?.does(self.stage.target, &said).await? {
            Did::Done(printed) => serde_json::from_slice(&printed).map_err(|_| {
                Stopped::NotRun(format!("the operator's answer to `{}` is no JSON", said.join(" ")))
            }),
            Did::NotStarted => Err("the gateway did not start".into()),
        }
    }
}
