use serde_json::{Value, json};

use super::super::*;
use super::scene::{self, data, digest, event, submit};
use crate::fault::Fault;
use crate::schema::{Catalog, Kind};

fn catalog() -> &'static Catalog {
    Catalog::embedded()
}

fn told(result: Result<(), Vec<Fault>>) -> Vec<String> {
    result.err().unwrap_or_default().iter().map(|f| format!("{} {}", f.pointer, f.rule)).collect()
}

fn wire_events() -> impl Iterator<Item = &'static str> {
    let mut names: Vec<_> = Act::ALL.iter().map(|act| act.event()).filter(|name| *name != "submit").collect();
    names.dedup();
    names.into_iter()
}

#[test]
fn the_submit_of_the_protocol_is_admitted() {
    let body: SubmitBody =
        catalog().admit_on(&submit(1_900_000_000), jiff::civil::date(2026, 10, 12)).unwrap().into_inner();
    assert_eq!(body.materials.len(), 4);
    assert!(matches!(&body.materials[3].proof, Proof::Upload { bytes: 182_044, .. }));
    let mut small = submit(1);
    small["applicant"]["id_number"] = json!("42120219000101001x");
    for gone in ["native", "parent"] {
        small.as_object_mut().unwrap().remove(gone);
    }
    let body: SubmitBody = catalog().admit(&small).unwrap().into_inner();
    assert_eq!(body.applicant.id_number, "42120219000101001X");
}

#[test]
fn every_member_of_a_submit_but_native_parent_and_agent_is_mandatory() {
    for name in
        submit(1).as_object().unwrap().keys().filter(|name| !["native", "parent"].contains(&name.as_str()))
    {
        let mut wrong = submit(1);
        wrong.as_object_mut().unwrap().remove(name);
        assert_eq!(told(catalog().check(Kind::ApplicationSubmit, &wrong)), [format!("/{name} required")]);
    }
}

#[test]
fn a_material_has_the_members_of_its_way_and_no_others() {
    let material = |at: usize, patch: Value| {
        let mut body = submit(1);
        for (name, value) in patch.as_object().unwrap() {
            body["materials"][at][name] = value.clone();
        }
        told(catalog().check(Kind::ApplicationSubmit, &body))
    };
    assert_eq!(material(0, json!({"sha256": scene::sha256()})), ["/materials/0/sha256 additionalProperties"]);
    assert_eq!(
        material(0, json!({"evidence": "upload"})),
        [
            "/materials/0/sha256 required",
            "/materials/0/bytes required",
            "/materials/0/media_type required",
            "/materials/0/exchange additionalProperties"
        ]
    );
    assert_eq!(material(3, json!({"bytes": 50 * 1024 * 1024 + 1})), ["/materials/3/bytes maximum"]);
    assert_eq!(material(3, json!({"bytes": 50 * 1024 * 1024})), [""; 0]);
    assert_eq!(material(3, json!({"sha256": "A".repeat(64)})), ["/materials/3/sha256 pattern"]);
    assert_eq!(material(3, json!({"code": "M1"})), ["/materials/3/code uniqueItems"]);
    assert_eq!(material(2, json!({"commitment": {"due": "2026-02-30"}})).len(), 3);
}

#[test]
fn the_numbers_of_applicant_and_agent_are_judged_by_their_types() {
    let mut wrong = submit(1);
    wrong["applicant"]["id_number"] = json!("421202190001010019");
    wrong["applicant"]["agent"] =
        json!({"name":"测试乙","id_type":"001","id_number":"11421202TECT000192","mandate":"W1"});
    assert_eq!(
        told(catalog().check(Kind::ApplicationSubmit, &wrong)),
        ["/applicant/id_number resident-id", "/applicant/agent/id_number uscc"]
    );
}

#[test]
fn every_event_is_admitted_with_its_own_data_and_closed_to_any_other() {
    for name in wire_events() {
        let good = event(1, &digest(), name, 1, data(name));
        let body: EventBody =
            catalog().admit(&good).unwrap_or_else(|faults| panic!("{name}: {faults:?}")).into_inner();
        assert_eq!(body.what.act().event(), name);
        let mut more = good.clone();
        more["data"]["unheard_of"] = json!(1);
        assert_eq!(
            told(catalog().check(Kind::ApplicationEvent, &more)),
            ["/data/unheard_of additionalProperties"]
        );
        for member in data(name).as_object().unwrap().keys() {
            let mut less = good.clone();
            less["data"].as_object_mut().unwrap().remove(member);
            let faults = told(catalog().check(Kind::ApplicationEvent, &less));
            let optional =
                ["project_no", "material"].contains(&member.as_str()) && name != "verify_commitment";
            assert_eq!(faults.is_empty(), optional, "{name} without {member}: {faults:?}");
        }
    }
    for name in ["submit", "explode"] {
        let wrong = event(1, &digest(), name, 1, json!({}));
        assert_eq!(told(catalog().check(Kind::ApplicationEvent, &wrong)), ["/event enum"]);
    }
}

#[test]
fn a_refusal_gives_its_reason_and_how_to_appeal() {
    let judge = |name: &str, data: Value| {
        told(catalog().check(Kind::ApplicationEvent, &event(1, &digest(), name, 1, data)))
    };
    assert_eq!(
        judge("decide", json!({"outcome":"deny","decision_no":"1"})),
        ["/data/reason required", "/data/appeal required"]
    );
    let lie = json!({"material":"M4","outcome":"false","check_mode":"onsite"});
    assert_eq!(judge("verify_commitment", lie), ["/data/action required"]);
    assert_eq!(judge("issue_license", json!({"licenses":[]})), ["/data/result required"]);
    assert_eq!(judge("issue_license", json!({"licenses":[],"result":"已迁入"})), [""; 0]);
    assert_eq!(
        judge("extend", json!({"working_days":11,"approver":"A","reason":"R"})),
        ["/data/working_days maximum"]
    );
}

#[test]
fn the_digest_of_an_event_does_not_depend_on_the_order_of_members() {
    let one: Value = serde_json::from_str(r#"{"b":1,"a":{"y":2,"x":"甲"}}"#).unwrap();
    let other: Value = serde_json::from_str(r#"{"a":{"x":"甲","y":2},"b":1}"#).unwrap();
    assert_eq!(super::super::digest(&one), super::super::digest(&other));
    assert_eq!(digest_text(&json!({})), "RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o");
}

#[test]
fn receipts_and_states_meet_their_schemas() {
    let receipt = Receipt {
        case: scene::NUMBER.into(),
        seq: 0,
        digest: digest(),
        state: State::Received,
        received_at: Some(1),
        awaiting: Some(vec![scene::sha256()]),
    };
    let value = serde_json::to_value(&receipt).unwrap();
    assert_eq!(catalog().admit::<Receipt>(&value).unwrap().into_inner(), receipt);
    let of_event = json!({"case": scene::NUMBER, "seq": 1, "digest": digest(), "state": "ACCEPTED"});
    assert!(catalog().admit::<Receipt>(&of_event).is_ok());
    for state in State::ALL {
        assert_eq!(State::from_name(state.name()), Some(*state));
        assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        let named = json!({"case": scene::NUMBER, "seq": 1, "digest": digest(), "state": state.name()});
        assert!(catalog().check(Kind::ApplicationReceipt, &named).is_ok(), "{state:?}");
    }
}

#[test]
fn a_verification_names_its_license_holder_and_a_time_with_offset() {
    let ask = json!({"id": scene::VERIFICATION, "material": "M3",
      "license": {"type": "11421202TECT000191002", "holder": {"type": "111", "number": "42120219000101001x", "name": "测试甲"}},
      "claims": {"address": "测试路1号"}, "question": "是否为该户成员", "due": "2026-10-14T23:59:59+08:00"});
    let body: VerificationRequestBody = catalog().admit(&ask).unwrap().into_inner();
    assert_eq!(body.license.holder.number, "42120219000101001X");
    let mut wrong = ask.clone();
    wrong["due"] = json!("2026-10-14T23:59:59");
    wrong["license"]["holder"]["number"] = json!("1");
    assert_eq!(
        told(catalog().check(Kind::VerificationRequest, &wrong)),
        ["/due date-time", "/license/holder/number resident-id"]
    );
    let answer = json!({"id": scene::VERIFICATION, "outcome": "confirmed", "note": "", "at": 1,
      "by": {"org": "11421202TECT000191", "officer": "XA0456"}});
    assert!(catalog().admit::<VerificationAnswerBody>(&answer).is_ok());
}
