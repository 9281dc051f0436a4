//! What couriers promise, on virtual time with a shelf and partners made of paper.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::*;
use crate::clock::Clock;
use crate::policy::Limits;

const START: i64 = 1_795_276_800;

fn region(code: &str) -> Region {
    Region::parse(code).unwrap()
}

struct Kept {
    parcel: Waiting,
    partner: Region,
    end: Option<&'static str>,
}

fn number(id: &str) -> usize {
    id.split_once('/').unwrap().1.parse().unwrap()
}

/// A shelf in memory: parcels by the order they came.
#[derive(Default)]
struct Rows {
    kept: Vec<Kept>,
    /// Numbers of waiting ones.
    waiting: BTreeMap<Region, BTreeSet<usize>>,
    lines: HashMap<String, BTreeSet<usize>>,
    largest_look: usize,
}

struct Shelf {
    rows: Mutex<Rows>,
    version: watch::Sender<u64>,
}

impl Ticks for watch::Receiver<u64> {
    async fn next(&mut self) -> bool {
        self.changed().await.is_ok()
    }
}

impl Shelf {
    fn new() -> Arc<Self> {
        Arc::new(Self { rows: Mutex::default(), version: watch::Sender::new(0) })
    }

    fn put(&self, partner: &str, line: &str) -> String {
        let mut rows = self.rows.lock().unwrap();
        let n = rows.kept.len();
        let id = format!("{line}/{n}");
        let parcel = Waiting {
            id: id.clone(),
            line: line.into(),
            digest: String::new(),
            since: Now::from_secs(START),
            tried: false,
        };
        rows.kept.push(Kept { parcel, partner: region(partner), end: None });
        rows.waiting.entry(region(partner)).or_default().insert(n);
        rows.lines.entry(line.to_owned()).or_default().insert(n);
        drop(rows);
        self.version.send_modify(|version| *version += 1);
        id
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Kept)) {
        let mut rows = self.rows.lock().unwrap();
        let n = number(id);
        let row = &mut rows.kept[n];
        change(row);
        let (partner, line, ended) = (row.partner, row.parcel.line.clone(), row.end.is_some());
        if ended {
            rows.waiting.get_mut(&partner).unwrap().remove(&n);
            rows.lines.get_mut(&line).unwrap().remove(&n);
        }
        drop(rows);
        self.version.send_modify(|version| *version += 1);
    }

    fn end(&self, id: &str, end: &'static str) {
        self.change(id, |row| row.end = Some(end));
    }

    fn end_of(&self, id: &str) -> Option<&'static str> {
        self.rows.lock().unwrap().kept[number(id)].end
    }

    fn waiting(&self) -> usize {
        self.rows.lock().unwrap().waiting.values().map(BTreeSet::len).sum()
    }
}

impl Parcels for Shelf {
    type Changes = watch::Receiver<u64>;

    async fn partners(&self) -> Result<Vec<Region>, ShelfFault> {
        let rows = self.rows.lock().unwrap();
        Ok(rows.waiting.iter().filter(|(_, waiting)| !waiting.is_empty()).map(|(to, _)| *to).collect())
    }

    async fn heads(&self, partner: Region, most: usize) -> Result<Vec<Waiting>, ShelfFault> {
        let mut rows = self.rows.lock().unwrap();
        let first = |n: &usize| rows.lines[&rows.kept[*n].parcel.line].first() == Some(n);
        let heads: Vec<Waiting> = rows.waiting[&partner]
            .iter()
            .filter(|n| first(n))
            .map(|n| rows.kept[*n].parcel.clone())
            .take(most)
            .collect();
        rows.largest_look = rows.largest_look.max(heads.len());
        Ok(heads)
    }

    async fn give_up(&self, _: Region, parcel: &Waiting, _: &'static str) -> Result<(), ShelfFault> {
        self.end(&parcel.id, "undeliverable");
        Ok(())
    }

    async fn backlogs(&self) -> Result<Vec<Backlog>, ShelfFault> {
        Ok(Vec::new())
    }

    fn changes(&self) -> Self::Changes {
        self.version.subscribe()
    }
}

/// What a partner does with an attempt: how long it takes, and its answer.
type Manner = Box<dyn Fn(&Waiting, usize) -> (Duration, Delivery) + Send + Sync>;

struct Partners {
    shelf: Arc<Shelf>,
    limits: Limits,
    manners: Mutex<HashMap<Region, Manner>>,
    begun: Mutex<Vec<(Instant, Region, Waiting)>>,
    tries: Mutex<HashMap<String, usize>>,
    under_way: Mutex<HashMap<Region, usize>>,
    most_under_way: Mutex<usize>,
}

const AT_ONCE: Duration = Duration::from_millis(5);
const AWAY: Delivery = Delivery::Unreachable { reason: "partner-unreachable" };

impl Partners {
    fn on(
        &self,
        partner: &str,
        manner: impl Fn(&Waiting, usize) -> (Duration, Delivery) + Send + Sync + 'static,
    ) {
        self.manners.lock().unwrap().insert(region(partner), Box::new(manner));
    }

    fn begun(&self, partner: &str) -> Vec<(Instant, Waiting)> {
        let begun = self.begun.lock().unwrap();
        let of_partner = begun.iter().filter(|(_, to, _)| *to == region(partner));
        of_partner.map(|(at, _, parcel)| (*at, parcel.clone())).collect()
    }
}

impl Deliver for Partners {
    async fn deliver(&self, partner: Region, parcel: &Waiting) -> Delivery {
        self.begun.lock().unwrap().push((Instant::now(), partner, parcel.clone()));
        let nth = {
            let mut tries = self.tries.lock().unwrap();
            let tries = tries.entry(parcel.id.clone()).or_default();
            *tries += 1;
            *tries
        };
        {
            let mut under_way = self.under_way.lock().unwrap();
            let here = under_way.entry(partner).or_default();
            *here += 1;
            let mut most = self.most_under_way.lock().unwrap();
            *most = (*most).max(*here);
        }
        let (takes, delivery) = match self.manners.lock().unwrap().get(&partner) {
            Some(manner) => manner(parcel, nth),
            None => (AT_ONCE, Delivery::Delivered),
        };
        sleep(takes).await;
        *self.under_way.lock().unwrap().get_mut(&partner).unwrap() -= 1;
        match delivery {
            Delivery::Delivered => self.shelf.end(&parcel.id, "delivered"),
            Delivery::Refused => self.shelf.end(&parcel.id, "refused"),
            Delivery::Gone => {}
            _ => self.shelf.change(&parcel.id, |row| row.parcel.tried = true),
        }
        delivery
    }

    fn allowance(&self, _: Region) -> Allowance {
        Allowance::below(self.limits)
    }
}

struct Scene {
    shelf: Arc<Shelf>,
    partners: Arc<Partners>,
    clock: Clock,
    board: Arc<Board>,
    stop: watch::Sender<bool>,
    office: Option<tokio::task::JoinHandle<()>>,
}

impl Scene {
    fn new(limits: Limits) -> Self {
        let shelf = Shelf::new();
        let partners = Arc::new(Partners {
            shelf: shelf.clone(),
            limits,
            manners: Mutex::default(),
            begun: Mutex::default(),
            tries: Mutex::default(),
            under_way: Mutex::default(),
            most_under_way: Mutex::default(),
        });
        let clock = Clock::by_hand(Now::from_secs(START));
        Self { shelf, partners, clock, board: Arc::default(), stop: watch::Sender::new(false), office: None }
    }

    fn start(&mut self) {
        self.office = Some(tokio::spawn(run(
            self.shelf.clone(),
            self.partners.clone(),
            Settings::default(),
            self.clock.clone(),
            self.board.clone(),
            self.stop.subscribe(),
        )));
    }

    async fn stop(&mut self) {
        self.stop.send_replace(true);
        self.office.take().unwrap().await.unwrap();
    }

    /// Until nothing waits, or so long.
    async fn settle(&self, most: Duration) {
        let end = Instant::now() + most;
        while self.shelf.waiting() > 0 && Instant::now() < end {
            sleep(Duration::from_millis(100)).await;
        }
    }
}

const HERE: &str = "331083";
const THERE: &str = "421202";

/// Attempts in the fullest second.
fn fullest_second(begun: &[(Instant, Waiting)]) -> usize {
    let mut from = 0;
    let mut most = 0;
    for (to, (at, _)) in begun.iter().enumerate() {
        while *at - begun[from].0 >= Duration::from_secs(1) {
            from += 1;
        }
        most = most.max(to - from + 1);
    }
    most
}

#[tokio::test(start_paused = true)]
async fn parcels_of_a_line_arrive_in_order_whatever_fails() {
    let mut scene = Scene::new(Limits::DEFAULT);
    let mut ids: HashMap<String, Vec<String>> = HashMap::new();
    for n in 0..200 {
        let line = format!("K{}", n % 20);
        ids.entry(line.clone()).or_default().push(scene.shelf.put(HERE, &line));
    }
    // Each third attempt fails, in four ways; the answer comes sooner or later.
    let count = Mutex::new(0_u64);
    scene.partners.on(HERE, move |_, _| {
        let mut count = count.lock().unwrap();
        *count += 1;
        let takes = Duration::from_millis(*count * 7919 % 400);
        let delivery = match *count % 12 {
            0 => AWAY,
            3 => Delivery::Later { reason: "register-unavailable", retry_after: None },
            6 => Delivery::Gap,
            9 => Delivery::Disbelieved { reason: "partner-answer-invalid" },
            _ => Delivery::Delivered,
        };
        (takes, delivery)
    });
    scene.start();
    scene.settle(Duration::from_secs(3600)).await;
    scene.stop().await;
    assert_eq!(scene.shelf.waiting(), 0);
    let begun = scene.partners.begun(HERE);
    for (line, ids) in ids {
        let mut seen: Vec<&str> =
            begun.iter().filter(|(_, p)| p.line == line).map(|(_, p)| p.id.as_str()).collect();
        seen.dedup();
        assert_eq!(seen, ids, "each parcel of {line} only after the end of the one before");
    }
}

#[tokio::test(start_paused = true)]
async fn a_partner_that_is_slow_or_silent_does_not_slow_others() {
    let mut scene = Scene::new(Limits::DEFAULT);
    for n in 0..1000 {
        for partner in ["110101", "120101", THERE] {
            scene.shelf.put(partner, &format!("{partner}K{n}"));
        }
    }
    scene.partners.on("110101", |_, _| (Duration::from_secs(10), Delivery::Delivered));
    scene.partners.on("120101", |_, _| (Duration::from_secs(20), AWAY));
    let begun = Instant::now();
    scene.start();
    while scene.partners.begun(THERE).len() < 1000 {
        sleep(Duration::from_millis(500)).await;
    }
    let took = begun.elapsed();
    // 1 000 at 40 a second.
    assert!(took < Duration::from_secs(27), "{took:?}");
    // 32 places, ten seconds each.
    let slow = scene.partners.begun("110101").len();
    assert!((64..=96).contains(&slow), "{slow}");
    // The silent one: its first 32 attempts, those that took the place of the first five that
    // failed, and a probe now and then.
    assert!(scene.partners.begun("120101").len() <= 40);
}

#[tokio::test(start_paused = true)]
async fn a_partners_return_drains_ten_thousand_below_its_quota() {
    let mut scene = Scene::new(Limits::DEFAULT);
    for n in 0..10_000 {
        scene.shelf.put(HERE, &format!("K{n}"));
    }
    let back = Instant::now() + Duration::from_secs(6 * 3600);
    scene.partners.on(HERE, move |_, _| {
        if Instant::now() < back { (AT_ONCE, AWAY) } else { (Duration::from_millis(80), Delivery::Delivered) }
    });
    scene.start();
    tokio::time::sleep_until(back).await;
    let while_away = scene.partners.begun(HERE).len();
    // Five opened the breaker (attempts already begun may follow), then one a minute at most
    // and one in half a minute at least.
    assert!((300..800).contains(&while_away), "{while_away}");
    scene.settle(Duration::from_secs(3600)).await;
    scene.stop().await;
    let begun = scene.partners.begun(HERE);
    assert_eq!(scene.shelf.waiting(), 0);
    assert!(fullest_second(&begun) <= 41, "{}", fullest_second(&begun));
    assert!(*scene.partners.most_under_way.lock().unwrap() <= 32);
    let (first, last) = (begun[while_away].0, begun.last().unwrap().0);
    assert!(first - back <= Duration::from_secs(60), "back in business a minute after its return");
    // 10 000 at 40 a second are 250 s: pacing costs nothing more.
    assert!(last - first <= Duration::from_secs(260), "{:?}", last - first);
    assert_eq!(begun.len() - while_away, 10_000, "no duplicates once it is back");
}

#[tokio::test(start_paused = true)]
async fn only_five_failures_in_a_row_keep_a_partner_waiting_and_refusals_do_not() {
    let mut scene = Scene::new(Limits::DEFAULT);
    for n in 0..100 {
        scene.shelf.put(HERE, &format!("K{n}"));
    }
    scene.partners.on(HERE, |_, _| (AT_ONCE, Delivery::Refused));
    scene.start();
    scene.settle(Duration::from_secs(10)).await;
    assert_eq!(scene.shelf.waiting(), 0, "a signed refusal is an answer");
    assert_eq!(scene.board.breakers(), [(region(HERE), BreakerShown::Closed)]);
    scene.partners.on(HERE, |_, _| (AT_ONCE, AWAY));
    for n in 0..100 {
        scene.shelf.put(HERE, &format!("L{n}"));
    }
    sleep(Duration::from_millis(500)).await;
    assert_eq!(scene.partners.begun(HERE).len(), 105);
    assert_eq!(scene.board.breakers(), [(region(HERE), BreakerShown::Open)]);
    let attempts: HashMap<_, _> = scene.board.attempts().into_iter().map(|(_, word, n)| (word, n)).collect();
    assert_eq!(attempts, HashMap::from([("refused", 100), ("unreachable", 5)]));
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn retries_stay_a_share_of_first_tries() {
    let mut scene = Scene::new(Limits::DEFAULT);
    for n in 0..2000 {
        scene.shelf.put(HERE, &format!("K{n}"));
    }
    // Nothing the breaker could see: every answer says later.
    scene
        .partners
        .on(HERE, |_, _| (AT_ONCE, Delivery::Later { reason: "calendar-unpublished", retry_after: None }));
    scene.start();
    sleep(Duration::from_secs(40)).await;
    let begun = scene.partners.begun(HERE);
    let mut seen = HashSet::new();
    let first = begun.iter().filter(|(_, parcel)| seen.insert(parcel.id.clone())).count();
    let retries = begun.len() - first;
    // A fifth, one in two seconds, and what was saved.
    assert!(retries <= first / 5 + 20 + 33, "{retries} retries on {first} first tries");
    assert!(first > 1000 && retries > 100, "{retries} retries on {first} first tries");
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_tried_before_leaves_at_the_agreed_pace_once_the_partner_is_well() {
    let mut scene = Scene::new(Limits::DEFAULT);
    for n in 0..400 {
        let id = scene.shelf.put(HERE, &format!("K{n}"));
        scene.shelf.change(&id, |row| row.parcel.tried = true);
    }
    scene.start();
    // 40 a second: ten seconds, and not the six minutes that time alone earns.
    scene.settle(Duration::from_secs(15)).await;
    assert_eq!(scene.shelf.waiting(), 0);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn retry_after_holds_for_the_whole_partner() {
    let mut scene = Scene::new(Limits::DEFAULT);
    for n in 0..10 {
        scene.shelf.put(HERE, &format!("K{n}"));
    }
    let busy = Delivery::Busy { reason: "rate-limited", retry_after: Some(Duration::from_secs(120)) };
    let begun = Instant::now();
    scene.partners.on(HERE, move |_, _| {
        (AT_ONCE, if begun.elapsed() < Duration::from_secs(60) { busy } else { Delivery::Delivered })
    });
    scene.start();
    sleep(Duration::from_secs(119)).await;
    let early = scene.partners.begun(HERE).len();
    assert!(early <= 2, "those that had left before the word came: {early}");
    scene.settle(Duration::from_secs(600)).await;
    assert_eq!(scene.shelf.waiting(), 0);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_loses_its_lease_and_the_line_goes_on() {
    let mut scene = Scene::new(Limits::DEFAULT);
    let (first, second) = (scene.shelf.put(HERE, "K"), scene.shelf.put(HERE, "K"));
    scene.partners.on(HERE, |_, nth| {
        (if nth == 1 { Duration::from_secs(86_400) } else { AT_ONCE }, Delivery::Delivered)
    });
    scene.start();
    sleep(Duration::from_secs(59)).await;
    assert_eq!(scene.partners.begun(HERE).len(), 1, "nothing of the line leaves meanwhile");
    scene.settle(Duration::from_secs(300)).await;
    assert_eq!(
        (scene.shelf.end_of(&first), scene.shelf.end_of(&second)),
        (Some("delivered"), Some("delivered"))
    );
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_waiting_parcels_are_read_page_by_page() {
    let mut scene = Scene::new(Limits::DEFAULT);
    for n in 0..100_000 {
        scene.shelf.put(HERE, &format!("K{n}"));
    }
    // They fail one by one, so that each asks for memory.
    scene.partners.on(HERE, |_, _| (AT_ONCE, Delivery::Gap));
    scene.start();
    sleep(Duration::from_secs(120)).await;
    let largest = scene.shelf.rows.lock().unwrap().largest_look;
    let begun = scene.partners.begun(HERE).len();
    assert!(begun > 1000, "{begun}");
    assert!(largest <= 64 + 32 + lines::MOST_RESTING, "{largest}");
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_ends_visibly_after_a_failure_and_is_tried_once_before() {
    let mut scene = Scene::new(Limits::DEFAULT);
    let ids: Vec<String> = (0..200).map(|n| scene.shelf.put(HERE, &format!("K{n}"))).collect();
    scene.partners.on(HERE, |_, _| (AT_ONCE, AWAY));
    scene.start();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(scene.shelf.waiting(), 200);
    scene.clock.advance(i64::try_from(office::GIVE_UP_AFTER.as_millis()).unwrap() + 1);
    // Only a probe leaves, and all of them end with it.
    let before = scene.partners.begun(HERE).len();
    scene.settle(Duration::from_secs(130)).await;
    assert!(ids.iter().all(|id| scene.shelf.end_of(id) == Some("undeliverable")));
    assert!(scene.partners.begun(HERE).len() <= before + 2);
    // An old one that finds its partner well arrives: a gateway that was off for a month.
    scene.partners.on(HERE, |_, _| (AT_ONCE, Delivery::Delivered));
    let old = scene.shelf.put(HERE, "L");
    scene.settle(Duration::from_secs(130)).await;
    assert_eq!(scene.shelf.end_of(&old), Some("delivered"));
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_parcel_that_our_own_house_cannot_send_does_not_hold_up_the_others() {
    let mut scene = Scene::new(Limits::DEFAULT);
    let first = scene.shelf.put(HERE, "K");
    for n in 0..100 {
        scene.shelf.put(HERE, &format!("K{n}"));
    }
    let (poison, reason) = (first.clone(), "calendar-unpublished");
    scene.partners.on(HERE, move |parcel, nth| {
        let fault = if nth % 2 == 0 { Delivery::NotYet { reason } } else { Delivery::Unsent };
        (AT_ONCE, if parcel.id == poison { fault } else { Delivery::Delivered })
    });
    scene.start();
    sleep(Duration::from_secs(60)).await;
    assert_eq!((scene.shelf.waiting(), scene.shelf.end_of(&first)), (1, None));
    assert_eq!(scene.board.breakers(), [(region(HERE), BreakerShown::Closed)]);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rebased_parcel_is_tried_at_once() {
    let mut scene = Scene::new(Limits::DEFAULT);
    let id = scene.shelf.put(HERE, "K");
    scene.partners.on(HERE, |parcel, _| {
        (AT_ONCE, if parcel.digest.is_empty() { Delivery::Gap } else { Delivery::Delivered })
    });
    scene.start();
    sleep(Duration::from_secs(3600)).await;
    let tries = scene.partners.begun(HERE).len();
    assert!((7..40).contains(&tries), "{tries} tries in an hour");
    scene.shelf.change(&id, |row| row.parcel.digest = "new".into());
    sleep(Duration::from_millis(100)).await;
    assert_eq!(scene.shelf.end_of(&id), Some("delivered"));
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_what_is_under_way_and_begins_nothing_more() {
    let mut scene = Scene::new(Limits::DEFAULT);
    for n in 0..100 {
        scene.shelf.put(HERE, &format!("K{n}"));
    }
    scene.partners.on(HERE, |_, _| (Duration::from_secs(5), Delivery::Delivered));
    scene.start();
    sleep(Duration::from_millis(130)).await;
    scene.stop().await;
    let begun = scene.partners.begun(HERE).len();
    assert!((4..=7).contains(&begun), "{begun}");
    assert_eq!(scene.shelf.waiting(), 100 - begun, "each that had left came to its end");
}

#[tokio::test(start_paused = true)]
async fn a_restart_sends_again_what_was_under_way_and_nothing_else() {
    let mut scene = Scene::new(Limits::DEFAULT);
    for n in 0..200 {
        scene.shelf.put(HERE, &format!("K{n}"));
    }
    scene.partners.on(HERE, |_, _| (Duration::from_millis(400), Delivery::Delivered));
    scene.start();
    sleep(Duration::from_secs(2)).await;
    // A kill: nothing is waited for.
    scene.office.take().unwrap().abort();
    sleep(Duration::from_secs(1)).await;
    scene.start();
    scene.settle(Duration::from_secs(60)).await;
    assert_eq!(scene.shelf.waiting(), 0);
    let begun = scene.partners.begun(HERE).len();
    assert!(begun > 200 && begun <= 232, "{begun}");
    scene.stop().await;
}
