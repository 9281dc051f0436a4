//! Plays cases against a target and says what came of each.

mod asking;
mod calls;
mod checks;
mod door;
mod judge;
mod evidence;
mod local;
mod log;
mod many;
mod operator;
mod reconcile;
mod schemas;
mod steps;
mod trail;
mod witness;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::cases::{Case, Role};
use super::wire::{Request, Wire};
use super::{ConformanceFault, Ground};
use crate::clock::Clock;
use operator::NEED;
use schemas::Schemas;

pub use operator::Operator;
pub use trail::Trail;

/// Cases under way at once: a debug build on two processors keeps up, a slow case holds nobody.
const AT_ONCE: usize = 6;
/// How often a case about one second is begun anew when the second ended too early.
const SECONDS_TRIED: usize = 12;

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// What was expected, and what came.
    Failed(String),
    /// Why the target was not asked.
    NotRun(String),
}

/// A case and what became of it.
#[derive(Clone, Debug)]
pub struct Played {
    pub case: Case,
    pub outcome: Outcome,
    pub took: Duration,
    /// Of a case that failed: what its last step was about.
    pub trail: Option<Trail>,
}

/// A whole run, in the order of the case files.
#[derive(Clone, Debug)]
pub struct Run {
    pub target: String,
    pub role: Role,
    /// Seconds.
    pub started: i64,
    pub took: Duration,
    pub played: Vec<Played>,
}

impl Run {
    pub fn count(&self, which: fn(&Outcome) -> bool) -> usize {
        self.played.iter().filter(|played| which(&played.outcome)).count()
    }

    pub fn passed(&self) -> usize {
        self.count(|outcome| *outcome == Outcome::Passed)
    }

    pub fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_)))
    }

    pub fn not_run(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::NotRun(_)))
    }
}

/// Where and as what to play.
#[derive(Clone, Debug)]
pub struct RunSettings {
    pub role: Role,
    /// In place of the scene's endpoint.
    pub target: Option<String>,
    /// The asking side's local door, with its token; without it nobody can make it ask.
    pub local: Option<(String, String)>,
    /// What the target has beside the scene's own list.
    pub has: Vec<String>,
    /// Somebody at the target; without one, cases that need somebody are not run.
    pub operator: Option<Operator>,
}

/// Everything that the cases of a run share.
pub(super) struct Stage {
    ground: Ground,
    wire: Wire,
    /// The scene's name of the target.
    target: &'static str,
    clock: Clock,
    schemas: Schemas,
    witness: witness::Logs,
    local: Option<local::LocalDoor>,
    door: Option<door::Door>,
    operator: Option<Operator>,
}

/// Why a case ends before its end.
pub(super) enum Stopped {
    Failed(String),
    NotRun(String),
}

impl From<String> for Stopped {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl From<&str> for Stopped {
    fn from(why: &str) -> Self {
        Self::Failed(why.to_owned())
    }
}

impl From<super::moment::Unfilled> for Stopped {
    fn from(fault: super::moment::Unfilled) -> Self {
        Self::NotRun(fault.to_string())
    }
}

/// Plays `cases`; `told` hears of each as it ends.
pub async fn run(
    ground: Ground,
    settings: RunSettings,
    cases: Vec<Case>,
    mut told: impl FnMut(&Played),
) -> Result<Run, ConformanceFault> {
    let target = if settings.role == Role::Asking { "asking" } else { "answering" };
    let endpoint = match &settings.target {
        Some(endpoint) => endpoint.clone(),
        None => ground.endpoints.get(target).cloned().unwrap_or_default(),
    };
    let wire = Wire::new(&ground, &endpoint, target)?;
    let clock = Clock::system();
    let (started, begun) = (clock.now().secs(), Instant::now());
    let partner = if target == "asking" { "answering" } else { "asking" };
    let card = Request { method: "GET".into(), path: "/v1/card".into(), ..Request::default() };
    wire.call(partner, &card).await.map_err(|_| ConformanceFault::NoTarget)?;
    let mut ground = ground;
    ground.has.extend(settings.has.iter().cloned());
    let local =
        settings.local.as_ref().map(|(door, token)| local::LocalDoor::new(door, token)).transpose()?;
    let door = match (settings.role, &local) {
        (Role::Asking, Some(_)) => Some(door::Door::open(&ground).await?),
        _ => None,
    };
    let schemas = Schemas::embedded().ok_or(ConformanceFault::Data("schemas"))?;
    let witness = witness::Logs::default();
    let operator = settings.operator;
    let stage = Arc::new(Stage { ground, wire, target, clock, schemas, witness, local, door, operator });
    let mut played = play_all(&stage, cases, &mut told).await;
    played.sort_by_key(|(place, _)| *place);
    Ok(Run {
        target: endpoint,
        role: settings.role,
        started,
        took: begun.elapsed(),
        played: played.into_iter().map(|(_, played)| played).collect(),
    })
}

async fn play_all(
    stage: &Arc<Stage>,
    cases: Vec<Case>,
    told: &mut impl FnMut(&Played),
) -> Vec<(usize, Played)> {
    let mut under_way = JoinSet::new();
    // Whoever waits for half a minute holds nobody's place.
    let places = Arc::new(Semaphore::new(AT_ONCE));
    // One door, one witnessed log: their cases go one by one.
    let single = Arc::new(Semaphore::new(1));
    let mut done = Vec::new();
    let (alone, together): (Vec<_>, Vec<_>) =
        cases.into_iter().enumerate().partition(|(_, case)| stirs(case));
    for (place, case) in together {
        let (stage, places, single) = (Arc::clone(stage), Arc::clone(&places), Arc::clone(&single));
        under_way.spawn(async move {
            let alone = case.role == Role::Asking || case.area == "witness";
            let turns = if alone { single } else { places };
            let _turn = if waits(&case) { None } else { turns.acquire_owned().await.ok() };
            (place, timed(&stage, case).await)
        });
    }
    while let Some(ended) = under_way.join_next().await {
        if let Ok((place, played)) = ended {
            told(&played);
            done.push((place, played));
        }
    }
    // What changes the target, or fills it, would be felt by every other case.
    for (place, case) in alone {
        let played = timed(stage, case).await;
        told(&played);
        done.push((place, played));
    }
    done
}

async fn timed(stage: &Arc<Stage>, case: Case) -> Played {
    let begun = Instant::now();
    let (outcome, trail) = play(stage, &case).await;
    let trail = trail.filter(|_| matches!(outcome, Outcome::Failed(_)));
    Played { case, outcome, took: begun.elapsed(), trail }
}

/// A case that others would feel: it is played after them, by itself.
fn stirs(case: &Case) -> bool {
    case.needs.iter().any(|need| need == NEED || need == "load")
}

/// Why a case whose need is not met is not run.
fn unmet(need: &str) -> String {
    match need {
        NEED => "needs somebody at the target: give --operator (conformance/cases/README.md)".into(),
        "load" => "needs many requests in a few seconds: say --has load".into(),
        "patience" => "needs a quarter of an hour: say --has patience".into(),
        "promise-check" => {
            "needs a target that holds partners to their promises by itself: say --has promise-check".into()
        }
        other => format!("the target has no {other}"),
    }
}

/// A case that is about a long silence.
fn waits(case: &Case) -> bool {
    let long = |step: &Value| {
        step.pointer("/expect/within_seconds").is_some() || step.pointer("/send/wait_seconds").is_some()
    };
    case.role == Role::Answering && case.steps.iter().any(long)
}

async fn play(stage: &Arc<Stage>, case: &Case) -> (Outcome, Option<Trail>) {
    if case.role == Role::Vectors {
        return (Outcome::NotRun("a vector, played by scripts/vectors-test".into()), None);
    }
    let met = |need: &String| (need == NEED && stage.operator.is_some()) || stage.ground.has.contains(need);
    if let Some(need) = case.needs.iter().find(|need| !met(need)) {
        return (Outcome::NotRun(unmet(need)), None);
    }
    if case.role == Role::Asking && stage.local.is_none() {
        return (Outcome::NotRun("no local door is given, so nobody can make the target ask".into()), None);
    }
    let about_a_second = is_about_a_second(case);
    for _ in 0..SECONDS_TRIED {
        let at =
            if about_a_second { beginning_of_a_second(&stage.clock).await } else { stage.clock.now().secs() };
        let (done, trail) = steps::play(stage, case, at).await;
        let outcome = match done {
            Ok(()) => Outcome::Passed,
            Err(Stopped::Failed(why)) => Outcome::Failed(why),
            Err(Stopped::NotRun(why)) => Outcome::NotRun(why),
        };
        // What was measured over the end of a second says nothing about its border.
        if !about_a_second || stage.clock.now().secs() == at {
            return (outcome, Some(trail));
        }
    }
    (Outcome::NotRun("no exchange fitted into one second; is the target that slow?".into()), None)
}

/// Whether a second more or less decides: the case moves its times to a border.
fn is_about_a_second(case: &Case) -> bool {
    case.steps.iter().any(|step| {
        let text = step.to_string();
        text.contains("\"window\"") || text.contains("{\"$time\":31}")
    })
}

async fn beginning_of_a_second(clock: &Clock) -> i64 {
    let ms = clock.now().ms();
    let into = ms.rem_euclid(1000);
    if into > 100 {
        let rest = u64::try_from(1000 - into).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(rest)).await;
    }
    clock.now().secs()
}
