//! What a lookup promises, with a register under our thumb.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::register::Register;
use super::register::fake::FakeRegister;
use super::*;
use crate::clock::Now;
use crate::policy::LicensePermit;
use crate::schema::{Catalog, LicenseType};

pub(super) const MARRIAGE: &str = "111000000000131433001";
pub(super) const ISSUER: &str = "11331083TECT000279";
const START: Now = Now::from_secs(1_900_000_000);

/// 测试甲 and 测试乙, married in 玉环 (`reference/domain.md` §11).
pub(super) fn marriage(serial: &str, version: &str) -> Value {
    let id = crate::domain::LicenseId::compose(MARRIAGE, ISSUER, serial, version).unwrap();
    json!({
        "license_id": id.as_str(), "type_code": MARRIAGE, "name": "结婚证", "number": "J331083-2026-000001",
        "issuer_name": "测试民政局", "issuer_code": ISSUER, "area_code": "331083", "issued_on": "2026-01-05",
        "valid_from": "2026-01-05", "valid_to": null, "long_term": true, "status": "01", "version": version,
        "holders": [
            {"name": "测试·甲", "type_code": "111", "code": "42120219000101001X"},
            {"name": "测试乙", "type_code": "111", "code": "150421190202029984"}
        ],
        "data": {
            "cert_no": "J331083-2026-000001", "registered_on": "2026-01-05", "op_type": "IA",
            "authority": "测试民政局",
            "man": {"name": "测试·甲", "id_type": "111", "id_number": "42120219000101001X",
                    "birth": "1900-01-01", "nationality": "156"},
            "woman": {"name": "测试乙", "id_type": "111", "id_number": "150421190202029984",
                      "birth": "1902-02-02", "nationality": "156"}
        }
    })
}

pub(super) fn record(value: &Value) -> LicenseRecord {
    LicenseRecord::from_value(value, START.shanghai_day()).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn one() -> LicenseRecord {
    record(&marriage("J33108320260000001", "001"))
}

#[test]
fn a_record_weighs_no_less_than_its_text_and_the_cache_holds_as_many_as_it_says() {
    let document = marriage("J33108320260000001", "001");
    let (weight, text) = (one().weight(), document["data"].to_string().len());
    assert!((text..3 * document.to_string().len()).contains(&weight), "{weight} for {text} octets of data");
    // `Lookup::CACHE_BYTES` says thirty thousand, each with half a KiB of the cache's own.
    assert!(Lookup::CACHE_BYTES / (weight as u64 + 512) >= 30_000, "{weight}");
}

fn license_type() -> &'static LicenseType {
    Catalog::embedded().license_type(MARRIAGE).unwrap()
}

fn permit(fields: &[&str]) -> LicensePermit {
    crate::policy::testing::permit(MARRIAGE, fields)
}

fn by_holder() -> Value {
    json!({
        "license": {"type": MARRIAGE, "holder": {"type": "111", "number": "42120219000101001X"}},
        "mode": "read", "fields": ["registered_on", "cert_no"]
    })
}

fn query(value: &Value) -> LicenseQuery {
    Catalog::embedded().admit(value).unwrap_or_else(|faults| panic!("{faults:?}")).into_inner()
}

struct Room {
    lookup: Lookup,
    fields: Vec<&'static str>,
    ages: Option<crate::schema::CacheAges>,
}

type Answered = Result<LicenseAnswer, LookupFault>;

impl Room {
    fn with(records: Vec<LicenseRecord>) -> Self {
        let register = Register::Fake(Arc::new(FakeRegister::answering(Ok(records))));
        Self {
            lookup: Lookup::new(register),
            fields: vec!["cert_no", "registered_on", "op_type"],
            ages: None,
        }
    }

    fn register(&self) -> &FakeRegister {
        match self.lookup.register() {
            Register::Fake(fake) => fake,
            Register::Embedded(_) | Register::Http(_) => panic!("a fake stands here"),
        }
    }

    fn calls(&self) -> usize {
        self.register().calls.load(Ordering::SeqCst)
    }

    fn says(&self, answer: Result<Vec<LicenseRecord>, register::RegisterFault>) {
        *self.register().answer.lock().unwrap() = answer;
    }

    async fn ask(&self, value: &Value, at_secs: i64) -> Answered {
        self.ask_as(value, at_secs, |_, _| true).await
    }

    async fn ask_as(&self, value: &Value, at_secs: i64, holds: impl Fn(&str, &str) -> bool) -> Answered {
        let now = Now::from_secs(START.secs() + at_secs);
        let ages = self.ages.unwrap_or_else(|| license_type().cache());
        self.lookup.run_with(&query(value), license_type(), ages, &permit(&self.fields), holds, now).await
    }
}

fn source(answer: &Answered) -> &'static str {
    answer.as_ref().unwrap().source.word()
}

#[tokio::test]
async fn an_answer_is_cut_to_what_was_asked() {
    let room = Room::with(vec![one()]);
    let answer = room.ask(&by_holder(), 0).await.unwrap();
    assert_eq!(
        answer.result,
        json!({
            "found": true, "source": "register", "as_of": 1_900_000_000,
            "licenses": [{
                "license_id": "1.2.156.3005.2.111000000000131433001.11331083TECT000279.J33108320260000001.001.N",
                "type": MARRIAGE, "name": "结婚证", "issuer": {"code": ISSUER, "name": "测试民政局"},
                "issued_on": "2026-01-05", "valid_from": "2026-01-05", "valid_to": null, "long_term": true,
                "status": "01",
                "data": {"registered_on": "2026-01-05", "cert_no": "J331083-2026-000001"}
            }]
        })
    );
    Catalog::embedded().check(crate::schema::Kind::LicenseResult, &answer.result).unwrap();
}

#[tokio::test]
async fn a_second_asker_never_sees_what_the_first_was_allowed() {
    let mut room = Room::with(vec![one()]);
    room.ask(&by_holder(), 0).await.unwrap();
    room.fields = vec!["cert_no"];
    let mut narrow = by_holder();
    narrow["fields"] = json!(["cert_no", "registered_on"]);
    let answer = room.ask(&narrow, 1).await;
    assert_eq!(source(&answer), "cache");
    let told = answer.unwrap().result.to_string();
    assert!(told.contains("cert_no") && !told.contains("registered_on"), "{told}");
}

#[tokio::test]
async fn a_field_that_is_not_shareable_is_not_told_even_when_agreed() {
    let mut room = Room::with(vec![one()]);
    room.fields = vec!["photo", "cert_no", "license_id"];
    let mut asked = by_holder();
    asked["fields"] = json!(["photo", "license_id", "cert_no"]);
    let answer = room.ask(&asked, 0).await.unwrap();
    assert_eq!(answer.result["licenses"][0]["data"], json!({"cert_no": "J331083-2026-000001"}));
}

#[tokio::test]
async fn verify_tells_whether_and_never_what() {
    let mut room = Room::with(vec![one()]);
    room.fields = vec!["cert_no", "registered_on", "man"];
    let asked = json!({
        "license": {"type": MARRIAGE, "holder": {"type": "111", "number": "42120219000101001x"}},
        "mode": "verify",
        "expect": {"cert_no": "J331083-2026-000001", "registered_on": "2026-01-06", "man": "测试·甲"}
    });
    let answer = room.ask(&asked, 0).await.unwrap();
    let license = &answer.result["licenses"][0];
    assert_eq!(license["match"], json!({"cert_no": true, "registered_on": false, "man": false}));
    assert!(license.get("data").is_none());
    assert!(!answer.result.to_string().contains("J331083-2026"), "no value leaks");
}

#[tokio::test]
async fn not_found_is_an_answer_with_the_ways_that_remain() {
    let room = Room::with(vec![]);
    let answer = room.ask(&by_holder(), 0).await.unwrap();
    assert_eq!(
        answer.result,
        json!({
            "found": false, "source": "register", "as_of": 1_900_000_000, "licenses": [],
            "ways": ["timed_verification", "commitment", "upload"]
        })
    );
    Catalog::embedded().check(crate::schema::Kind::LicenseResult, &answer.result).unwrap();
}

#[tokio::test]
async fn a_given_name_must_be_the_holders() {
    let room = Room::with(vec![one()]);
    let named = |name: &str| {
        let mut asked = by_holder();
        asked["license"]["holder"]["name"] = json!(name);
        asked
    };
    for (name, found) in
        [("测试·甲", true), ("测试•甲", true), ("测试・甲", true), ("测试乙", false), ("测试", false)]
    {
        let answer = room.ask(&named(name), 0).await.unwrap();
        assert_eq!(answer.result["found"], json!(found), "{name}");
        assert_eq!(answer.result.get("ways").is_some(), !found);
    }
}

#[tokio::test]
async fn a_revoked_license_shows_its_status_and_no_data() {
    for (status, told) in
        [("02", true), ("03", false), ("04", false), ("05", true), ("06", true), ("07", false)]
    {
        let mut value = marriage("J33108320260000001", "001");
        value["status"] = json!(status);
        let room = Room::with(vec![record(&value)]);
        let license = room.ask(&by_holder(), 0).await.unwrap().result["licenses"][0].clone();
        assert_eq!(license["status"], json!(status));
        assert_eq!(license.get("data").is_some(), told, "status {status}");
        let verify = json!({"license": by_holder()["license"], "mode": "verify", "expect": {"cert_no": "x"}});
        let license = room.ask(&verify, 0).await.unwrap().result["licenses"][0].clone();
        assert_eq!(license.get("match").is_some(), told, "status {status}");
    }
}

#[tokio::test]
async fn of_several_versions_only_the_newest_is_told() {
    let versions = ["002", "003", "001"].map(|version| record(&marriage("J33108320260000001", version)));
    let other = record(&marriage("J33108320260000002", "001"));
    let room = Room::with(versions.into_iter().chain([other]).collect());
    let answer = room.ask(&by_holder(), 0).await.unwrap();
    let ids: Vec<_> = answer.result["licenses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["license_id"].as_str().unwrap())
        .collect();
    assert_eq!(answer.licenses, 2);
    assert!(
        ids.iter().any(|id| id.contains("0001.003.")) && ids.iter().any(|id| id.contains("0002.001.")),
        "{ids:?}"
    );
}

#[tokio::test]
async fn asked_by_id_the_license_must_be_the_consenting_holders() {
    let room = Room::with(vec![one()]);
    let mut asked = by_holder();
    asked["license"] = json!({"type": MARRIAGE, "license_id": one().license_id()});
    let wife = |kind: &str, number: &str| kind == "111" && number == "150421190202029984";
    assert!(room.ask_as(&asked, 0, wife).await.unwrap().result["found"].as_bool().unwrap());
    let stranger = |_: &str, number: &str| number == "440703190303039973";
    assert_eq!(room.ask_as(&asked, 0, stranger).await, Err(LookupFault::HolderMismatch));
    room.says(Ok(vec![]));
    let answer = room.ask_as(&asked, 100, stranger).await.unwrap();
    assert_eq!(answer.result["found"], json!(false));
}

#[tokio::test]
async fn a_foreign_record_is_never_believed() {
    let mut foreign = marriage("J33108320260000001", "001");
    foreign["holders"] = json!([{"name": "测试丁", "type_code": "111", "code": "150421190202029984"}]);
    let room = Room::with(vec![one(), record(&foreign)]);
    assert_eq!(room.ask(&by_holder(), 0).await, Err(LookupFault::RegisterRecord));
    let mut asked = by_holder();
    asked["license"] = json!({"type": MARRIAGE, "license_id": record(&marriage("B", "001")).license_id()});
    assert_eq!(room.ask(&asked, 0).await, Err(LookupFault::RegisterRecord));
    room.says(Ok(vec![one()]));
    assert!(room.ask(&by_holder(), 0).await.is_ok(), "the fault was not remembered");
}

mod ages {
    use super::*;
    use crate::schema::CacheAges;

    fn with_ages(stale: u32) -> Room {
        let mut room = Room::with(vec![one()]);
        room.ages = Some(CacheAges {
            data_seconds: 600,
            status_seconds: 60,
            negative_seconds: 30,
            stale_if_register_down_seconds: stale,
        });
        room
    }

    fn aged(max_age: i64) -> Value {
        let mut asked = by_holder();
        asked["max_age"] = json!(max_age);
        asked
    }

    #[tokio::test]
    async fn a_record_is_told_for_the_age_of_its_status() {
        let room = with_ages(0);
        let answers = [
            room.ask(&by_holder(), 0).await,
            room.ask(&by_holder(), 60).await,
            room.ask(&by_holder(), 61).await,
        ];
        assert_eq!(answers.each_ref().map(source), ["register", "cache", "register"]);
        assert_eq!(answers.map(|a| a.unwrap().as_of - START.secs()), [0, 0, 61]);
    }

    #[tokio::test]
    async fn the_asker_may_want_it_fresher_but_not_older() {
        let room = with_ages(0);
        room.ask(&by_holder(), 0).await.unwrap();
        assert_eq!(source(&room.ask(&aged(10), 10).await), "cache");
        assert_eq!(source(&room.ask(&aged(86_400), 61).await), "register");
        assert_eq!(source(&room.ask(&aged(10), 72).await), "register");
        assert_eq!(source(&room.ask(&aged(0), 72).await), "register", "0 asks the register");
    }

    #[tokio::test]
    async fn nothing_found_is_remembered_for_less() {
        let room = with_ages(0);
        room.says(Ok(vec![]));
        room.ask(&by_holder(), 0).await.unwrap();
        room.says(Ok(vec![one()]));
        assert_eq!(source(&room.ask(&by_holder(), 30).await), "cache");
        assert!(room.ask(&by_holder(), 31).await.unwrap().result["found"].as_bool().unwrap());
    }

    #[tokio::test]
    async fn a_clock_set_back_asks_the_register() {
        let room = with_ages(0);
        room.ask(&by_holder(), 100).await.unwrap();
        assert_eq!(source(&room.ask(&by_holder(), 99).await), "register");
    }

    #[tokio::test]
    async fn a_fault_is_told_and_not_remembered() {
        use register::RegisterFault as Fault;
        let room = with_ages(0);
        for (fault, told) in [
            (Fault::Unavailable, LookupFault::RegisterUnavailable),
            (Fault::Timeout, LookupFault::RegisterTimeout),
            (Fault::Record, LookupFault::RegisterRecord),
        ] {
            room.says(Err(fault));
            assert_eq!(room.ask(&by_holder(), 0).await, Err(told));
        }
        room.says(Ok(vec![one()]));
        assert!(room.ask(&by_holder(), 0).await.is_ok());
    }

    #[tokio::test]
    async fn a_stale_record_is_told_only_where_the_type_allows_it_and_says_so() {
        let room = with_ages(300);
        room.ask(&by_holder(), 0).await.unwrap();
        room.says(Err(register::RegisterFault::Unavailable));
        let answer = room.ask(&by_holder(), 61).await.unwrap();
        assert_eq!((answer.result["stale"].clone(), answer.source.word()), (json!(true), "cache"));
        Catalog::embedded().check(crate::schema::Kind::LicenseResult, &answer.result).unwrap();
        assert!(room.ask(&by_holder(), 360).await.is_ok());
        assert_eq!(room.ask(&by_holder(), 361).await, Err(LookupFault::RegisterUnavailable));
        assert_eq!(
            room.ask(&aged(100), 101).await,
            Err(LookupFault::RegisterUnavailable),
            "the asker's bound"
        );
        let verify = json!({"license": by_holder()["license"], "mode": "verify", "expect": {"cert_no": "x"}});
        assert_eq!(room.ask(&verify, 61).await, Err(LookupFault::RegisterUnavailable), "never for verify");
        room.says(Err(register::RegisterFault::Record));
        assert_eq!(room.ask(&by_holder(), 61).await, Err(LookupFault::RegisterRecord), "that is not down");

        let strict = with_ages(0);
        strict.ask(&by_holder(), 0).await.unwrap();
        strict.says(Err(register::RegisterFault::Timeout));
        assert_eq!(strict.ask(&by_holder(), 61).await, Err(LookupFault::RegisterTimeout));
    }

    #[tokio::test]
    async fn a_changed_record_is_not_told_stale() {
        let room = with_ages(300);
        room.ask(&by_holder(), 0).await.unwrap();
        room.says(Err(register::RegisterFault::Unavailable));
        room.lookup.changed(&Changed::from_value(&json!({"license_id": one().license_id()})).unwrap()).await;
        assert_eq!(room.ask(&by_holder(), 61).await, Err(LookupFault::RegisterUnavailable));
    }
}

mod flights {
    use super::*;

    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            tokio::task::yield_now().await;
        }
    }

    fn gated() -> Arc<Room> {
        let room = Room::with(vec![one()]);
        room.register().gate.forget_permits(usize::MAX >> 4);
        Arc::new(room)
    }

    fn asking(room: &Arc<Room>) -> tokio::task::JoinHandle<Answered> {
        let room = Arc::clone(room);
        tokio::spawn(async move { room.ask(&by_holder(), 0).await })
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn five_hundred_misses_are_one_register_call() {
        let room = gated();
        let askers: Vec<_> = (0..500).map(|_| asking(&room)).collect();
        until(|| room.lookup.stats().misses == 500).await;
        room.register().gate.add_permits(1);
        for asker in askers {
            assert!(asker.await.unwrap().unwrap().result["found"].as_bool().unwrap());
        }
        assert_eq!(room.calls(), 1);
    }

    #[tokio::test]
    async fn the_first_asker_going_away_holds_nobody_up() {
        let room = gated();
        let first = asking(&room);
        until(|| room.calls() == 1).await;
        let second = asking(&room);
        until(|| room.lookup.stats().misses == 2).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        room.register().gate.add_permits(1);
        assert!(second.await.unwrap().is_ok());
        assert_eq!(room.calls(), 1);
    }

    #[tokio::test]
    async fn a_fault_in_flight_is_everybodys_and_the_next_asks_anew() {
        let room = gated();
        room.says(Err(register::RegisterFault::Unavailable));
        let askers = [asking(&room), asking(&room)];
        until(|| room.lookup.stats().misses == 2).await;
        room.says(Ok(vec![one()]));
        room.register().gate.add_permits(2);
        for asker in askers {
            assert_eq!(asker.await.unwrap(), Err(LookupFault::RegisterUnavailable));
        }
        assert!(room.ask(&by_holder(), 0).await.is_ok());
        assert_eq!(room.calls(), 2);
    }

    #[tokio::test]
    async fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let notices = [
            json!({"license_id": one().license_id()}),
            json!({"type": MARRIAGE, "holder": {"type": "111", "number": "42120219000101001x"}}),
        ];
        for notice in notices {
            let room = gated();
            let before = asking(&room);
            until(|| room.calls() == 1).await;
            room.says(Ok(vec![]));
            room.lookup.changed(&Changed::from_value(&notice).unwrap()).await;
            // Who asks after the change does not join the call from before it, and nobody is
            // answered with what was read before.
            let after = asking(&room);
            until(|| room.calls() == 2).await;
            room.register().gate.add_permits(3);
            for asker in [before, after] {
                assert_eq!(asker.await.unwrap().unwrap().result["found"], json!(false));
            }
            let later = room.ask(&by_holder(), 1).await.unwrap();
            assert_eq!((later.source.word(), &later.result["found"]), ("cache", &json!(false)));
        }
    }

    #[tokio::test]
    async fn a_change_drops_the_license_under_both_its_keys() {
        let mut by_id = by_holder();
        by_id["license"] = json!({"type": MARRIAGE, "license_id": one().license_id()});
        let next_version = record(&marriage("J33108320260000001", "002"));
        let notices = [
            json!({"license_id": one().license_id()}),
            json!({"license_id": next_version.license_id()}),
            json!({"type": MARRIAGE, "holder": {"type": "111", "number": "150421190202029984"}}),
        ];
        for notice in notices {
            let room = Room::with(vec![one()]);
            for asked in [&by_holder(), &by_id] {
                room.ask(asked, 0).await.unwrap();
                assert_eq!(source(&room.ask(asked, 1).await), "cache");
            }
            room.lookup.changed(&Changed::from_value(&notice).unwrap()).await;
            for asked in [&by_holder(), &by_id] {
                assert_eq!(source(&room.ask(asked, 1).await), "register", "{notice}");
            }
        }
    }

    #[tokio::test]
    async fn another_holders_change_drops_nothing_of_mine() {
        let room = Room::with(vec![one()]);
        room.ask(&by_holder(), 0).await.unwrap();
        let other = json!({"type": MARRIAGE, "holder": {"type": "111", "number": "440703190303039973"}});
        room.lookup.changed(&Changed::from_value(&other).unwrap()).await;
        assert_eq!(source(&room.ask(&by_holder(), 1).await), "cache");
    }

    #[tokio::test]
    async fn so_many_changes_that_they_are_forgotten_drop_everything() {
        let room = Room::with(vec![one()]);
        room.ask(&by_holder(), 0).await.unwrap();
        for serial in 0..70_000 {
            let id =
                crate::domain::LicenseId::compose(MARRIAGE, ISSUER, &format!("{serial}"), "001").unwrap();
            room.lookup.note(&Change::LicenseOfToldHolders { license_id: id.as_str().to_owned() });
        }
        assert_eq!(source(&room.ask(&by_holder(), 1).await), "register");
    }
}

#[test]
fn a_change_notice_with_wrong_identifiers_tells_all_faults() {
    let rules = |value: Value| {
        let faults = Changed::from_value(&value).unwrap_err();
        faults.into_iter().map(|fault| fault.pointer).collect::<Vec<_>>()
    };
    assert_eq!(rules(json!({"license_id": "1.2.156.3005.2.x"})), ["/license_id"]);
    let both = json!({"type": "1", "holder": {"type": "111", "number": "421202190001010019"}});
    assert_eq!(rules(both), ["/type", "/holder/number"]);
    assert_eq!(rules(json!({"license_id": one().license_id(), "type": MARRIAGE})), [""]);
}
