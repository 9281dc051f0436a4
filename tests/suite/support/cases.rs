//! Applications between 玉环's window and 咸安's office: true messages by hand, and two
//! gateways that carry them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tongban::domain::CaseNumber;

use super::local::Local;
use super::member::region;
use super::message::{Draft, b64, sha256};
use super::papers::*;
use super::world::{World, WorldPlan};

pub const WINDOW: &str = "11331083TECT000279";
pub const OFFICE: &str = "11421202TECT000191";

pub const CASE_OPS: [&str; 6] = [
    "license.query",
    "application.submit",
    "application.event",
    "application.status",
    "verification.request",
    "verification.answer",
];

/// A calendar year for the tests' own time, besides the published ones.
const YEARS: &str =
    concat!("\n[calendar]\nfolder = \"", env!("CARGO_MANIFEST_DIR"), "/tests/vectors/calendar\"\n");

/// How long a thing may take that must come.
const PATIENCE: Duration = Duration::from_secs(40);

impl WorldPlan {
    /// [`ITEM`] with everything a case needs.
    pub fn of_cases() -> Self {
        World::plan().configured(YEARS).agreement(|agreement| {
            agreement["items"][0]["ops"] = json!(CASE_OPS);
            agreement["items"][0]["materials"][0]["evidence"] =
                json!(["shared_data", "timed_verification", "commitment", "upload"]);
        })
    }

    /// Bends the item of the cases.
    pub fn item(self, bend: impl FnOnce(&mut Value)) -> Self {
        self.agreement(|agreement| bend(&mut agreement["items"][0]))
    }
}

/// A material of the agreement that is nothing but a file.
pub fn file_material(code: &str, necessity: &str) -> Value {
    json!({"code": code, "name": "材料", "necessity": necessity, "evidence": ["upload", "commitment"]})
}

pub fn hex_of(bytes: &[u8]) -> String {
    hex::encode(sha256(bytes))
}

/// The file as a submit shows it.
pub fn upload(code: &str, bytes: &[u8]) -> Value {
    json!({"code": code, "name": "结婚证", "evidence": "upload", "sha256": hex_of(bytes), "bytes": bytes.len(),
           "media_type": "application/pdf"})
}

/// A number of 玉环's for 咸安.
pub fn case_number(serial: u32) -> String {
    number_between(YUHUAN, XIANAN, serial)
}

pub fn number_between(collecting: &str, handling: &str, serial: u32) -> String {
    let day = jiff::civil::date(2026, 10, 12);
    CaseNumber::compose(region(collecting), region(handling), day, serial).unwrap().as_str().to_owned()
}

/// base64url SHA-256 of JCS(body).
pub fn digest_of(body: &Value) -> String {
    b64(sha256(&tongban::json::jcs(body)))
}

impl World {
    /// What 玉环's window submits for [`ITEM`].
    pub fn submit_body(&self) -> Value {
        json!({
            "mode": "multi_joint", "parent": null, "native": {"collecting": "YH2026101200017"},
            "collecting": {"region": YUHUAN, "place": "331083001", "org": WINDOW, "officer": "YH0123",
                           "collected_at": self.now(), "identity_check": "id_card_reader"},
            "handling": {"region": XIANAN, "org": OFFICE},
            "applicant": {"kind": "1", "name": "测试甲", "id_type": "111", "id_number": JIA,
                          "mobile": "13900000000", "agent": null},
            "form": {},
            "materials": [upload("M2", b"abc")],
            "authorizations": []
        })
    }

    /// A message of 玉环's about a case.
    pub fn about(&self, case: &str, op: &str, body: Value) -> Draft {
        let exp = self.now() + if op.starts_with("application.") { 3600 } else { 60 };
        self.lookup_of(&self.asking).with("/op", op).with("/case", case).with("/exp", exp).with("/body", body)
    }

    pub fn submit_of(&self, case: &str) -> Draft {
        self.about(case, "application.submit", self.submit_body())
    }

    /// An event of the window's, to be sent by hand.
    pub fn window_event(&self, seq: u64, prev: &str, event: &str, data: Value) -> Value {
        json!({"seq": seq, "prev": prev, "event": event, "at": self.now(),
               "by": {"org": WINDOW, "officer": "YH0123"}, "data": data})
    }

    /// The case as 咸安 tells it to 玉环.
    pub async fn status_of(&self, case: &str) -> Value {
        let verdict = self.ask(self.about(case, "application.status", json!({"case": case}))).await;
        assert_eq!(verdict.status, 200, "{:?}", verdict.outcome);
        verdict.outcome
    }

    /// What 玉环's window sends to its own gateway.
    pub fn local_submit(&self) -> Value {
        json!({"to": XIANAN, "item": ITEM, "basis": "consent", "purpose": "新生儿户口登记",
               "operator": "YH0123", "agreement": AGREEMENT, "body": self.submit_body()})
    }

    /// `玉环` and `咸安` know each other, both running.
    pub async fn pair(plan: WorldPlan) -> Self {
        let world = plan.asking().start().await;
        world.xianan.trust_card(&world.asking.card(&format!("https://{}", world.yuhuan.door())));
        world.xianan.reload().await;
        world
    }

    /// 玉环's window.
    pub fn window(&self) -> Local {
        self.yuhuan.local()
    }

    /// 咸安's office.
    pub fn office(&self) -> Local {
        self.xianan.local()
    }

    /// A submit at the window, seen to arrive; the case.
    pub async fn submitted(&self, bend: impl FnOnce(&mut Value)) -> String {
        let mut submit = self.local_submit();
        bend(&mut submit);
        let told = self.window().post("/local/v1/applications", &submit).await;
        assert_eq!(told.status, 202, "{}", String::from_utf8_lossy(&told.body));
        let case = told.json()["case"].as_str().unwrap().to_owned();
        self.office().case_until(&case, |_| true).await;
        self.window().case_until(&case, |view| view["transport"] == "delivered").await;
        case
    }

    pub async fn office_does(&self, case: &str, event: &str, data: Value) -> Value {
        let by = json!({"org": OFFICE, "officer": "XA0456"});
        done(event, self.office().act(case, &json!({"event": event, "by": by, "data": data})).await)
    }

    pub async fn window_does(&self, case: &str, event: &str, data: Value) -> Value {
        let by = json!({"org": WINDOW, "officer": "YH0123"});
        done(event, self.window().act(case, &json!({"event": event, "by": by, "data": data})).await)
    }

    /// The case at the window and at the office, once both hold the same events and it is so.
    pub async fn agreed(&self, case: &str, so: impl Fn(&Value) -> bool) -> (Value, Value) {
        let began = Instant::now();
        loop {
            let (ours, theirs) = (self.window().case(case).await, self.office().case(case).await);
            if ours["events"] == theirs["events"] && so(&ours) && so(&theirs) {
                return (ours, theirs);
            }
            assert!(began.elapsed() < PATIENCE, "{ours:#}\n{theirs:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Moves the clock to this moment of Asia/Shanghai, `2026-10-08T09:00:00`.
    pub fn move_to(&self, moment: &str) {
        let ahead = shanghai(moment) - self.now();
        assert!(ahead >= 0, "the clock does not go back");
        self.clock.advance(ahead * 1000);
    }
}

/// Seconds since the epoch.
pub fn shanghai(moment: &str) -> i64 {
    format!("{moment}+08:00").parse::<jiff::Timestamp>().unwrap().as_second()
}

fn done(event: &str, told: super::partner::Told) -> Value {
    assert_eq!(told.status, 202, "{event}: {}", String::from_utf8_lossy(&told.body));
    told.json()
}

impl Local {
    pub async fn case(&self, case: &str) -> Value {
        self.get(&format!("/local/v1/applications/{case}")).await.json()
    }

    pub async fn act(&self, case: &str, event: &Value) -> super::partner::Told {
        self.post(&format!("/local/v1/applications/{case}/events"), event).await
    }

    /// The case once it is so.
    pub async fn case_until(&self, case: &str, so: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/local/v1/applications/{case}");
        self.until(&path, |view| view["case"] == case && so(view)).await
    }

    /// What stands at this path, once it is so.
    pub async fn until(&self, path: &str, so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let view = self.get(path).await.json();
            if so(&view) {
                return view;
            }
            assert!(began.elapsed() < PATIENCE, "{path}: {view:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Every notice of this kind so far.
    pub async fn notices(&self, kind: &str) -> Vec<Value> {
        let told = self.get("/local/v1/notices?limit=500").await.json();
        let all = told["notices"].as_array().unwrap_or_else(|| panic!("{told}")).clone();
        all.into_iter().filter(|notice| notice["kind"] == kind).collect()
    }

    /// The first notice of this kind that is so.
    pub async fn notice_until(&self, kind: &str, so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            if let Some(notice) = self.notices(kind).await.into_iter().find(&so) {
                return notice;
            }
            assert!(began.elapsed() < PATIENCE, "no {kind}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Brings a file to the gateway.
    pub async fn brings(&self, bytes: &[u8]) {
        let digest = tongban::material::MaterialDigest::of(bytes);
        let says = digest.content_digest();
        let told = self
            .call(
                "PUT",
                &format!("/local/v1/materials/{digest}"),
                &[("content-digest", &says)],
                bytes::Bytes::copy_from_slice(bytes),
            )
            .await;
        assert!([200, 201].contains(&told.status), "{}", told.status);
    }
}
