//! To both partners' auditors: what one side takes out of its ledger, changes in it or makes up
//! is shown by the other side's data alone (protocol §7.4).

mod answers;
mod proposals;
mod tampering;

use std::collections::HashSet;
use std::path::PathBuf;

use serde_json::{Value, json};
use tongban::domain::Region;
use tongban::gateway::reconciling::{alarm, due, round};
use tongban::ledger::note::{Note, Vkey};
use tongban::reconcile::{DifferenceRow, State, WindowRow, days, windows_between};

use crate::support::*;

/// Until the first full hour after the start, and ten minutes for it to settle.
pub const TO_THE_HOUR: i64 = 800 + 600;

/// Both gateways, each with the other's card and ledger key.
pub struct Comparing {
    pub world: World,
}

pub fn region(code: &str) -> Region {
    Region::parse(code).unwrap()
}

impl Comparing {
    pub async fn start() -> Self {
        Self::of(World::plan().asking().start().await).await
    }

    async fn of(world: World) -> Self {
        let cards = [&world.xianan, &world.yuhuan].map(|gateway| {
            let mut card = gateway.member.card(&format!("https://{}", gateway.door()));
            card["ledger"] = gateway.running().house.own_card()["ledger"].clone();
            card
        });
        world.yuhuan.trust_card(&cards[0]);
        world.xianan.trust_card(&cards[1]);
        world.yuhuan.reload().await;
        world.xianan.reload().await;
        Self { world }
    }

    /// 玉环 looks up twice and 咸安 pings; the ids, in that order.
    pub async fn exchange(&self) -> [String; 3] {
        let question = json!({"to": XIANAN, "item": DUTY_ITEM, "basis": "statutory_duty",
            "purpose": "公积金异地贷款核验", "operator": "YH0123", "agreement": AGREEMENT,
            "body": {"license": {"type": BUSINESS, "holder": {"type": "001", "number": COMPANY}},
                     "mode": "read", "fields": ["uscc", "name"]}});
        let id = |told: Told| {
            assert_eq!(told.status, 200, "{}", told.json());
            told.json()["exchange"].as_str().unwrap().to_owned()
        };
        let (yuhuan, xianan) = (self.world.yuhuan.local(), self.world.xianan.local());
        let ping = format!("/local/v1/partners/{YUHUAN}/ping");
        [
            id(yuhuan.post("/local/v1/licenses/query", &question).await),
            id(yuhuan.post("/local/v1/licenses/query", &question).await),
            id(xianan.post(&ping, &json!({})).await),
        ]
    }

    pub fn wait(&self, secs: i64) {
        self.world.clock.advance(secs * 1000);
    }

    /// Whatever is due now at 玉环, whose code is the smaller.
    pub async fn yuhuan(&self) {
        while !round(&self.world.yuhuan.running().house, region(XIANAN)).await.unwrap().is_empty() {}
    }

    /// Whatever is due now at 咸安.
    pub async fn xianan(&self) {
        while !round(&self.world.xianan.running().house, region(YUHUAN)).await.unwrap().is_empty() {}
    }
}

fn data(gateway: &Gateway) -> PathBuf {
    gateway.home.join("data")
}

pub fn windows(gateway: &Gateway, peer: &str) -> Vec<WindowRow> {
    windows_between(&data(gateway), peer, 0, i64::MAX).unwrap()
}

pub fn differences(gateway: &Gateway) -> Vec<DifferenceRow> {
    let days = days(&data(gateway), None, None, gateway.running().house.clock.now()).unwrap();
    days.into_iter().flat_map(|day| day.differences).collect()
}

async fn recon_leaves(gateway: &Gateway) -> Vec<Value> {
    gateway.leaves().await.into_iter().filter(|leaf| leaf["t"] == "recon").collect()
}

#[tokio::test]
async fn what_both_have_alike_is_signed_by_both_and_stands_in_both_ledgers() {
    let pair = Comparing::start().await;
    pair.exchange().await;
    pair.yuhuan().await;
    assert!(windows(&pair.world.yuhuan, XIANAN).is_empty(), "not settled");
    pair.wait(TO_THE_HOUR);
    pair.yuhuan().await;
    let (yuhuan, xianan) = (&pair.world.yuhuan, &pair.world.xianan);
    let (here, there) = (windows(yuhuan, XIANAN), windows(xianan, YUHUAN));
    let ([here], [there]) = (&here[..], &there[..]) else { panic!("{here:?} {there:?}") };
    assert_eq!((here.state, here.count, &here.note), (State::Agreed, 3, &there.note));
    let note = here.note.clone().unwrap();
    assert!(note.starts_with(&format!("exchange-recon/v1\n{YUHUAN} {XIANAN}\n")), "{note}");
    for gateway in [yuhuan, xianan] {
        let card = gateway.running().house.own_card();
        let vkey = Vkey::parse(card["ledger"]["vkey"].as_str().unwrap()).unwrap();
        assert!(Note::parse(note.as_bytes()).unwrap().verify(&[&vkey]).is_ok());
        let [leaf] = &recon_leaves(gateway).await[..] else { panic!() };
        assert_eq!(
            (&leaf["code"], &leaf["n"], &leaf["rd"]),
            (&"agreed".into(), &3.into(), &b64(sha256(note.as_bytes())).into())
        );
        let partner = if gateway.home == yuhuan.home { XIANAN } else { YUHUAN };
        let metric = format!("tongban_reconcile_windows_total{{partner=\"{partner}\",outcome=\"agreed\"}}");
        assert_eq!(gateway.metric(&metric).await, 1.0);
    }
    // The comparison itself is in no window: the next hour is empty, and signed as such.
    pair.yuhuan().await;
    pair.wait(3_600);
    pair.yuhuan().await;
    let [_, next] = &windows(yuhuan, XIANAN)[..] else { panic!() };
    assert_eq!((next.state, next.count), (State::Agreed, 0));
}

#[tokio::test]
async fn only_those_with_whom_something_is_due_are_visited() {
    let pair = Comparing::start().await;
    let (yuhuan, xianan) = (pair.world.yuhuan.running(), pair.world.xianan.running());
    // One that is due, and one that has no card here and no ledger to compare with.
    let asked = vec![region(XIANAN), region("110101")];
    pair.exchange().await;
    assert!(due(&yuhuan.house, asked.clone()).await.is_empty(), "not settled");
    pair.wait(TO_THE_HOUR);
    assert_eq!(due(&yuhuan.house, asked.clone()).await, [region(XIANAN)]);
    assert!(due(&xianan.house, vec![region(YUHUAN)]).await.is_empty(), "the larger code waits to be asked");
    pair.yuhuan().await;
    assert!(due(&yuhuan.house, asked).await.is_empty(), "signed");
}

#[tokio::test]
async fn a_day_of_downtime_is_caught_up_hour_by_hour() {
    let pair = Comparing::start().await;
    pair.exchange().await;
    pair.yuhuan().await;
    pair.wait(TO_THE_HOUR + 23 * 3_600);
    pair.yuhuan().await;
    let rows = windows(&pair.world.yuhuan, XIANAN);
    assert!(rows.len() == 24 && rows.iter().all(|row| row.state == State::Agreed));
    assert!(rows.windows(2).all(|pair| pair[0].window.to == pair[1].window.from));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_compared_when_its_message_can_be_answered_no_more() {
    let pair = Comparing::of(World::pair(WorldPlan::of_cases()).await).await;
    pair.world.submitted(|_| {}).await;
    pair.wait(TO_THE_HOUR);
    pair.yuhuan().await;
    let counts = || windows(&pair.world.yuhuan, XIANAN).iter().map(|row| row.count).sum::<u64>();
    assert_eq!(counts(), 0, "a parcel may wait for a day");
    pair.wait(86_400);
    pair.yuhuan().await;
    assert!(counts() >= 1);
    assert!(windows(&pair.world.yuhuan, XIANAN).iter().all(|row| row.state == State::Agreed));
}

#[tokio::test]
async fn a_pair_that_signs_nothing_for_a_day_is_alarmed_and_the_gateway_stays_ready() {
    let pair = Comparing::start().await;
    pair.exchange().await;
    let yuhuan = &pair.world.yuhuan;
    let metric = format!("tongban_reconcile_overdue{{partner=\"{XIANAN}\"}}");
    let mut alarmed = HashSet::new();
    pair.yuhuan().await;
    alarm(&yuhuan.running().house, region(XIANAN), &mut alarmed).await;
    assert_eq!((yuhuan.metric(&metric).await, alarmed.len()), (0.0, 0));
    pair.wait(86_400 + 120);
    alarm(&yuhuan.running().house, region(XIANAN), &mut alarmed).await;
    assert_eq!((yuhuan.metric(&metric).await, alarmed.len()), (1.0, 1));
    assert_eq!(yuhuan.local().get("/readyz").await.status, 200);
    pair.yuhuan().await;
    alarm(&yuhuan.running().house, region(XIANAN), &mut alarmed).await;
    assert_eq!((yuhuan.metric(&metric).await, alarmed.len()), (0.0, 0));
}
