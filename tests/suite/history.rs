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
mod people;
mod told;
mod town;
mod wire;

use checker::Fault;
use told::{SIDES, Side, Told};
use town::Town;

/// Kills of a run that is part of `cargo test`.
const KILLS: usize = 20;
/// Applications that are handed in between two kills.
const CITIZENS: i64 = 3;

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

fn seed() -> u64 {
    from_env("TONGBAN_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        now.as_secs() % 1_000_000
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_is_killed_cut_lost_or_doubled_every_202_is_one_effect_or_one_visible_rejection() {
    let kills = from_env("TONGBAN_KILLS").map_or(KILLS, |kills| usize::try_from(kills).unwrap());
    let seed = seed();
    eprintln!("history: TONGBAN_SEED={seed} TONGBAN_KILLS={kills}");
    let mut town = Town::begin(seed).await;
    let (windows, watchers) = (town.person(Side::Collecting), SIDES.map(|side| town.person(side)));
    let mut people = tokio::task::JoinSet::new();
    for _ in 0..2 {
        people.spawn(windows.clone().collect());
        people.spawn(town.person(Side::Handling).handle());
    }
    for watcher in watchers {
        people.spawn(watcher.watch());
    }
    let doubled = SIDES.map(|side| tokio::spawn(town.duplicator(side).run()));
    town.weather(true);
    let began = std::time::Instant::now();
    while town.kills < kills {
        town.day.come(CITIZENS);
        town.calls(town.chance.within(3..80)).await;
        let victims = match town.chance.within(0..10) {
            0 => &SIDES[..],
            1..=5 => &SIDES[..1],
            _ => &SIDES[1..],
        };
        victims.iter().for_each(|side| town.kill(*side));
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
    town.day.end();
    people.join_all().await;
    let mut copies = 0;
    for duplicator in doubled {
        copies += duplicator.await.unwrap();
    }
    let busy = began.elapsed();
    town.converge().await;
    let converged = began.elapsed() - busy;
    let (carried, cut) = town.counts();
    let evidence = town.evidence();
    let count = |told: fn(&Told) -> bool| evidence.acts.iter().filter(|act| told(&act.told)).count();
    let (taken, unknown) =
        (count(|told| matches!(told, Told::Taken(_))), count(|told| *told == Told::Unknown));
    eprintln!(
        "history: {} kills, {} cases, {} acts ({taken} taken, {unknown} without an answer), {} looks, \
         {cut} of {carried} connections cut, {copies} messages sent twice; {busy:.0?} of faults, {converged:.0?} until all had arrived",
        town.kills,
        evidence.collecting.cases.len(),
        evidence.acts.len(),
        evidence.looks.len(),
    );
    let faults = evidence.faults();
    assert!(faults.is_empty(), "seed {seed}: {faults:#?}");
    assert!(taken > kills && copies > 0 && cut > 0 && unknown > 0, "the run was too quiet to say anything");
}
