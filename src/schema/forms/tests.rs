use jiff::civil::date;
use serde_json::json;

use super::*;
use crate::schema::Catalog;

const TODAY: Date = date(2026, 10, 12);

fn form(name: &str) -> &'static FormType {
    Catalog::embedded().form(name).unwrap()
}

/// Members to put in, by pointer.
type Changes<'a> = &'a [(&'a str, Value)];
/// `pointer rule` of each fault.
type Told<'a> = &'a [&'a str];

/// `form` with members put in at pointers (`null` removes one).
fn with(mut form: Value, changes: Changes) -> Value {
    for (pointer, new) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = form.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match new {
            Value::Null => drop(parent.remove(name)),
            new => drop(parent.insert(name.to_owned(), new.clone())),
        }
    }
    form
}

/// `pointer rule` of every fault, sorted; every fault speaks both languages.
fn told(form: &FormType, value: &Value) -> Vec<String> {
    let faults = form.check(value, TODAY).err().unwrap_or_default();
    assert!(faults.iter().all(|f| !f.message.is_empty() && !f.message_zh.is_ascii()), "{faults:?}");
    let mut told: Vec<_> = faults.iter().map(|f| format!("{} {}", f.pointer, f.rule)).collect();
    told.sort();
    told
}

/// The form of the domain reference's example.
fn short_newborn() -> Value {
    json!({"newborn_name":"测试丙","sex":"2","born_at":"2026-09-30T08:15:00+08:00","settle_with":"father",
           "settle_region":"421202108230","relation":"30"})
}

fn newborn() -> Value {
    json!({"newborn_name":"测试丙","sex":"2","born_at":"2026-09-30T08:15:00+08:00","settle_with":"father",
        "settle_region":"421202108230","relation":"30",
        "birth_country":"CHN","birth_place":"测试市测试医院","birth_certificate_no":"Y330000001",
        "father":{"name":"测试甲","id_type":"111","id_number":"42120219000101001X","nationality":"CHN","ethnicity":"01"},
        "mother":{"name":"乙测试","id_type":"111","id_number":"150421190202029984","nationality":"CHN","ethnicity":"01"},
        "marriage":{"cert_no":"J331083-2026-000001","registered_on":"2026-01-05"},
        "household":{"type":"家庭户","head_name":"测试甲","address":"测试路1号"},
        "residence":{"holder":"father","kind":"residence_permit","region":"331083"}})
}

fn certificate() -> Value {
    json!({"name":"测试甲","id_number":"42120219000101001X","mobile":"13900000000","account":"421202000001",
        "deposit_region":"331083","loan_region":"421202","loan_center":"测试公积金中心","house_use":"new_house","loan_times":0})
}

fn loan() -> Value {
    json!({"name":"测试甲","id_number":"42120219000101001x","mobile":"13900000000","deposit_region":"331083",
        "account":"331083000001","marital_status":"20","spouse":{"name":"测试乙","id_number":"150421190202029984"},
        "house":{"region":"421202","address":"测试路2号","contract_no":"HT-0001","area":"89.50","price":"800000.00"},
        "down_payment":"300000.00","amount":"500000.00","months":240})
}

fn spouse_migration() -> Value {
    json!({"name":"测试乙","id_number":"150421190202029984","mobile":"13900000000","from_region":"331083",
        "spouse":{"name":"测试甲","id_number":"42120219000101001X"},
        "marriage":{"cert_no":"J331083-2026-000001","registered_on":"2026-01-05"},"settle_region":"421202108230",
        "settle_address":"测试路1号","household":{"type":"家庭户","head_name":"测试甲"},"relation":"12"})
}

fn card() -> Value {
    json!({"name":"测试甲","id_number":"42120219000101001X","mobile":"13900000000","insured_region":"421202",
        "reason":"lost","delivery":{"method":"post","address":"测试路3号"}})
}

fn care() -> Value {
    json!({"name":"测试甲","id_number":"42120219000101001X","mobile":"13900000000","insured_region":"421202",
        "care_region":"331083","category":"resident","from":"2026-10-12","address":"测试路4号"})
}

fn samples() -> [(&'static str, Value); 6] {
    [
        ("newborn-registration", newborn()),
        ("out-of-town-loan-certificate", certificate()),
        ("housing-fund-loan", loan()),
        ("spouse-migration", spouse_migration()),
        ("social-card-replacement", card()),
        ("medical-care-filing", care()),
    ]
}

#[test]
fn a_filled_in_form_of_every_kind_is_accepted() {
    for (name, filled) in samples() {
        assert_eq!(told(form(name), &filled), [""; 0], "{name}");
    }
    assert_eq!(Catalog::embedded().forms().count(), samples().len());
    assert!(Catalog::embedded().form("unheard-of").is_none());
}

#[test]
fn the_form_of_the_domain_reference_is_accepted() {
    assert_eq!(told(form("newborn-registration"), &short_newborn()), [""; 0]);
}

#[test]
fn every_form_is_closed_and_misses_what_it_requires() {
    for (name, filled) in samples() {
        let extra = with(filled, &[("/unheard_of", json!(1))]);
        assert_eq!(told(form(name), &extra), ["/unheard_of additionalProperties"], "{name}");
        let empty = told(form(name), &json!({}));
        assert!(
            !empty.is_empty() && empty.iter().all(|fault| fault.ends_with(" required")),
            "{name}: {empty:?}"
        );
        assert_eq!(told(form(name), &json!("")), [" type"], "{name}");
    }
}

#[test]
fn every_form_says_its_titles_and_materials() {
    let catalog = Catalog::embedded();
    for form in catalog.forms() {
        assert!(!form.title_zh().is_ascii() && form.title_en().is_ascii() && !form.department().is_empty());
        assert!(["1", "2", "9"].contains(&form.project_type()));
        let mut codes: Vec<_> = form.materials().iter().map(|m| m.code.as_str()).collect();
        codes.dedup();
        assert!(codes.len() == form.materials().len() && codes.len() > 1, "{}", form.name());
        for material in form.materials() {
            let known = material.license.as_deref().map(|code| catalog.license_type(code).is_some());
            let shared = material.evidence.contains(&Evidence::SharedData);
            assert_eq!(known, shared.then_some(true), "{} {}", form.name(), material.code);
            assert!(material.evidence.contains(&Evidence::Upload), "the last resort");
        }
    }
    assert_eq!(form("newborn-registration").mode(), HandlingMode::MultiJoint);
    assert_eq!(form("medical-care-filing").project_type(), "1");
}

#[test]
fn each_condition_of_a_newborns_registration_is_judged() {
    let cases: &[(Changes, Told)] = &[
        // ① 境内出生并有《出生医学证明》
        (&[("/birth_country", json!("USA"))], &["/birth_country born-in-country"]),
        (&[("/birth_certificate_no", Value::Null)], &["/birth_certificate_no born-in-country"]),
        // ② 婚内且未满6周岁
        (&[("/marriage", Value::Null)], &["/marriage in-wedlock"]),
        (&[("/marriage/registered_on", json!("2026-10-01"))], &["/marriage/registered_on in-wedlock"]),
        (&[("/marriage/registered_on", json!("2026-09-30"))], &[]),
        (&[("/mother", Value::Null)], &["/mother in-wedlock"]),
        (
            &[
                ("/marriage/registered_on", json!("2019-01-01")),
                ("/born_at", json!("2020-10-12T00:00:00+08:00")),
            ],
            &[],
        ),
        (
            &[
                ("/marriage/registered_on", json!("2019-01-01")),
                ("/born_at", json!("2020-10-11T23:59:00+08:00")),
            ],
            &["/born_at under-six"],
        ),
        // Half past midnight in Shanghai, still the day before in UTC.
        (&[("/born_at", json!("2026-10-11T16:30:00Z"))], &[]),
        (&[("/born_at", json!("2026-10-12T16:30:00Z"))], &["/born_at born"]),
        // ③ 姓随父或随母
        (&[("/newborn_name", json!("乙小丙"))], &[]),
        (&[("/newborn_name", json!("丙测乙"))], &["/newborn_name surname"]),
        // ④ 父母境内人士且同民族
        (&[("/mother/ethnicity", json!("02"))], &["/mother/ethnicity same-ethnicity"]),
        (&[("/father/nationality", json!("USA"))], &["/father/nationality mainland-parent"]),
        (
            &[("/father/id_type", json!("414")), ("/father/id_number", json!("E12345678"))],
            &["/father/id_type mainland-parent"],
        ),
        // ⑤ 随父/母家庭户
        (&[("/household/type", json!("集体户"))], &["/household/type family-household"]),
        (&[("/settle_with", json!("grandfather"))], &["/settle_with enum"]),
        (&[("/household", Value::Null)], &["/household family-household"]),
        // ⑥ 父或母持居住证或暂住凭证
        (&[("/residence", Value::Null)], &["/residence residence-permit"]),
        (&[("/residence/kind", json!("temporary_proof")), ("/residence/holder", json!("mother"))], &[]),
        (&[("/residence/kind", json!("hotel"))], &["/residence/kind enum"]),
        // and what must agree
        (&[("/relation", json!("20"))], &["/relation relation"]),
        (&[("/relation", json!("51"))], &["/relation relation"]),
        (&[("/relation", json!("40"))], &[]),
        (&[("/father/id_number", json!("150421190202029984"))], &["/father/id_number id-number-part"]),
        (
            &[("/father/id_number", json!("331083209912310024"))],
            &["/father/id_number id-number-part", "/father/id_number resident-id"],
        ),
        (&[("/mother/id_number", json!("421202190001010019"))], &["/mother/id_number resident-id"]),
    ];
    for (changes, faults) in cases {
        assert_eq!(told(form("newborn-registration"), &with(newborn(), changes)), *faults, "{changes:?}");
    }
}

#[test]
fn all_six_conditions_are_told_at_once() {
    let nothing_fits = with(
        newborn(),
        &[
            ("/birth_country", json!("HKG")),
            ("/born_at", json!("2018-05-01T10:00:00+08:00")),
            ("/newborn_name", json!("丙丁")),
            ("/mother/ethnicity", json!("03")),
            ("/household/type", json!("集体户")),
            ("/residence", Value::Null),
        ],
    );
    assert_eq!(
        told(form("newborn-registration"), &nothing_fits),
        [
            "/birth_country born-in-country",
            "/born_at under-six",
            "/household/type family-household",
            "/marriage/registered_on in-wedlock",
            "/mother/ethnicity same-ethnicity",
            "/newborn_name surname",
            "/residence residence-permit",
        ]
    );
}

#[test]
fn a_surname_may_be_compound_given_or_none() {
    let judge = |father: &str, newborn_name: &str, surnames: [Value; 2]| {
        let [fathers, own] = surnames;
        let changes = [
            ("/father/name", json!(father)),
            ("/father/surname", fathers),
            ("/newborn_name", json!(newborn_name)),
            ("/newborn_surname", own),
        ];
        told(form("newborn-registration"), &with(newborn(), &changes)).is_empty()
    };
    let none = || [Value::Null, Value::Null];
    assert!(judge("欧阳测", "欧阳试", none()));
    assert!(!judge("欧阳测", "欧试", none()));
    assert!(judge("欧阳测", "欧试", [json!("欧"), json!("欧")]), "阳测 is the given name");
    assert!(!judge("欧阳测", "欧试", [Value::Null, json!("欧")]));
    assert!(judge("买买提·测试", "古丽·买买提", none()), "names of their own custom");
}

#[test]
fn a_second_loan_or_one_still_owed_gets_no_certificate() {
    let judge = |changes: Changes| told(form("out-of-town-loan-certificate"), &with(certificate(), changes));
    assert_eq!(
        judge(&[("/loan_times", json!(2)), ("/loan_cleared", json!(true))]),
        ["/loan_times loan-times"]
    );
    assert_eq!(judge(&[("/loan_times", json!(1))]), ["/loan_cleared loan-cleared"]);
    assert_eq!(
        judge(&[("/loan_times", json!(1)), ("/loan_cleared", json!(false))]),
        ["/loan_cleared loan-cleared"]
    );
    assert_eq!(judge(&[("/loan_times", json!(1)), ("/loan_cleared", json!(true))]), [""; 0]);
    assert_eq!(judge(&[("/loan_region", json!("331083"))]), ["/loan_region same-region"]);
}

#[test]
fn a_loan_fits_the_price_and_the_family() {
    let judge = |changes: Changes| told(form("housing-fund-loan"), &with(loan(), changes));
    assert_eq!(judge(&[("/amount", json!("500000.01"))]), ["/amount amount"]);
    assert_eq!(judge(&[("/amount", json!("0.00"))]), ["/amount amount"]);
    assert_eq!(judge(&[("/amount", json!("500000"))]), ["/amount pattern"]);
    assert_eq!(judge(&[("/spouse", Value::Null)]), ["/spouse spouse"]);
    assert_eq!(judge(&[("/marital_status", json!("10"))]), ["/spouse spouse"]);
    assert_eq!(judge(&[("/spouse", Value::Null), ("/marital_status", json!("10"))]), [""; 0]);
    assert_eq!(
        judge(&[("/spouse/id_number", json!("42120219000101001X"))]),
        ["/spouse/id_number same-person"]
    );
    assert_eq!(judge(&[("/deposit_region", json!("421202"))]), ["/house/region same-region"]);
    assert_eq!(judge(&[("/months", json!(361))]), ["/months maximum"]);
}

#[test]
fn whoever_moves_to_a_spouse_is_not_the_head() {
    let judge = |changes: Changes| told(form("spouse-migration"), &with(spouse_migration(), changes));
    assert_eq!(judge(&[("/relation", json!("02"))]), ["/relation relation"]);
    assert_eq!(judge(&[("/relation", json!("11"))]), ["/relation relation"]);
    assert_eq!(judge(&[("/relation", json!("10"))]), [""; 0]);
    assert_eq!(
        judge(&[("/spouse/id_number", json!("150421190202029984"))]),
        ["/spouse/id_number same-person"]
    );
    assert_eq!(
        judge(&[("/marriage/registered_on", json!("2026-10-13"))]),
        ["/marriage/registered_on date-order"]
    );
}

#[test]
fn a_card_by_post_has_an_address_and_a_stay_too() {
    let card_faults = |changes: Changes| told(form("social-card-replacement"), &with(card(), changes));
    assert_eq!(card_faults(&[("/delivery/address", Value::Null)]), ["/delivery/address required"]);
    assert_eq!(card_faults(&[("/delivery", json!({"method": "window"}))]), [""; 0]);
    let care_faults = |changes: Changes| told(form("medical-care-filing"), &with(care(), changes));
    assert_eq!(care_faults(&[("/address", Value::Null)]), ["/address required"]);
    assert_eq!(care_faults(&[("/category", json!("referral"))]), ["/to required"]);
    assert_eq!(care_faults(&[("/category", json!("referral")), ("/to", json!("2026-12-31"))]), [""; 0]);
    assert_eq!(care_faults(&[("/to", json!("2026-10-11"))]), ["/to date-order"]);
    assert_eq!(care_faults(&[("/care_region", json!("421202"))]), ["/care_region same-region"]);
    assert_eq!(care_faults(&[("/id_number", json!("331083209912310024"))]), ["/id_number resident-id"]);
}
