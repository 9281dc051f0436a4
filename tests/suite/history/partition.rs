//! Ten minutes, and a day, in which the two sides cannot reach each other.
//!
//! The gateways run in this process, so that the time of messages, answers and deadlines is
//! moved by hand; what they wait on the network, back-off and breaker, is real and some seconds.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tongban::ledger::verify::verify;

use super::chance::Chance;
use super::checker::Evidence;
use super::effects::Effects;
use super::people::{Day, Person};
use super::told::{History, SIDES, Side, Told};
use super::town::case_plan;
use super::wire::Wire;
use super::{CITIZENS, CONVERGES};
use crate::support::*;

/// Longer than an answer lives (120 s), shorter than an application's message (24 h).
const TEN_MINUTES: i64 = 600_000;
/// Longer than any message lives: what waits must be signed anew.
const A_DAY: i64 = 25 * 3_600_000;

pub struct Divided {
    world: World,
    wires: [Wire; 2],
    history: History,
    chance: Chance,
    day: Day,
}

impl Divided {
    pub async fn begin(seed: u64) -> Self {
        let years =
            concat!("\n[calendar]\nfolder = \"", env!("CARGO_MANIFEST_DIR"), "/tests/vectors/calendar\"\n");
        let plan = World::plan().configured(years).agreement(|plan| *plan = case_plan(plan.take())).asking();
        let world = plan.start().await;
        let chance = Chance::seeded(seed);
        let wires = [
            Wire::to(world.xianan.door(), chance.clone()).await,
            Wire::to(world.yuhuan.door(), chance.clone()).await,
        ];
        world.yuhuan.trust_card(&world.answering.card(&wires[0].endpoint()));
        world.xianan.trust_card(&world.asking.card(&wires[1].endpoint()));
        world.yuhuan.reload().await;
        world.xianan.reload().await;
        Self { world, wires, history: History::default(), chance, day: Day::default() }
    }

    fn person(&self, side: Side) -> Person {
        let gateway = if side == Side::Collecting { &self.world.yuhuan } else { &self.world.xianan };
        Person {
            side,
            door: gateway.local(),
            clock: self.world.clock.clone(),
            chance: self.chance.clone(),
            history: self.history.clone(),
            day: self.day.clone(),
        }
    }

    /// People act until so many more calls have ended.
    async fn work(&self, calls: u64) {
        let until = self.history.calls() + calls;
        while self.history.calls() < until {
            self.day.come(CITIZENS);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Nobody gets through for so long; people go on, each on their side.
    async fn apart(&self, ms: i64) {
        self.wires.iter().for_each(Wire::close);
        for _ in 0..10 {
            self.world.clock.advance(ms / 10);
            self.work(15).await;
        }
        self.wires.iter().for_each(Wire::open);
    }

    /// People at both sides, until the day is over.
    fn staff(&self) -> JoinSet<()> {
        let mut people = JoinSet::new();
        for side in SIDES {
            people.spawn(self.person(side).watch());
        }
        people.spawn(self.person(Side::Collecting).collect());
        people.spawn(self.person(Side::Handling).handle());
        people
    }

    /// An undisturbed morning, and what stands at its end.
    pub async fn quiet_day(self) -> Evidence {
        let people = self.staff();
        self.work(300).await;
        self.day.end();
        people.join_all().await;
        self.everything_arrives().await;
        self.evidence().await
    }

    async fn everything_arrives(&self) {
        let began = std::time::Instant::now();
        for side in SIDES {
            let person = self.person(side);
            while began.elapsed() < CONVERGES {
                let (_, waiting) = person.get("/local/v1/parcels?state=waiting").await.unwrap();
                if waiting["parcels"] == json!([]) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    async fn evidence(mut self) -> Evidence {
        self.world.yuhuan.stop().await;
        self.world.xianan.stop().await;
        let [collecting, handling] =
            [(Side::Collecting, &self.world.yuhuan), (Side::Handling, &self.world.xianan)].map(
                |(side, gateway)| {
                    let data = gateway.home.join("data");
                    Effects::read(side, &data, verify(&data, None).unwrap().sound)
                },
            );
        Evidence { acts: self.history.acts(), looks: self.history.looks(), collecting, handling }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_minutes_and_a_day_apart_cost_delay_and_nothing_else() {
    let seed = super::seed();
    eprintln!("divided history: TONGBAN_SEED={seed}");
    let divided = Divided::begin(seed).await;
    let people = divided.staff();
    for apart in [TEN_MINUTES, A_DAY] {
        // Some answers are lost before nobody gets through: the receiver has acted, and its kept
        // answer is too old when it is asked for again.
        divided.wires.iter().for_each(|wire| wire.bad_weather(true));
        divided.work(100).await;
        divided.apart(apart).await;
        divided.wires.iter().for_each(|wire| wire.bad_weather(false));
        divided.work(60).await;
    }
    divided.day.end();
    people.join_all().await;
    divided.everything_arrives().await;
    let evidence = divided.evidence().await;
    eprintln!("divided history: {evidence}");
    let faults = evidence.faults();
    assert!(faults.is_empty(), "seed {seed}: {faults:#?}");
    assert!(evidence.told(|told| matches!(told, Told::Taken(_))) > 40, "too quiet to say anything");
}
