//! The case of the domain reference (§7.4): a newborn of 玉环 is registered in 咸安.

use serde_json::{Value, json};

use super::super::*;
use crate::clock::Now;
use crate::domain::{Calendar, CaseNumber, Region};
use crate::policy::Item;
use crate::schema::Catalog;

pub(crate) const NUMBER: &str = "K3310834212022026101200000001M";
pub(crate) const ITEM: &str = "11421202TECT0001914000709001000";
pub(crate) const EXCHANGE: &str = "0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22";
pub(crate) const VERIFICATION: &str = "0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a23";
pub(crate) const LICENSE: &str =
    "1.2.156.3005.2.111000000000131433001.11331083TECT000279.J33108320260000001.001.N";

pub(crate) fn sha256() -> String {
    "0123456789abcdef".repeat(4)
}

pub(crate) fn digest() -> String {
    "d".repeat(43)
}

pub(crate) fn upload(code: &str) -> Value {
    json!({"code": code, "name": "申请表", "evidence": "upload", "sha256": sha256(), "bytes": 182_044,
           "media_type": "application/pdf"})
}

pub(crate) fn commitment(due: &str) -> Value {
    json!({"text_digest": digest(), "authorization": "a.b.c", "due": due})
}

/// The body of protocol §6.1, collected at `at` (seconds).
pub(crate) fn submit(at: i64) -> Value {
    json!({"mode":"multi_joint","parent":null,"native":{"collecting":"YH2026101200017"},
      "collecting":{"region":"331083","place":"331083001","org":"11331083TECT000279","officer":"YH0123",
                    "collected_at":at,"identity_check":"id_card_reader"},
      "handling":{"region":"421202","org":"11421202TECT000191"},
      "applicant":{"kind":"1","name":"测试甲","id_type":"111","id_number":"42120219000101001X","mobile":"13900000000","agent":null},
      "form":{"newborn_name":"测试丙"},
      "materials":[{"code":"M1","name":"出生医学证明","evidence":"shared_data","exchange":EXCHANGE},
        {"code":"M3","name":"户口簿","evidence":"timed_verification","verification":VERIFICATION},
        {"code":"M4","name":"居住证","evidence":"commitment","commitment":commitment("2026-10-16")},
        upload("M5")],
      "authorizations":["a.b.c"]})
}

/// One valid data of every event.
pub(crate) fn data(event: &str) -> Value {
    let accept = json!({"doc_no":"受理〔2026〕1号","project_type":"2","promise_date":"2026-10-19","project_no":"XA2026000001"});
    match event {
        "collect" => json!({"receipt_no":"R1"}),
        "reject_form" => json!({"defects":[{"material":"M5","reason":"未签名"},{"reason":"字迹不清"}]}),
        "nack" => json!({"reason":"目录已停用"}),
        "need_supplement" => {
            json!({"notice_no":"补〔2026〕1号","items":[{"material":"M5","reason":"缺签名"}],"due":"2026-10-26"})
        }
        "supplement" => json!({"materials":[upload("M5")]}),
        "accept" => accept,
        "accept_tolerant" => {
            let mut data = accept;
            data["missing"] = json!(["M6"]);
            data["commitment"] = commitment("2026-10-16");
            data["due"] = json!("2026-10-16");
            data
        }
        "refuse" => json!({"doc_no":"不受〔2026〕1号","reason":"不属于本机关职权","authority":"测试公安局"}),
        "start_special" => {
            json!({"kind":"2","name":"现场核查","reason":"需核查住所","approver":"XA0001","limit":{"value":5,"unit":"working_day"}})
        }
        "end_special" => json!({"result":"属实"}),
        "extend" => json!({"working_days":10,"approver":"XA0001","reason":"情况复杂"}),
        "tolerance_filled" => json!({"materials":["M6"]}),
        "verify_commitment" => json!({"material":"M4","outcome":"fulfilled","check_mode":"online"}),
        "decide" => json!({"outcome":"grant","decision_no":"准〔2026〕1号"}),
        "issue_license" => json!({"licenses":[LICENSE]}),
        "deliver" => json!({"method":"electronic","signer":"测试甲","at":1_791_800_000}),
        "close" => json!({"archive_digest":digest()}),
        "transfer" => json!({"to_org":"11421202TECT000191","reason":"职责调整"}),
        "evaluate" => {
            json!({"role":"handling","channel":"二维码","satisfaction":"1","times":1,"at":1_791_800_000})
        }
        "rectify" => {
            json!({"role":"handling","times":1,"measures":"已培训","called_back_at":1_791_800_000,"result":"满意"})
        }
        "request_correction" => {
            json!({"id":EXCHANGE,"exchange":EXCHANGE,"license_id":LICENSE,"field":"registered_on","claimed":"2026-01-06",
                   "evidence":["M2"],"due":"2026-10-27"})
        }
        "answer_correction" => json!({"id":EXCHANGE,"outcome":"corrected","note":"已更正"}),
        _ => json!({}),
    }
}

pub(crate) fn event(seq: u32, prev: &str, event: &str, at: i64, data: Value) -> Value {
    json!({"seq":seq,"prev":prev,"event":event,"at":at,"by":{"org":"11421202TECT000191","officer":"XA0456"},"data":data})
}

/// The agreement's item: M2 optional, M6 may follow later, all other materials required.
pub(crate) fn item(patch: Value) -> Value {
    let material = |code: &str, necessity: &str| {
        json!({"code": code, "name": code, "necessity": necessity,
               "evidence": ["shared_data", "timed_verification", "commitment", "upload"]})
    };
    let mut item = json!({"code": ITEM, "name": "新生儿户口登记", "handling": "421202", "collecting": ["331083"],
      "mode": "multi_joint", "project_type": "2", "bases": ["consent"], "ops": ["application.submit"], "licenses": [],
      "materials": [material("M1", "required"), material("M2", "optional"), material("M3", "required"),
                    material("M4", "required"), material("M5", "required"), material("M6", "tolerant")],
      "legal_limit": {"value": 20, "unit": "working_day"}, "promise_limit": {"value": 5, "unit": "working_day"},
      "receipt_clock": "handling"});
    for (name, value) in patch.as_object().unwrap() {
        item[name] = value.clone();
    }
    item
}

/// Seconds of a moment in Asia/Shanghai, `2026-10-12T09:30:00`.
pub(crate) fn at(text: &str) -> i64 {
    format!("{text}+08:00").parse::<jiff::Timestamp>().unwrap().as_second()
}

/// Both copies of one case, and the last word of the two.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) handling: Case,
    pub(crate) collecting: Case,
}

pub(crate) fn sides() -> Sides {
    Sides { collecting: Region::parse("331083").unwrap(), handling: Region::parse("421202").unwrap() }
}

pub(crate) fn open(role: Role, item: &Value, body: &Value, at: i64) -> Result<Case, CaseFault> {
    let number = CaseNumber::parse(NUMBER).unwrap();
    let terms = Terms::of(&serde_json::from_value::<Item>(item.clone()).unwrap());
    let opening = Opening { number: &number, role, sides: sides(), agreement: "421202-331083-2020", terms };
    let submit = Catalog::embedded().admit::<SubmitBody>(body).unwrap().into_inner();
    Case::open(opening, &submit, &digest_text(body), Now::from_secs(at))
}

pub(crate) fn officer() -> Actor {
    Actor { org: "11331083TECT000279".into(), officer: "YH0123".into() }
}

impl Pair {
    /// Submitted, relayed and received at `moment`, every file there.
    pub(crate) fn open(moment: &str, patch: Value) -> Self {
        let received = at(moment);
        let (item, body) = (item(patch), submit(received));
        let handling = open(Role::Handling, &item, &body, received).unwrap();
        let collecting = open(Role::Collecting, &item, &body, received).unwrap();
        let relay = if collecting.state() == State::Submitted { Act::Route } else { Act::Relay };
        let collecting = collecting.local(relay, &officer(), Now::from_secs(received)).unwrap();
        let collecting = collecting.received(&receipt(&handling, 0).unwrap()).unwrap();
        let here = |case: Case| case.arrived(&sha256(), Now::from_secs(received));
        Self { handling: here(handling), collecting: here(collecting) }
    }

    pub(crate) fn state(&self) -> State {
        assert_eq!(self.handling.state(), self.collecting.state());
        self.handling.state()
    }

    /// Judged by the handling side, then by the other; both must agree.
    pub(crate) fn act(&self, from: Role, event: &str, moment: &str, data: Value) -> Result<Self, CaseFault> {
        let (seq, prev) = self.handling.last();
        let body = scene_event(seq + 1, prev, event, at(moment), data);
        let judge = |case: &Case| judge(case, &body, from, at(moment));
        let handling = judge(&self.handling)?;
        let collecting = judge(&self.collecting).expect("what one side applies the other applies");
        Ok(Self { handling, collecting })
    }

    /// A chain of the handling side's events with their default data, a day each if need be.
    pub(crate) fn then(self, from: Role, event: &str, moment: &str) -> Self {
        let after = self.act(from, event, moment, data(event));
        after.unwrap_or_else(|fault| panic!("{event}: {fault:?}"))
    }

    pub(crate) fn clock(&self, moment: &str) -> ClockView {
        let view = |case| clock::view(case, Now::from_secs(at(moment)), Calendar::shipped()).unwrap();
        assert_eq!(view(&self.handling), view(&self.collecting), "both sides show the same clock");
        view(&self.handling)
    }
}

pub(crate) fn judge(case: &Case, body: &Value, from: Role, now: i64) -> Result<Case, CaseFault> {
    let event: EventBody = Catalog::embedded().admit(body).unwrap().into_inner();
    case.judge(&event, &digest_text(body), from, Now::from_secs(now), Calendar::shipped())
}

use event as scene_event;
