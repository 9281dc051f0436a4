use serde_json::{Value, json};

use super::*;
use crate::envelope::{Op, RequestClaims};
use crate::license::LicenseQuery;
use crate::schema::Share;

const TODAY: Date = jiff::civil::date(2026, 11, 22);

fn catalog() -> &'static Catalog {
    Catalog::embedded()
}

/// `value` with the members of `patch` put in (`null` removes one).
fn with(mut value: Value, patch: Value) -> Value {
    let Value::Object(patch) = patch else { panic!("a patch is an object") };
    for (name, new) in patch {
        match new {
            Value::Null => drop(value.as_object_mut().unwrap().remove(&name)),
            new => drop(value.as_object_mut().unwrap().insert(name, new)),
        }
    }
    value
}

/// `pointer rule` of every fault, in order.
fn told(result: Result<(), Vec<Fault>>) -> Vec<String> {
    result.err().unwrap_or_default().iter().map(|f| format!("{} {}", f.pointer, f.rule)).collect()
}

fn request() -> Value {
    json!({"ver":1,"iss":"urn:tongban:gw:331083","aud":"urn:tongban:gw:421202","iat":1_900_000_000,"exp":1_900_000_060,
        "jti":"0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22","op":"license.query",
        "item":"11421202TECT0001914000709001000","case":"K3310834212022026101200000001M",
        "basis":"consent","purpose":"新生儿户口登记核验父母婚姻状况","operator":"YH0123",
        "agreement":"421202-331083-2020","body":{},"authorization":"a.b.c"})
}

fn ping() -> Value {
    json!({"ver":1,"iss":"urn:tongban:gw:331083","aud":"urn:tongban:gw:421202","iat":1,"exp":2,
        "jti":"0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22","op":"ping","body":{}})
}

fn query() -> Value {
    json!({"license":{"type":"111000000000131433001","holder":{"type":"111","number":"42120219000101001X","name":"测试甲"}},
        "mode":"read","fields":["cert_no","registered_on"],"max_age":600})
}

fn marriage() -> Value {
    json!({"license_id":"1.2.156.3005.2.111000000000131433001.11331083TECT000279.J33108320260000001.001.N",
        "type_code":"111000000000131433001","name":"结婚证","number":"J331083-2026-000001","issuer_name":"测试民政局",
        "issuer_code":"11331083TECT000279","area_code":"331083","issued_on":"2026-01-05","valid_from":"2026-01-05",
        "valid_to":null,"long_term":true,"status":"01","version":"001",
        "holders":[{"name":"测试甲","type_code":"111","code":"42120219000101001x"},
                   {"name":"测试乙","type_code":"111","code":"150421190202029984"}],
        "data":{"cert_no":"J331083-2026-000001","registered_on":"2026-01-05","op_type":"IA","authority":"测试民政局"}})
}

#[test]
fn the_embedded_schemas_compile() {
    if let Err(fault) = Catalog::compile() {
        panic!("{fault}");
    }
}

#[test]
fn every_schema_is_titled_in_both_languages_and_closed() {
    for file in files::all() {
        let schema: Value = serde_json::from_str(file.text).unwrap();
        for name in ["title", "title_zh", "description", "description_zh"] {
            assert!(schema[name].as_str().is_some_and(|text| !text.is_empty()), "{}: {name}", file.name);
        }
        assert_eq!(schema["$id"], urn(file), "{}", file.name);
        lint(&schema, file.name);
    }
}

/// An object schema is closed or says why it is not; a pattern is anchored at its start and
/// compiles under the linear engine; a reference stays in the house.
fn lint(schema: &Value, at: &str) {
    if let Value::Object(members) = schema {
        let types = members.get("type").map(Value::to_string).unwrap_or_default();
        if types.contains("\"object\"") && !members.contains_key("x-open") {
            assert_eq!(members.get("additionalProperties"), Some(&Value::Bool(false)), "{at}");
        }
        if let Some(pattern) = members.get("pattern").and_then(Value::as_str) {
            assert!(pattern.starts_with('^'), "{at}");
            assert!(!pattern.contains("\\d") && !pattern.contains("\\w"), "{at}: not ASCII only");
            regex::Regex::new(pattern).unwrap();
        }
        if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
            assert!(reference.starts_with('#') || reference.starts_with("urn:tongban:schema:"), "{at}");
            assert_ne!(reference, "#", "{at}: says valid to everything");
        }
        members.iter().for_each(|(name, inner)| lint(inner, &format!("{at}/{name}")));
    } else if let Value::Array(entries) = schema {
        entries.iter().enumerate().for_each(|(i, inner)| lint(inner, &format!("{at}/{i}")));
    }
}

#[test]
fn the_request_of_the_protocol_is_admitted() {
    let claims: RequestClaims = catalog().admit(&request()).unwrap().into_inner();
    assert_eq!(claims.op, Op::LicenseQuery);
    let without = with(request(), json!({"case": null, "authorization": null}));
    assert!(catalog().admit::<RequestClaims>(&without).is_ok());
    assert_eq!(catalog().admit::<RequestClaims>(&ping()).unwrap().get().op, Op::Ping);
}

#[test]
fn all_faults_of_a_request_are_told_at_once() {
    let wrong = with(
        request(),
        json!({"ver": 2, "iss": "urn:tongban:gw:33108", "exp": 1_900_000_000, "jti": "short", "item": null,
               "purpose": "", "case": "K3310834212022026101200000001N", "extra/1": 1}),
    );
    let mut faults = told(catalog().check(Kind::Request, &wrong));
    faults.sort();
    assert_eq!(
        faults,
        [
            "/case case-number",
            "/exp expiry",
            "/extra~11 additionalProperties",
            "/iss pattern",
            "/item required",
            "/jti pattern",
            "/purpose minLength",
            "/ver const",
        ]
    );
}

#[test]
fn a_fault_never_repeats_the_value() {
    let secret = "42120219000101001Y";
    let mut wrong = query();
    wrong["license"]["holder"]["number"] = json!(secret);
    wrong["mode"] = json!(secret);
    wrong["fields"] = json!([secret, 7]);
    for fault in catalog().check(Kind::LicenseQuery, &wrong).unwrap_err() {
        assert!(!format!("{fault:?}").contains(secret), "{fault}");
    }
}

#[test]
fn at_most_twenty_faults_are_told() {
    let mut wrong = request();
    for i in 0..50 {
        wrong[format!("x{i}")] = json!(i);
    }
    assert_eq!(told(catalog().check(Kind::Request, &wrong)).len(), crate::fault::MOST_FAULTS);
}

#[test]
fn an_unserved_op_is_its_own_rule() {
    let wrong = with(request(), json!({"op": "license.delete"}));
    assert_eq!(told(catalog().check(Kind::Request, &wrong)), ["/op unknown-op"]);
}

#[test]
fn ping_has_its_eight_members_and_no_other() {
    for name in ["item", "case", "basis", "purpose", "operator", "agreement", "authorization"] {
        let wrong = with(ping(), json!({name: request()[name]}));
        assert_eq!(told(catalog().check(Kind::Request, &wrong)), [format!("/{name} additionalProperties")]);
    }
    for name in ["ver", "iss", "aud", "iat", "exp", "jti", "op", "body"] {
        let wrong = with(ping(), json!({name: null}));
        assert_eq!(told(catalog().check(Kind::Request, &wrong)), [format!("/{name} required")]);
    }
    assert!(catalog().check(Kind::Ping, &json!({})).is_ok());
    assert_eq!(told(catalog().check(Kind::Ping, &json!({"a": 1}))), ["/a additionalProperties"]);
}

#[test]
fn what_is_about_a_case_names_it_and_an_application_carries_its_authorizations_inside() {
    for op in Op::ALL.into_iter().filter(|op| op.is_application() || op.is_verification()) {
        let message = with(request(), json!({"op": op.name(), "authorization": null}));
        assert_eq!(told(catalog().check(Kind::Request, &message)), [""; 0], "{op:?}");
        for name in ["item", "case", "basis", "purpose", "operator", "agreement"] {
            let wrong = with(message.clone(), json!({name: null}));
            assert_eq!(told(catalog().check(Kind::Request, &wrong)), [format!("/{name} required")], "{op:?}");
        }
        let authorized =
            told(catalog().check(Kind::Request, &with(message, json!({"authorization": "a.b.c"}))));
        let refused = if op.is_application() { vec!["/authorization additionalProperties"] } else { vec![] };
        assert_eq!(authorized, refused, "{op:?}");
    }
}

#[test]
fn the_foreign_audience_is_a_matter_of_form_only() {
    assert!(
        catalog().check(Kind::Request, &with(request(), json!({"aud": "urn:tongban:gw:999999"}))).is_ok()
    );
}

#[test]
fn each_limit_of_the_envelope_has_two_sides() {
    let han = |n: usize| "户".repeat(n);
    for (patch, fault) in [
        (json!({"purpose": han(200)}), None),
        (json!({"purpose": han(201)}), Some("/purpose maxLength")),
        (json!({"operator": han(64)}), None),
        (json!({"operator": han(65)}), Some("/operator maxLength")),
        (json!({"iat": 0, "exp": 1}), None),
        (json!({"iat": -1}), Some("/iat minimum")),
        (json!({"exp": 9_007_199_254_740_992_i64}), None),
        (json!({"exp": 9_007_199_254_740_993_i64}), Some("/exp maximum")),
        (json!({"exp": 1_900_000_000}), Some("/exp expiry")),
        (json!({"ver": "1"}), Some("/ver ")),
        (json!({"agreement": "a b"}), Some("/agreement pattern")),
        (json!({"basis": "contract"}), Some("/basis enum")),
        (json!({"body": []}), Some("/body type")),
        (json!({"authorization": 7}), Some("/authorization type")),
        (json!({"jti": "a".repeat(64)}), None),
        (json!({"jti": "a".repeat(65)}), Some("/jti pattern")),
        (json!({"item": "11421202TECT0001924000709001000"}), Some("/item item-code")),
    ] {
        let faults = told(catalog().check(Kind::Request, &with(request(), patch.clone())));
        match fault {
            None => assert!(faults.is_empty(), "{patch}: {faults:?}"),
            Some(fault) => assert!(
                !faults.is_empty() && faults.iter().all(|f| f.starts_with(fault)),
                "{patch}: {faults:?}"
            ),
        }
    }
}

#[test]
fn a_query_names_its_license_in_one_way() {
    assert!(catalog().admit_on::<LicenseQuery>(&query(), TODAY).is_ok());
    let id = json!("1.2.156.3005.2.111000000000131433001.11331083TECT000279.J33108320260000001.001.N");
    let mut both = query();
    both["license"]["license_id"] = id.clone();
    assert_eq!(told(catalog().check(Kind::LicenseQuery, &both)), ["/license oneOf"]);
    let neither = with(query(), json!({"license": {"type": "111000000000131433001"}}));
    assert_eq!(told(catalog().check(Kind::LicenseQuery, &neither)), ["/license oneOf"]);
    let by_id = with(query(), json!({"license": {"type": "111000000000131433001", "license_id": id}}));
    assert!(catalog().check(Kind::LicenseQuery, &by_id).is_ok());
    let other = with(query(), json!({"license": {"type": "11421202TECT000191001", "license_id": id}}));
    assert_eq!(told(catalog().check(Kind::LicenseQuery, &other)), ["/license/license_id license-type"]);
}

#[test]
fn reading_and_verifying_have_different_members() {
    let verify = with(
        query(),
        json!({"mode": "verify", "fields": null, "expect": {"cert_no": "J331083-2026-000001"}}),
    );
    assert!(catalog().admit_on::<LicenseQuery>(&verify, TODAY).is_ok());
    for (value, faults) in [
        (with(verify.clone(), json!({"fields": ["cert_no"]})), vec!["/fields additionalProperties"]),
        (with(verify.clone(), json!({"expect": {}})), vec!["/expect minProperties"]),
        (with(verify.clone(), json!({"expect": {"cert_no": 1}})), vec!["/expect/cert_no type"]),
        (with(verify, json!({"expect": null})), vec!["/expect required"]),
        (with(query(), json!({"expect": {"cert_no": "x"}})), vec!["/expect additionalProperties"]),
        (with(query(), json!({"fields": null})), vec!["/fields required"]),
        (with(query(), json!({"fields": []})), vec!["/fields minItems"]),
        (with(query(), json!({"fields": ["a", "a"]})), vec!["/fields uniqueItems"]),
        (with(query(), json!({"max_age": 86401})), vec!["/max_age maximum"]),
        (with(query(), json!({"max_age": -1})), vec!["/max_age minimum"]),
    ] {
        assert_eq!(told(catalog().check(Kind::LicenseQuery, &value)), faults);
    }
    let many: Vec<_> = (0..65).map(|i| format!("f{i}")).collect();
    assert_eq!(
        told(catalog().check(Kind::LicenseQuery, &with(query(), json!({"fields": many})))),
        ["/fields maxItems"]
    );
}

#[test]
fn a_holder_number_is_judged_by_its_type() {
    for (kind, number, fault) in [
        ("111", "42120219000101001x", None),
        ("111", "421202190001010019", Some("/license/holder/number resident-id")),
        ("111", "４21202190001010019", Some("/license/holder/number resident-id")),
        ("001", "11421202TECT000191", None),
        ("001", "11421202TECT000192", Some("/license/holder/number uscc")),
        ("414", "E12345678", None),
        ("414", "E-1", Some("/license/holder/number holder-number")),
        ("888", "1", Some("/license/holder/type enum")),
    ] {
        let mut value = query();
        value["license"]["holder"] = json!({"type": kind, "number": number});
        let faults = told(catalog().check(Kind::LicenseQuery, &value));
        assert_eq!(faults, fault.into_iter().collect::<Vec<_>>(), "{kind} {number}");
    }
}

#[test]
fn a_query_is_admitted_with_its_id_number_in_capitals_and_no_birthday_to_come() {
    let mut value = query();
    value["license"]["holder"]["number"] = json!("42120219000101001x");
    let admitted = catalog().admit_on::<LicenseQuery>(&value, TODAY).unwrap();
    assert_eq!(admitted.get().license.holder.as_ref().unwrap().number, "42120219000101001X");
    value["license"]["holder"]["number"] = json!("331083209912310024");
    let faults = told(catalog().admit_on::<LicenseQuery>(&value, TODAY).map(drop));
    assert_eq!(faults, ["/license/holder/number resident-id"]);
}

#[test]
fn the_marriage_certificate_of_the_domain_reference_is_accepted() {
    let document = catalog().check_license(&marriage(), TODAY).unwrap();
    assert_eq!(document.holders[0].code, "42120219000101001X");
    assert_eq!(document.valid_to, None);
    assert_eq!(document.data["op_type"], "IA");
    let stored = serde_json::to_value(&document).unwrap();
    assert_eq!(catalog().check_license(&stored, TODAY).unwrap(), document);
}

#[test]
fn a_license_must_agree_with_itself() {
    let change = |patch| told(catalog().check_license(&with(marriage(), patch), TODAY).map(drop));
    assert_eq!(change(json!({"version": "002"})), ["/version license-id-part"]);
    assert_eq!(change(json!({"issuer_code": "11421202TECT000191"})), ["/issuer_code license-id-part"]);
    assert_eq!(change(json!({"long_term": false})), ["/valid_to long-term"]);
    assert_eq!(change(json!({"valid_to": "2026-01-04", "long_term": false})), ["/valid_to date-order"]);
    assert_eq!(change(json!({"type_code": "11421202TECT000191099"})), ["/type_code unknown-license-type"]);
    assert_eq!(change(json!({"holders": []})), ["/holders minItems"]);
    assert_eq!(change(json!({"status": "99"})), ["/status_description required"]);
    assert_eq!(change(json!({"area_code": "990101"})), ["/area_code address-code"]);
    assert_eq!(change(json!({"area_code": "331021"})), [""; 0]);
    assert_eq!(change(json!({"generated_at": "2026-01-04T10:00:00+08:00"})), ["/issued_on date-order"]);
    assert_eq!(
        change(json!({"holders": [{"name": "测试甲", "type_code": "111", "code": "421202190001010019"}]})),
        ["/holders/0/code resident-id"]
    );
    assert_eq!(
        change(json!({"holders": [{"name": "测试甲", "type_code": "111", "code": "331083209912310024"}]})),
        ["/holders/0/code resident-id"]
    );
    let faults = change(
        json!({"data": {"cert_no": "L331083-2026-000001", "registered_on": "2026-02-30", "op_type": "IA", "x": 1}}),
    );
    for fault in [
        "/data/cert_no pattern",
        "/data/registered_on date",
        "/data/authority required",
        "/data/x additionalProperties",
    ] {
        assert!(faults.contains(&fault.to_owned()), "{fault}: {faults:?}");
    }
}

#[test]
fn people_in_the_data_agree_with_their_id_numbers() {
    let card = json!({"name":"测试甲","sex":"1","ethnicity":"01","birth_date":"1900-01-01","address":"测试路1号",
        "id_number":"42120219000101001X","issuing_authority":"测试公安局","photo":"p1"});
    let document = |data: &Value| {
        let id = crate::domain::LicenseId::compose("11100000000013127D001", "11421202TECT000191", "1", "001")
            .unwrap();
        with(
            marriage(),
            json!({"license_id": id.as_str(), "type_code": "11100000000013127D001",
            "issuer_code": "11421202TECT000191", "data": data}),
        )
    };
    let judge = |patch| told(catalog().check_license(&document(&with(card.clone(), patch)), TODAY).map(drop));
    assert_eq!(judge(json!({})), [""; 0]);
    assert_eq!(judge(json!({"sex": "2"})), ["/data/sex id-number-part"]);
    assert_eq!(judge(json!({"birth_date": "1900-01-02"})), ["/data/birth_date id-number-part"]);
    assert_eq!(
        judge(json!({"sex": "2", "id_number": "150421190202029984", "birth_date": "1902-02-02"})),
        [""; 0]
    );
    let other = json!({"sex": "1", "id_number": "440703190303039973", "birth_date": "1903-03-03"});
    assert_eq!(judge(other), ["/data/id_number holder"]);
    let held = catalog().check_license(&document(&card), TODAY).unwrap();
    assert!(!held.data.contains_key("photo"), "a withheld field is not kept");
}

#[test]
fn each_license_type_says_what_the_gateway_must_know() {
    let codes: Vec<_> = catalog().license_types().map(LicenseType::code).collect();
    assert_eq!(codes.len(), 17);
    for license in catalog().license_types() {
        assert_eq!(crate::domain::check_type_code(license.code()), Ok(()), "{}", license.name());
        let ages = license.cache();
        assert!(ages.data_seconds <= 600 && ages.status_seconds <= 60 && ages.negative_seconds <= 30);
        assert!(!license.name().is_empty() && !license.name_en().is_empty() && !license.issuer().is_empty());
        assert!(license.fields().count() > 3 && license.fields().any(|field| license.shareable(field)));
        assert!(license.identifying().all(|field| license.fields().any(|f| f == field)));
        assert!(license.share() != Share::Unconditional || !license.sensitive());
    }
    let marriage = catalog().license_type("111000000000131433001").unwrap();
    assert_eq!((marriage.name(), marriage.share()), ("结婚证", Share::Conditional));
    assert!(marriage.shareable("cert_no") && !marriage.shareable("photo") && !marriage.shareable("x"));
}

#[test]
fn an_agreement_speaks_of_its_parties_only() {
    let agreement = json!({"id":"421202-331083-2020","parties":["421202","331083"],"name":"咸安—玉环跨省联办协议",
     "valid_from":"2020-08-01","valid_to":"2030-07-31",
     "items":[{"code":"11421202TECT0001914000709001000","name":"新生儿户口登记","handling":"421202","collecting":["331083"],
       "mode":"multi_joint","project_type":"2","bases":["consent"],
       "ops":["license.query","application.submit","application.event","application.status","verification.request","verification.answer"],
       "licenses":[{"type":"111000000000131433001","holder_region":["331083","421202"],"modes":["read","verify"],
                    "fields":["cert_no","registered_on","authority","op_type"]}],
       "materials":[{"code":"M2","name":"结婚证","necessity":"required","license":"111000000000131433001",
                     "evidence":["shared_data","timed_verification","commitment","upload"]}],
       "form":"newborn-registration","legal_limit":{"value":20,"unit":"working_day"},"promise_limit":{"value":5,"unit":"working_day"},
       "receipt_clock":"handling","verification_limit":{"value":2,"unit":"working_day"}}],
     "quota":{"requests_per_second":50,"burst":100,"concurrent":64,"per_day":200_000}});
    assert_eq!(told(catalog().check(Kind::Agreement, &agreement)), [""; 0]);
    let mut wrong = agreement;
    wrong["parties"] = json!(["421202", "320922"]);
    wrong["valid_to"] = json!("2020-07-31");
    let again = wrong["items"][0].clone();
    wrong["items"].as_array_mut().unwrap().push(again);
    assert_eq!(
        told(catalog().check(Kind::Agreement, &wrong)),
        [
            "/valid_to date-order",
            "/items/0/collecting/0 party",
            "/items/0/licenses/0/holder_region/0 party",
            "/items/1/collecting/0 party",
            "/items/1/licenses/0/holder_region/0 party",
            "/items/1/code uniqueItems",
        ]
    );
}

#[test]
fn card_and_authority_are_read_as_published() {
    let key =
        json!({"kty":"EC","crv":"P-256","x":"a","y":"b","alg":"ES256","kid":"a".repeat(43),"use":"sig"});
    let card = json!({"id":"urn:tongban:gw:421202","region":"421202","name":"咸宁市咸安区","endpoint":"https://127.0.0.1:8443",
      "tls":{"spki_sha256":["b".repeat(43)]},"jwks":{"keys":[key]},
      "ledger":{"origin":"tongban/421202/2026h2","vkey":"tongban/421202/2026h2+00000000+AAAA"},"contact":"…","status":"active"});
    assert_eq!(told(catalog().check(Kind::Card, &card)), [""; 0]);
    let historic = with(card.clone(), json!({"region":"331021","ledger":null}));
    let mut faults = told(catalog().check(Kind::Card, &historic));
    faults.sort();
    assert_eq!(faults, ["/region region"]);
    let mut private = card;
    private["jwks"]["keys"][0]["d"] = json!("secret");
    assert_eq!(told(catalog().check(Kind::Card, &private)), ["/jwks/keys/0/d additionalProperties"]);
    let authority = json!({"id":"urn:tongban:idp:mengsuban","name":"蒙速办","jwks":{"keys":[key]},
      "status_lists":[{"uri":"https://example.invalid/status/7","file":"status/7.jwt"}],"status":"active"});
    assert_eq!(told(catalog().check(Kind::Authority, &authority)), [""; 0]);
}

#[test]
fn the_authorization_of_the_protocol_is_accepted() {
    let digest = "c".repeat(43);
    let token = json!({"ver":1,"iss":"urn:tongban:idp:mengsuban","sub":"pw-1","aud":"urn:tongban:gw:421202",
      "client_id":"urn:tongban:gw:331083","iat":1,"nbf":1,"exp":901,"jti":"0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22","auth_time":1,"acr":"face",
      "holder":digest,"cnf":{"jkt":digest},
      "authorization_details":[{"type":"urn:tongban:license","actions":["read"],"datatypes":["111000000000131433001"],
        "fields":["cert_no","registered_on"],"item":"11421202TECT0001914000709001000","case":"K3310834212022026101200000001M",
        "purpose":"登记","max_uses":1,"retention_days":30},{"type":"urn:example:other","any":{"thing":1}}],
      "sensitive":true,"guardian":null,"notice":"N-2026-03","status":{"status_list":{"idx":4711,"uri":"https://example.invalid/status/7"}}});
    assert_eq!(told(catalog().check(Kind::Authorization, &token)), [""; 0]);
    let ward = with(token.clone(), json!({"guardian": {"holder": digest, "relation": "51"}}));
    assert_eq!(told(catalog().check(Kind::Authorization, &ward)), [""; 0]);
    let ward = with(token.clone(), json!({"guardian": {"holder": digest, "relation": "77"}}));
    assert_eq!(told(catalog().check(Kind::Authorization, &ward)), ["/guardian/relation enum"]);
    let mut wrong = token;
    wrong["authorization_details"][0]["max_uses"] = json!(101);
    wrong["authorization_details"][0]["more"] = json!(1);
    wrong["cnf"]["x5t"] = json!(1);
    let mut faults = told(catalog().check(Kind::Authorization, &wrong));
    faults.sort();
    assert_eq!(
        faults,
        [
            "/authorization_details/0/max_uses maximum",
            "/authorization_details/0/more additionalProperties",
            "/cnf/x5t additionalProperties"
        ]
    );
}

#[test]
fn a_response_holds_a_result_or_a_problem_by_its_status() {
    let digest = "d".repeat(43);
    let answer = json!({"ver":1,"iss":"urn:tongban:gw:421202","aud":"urn:tongban:gw:331083","iat":1,"exp":2,"jti":"0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22",
      "req":{"jti":"0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22","digest":digest},"op":"license.query","status":200,"result":{},
      "log":{"origin":"tongban/421202/2026h2","index":4711,"leaf":digest}});
    assert_eq!(told(catalog().check(Kind::Response, &answer)), [""; 0]);
    let problem = json!({"type":"urn:tongban:problem:replay","title":"Replay","title_zh":"重复","status":409,"code":"replay",
      "detail":"","retry":"no","trace":"t1","errors":[{"pointer":"","rule":"r","message":"m","message_zh":"中"}]});
    let refused = with(answer.clone(), json!({"status":409,"result":null,"problem":problem}));
    assert_eq!(told(catalog().check(Kind::Response, &refused)), [""; 0]);
    assert_eq!(
        told(catalog().check(Kind::Response, &with(answer.clone(), json!({"status":409})))),
        ["/problem required", "/result additionalProperties"]
    );
    assert_eq!(
        told(catalog().check(Kind::Response, &with(answer, json!({"result":null})))),
        ["/result required"]
    );
}

#[test]
fn a_result_is_found_with_licenses_or_not_found_with_ways() {
    let found = json!({"found":true,"source":"cache","as_of":1_900_000_000,"licenses":[{
      "license_id":"1.2.156.3005.2.111000000000131433001.11331083TECT000279.J33108320260000001.001.N","type":"111000000000131433001","name":"结婚证",
      "issuer":{"code":"11331083TECT000279","name":"测试民政局"},"issued_on":"2026-01-05","valid_from":"2026-01-05","valid_to":null,"long_term":true,
      "status":"01","data":{"cert_no":"J331083-2026-000001","registered_on":"2026-01-05"}}]});
    assert_eq!(told(catalog().check(Kind::LicenseResult, &found)), [""; 0]);
    let mut verified = found.clone();
    verified["licenses"][0]["data"] = json!(null);
    verified["licenses"][0] =
        with(verified["licenses"][0].clone(), json!({"data": null, "match": {"cert_no": true}}));
    assert_eq!(told(catalog().check(Kind::LicenseResult, &verified)), [""; 0]);
    let none = json!({"found":false,"source":"register","as_of":1,"licenses":[],"ways":["timed_verification","commitment","upload"]});
    assert_eq!(told(catalog().check(Kind::LicenseResult, &none)), [""; 0]);
    let contradiction = with(found, json!({"found": false, "ways": []}));
    assert_eq!(told(catalog().check(Kind::LicenseResult, &contradiction)), ["/licenses maxItems"]);
}

/// One synthetic license of every type.
fn licenses() -> Vec<Value> {
    let text = include_str!("../../../tests/vectors/licenses.jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_synthetic_license_of_every_type_is_accepted() {
    let mut seen = std::collections::BTreeSet::new();
    for document in licenses() {
        if let Err(faults) = catalog().check_license(&document, TODAY) {
            panic!(
                "{}: {}",
                document["name"],
                faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ")
            );
        }
        seen.insert(document["type_code"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen.len(), catalog().license_types().count());
}

#[test]
fn no_license_loses_a_required_field_or_gains_an_unknown_one() {
    for document in licenses() {
        let license = catalog().license_type(document["type_code"].as_str().unwrap()).unwrap();
        let data = &document["data"];
        let extra = with(data.clone(), json!({"unheard_of": 1}));
        assert_eq!(
            told(license.check_data(&extra)),
            ["/unheard_of additionalProperties"],
            "{}",
            license.name()
        );
        let empty = told(license.check_data(&json!({})));
        assert!(!empty.is_empty() && empty.iter().all(|f| f.ends_with(" required") || f.ends_with(" anyOf")));
        for field in data.as_object().unwrap().keys() {
            assert!(license.fields().any(|known| known == field), "{field}");
            let blank = with(data.clone(), json!({field: ""}));
            assert!(!told(license.check_data(&blank)).is_empty(), "{}: empty {field}", license.name());
        }
    }
}

#[test]
fn numbers_printed_on_licenses_have_their_form() {
    for (code, field, good, bad) in [
        ("111000000000131433001", "cert_no", "BJ331083-2026-000001", "J33108-2026-000001"),
        ("11421202TECT000191001", "cert_no", "Y420000001", "y420000001"),
        ("11421202TECT000191008", "cert_no", "42120219000101001X23B1", "42120219000101001X83"),
        ("11100000MB03271699001", "unit_no", "421202001001GB00001W00000000", "421202001001GB00001W00000001"),
        (
            "11100000MB03271699001",
            "cert_no",
            "鄂（2026）咸安区不动产权第0000001号",
            "鄂(2026)咸安区不动产权第001号",
        ),
        ("11421202TECT000191010", "licence_no", "JY23310830000013", "JY43310830000013"),
        ("11421202TECT000191011", "cert_no", "105111202605000001", "105112202605000001"),
        ("11421202TECT000191006", "vin", "LSVAA49J132047371", "LSVAA49J13204737I"),
    ] {
        let document = licenses().into_iter().find(|d| d["type_code"] == code).unwrap();
        let license = catalog().license_type(code).unwrap();
        let judge =
            |number: &str| told(license.check_data(&with(document["data"].clone(), json!({field: number}))));
        assert_eq!(judge(good), [""; 0], "{good}");
        assert_eq!(judge(bad).len(), 1, "{bad}");
    }
}

/// Any JSON, with the names our schemas know often among its members.
fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        "[0-9X]{18}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let name = prop_oneof![
            "[a-z~/]{0,6}",
            proptest::sample::select(vec![
                "license", "holder", "type", "number", "items", "data", "exp", "iat"
            ])
            .prop_map(str::to_owned),
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(name, inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn no_document_makes_the_catalog_panic(value in any_json()) {
        for kind in Kind::ALL {
            let faults = catalog().check(kind, &value).err().unwrap_or_default();
            assert!(faults.len() <= crate::fault::MOST_FAULTS);
        }
        let _ = catalog().check_license(&value, TODAY);
        for mut document in licenses() {
            document["data"] = value.clone();
            let _ = catalog().check_license(&document, TODAY);
        }
    }
}
