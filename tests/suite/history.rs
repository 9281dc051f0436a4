//! To everybody who was told "taken": it happened, once, on both sides, or somebody can see
//! that it did not; whatever is killed, cut, lost or sent twice in between.
//!
//! People at both local doors act and write down what they were told; gateways are killed, the
//! network is cut; at the end the books of both sides are compared with what was told
//! ([`checker`]). `TONGBAN_KILLS=200 TONGBAN_SEED=7 cargo test --test suite history` makes it a
//! long run. The moments of kills are counted in the callers' calls, so a seed chooses the same
//! faults again, not the same interleaving: that is the machine's.

mod chance;
mod checker;
mod effects;
mod partition;
mod people;
mod tampered;
mod told;
mod town;
mod wire;

use std::time::Duration;

use tokio::task::JoinSet;

pub use chance::Chance;
use checker::Fault;
pub use people::application;
use told::{SIDES, Side, Told};
use town::Town;
pub use town::case_plan;

/// Kills of a run that is part of `cargo test`.
const KILLS: usize = 20;
/// Applications that are handed in between two kills.
const CITIZENS: i64 = 3;

/// Kills after which a disk forgets, to show that it is noticed.
const FORGOTTEN: usize = 3;
/// Longest wait for what is left over to arrive, once nothing is spoiled any more.
const CONVERGES: Duration = Duration::from_secs(180);

pub fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

pub fn seed() -> u64 {
    from_env("TONGBAN_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        now.as_secs() % 1_000_000
    })
}

/// What of the faults that a run shows was done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    /// As it is.
    Keeps,
    /// Everything since some moment before the kill is gone: a disk that does not flush.
    Forgets,
}

/// People at both doors, and somebody in the network who sends messages twice.
struct Staff {
    people: JoinSet<()>,
    duplicators: JoinSet<u64>,
}

impl Staff {
    fn of(town: &Town) -> Self {
        let (mut people, mut duplicators) = (JoinSet::new(), JoinSet::new());
        for _ in 0..2 {
            people.spawn(town.person(Side::Collecting).collect());
            people.spawn(town.person(Side::Handling).handle());
        }
        for side in SIDES {
            people.spawn(town.person(side).watch());
            duplicators.spawn(town.duplicator(side).run());
        }
        Self { people, duplicators }
    }

    /// The day is over; how many messages were sent twice.
    async fn leave(self, town: &Town) -> u64 {
        town.day.end();
        self.people.join_all().await;
        self.duplicators.join_all().await.into_iter().sum()
    }
}

/// Kills gateways at moments of chance, under load, in bad weather.
async fn disturb(town: &mut Town, kills: usize, disk: Disk) {
    town.weather(true);
    while town.kills < kills {
        town.day.come(CITIZENS);
        town.calls(town.chance.within(3..80)).await;
        let victims = match town.chance.within(0..10) {
            0 => &SIDES[..],
            1..=5 => &SIDES[..1],
            _ => &SIDES[1..],
        };
        for side in victims {
            let kept = (disk == Disk::Forgets).then(|| town.keep(*side));
            if let Some(kept) = kept {
                town.somebody_is_told_taken().await;
                town.kill(*side);
                town.forget(*side, kept.path());
                // Up again at once: somebody must be told by both.
                town.serve(*side);
            } else {
                town.kill(*side);
            }
        }
        if town.chance.percent(25) {
            town.calls(town.chance.within(5..60)).await;
        }
        for side in victims {
            if town.chance.percent(15) {
                town.kill_in_the_door(*side).await;
            }
            town.serve(*side);
        }
    }
    town.calls(100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_is_killed_cut_lost_or_doubled_every_202_is_one_effect_or_one_visible_rejection() {
    let kills = from_env("TONGBAN_KILLS").map_or(KILLS, |kills| usize::try_from(kills).unwrap());
    let seed = seed();
    eprintln!("history: TONGBAN_SEED={seed} TONGBAN_KILLS={kills}");
    let mut town = Town::begin(seed).await;
    let staff = Staff::of(&town);
    let began = std::time::Instant::now();
    disturb(&mut town, kills, Disk::Keeps).await;
    let doubled = staff.leave(&town).await;
    let busy = began.elapsed();
    town.converge(CONVERGES).await;
    let (converged, (carried, cut)) = (began.elapsed() - busy, town.counts());
    let evidence = town.evidence();
    eprintln!(
        "history: {} kills, {evidence}, {cut} of {carried} connections cut, {doubled} messages sent twice; \
         {busy:.0?} of faults, {converged:.0?} until all had arrived",
        town.kills
    );
    let faults = evidence.faults();
    assert!(faults.is_empty(), "seed {seed}: {faults:#?}");
    let quiet = evidence.told(|told| matches!(told, Told::Taken(_))) < kills
        || evidence.told(|told| *told == Told::Unknown) == 0;
    assert!(!quiet && doubled > 0 && cut > 0, "the run was too quiet to say anything");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_disk_that_forgets_what_was_answered_is_found_out() {
    let seed = seed();
    eprintln!("forgetful history: TONGBAN_SEED={seed}");
    let mut town = Town::begin(seed).await;
    let staff = Staff::of(&town);
    disturb(&mut town, FORGOTTEN, Disk::Forgets).await;
    staff.leave(&town).await;
    // What the other side does not know any more never arrives: not worth a long wait.
    town.converge(Duration::from_secs(3)).await;
    let faults = town.evidence().faults();
    let lost = faults.iter().filter(|fault| matches!(fault, Fault::Lost { .. })).count();
    assert!(lost > 0, "seed {seed}: {faults:#?}");
}
