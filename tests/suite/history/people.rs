//! The people of a history: windows that submit, withdraw and evaluate; offices that decide;
//! watchers that only look; and somebody in the network who sends every message twice.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tongban::casebook::ParcelRow;
use tongban::clock::Clock;
use tongban::store::sqlite::open_reader;

use super::chance::Chance;
use super::told::{Act, History, Look, Side, Told};
use crate::support::*;

pub const WINDOW: &str = "11331083TECT000279";
pub const OFFICE: &str = "11421202TECT000191";
/// SHA-256 of `abc`: a file that nobody brings.
const FILE: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
/// A call that takes longer is given up, as a browser does.
const CALL: Duration = Duration::from_secs(15);
/// Milliseconds between two calls of one person: the load of a town hall, not of a benchmark.
const THINK: std::ops::Range<u64> = 4..30;
/// Cases that a watcher keeps an eye on.
const WATCHED: usize = 40;

/// A person at a local door.
#[derive(Clone)]
pub struct Person {
    pub side: Side,
    pub door: Local,
    pub clock: Clock,
    pub chance: Chance,
    pub history: History,
    pub day: Day,
}

/// What all of them share: until when they work, and how many applications there are.
#[derive(Clone, Default)]
pub struct Day {
    over: Arc<AtomicBool>,
    /// Citizens who wait to hand in an application.
    citizens: Arc<AtomicI64>,
}

impl Day {
    pub fn come(&self, citizens: i64) {
        self.citizens.fetch_add(citizens, Ordering::Relaxed);
    }

    /// The next citizen, if anybody waits.
    fn next(&self) -> bool {
        let some_left = |left: i64| (left > 0).then(|| left - 1);
        self.citizens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, some_left).is_ok()
    }

    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

impl Person {
    /// A window at the collecting side, until the day is over.
    pub async fn collect(self) {
        while !self.day.is_over() {
            self.think().await;
            match self.chance.within(0..10) {
                0..=6 if self.day.next() => {
                    self.submit().await;
                }
                7 => self.act_on(&["RECEIVED", "ACCEPTED"], "withdraw").await,
                _ => self.act_on(&["DELIVERED", "CLOSED"], "evaluate").await,
            }
        }
    }

    /// An office at the handling side, until the day is over.
    pub async fn handle(self) {
        while !self.day.is_over() {
            self.think().await;
            match self.chance.within(0..9) {
                0..=2 => self.act_on(&["RECEIVED"], "accept").await,
                3 => self.act_on(&["RECEIVED"], "refuse").await,
                4 | 5 => self.act_on(&["ACCEPTED"], "decide").await,
                6 | 7 => self.act_on(&["DECIDED_DENY"], "deliver").await,
                _ => self.act_on(&["DELIVERED"], "close").await,
            }
        }
    }

    /// Looks at one case after the other. The only one of its side who does, so that its looks
    /// have an order.
    pub async fn watch(self) {
        let mut known: Vec<String> = Vec::new();
        while !self.day.is_over() {
            self.think().await;
            if known.is_empty() || self.chance.percent(20) {
                for case in self.cases(None).await {
                    if !known.contains(&case) {
                        known.push(case);
                    }
                }
            }
            let recent = &known[known.len().saturating_sub(WATCHED)..];
            if let Some(case) = self.chance.one_of(recent) {
                self.look(case).await;
            }
        }
    }

    pub async fn look(&self, case: &str) -> Option<Value> {
        let (status, view) = self.get(&format!("/local/v1/applications/{case}")).await?;
        if status != 200 {
            return None;
        }
        self.history.look(Look::of(self.side, &view));
        Some(view)
    }

    /// Hands in an application. Without an answer it is, every second time, tried again under
    /// the same key until there is one.
    pub async fn submit(&self) -> Told {
        let mark = self.history.mark();
        let request = application(&mark, self.clock.now().secs());
        let digest = b64(sha256(&tongban::json::jcs(&request["body"])));
        let stubborn = self.chance.percent(50);
        let told = loop {
            let told = self.post("/local/v1/applications", &request, Some(&mark)).await;
            if told != Told::Unknown || !stubborn || self.day.is_over() {
                break told;
            }
            self.think().await;
        };
        let act = Act { mark, side: self.side, event: "submit", digest: Some(digest), told: told.clone() };
        self.history.act(act);
        told
    }

    /// One event on some case that stands in one of these states.
    async fn act_on(&self, states: &[&str], event: &'static str) {
        let state = self.chance.one_of(states).copied();
        let cases = self.cases(state).await;
        if let Some(case) = self.chance.one_of(&cases) {
            self.act(case, event).await;
        }
    }

    pub async fn act(&self, case: &str, event: &'static str) -> Told {
        let mark = self.history.mark();
        let now = self.clock.now();
        let org = if self.side == Side::Collecting { WINDOW } else { OFFICE };
        let request = json!({"event": event, "by": {"org": org, "officer": mark},
            "data": self.data(event, now.secs(), &now.shanghai_day().to_string())});
        let told = self.post(&format!("/local/v1/applications/{case}/events"), &request, None).await;
        self.history.act(Act { mark, side: self.side, event, digest: None, told: told.clone() });
        told
    }

    fn data(&self, event: &str, now: i64, today: &str) -> Value {
        match event {
            "accept" => json!({"doc_no": "受1", "project_type": "2", "promise_date": today}),
            "refuse" => json!({"doc_no": "不1", "reason": "不属于本机关职权范围"}),
            "decide" => json!({"outcome": "deny", "decision_no": "决1", "reason": "材料不符",
                "appeal": "六十日内可申请行政复议"}),
            "deliver" => json!({"method": "electronic", "signer": "测试甲", "at": now}),
            "close" => json!({"archive_digest": b64([7; 32])}),
            "evaluate" => {
                json!({"role": self.chance.one_of(&["handling", "collecting"]), "channel": "二维码",
                "satisfaction": "1", "times": 1, "at": now})
            }
            _ => json!({}),
        }
    }

    /// Numbers of the cases on the first page.
    pub async fn cases(&self, state: Option<&str>) -> Vec<String> {
        let state = state.map_or_else(String::new, |state| format!("?state={state}"));
        let Some((200, list)) = self.get(&format!("/local/v1/applications{state}")).await else {
            return Vec::new();
        };
        let cases = list["applications"].as_array().unwrap().iter();
        cases.map(|case| case["case"].as_str().unwrap().to_owned()).collect()
    }

    /// `None` when nobody answered.
    pub async fn get(&self, path: &str) -> Option<(u16, Value)> {
        let called = tokio::time::timeout(CALL, self.door.try_call("GET", path, &[], "".into())).await;
        self.history.called();
        let told = called.ok()?.ok()?;
        Some((told.status, serde_json::from_slice(&told.body).ok()?))
    }

    async fn post(&self, path: &str, body: &Value, key: Option<&str>) -> Told {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        let call = self.door.try_call("POST", path, &headers, body.to_string().into());
        let called = tokio::time::timeout(CALL, call).await;
        self.history.called();
        let Ok(Ok(answer)) = called else { return Told::Unknown };
        match serde_json::from_slice::<Value>(&answer.body) {
            Ok(answered) if answer.status == 202 => Told::Taken(answered),
            Ok(problem) if answer.status < 500 => {
                Told::Refused(answer.status, problem["code"].as_str().unwrap_or_default().to_owned())
            }
            _ => Told::Unknown,
        }
    }

    async fn think(&self) {
        tokio::time::sleep(Duration::from_millis(self.chance.within(THINK))).await;
    }
}

/// What a window sends to its own gateway; `mark` is the officer's number.
pub fn application(mark: &str, now: i64) -> Value {
    let body = json!({
        "mode": "multi_joint", "parent": null, "native": {"collecting": mark},
        "collecting": {"region": YUHUAN, "place": "331083001", "org": WINDOW, "officer": mark,
                       "collected_at": now, "identity_check": "id_card_reader"},
        "handling": {"region": XIANAN, "org": OFFICE},
        "applicant": {"kind": "1", "name": "测试甲", "id_type": "111", "id_number": JIA,
                      "mobile": "13900000000", "agent": null},
        "form": {},
        "materials": [{"code": "M2", "name": "结婚证", "evidence": "upload", "sha256": FILE, "bytes": 3,
                       "media_type": "application/pdf"}],
        "authorizations": []
    });
    json!({"to": XIANAN, "item": ITEM, "basis": "consent", "purpose": "新生儿户口登记", "operator": mark,
        "agreement": AGREEMENT, "body": body})
}

/// A network that delivers twice: takes signed messages that are under way and brings them
/// once more, side by side with the gateway's own courier.
pub struct Duplicator {
    pub sender: Member,
    /// The sender's casebook, where the signed message stands.
    pub casebook: PathBuf,
    pub door: std::net::SocketAddr,
    pub chance: Chance,
    pub day: Day,
}

/// Messages that are looked at in one round.
const UNDER_WAY: &str = "SELECT doc FROM parcel WHERE state='waiting' ORDER BY n LIMIT 20";

impl Duplicator {
    /// Until the day is over; how many messages were answered.
    pub async fn run(self) -> u64 {
        let mut answered = 0;
        while !self.day.is_over() {
            tokio::time::sleep(Duration::from_millis(self.chance.within(10..80))).await;
            let under_way = self.under_way();
            let Some(message) = self.chance.one_of(&under_way) else { continue };
            let Ok(Ok(line)) =
                tokio::time::timeout(CALL, dial(self.door, Some(&self.sender), Http::Two)).await
            else {
                continue;
            };
            for _ in 0..self.chance.within(1..3) {
                let told = tokio::time::timeout(CALL, line.try_exchange(message.clone().into_bytes())).await;
                answered += u64::from(matches!(told, Ok(Ok(_))));
            }
        }
        answered
    }

    fn under_way(&self) -> Vec<String> {
        // Beside a gateway that is being killed the file may not be readable for a moment.
        let Ok(book) = open_reader(&self.casebook) else { return Vec::new() };
        let Ok(mut statement) = book.prepare(UNDER_WAY) else { return Vec::new() };
        let Ok(docs) = statement.query_map([], |row| row.get::<_, String>(0)) else { return Vec::new() };
        let rows = docs.filter_map(|doc| serde_json::from_str::<ParcelRow>(&doc.ok()?).ok());
        rows.filter_map(|row| row.sent.map(|sent| sent.jws)).collect()
    }
}
