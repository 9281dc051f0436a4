//! Two gateways as real processes with a spoiled network between them.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tongban::clock::Clock;

use super::chance::Chance;
use super::checker::Evidence;
use super::effects::Effects;
use super::people::{Day, Duplicator, Person};
use super::told::{History, SIDES, Side, Told};
use super::wire::Wire;
use crate::process::{Home, Pair, Served, copy, day_plan};
use crate::support::*;

const OPS: [&str; 6] = [
    "license.query",
    "application.submit",
    "application.event",
    "application.status",
    "verification.request",
    "verification.answer",
];

pub struct Town {
    pair: Pair,
    /// What 玉环 reaches 咸安 by, and the other way round.
    wires: [Wire; 2],
    served: [Option<Served>; 2],
    pub history: History,
    pub chance: Chance,
    pub day: Day,
    pub kills: usize,
}

const fn at(side: Side) -> usize {
    match side {
        Side::Collecting => 0,
        Side::Handling => 1,
    }
}

/// The agreement with everything a case needs.
pub fn case_plan(mut agreement: Value) -> Value {
    agreement["items"][0]["ops"] = json!(OPS);
    agreement["items"][0]["materials"][0]["evidence"] = json!(["shared_data", "commitment", "upload"]);
    agreement
}

impl Town {
    /// Both gateways run, the network is clear.
    pub async fn begin(seed: u64) -> Self {
        let chance = Chance::seeded(seed);
        let pair = Pair::make();
        let to_handling = Wire::to(pair.xianan.doors.partner, chance.clone()).await;
        let to_collecting = Wire::to(pair.yuhuan.doors.partner, chance.clone()).await;
        for (home, partner, wire) in
            [(&pair.yuhuan, &pair.xianan, &to_handling), (&pair.xianan, &pair.yuhuan, &to_collecting)]
        {
            let mut card = partner.card.clone();
            card["endpoint"] = wire.endpoint().into();
            home.write(&format!("trust/partners/{}.json", partner.region), &card);
            home.trust_agreement(&case_plan(day_plan()));
            publish_years(home);
        }
        let served = [Some(pair.yuhuan.serve()), Some(pair.xianan.serve())];
        let wires = [to_handling, to_collecting];
        Self { pair, wires, served, history: History::default(), chance, day: Day::default(), kills: 0 }
    }

    pub fn home(&self, side: Side) -> &Home {
        if side == Side::Collecting { &self.pair.yuhuan } else { &self.pair.xianan }
    }

    pub fn person(&self, side: Side) -> Person {
        let home = self.home(side);
        let token = std::fs::read_to_string(home.file("keys/local.token")).unwrap();
        Person {
            side,
            door: Local { door: home.doors.local, token: Some(token.trim().to_owned()) },
            clock: Clock::system(),
            chance: self.chance.clone(),
            history: self.history.clone(),
            day: self.day.clone(),
        }
    }

    pub fn duplicator(&self, from: Side) -> Duplicator {
        let (sender, to) = match from {
            Side::Collecting => (&self.pair.asker, Side::Handling),
            Side::Handling => (&self.pair.answerer, Side::Collecting),
        };
        Duplicator {
            sender: sender.clone(),
            casebook: self.home(from).file("data/cases.db"),
            door: self.home(to).doors.partner,
            chance: self.chance.clone(),
            day: self.day.clone(),
        }
    }

    pub fn weather(&self, bad: bool) {
        self.wires.iter().for_each(|wire| wire.bad_weather(bad));
    }

    /// Connections carried and connections cut, of both directions.
    pub fn counts(&self) -> (u64, u64) {
        let [one, other] = [self.wires[0].counts(), self.wires[1].counts()];
        (one.0 + other.0, one.1 + other.1)
    }

    /// Waits until so many more calls have come to an end: time that goes on whatever happens.
    pub async fn calls(&self, more: u64) {
        let until = self.history.calls() + more;
        while self.history.calls() < until {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self, side: Side) {
        if let Some(mut served) = self.served[at(side)].take() {
            served.kill();
            self.kills += 1;
        }
    }

    /// Starts it and kills it at any moment of its start.
    pub async fn kill_in_the_door(&mut self, side: Side) {
        let home = self.home(side);
        let mut served = home.begin_to_serve(&mut home.serve_command());
        tokio::time::sleep(Duration::from_millis(self.chance.within(0..400))).await;
        served.kill();
        self.kills += 1;
    }

    pub fn serve(&mut self, side: Side) {
        if self.served[at(side)].is_none() {
            self.served[at(side)] = Some(self.home(side).serve());
        }
    }

    /// What a disk holds at this moment, while the gateway stands still.
    pub fn keep(&self, side: Side) -> TempDir {
        let served = self.served[at(side)].as_ref().unwrap();
        served.signal(Signal::STOP);
        let kept = tempfile::tempdir().unwrap();
        copy(&self.home(side).data(), kept.path());
        served.signal(Signal::CONT);
        kept
    }

    /// The disk holds what it held then, and nothing that came after.
    pub fn forget(&self, side: Side, kept: &Path) {
        let data = self.home(side).data();
        std::fs::remove_dir_all(&data).unwrap();
        copy(kept, &data);
    }

    /// Returns when somebody has been told that an application and an act on it are taken.
    pub async fn somebody_is_told_taken(&self) {
        let (window, office) = (self.person(Side::Collecting), self.person(Side::Handling));
        while !matches!(window.submit().await, Told::Taken(_)) {}
        self.calls(20).await;
        for case in office.cases(Some("RECEIVED")).await {
            office.act(&case, "accept").await;
        }
    }

    /// Everything that was under way comes to its end.
    pub async fn converge(&mut self, within: Duration) {
        self.weather(false);
        for side in SIDES {
            if let Some(served) = self.served[at(side)].take() {
                assert_eq!(served.stop(), 0);
            }
            self.serve(side);
        }
        let began = Instant::now();
        for side in SIDES {
            let person = self.person(side);
            loop {
                let Some((200, waiting)) = person.get("/local/v1/parcels?state=waiting").await else {
                    panic!("the local door of {side:?} answers: {}", self.log(side));
                };
                if waiting["parcels"].as_array().unwrap().is_empty() {
                    break;
                }
                if began.elapsed() > within {
                    // The checker names what is left.
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    fn log(&self, side: Side) -> String {
        self.served[at(side)].as_ref().map(Served::log).unwrap_or_default()
    }

    /// Stops both sides and reads what stands on their disks.
    pub fn evidence(&mut self) -> Evidence {
        let [collecting, handling] = SIDES.map(|side| {
            if let Some(served) = self.served[at(side)].take() {
                assert_eq!(served.stop(), 0);
            }
            let home = self.home(side);
            let verdict = home.verify();
            Effects::read(side, &home.data(), verdict.sound)
        });
        Evidence { acts: self.history.acts(), looks: self.history.looks(), collecting, handling }
    }
}

/// This year and the next are published for the suite, whenever it runs.
fn publish_years(home: &Home) {
    let folder = home.file("trust/calendar");
    std::fs::create_dir_all(&folder).unwrap();
    let year = Clock::system().now().shanghai_day().year();
    for year in year..=year + 1 {
        let calendar = json!({"year": year, "title": "Invented", "title_zh": "测试用工作日历(虚构)",
            "notice": "测试1号", "published": format!("{}-11-01", year - 1), "off": [format!("{year}-01-01")], "work": []});
        std::fs::write(folder.join(format!("{year}.json")), calendar.to_string()).unwrap();
    }
    let config = std::fs::read_to_string(home.config()).unwrap();
    std::fs::write(home.config(), config + "\n[calendar]\nfolder = \"trust/calendar\"\n").unwrap();
}
