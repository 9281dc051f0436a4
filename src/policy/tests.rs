//! What agreements promise.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::civil::{Date, date};
use serde_json::{Value, json};

use super::*;
use crate::clock::Now;
use crate::domain::Region;
use crate::envelope::{Basis, RequestClaims};

const NEWBORN: &str = "11421202TECT0001914000709001000";
const MARRIAGE: &str = "111000000000131433001";
const BIRTH: &str = "11421202TECT000191001";
const TODAY: Date = date(2026, 10, 12);

fn agreement_json() -> Value {
    json!({
        "id": "421202-331083-2020", "parties": ["421202", "331083"], "name": "咸安—玉环跨省联办协议",
        "valid_from": "2020-08-01", "valid_to": "2030-07-31",
        "items": [{
            "code": NEWBORN, "name": "新生儿户口登记", "handling": "421202", "collecting": ["331083"],
            "mode": "multi_joint", "project_type": "2", "bases": ["consent"], "ops": ["license.query"],
            "licenses": [{
                "type": MARRIAGE, "holder_region": ["331083", "421202"], "modes": ["read"],
                "fields": ["cert_no", "registered_on"]
            }],
            "materials": [{
                "code": "M2", "name": "结婚证", "necessity": "required", "license": MARRIAGE,
                "evidence": ["shared_data", "upload", "timed_verification"]
            }],
            "form": "newborn-registration",
            "legal_limit": {"value": 20, "unit": "working_day"},
            "promise_limit": {"value": 5, "unit": "working_day"},
            "receipt_clock": "handling",
            "verification_limit": {"value": 2, "unit": "working_day"}
        }],
        "quota": {"requests_per_second": 50, "burst": 100, "concurrent": 64, "per_day": 200_000}
    })
}

/// Another agreement of the same two, lapsed, with another item and the birth certificate.
fn lapsed_json() -> Value {
    let mut value = agreement_json();
    value["id"] = json!("421202-331083-2015");
    value["valid_from"] = json!("2015-01-01");
    value["valid_to"] = json!("2019-12-31");
    value["items"][0]["code"] = json!("11421202TECT0001914000720002000");
    value["items"][0]["licenses"][0]["type"] = json!(BIRTH);
    value["items"][0]["materials"] = json!([]);
    value
}

fn region(code: &str) -> Region {
    Region::parse(code).unwrap()
}

fn policy() -> Policy {
    let files = [agreement_json(), lapsed_json()];
    policy_of(&files)
}

fn policy_of(files: &[Value]) -> Policy {
    let (policy, refused) = Policy::build(&folder(files));
    assert!(refused.is_empty(), "{refused:?}");
    policy
}

fn folder(files: &[Value]) -> HashMap<PathBuf, Arc<Agreement>> {
    let named = files.iter().enumerate();
    named
        .map(|(n, file)| (format!("{n}.json").into(), Arc::new(Agreement::from_value(file).unwrap())))
        .collect()
}

fn claims(agreement: &str, item: &str, op: &str, basis: &str) -> RequestClaims {
    serde_json::from_value(json!({
        "ver": 1, "iss": "urn:tongban:gw:331083", "aud": "urn:tongban:gw:421202", "iat": 1, "exp": 2,
        "jti": "0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22", "op": op, "item": item, "basis": basis,
        "purpose": "核验", "operator": "YH0123", "agreement": agreement, "body": {}
    }))
    .unwrap()
}

fn granted() -> Grant {
    policy()
        .authorize(
            &claims("421202-331083-2020", NEWBORN, "license.query", "consent"),
            &region("331083"),
            &region("421202"),
            TODAY,
        )
        .unwrap()
}

fn faults_of(value: &Value) -> Vec<String> {
    let faults = Agreement::from_value(value).unwrap_err();
    faults.iter().map(|fault| format!("{} {}", fault.pointer, fault.rule)).collect()
}

#[test]
fn an_agreement_keeps_the_digest_of_its_canonical_form() {
    let agreement = Agreement::from_value(&agreement_json()).unwrap();
    let reordered: Value =
        serde_json::from_str(&serde_json::to_string_pretty(&agreement_json()).unwrap()).unwrap();
    assert_eq!(agreement.digest(), Agreement::from_value(&reordered).unwrap().digest());
    let mut changed = agreement_json();
    changed["name"] = json!("别的协议");
    assert_ne!(agreement.digest(), Agreement::from_value(&changed).unwrap().digest());
}

#[test]
fn an_agreement_tells_all_that_a_schema_cannot_see_at_once() {
    let mut value = agreement_json();
    value["valid_to"] = json!("2019-07-31");
    let item = value["items"][0].clone();
    value["items"].as_array_mut().unwrap().push(item);
    value["items"][0]["handling"] = json!("320922");
    value["items"][0]["collecting"] = json!(["440703"]);
    value["items"][0]["licenses"][0]["holder_region"] = json!(["331083", "150421"]);
    value["items"][0]["promise_limit"]["value"] = json!(21);
    value["items"][0]["materials"][0]["license"] = json!(BIRTH);
    let license = value["items"][1]["licenses"][0].clone();
    value["items"][1]["licenses"].as_array_mut().unwrap().push(license);
    insta::assert_snapshot!(faults_of(&value).join("\n"), @r"
    /valid_to date-order
    /items/0/handling party
    /items/0/collecting/0 party
    /items/0/licenses/0/holder_region/1 party
    /items/1/code uniqueItems
    /items/0/materials/0/license license-not-listed
    /items/0/promise_limit/value promise-beyond-legal-limit
    /items/1/licenses/1/type duplicate-license
    ");
}

#[test]
fn limits_in_different_units_are_not_compared() {
    let mut value = agreement_json();
    value["items"][0]["promise_limit"] = json!({"value": 48, "unit": "hour"});
    assert!(Agreement::from_value(&value).is_ok());
}

#[test]
fn one_region_is_no_agreement() {
    let mut value = agreement_json();
    value["parties"] = json!(["421202", "421202"]);
    let faults = Agreement::from_value(&value).unwrap_err();
    assert!(faults.iter().any(|fault| fault.pointer == "/parties"), "{faults:?}");
}

#[test]
fn two_files_with_one_id_are_no_policy() {
    let mut other = agreement_json();
    other["quota"]["per_day"] = json!(1);
    let (policy, refused) = Policy::build(&folder(&[agreement_json(), other, lapsed_json()]));
    assert!(policy.agreement("421202-331083-2020").is_none());
    assert!(policy.agreement("421202-331083-2015").is_some());
    assert_eq!(refused.len(), 2);
    assert_eq!(refused[0].faults[0].rule, "duplicate-agreement");
    let (policy, refused) = Policy::build(&folder(&[agreement_json(), agreement_json()]));
    assert!(
        refused.is_empty() && policy.agreement("421202-331083-2020").is_some(),
        "a copy contradicts nobody"
    );
}

#[test]
fn a_type_without_schema_is_a_remark_and_no_fault() {
    let agreement = Agreement::from_value(&agreement_json()).unwrap();
    let remarks = agreement.types_without_schema(|kind| kind != MARRIAGE);
    assert_eq!(remarks[0].pointer, "/items/0/licenses/0/type");
    assert!(agreement.types_without_schema(|_| true).is_empty());
}

#[test]
fn a_form_without_schema_is_a_remark_and_no_fault() {
    let agreement = Agreement::from_value(&agreement_json()).unwrap();
    let remarks = agreement.forms_without_schema(|form| form != "newborn-registration");
    assert_eq!(remarks.iter().map(|f| f.pointer.as_str()).collect::<Vec<_>>(), ["/items/0/form"]);
    assert!(agreement.forms_without_schema(|_| true).is_empty());
}

/// `conformance/examples/`: what two counties sign who do all eighteen items together.
#[test]
fn the_published_example_agreement_holds_with_the_forms_and_licenses_we_have() {
    let text = include_bytes!("../../conformance/examples/agreement-421202-331083.json");
    let agreement = Agreement::from_value(&crate::json::parse_config(text).unwrap()).unwrap();
    let catalog = crate::schema::Catalog::embedded();
    assert_eq!(agreement.items().count(), 18);
    assert_eq!(agreement.item_codes().next(), Some("11421202TECT0001914000709001000"));
    assert_eq!(agreement.types_without_schema(|code| catalog.license_type(code).is_some()), []);
    assert_eq!(agreement.forms_without_schema(|form| catalog.form(form).is_some()), []);
    let mut forms = Vec::new();
    for item in agreement.items() {
        assert!(item.promise_limit.is_some() && !item.materials.is_empty(), "{}", item.name);
        for license in &item.licenses {
            let kind = catalog.license_type(&license.kind).unwrap();
            assert!(
                license.fields.iter().all(|field| kind.shareable(field)),
                "{} {}",
                item.name,
                kind.name()
            );
        }
        let Some(form) = item.form.as_deref().and_then(|form| catalog.form(form)) else { continue };
        forms.push(form.name());
        assert_eq!((item.mode, item.project_type.as_deref()), (form.mode(), Some(form.project_type())));
        let asked = item.materials.iter().map(|m| (&m.code, m.necessity, &m.license, &m.evidence));
        let usual = form.materials().iter().map(|m| (&m.code, m.necessity, &m.license, &m.evidence));
        assert!(asked.eq(usual), "{}", item.name);
    }
    forms.sort_unstable();
    assert!(forms.into_iter().eq(catalog.forms().map(crate::schema::FormType::name)));
}

/// agreement × item × op × basis × day × peer, with the first step that failed.
#[test]
fn the_agreement_decides_by_party_day_item_op_and_basis() {
    let (policy, me) = (policy(), region("421202"));
    let days = [
        ("before", date(2020, 7, 31)),
        ("first", date(2020, 8, 1)),
        ("last", date(2030, 7, 31)),
        ("after", date(2030, 8, 1)),
    ];
    let items = [
        ("agreed", NEWBORN),
        ("lapsed's", "11421202TECT0001914000720002000"),
        ("nobody's", "11421202TECT0001914000720003000"),
    ];
    let mut table = String::new();
    let mut ask = |label: String, claims: RequestClaims, peer: &str, day: Date| {
        let verdict = match policy.authorize(&claims, &region(peer), &me, day) {
            Ok(_) => "granted".to_owned(),
            Err(fault) => format!("{fault:?}"),
        };
        table.push_str(&format!("{label:<48}{verdict}\n"));
    };
    for (day_name, day) in days {
        for (item_name, item) in items {
            for op in ["license.query", "ping"] {
                for basis in ["consent", "emergency"] {
                    let label = format!("{day_name} {item_name} {op} {basis}");
                    ask(label, claims("421202-331083-2020", item, op, basis), "331083", day);
                }
            }
        }
    }
    let good = |agreement| claims(agreement, NEWBORN, "license.query", "consent");
    ask("lapsed agreement, item elsewhere agreed".into(), good("421202-331083-2015"), "331083", TODAY);
    ask("no such agreement".into(), good("421202-331083-1999"), "331083", TODAY);
    ask("a third region".into(), good("421202-331083-2020"), "320922", TODAY);
    ask("ourselves".into(), good("421202-331083-2020"), "421202", TODAY);
    insta::assert_snapshot!(table, @r"
    before agreed license.query consent             NoAgreement
    before agreed license.query emergency           NoAgreement
    before agreed ping consent                      NoAgreement
    before agreed ping emergency                    NoAgreement
    before lapsed's license.query consent           NoAgreement
    before lapsed's license.query emergency         NoAgreement
    before lapsed's ping consent                    NoAgreement
    before lapsed's ping emergency                  NoAgreement
    before nobody's license.query consent           NoAgreement
    before nobody's license.query emergency         NoAgreement
    before nobody's ping consent                    NoAgreement
    before nobody's ping emergency                  NoAgreement
    first agreed license.query consent              granted
    first agreed license.query emergency            BasisNotAgreed
    first agreed ping consent                       OpNotAgreed
    first agreed ping emergency                     OpNotAgreed
    first lapsed's license.query consent            ItemNotAgreed
    first lapsed's license.query emergency          ItemNotAgreed
    first lapsed's ping consent                     ItemNotAgreed
    first lapsed's ping emergency                   ItemNotAgreed
    first nobody's license.query consent            UnknownItem
    first nobody's license.query emergency          UnknownItem
    first nobody's ping consent                     UnknownItem
    first nobody's ping emergency                   UnknownItem
    last agreed license.query consent               granted
    last agreed license.query emergency             BasisNotAgreed
    last agreed ping consent                        OpNotAgreed
    last agreed ping emergency                      OpNotAgreed
    last lapsed's license.query consent             ItemNotAgreed
    last lapsed's license.query emergency           ItemNotAgreed
    last lapsed's ping consent                      ItemNotAgreed
    last lapsed's ping emergency                    ItemNotAgreed
    last nobody's license.query consent             UnknownItem
    last nobody's license.query emergency           UnknownItem
    last nobody's ping consent                      UnknownItem
    last nobody's ping emergency                    UnknownItem
    after agreed license.query consent              NoAgreement
    after agreed license.query emergency            NoAgreement
    after agreed ping consent                       NoAgreement
    after agreed ping emergency                     NoAgreement
    after lapsed's license.query consent            NoAgreement
    after lapsed's license.query emergency          NoAgreement
    after lapsed's ping consent                     NoAgreement
    after lapsed's ping emergency                   NoAgreement
    after nobody's license.query consent            NoAgreement
    after nobody's license.query emergency          NoAgreement
    after nobody's ping consent                     NoAgreement
    after nobody's ping emergency                   NoAgreement
    lapsed agreement, item elsewhere agreed         NoAgreement
    no such agreement                               NoAgreement
    a third region                                  NoAgreement
    ourselves                                       NoAgreement
    ");
}

#[test]
fn a_lower_case_x_in_a_code_is_the_same_code() {
    let mut value = agreement_json();
    let code = "11440703TECT0006X84000709001000";
    value["items"][0]["code"] = json!(code);
    let policy = policy_of(std::slice::from_ref(&value));
    let asked = claims("421202-331083-2020", &code.replace('X', "x"), "license.query", "consent");
    assert!(policy.authorize(&asked, &region("331083"), &region("421202"), TODAY).is_ok());
}

#[test]
fn a_grant_permits_type_mode_region_and_fields_in_this_order() {
    let grant = granted();
    let me = region("421202");
    let ask = |kind: &str, mode: &str, fields: &[&str], me: &Region, known: bool| {
        grant.license(kind, mode, fields.iter().copied(), me, known).map(|_| ())
    };
    assert_eq!(ask(MARRIAGE, "read", &["cert_no"], &me, true), Ok(()));
    assert_eq!(
        ask("11421202TECT000191099", "read", &["x"], &me, false),
        Err(PolicyFault::UnknownLicenseType)
    );
    assert_eq!(ask("11421202TECT000191099", "read", &["x"], &me, true), Err(PolicyFault::LicenseNotAgreed));
    assert_eq!(ask(BIRTH, "read", &["x"], &me, false), Err(PolicyFault::LicenseNotAgreed), "lapsed names it");
    assert_eq!(ask(MARRIAGE, "verify", &["x"], &me, true), Err(PolicyFault::LicenseNotAgreed));
    assert_eq!(ask(MARRIAGE, "read", &["x"], &region("320922"), true), Err(PolicyFault::LicenseNotAgreed));
    assert_eq!(ask(MARRIAGE, "read", &["cert_no", "photo"], &me, true), Err(PolicyFault::FieldNotAgreed));
}

#[test]
fn the_ways_that_remain_are_the_agreements_in_its_order() {
    let ways = |value: &Value| {
        let policy = policy_of(std::slice::from_ref(value));
        let claims = claims("421202-331083-2020", NEWBORN, "license.query", "consent");
        let grant = policy.authorize(&claims, &region("331083"), &region("421202"), TODAY).unwrap();
        let permit = grant.license(MARRIAGE, "read", ["cert_no"], &region("421202"), true).unwrap();
        permit.ways().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ways(&agreement_json()), "upload timed_verification");
    let mut without = agreement_json();
    without["items"][0]["materials"] = json!([]);
    assert_eq!(ways(&without), "timed_verification commitment upload");
}

#[test]
fn the_table_speaks_to_lawyers() {
    let table = Agreement::from_value(&agreement_json()).unwrap().table();
    let head = table.head.iter().map(|(label, value)| format!("{label}：{value}")).collect::<Vec<_>>();
    insta::assert_snapshot!(format!("{}\n\n{}", head[..5].join("\n"), table.items[0].cells().join("\n--\n")), @r"
    协议编号：421202-331083-2020
    名称：咸安—玉环跨省联办协议
    各方：421202、331083
    有效期：2020-08-01 至 2030-07-31（含当日，北京时间）
    用量上限：每秒 50 次，突发 100 次，并发 64 个，每日 200000 次

    新生儿户口登记
    11421202TECT0001914000709001000
    --
    多地联办
    办理：421202
    收件：331083
    --
    本人授权
    --
    证照查询核验
    --
    111000000000131433001（读取；答复方 331083、421202）：cert_no、registered_on
    --
    M2 结婚证（必要）：数据共享 → 上传材料 → 部门限时核验
    --
    法定 20 个工作日
    承诺 5 个工作日
    核验 2 个工作日
    自办理地收到起算
    ");
}

mod quotas {
    use super::*;

    const LIMITS: Limits = Limits { requests_per_second: 10, burst: 3, concurrent: 2, per_day: 100_000 };

    fn at(ms: i64) -> Now {
        Now::from_ms(1_900_000_000_000 + ms)
    }

    impl Quotas {
        fn partner(&self, partner: &Region, limits: Limits, now: Now) -> Result<QuotaPermit, Limited> {
            self.take(quota::Metered::Partner(*partner), limits, now)
        }
    }

    fn refused(result: Result<QuotaPermit, Limited>) -> Limited {
        result.map(|_| ()).unwrap_err()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let quotas = Quotas::new();
        let partner = region("331083");
        for _ in 0..3 {
            drop(quotas.partner(&partner, LIMITS, at(0)).unwrap());
        }
        let limited = refused(quotas.partner(&partner, LIMITS, at(0)));
        assert_eq!(limited, Limited { exceeded: Exceeded::Rate, retry_after_secs: 1 });
        assert!(quotas.partner(&partner, LIMITS, at(99)).is_err());
        assert!(quotas.partner(&partner, LIMITS, at(100)).is_ok());
        assert!(quotas.partner(&region("320922"), LIMITS, at(100)).is_ok(), "another partner has its own");
    }

    #[test]
    fn over_a_minute_no_more_than_rate_and_burst_pass() {
        let quotas = Quotas::new();
        let passed =
            (0..60_000).filter(|ms| quotas.partner(&region("331083"), LIMITS, at(*ms)).is_ok()).count();
        assert!((600..=603).contains(&passed), "{passed}");
    }

    #[test]
    fn a_dropped_permit_gives_its_place_back() {
        let quotas = Quotas::new();
        let partner = region("331083");
        let first = quotas.partner(&partner, LIMITS, at(0)).unwrap();
        let _second = quotas.partner(&partner, LIMITS, at(0)).unwrap();
        assert_eq!(refused(quotas.partner(&partner, LIMITS, at(0))).exceeded, Exceeded::Concurrency);
        drop(first);
        assert!(quotas.partner(&partner, LIMITS, at(0)).is_ok(), "the refusal cost no token");
    }

    #[test]
    fn the_day_ends_at_midnight_in_shanghai() {
        let mut value = agreement_json();
        value["quota"] = json!({"requests_per_second": 1000, "burst": 1000, "concurrent": 9, "per_day": 2});
        let policy = policy_of(std::slice::from_ref(&value));
        let asked = claims("421202-331083-2020", NEWBORN, "license.query", "consent");
        let partner = region("331083");
        let grant = policy.authorize(&asked, &partner, &region("421202"), TODAY).unwrap();
        let quotas = Quotas::new();
        let evening = Now::from_secs(1_785_599_990); // 2026-08-01T23:59:50+08:00
        for _ in 0..2 {
            drop(quotas.enter(&grant, partner, evening).unwrap());
        }
        let limited = refused(quotas.enter(&grant, partner, evening));
        assert_eq!(limited, Limited { exceeded: Exceeded::Day, retry_after_secs: 10 });
        let morning = Now::from_secs(evening.secs() + 10);
        assert!(quotas.enter(&grant, partner, morning).is_ok());
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out() {
        let quotas = Quotas::new();
        let partner = region("331083");
        drop(quotas.partner(&partner, LIMITS, at(3_600_000)).unwrap());
        let limited = refused(quotas.partner(&partner, LIMITS, at(0)));
        assert_eq!(limited.retry_after_secs, 1);
        assert!(quotas.partner(&partner, LIMITS, at(100)).is_ok());
    }

    #[test]
    fn meters_do_not_grow_without_bound_and_idle_ones_make_room() {
        let quotas = Quotas::new();
        let all = || (0..1_000_000_u32).step_by(37).map(|n| Region::parse(&format!("{n:06}")));
        let meters = || quotas.meters();
        for partner in all().flatten() {
            drop(quotas.partner(&partner, LIMITS, at(0)));
        }
        assert!(meters() <= 16 * 1_024);
        let tomorrow = at(86_400_000);
        assert!(quotas.partner(&region("331083"), LIMITS, tomorrow).is_ok());
    }

    #[test]
    fn the_budget_is_the_most_generous_of_the_agreements_in_force() {
        let mut generous = lapsed_json();
        generous["valid_to"] = json!("2027-12-31");
        generous["quota"]["requests_per_second"] = json!(80);
        generous["quota"]["concurrent"] = json!(8);
        let files = [agreement_json(), generous];
        let policy = policy_of(&files);
        let budget = |day| policy.budget(&region("331083"), &region("421202"), day);
        let both = budget(TODAY);
        assert_eq!((both.requests_per_second, both.concurrent), (80, 64));
        assert_eq!(budget(date(2028, 1, 1)).requests_per_second, 50);
        assert_eq!(policy.budget(&region("320922"), &region("421202"), TODAY), Limits::DEFAULT);
    }
}

#[test]
fn the_basis_of_a_grant_is_the_one_asked() {
    assert_eq!(granted().basis(), Basis::Consent);
}
