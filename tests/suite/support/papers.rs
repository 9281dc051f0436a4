//! The papers of this world: people, licenses, an agreement. All of it is synthetic
//! (`reference/domain.md` §3, §11).

use serde_json::{Value, json};

/// 咸安, which answers.
pub const XIANAN: &str = "421202";
/// 玉环, which asks.
pub const YUHUAN: &str = "331083";
/// 滨海: a member without an agreement.
pub const BINHAI: &str = "320922";

pub const AGREEMENT: &str = "421202-331083-2020";
/// 新生儿户口登记: consent only.
pub const ITEM: &str = "11421202TECT0001914000709001000";
/// 住房公积金异地贷款核验: statutory duty and emergency as well.
pub const DUTY_ITEM: &str = "11421202TECT0001914000709002000";
/// In the agreement, but without `license.query`.
pub const QUIET_ITEM: &str = "11421202TECT0001914000709003000";
/// In another, lapsed agreement only.
pub const LAPSED_ITEM: &str = "11421202TECT0001914000709004000";
/// In no agreement.
pub const NO_ITEM: &str = "11421202TECT0001914000709009000";
pub const CASE: &str = "K3310834212022026101200000001M";

pub const MARRIAGE: &str = "111000000000131433001";
pub const BUSINESS: &str = "11100000MB0143028R001";
/// Sensitive.
pub const HOUSEHOLD: &str = "11421202TECT000191002";
/// A type that has a schema here and stands in no agreement.
pub const DIVORCE: &str = "11421202TECT000191004";
/// A well-formed type code that nobody here knows.
pub const NO_TYPE: &str = "11421202TECT000191999";

/// 测试·甲, married to 测试乙.
pub const JIA: &str = "42120219000101001X";
pub const YI: &str = "150421190202029984";
/// 测试丙, whose marriage certificate was revoked.
pub const BING: &str = "440703190303039973";
/// Nobody's license holder.
pub const DING: &str = "320922190101019993";
/// A child, for guardians.
pub const WARD: &str = "331021190402290047";
pub const COMPANY: &str = "91320922MATECT015U";

const ISSUER: &str = "11331083TECT000279";
/// 测试·甲's marriage certificate.
pub const MARRIAGE_ID: &str =
    "1.2.156.3005.2.111000000000131433001.11331083TECT000279.J33108320260000001.001.N";

pub fn license_id(kind: &str, serial: &str, version: &str) -> String {
    tongban::domain::LicenseId::compose(kind, ISSUER, serial, version).unwrap().as_str().to_owned()
}

fn document(kind: &str, name: &str, serial: &str, number: &str, holders: Value, data: Value) -> Value {
    json!({
        "license_id": license_id(kind, serial, "001"), "type_code": kind, "name": name, "number": number,
        "issuer_name": "测试民政局", "issuer_code": ISSUER, "area_code": "331083", "issued_on": "2026-01-05",
        "valid_from": "2026-01-05", "valid_to": null, "long_term": true, "status": "01", "version": "001",
        "holders": holders, "data": data
    })
}

pub fn marriage() -> Value {
    document(
        MARRIAGE,
        "结婚证",
        "J33108320260000001",
        "J331083-2026-000001",
        json!([{"name": "测试·甲", "type_code": "111", "code": JIA},
               {"name": "测试乙", "type_code": "111", "code": YI}]),
        json!({
            "cert_no": "J331083-2026-000001", "registered_on": "2026-01-05", "op_type": "IA",
            "authority": "测试民政局",
            "man": {"name": "测试·甲", "id_type": "111", "id_number": JIA, "birth": "1900-01-01", "nationality": "156"},
            "woman": {"name": "测试乙", "id_type": "111", "id_number": YI, "birth": "1902-02-02", "nationality": "156"}
        }),
    )
}

/// The same certificate as its register would give it later: version 002, revoked.
pub fn marriage_revoked_later() -> Value {
    let mut license = marriage();
    license["license_id"] = license_id(MARRIAGE, "J33108320260000001", "002").into();
    license["version"] = "002".into();
    license["status"] = "03".into();
    license
}

pub fn revoked_marriage() -> Value {
    let mut license = document(
        MARRIAGE,
        "结婚证",
        "J33108320260000002",
        "J331083-2026-000002",
        json!([{"name": "测试丙", "type_code": "111", "code": BING}]),
        json!({"cert_no": "J331083-2026-000002", "registered_on": "2026-01-05", "op_type": "IA",
               "authority": "测试民政局"}),
    );
    license["status"] = "03".into();
    license
}

/// Past its day, and said so by its status.
pub fn expired_household() -> Value {
    let mut license = document(
        HOUSEHOLD,
        "居民户口簿",
        "H0000000001",
        "H-0000000001",
        json!([{"name": "测试·甲", "type_code": "111", "code": JIA}]),
        json!({"household_type": "家庭户", "head_name": "测试·甲", "household_no": "000000001",
               "address": "咸安区测试路1号", "registrar": "测试派出所"}),
    );
    license["status"] = "05".into();
    license["long_term"] = false.into();
    license["valid_to"] = "2027-01-05".into();
    license
}

pub fn business() -> Value {
    document(
        BUSINESS,
        "营业执照",
        "0000000016",
        "0000000016",
        json!([{"name": "测试有限公司", "type_code": "001", "code": COMPANY}]),
        json!({"uscc": COMPANY, "name": "测试有限公司", "type": "有限责任公司", "legal_person": "测试乙",
               "established_on": "2026-01-05", "domicile": "滨海县测试路2号", "scope": "测试",
               "registry": "测试市场监督管理局", "issued_on": "2026-01-05"}),
    )
}

pub fn licenses() -> Vec<Value> {
    vec![marriage(), revoked_marriage(), expired_household(), business()]
}

fn terms(kind: &str, fields: &[&str]) -> Value {
    json!({"type": kind, "holder_region": [YUHUAN, XIANAN], "modes": ["read", "verify"], "fields": fields})
}

/// The agreement of protocol §5, with two further items.
pub fn agreement() -> Value {
    let item = |code: &str, name: &str, bases: Value, ops: Value, licenses: Value| {
        json!({"code": code, "name": name, "handling": XIANAN, "collecting": [YUHUAN], "mode": "multi_joint",
            "project_type": "2", "bases": bases, "ops": ops, "licenses": licenses, "materials": []})
    };
    let lookups = json!(["license.query"]);
    let household = ["household_type", "head_name", "household_no", "address", "members"];
    let mut newborn = item(
        ITEM,
        "新生儿户口登记",
        json!(["consent"]),
        lookups.clone(),
        json!([
            terms(MARRIAGE, &["cert_no", "registered_on", "authority", "op_type", "photo"]),
            terms(HOUSEHOLD, &household),
            {"type": BUSINESS, "holder_region": [YUHUAN], "modes": ["read", "verify"], "fields": ["uscc", "name"]}
        ]),
    );
    newborn["materials"] = json!([{"code": "M2", "name": "结婚证", "necessity": "required", "license": MARRIAGE,
        "evidence": ["shared_data", "commitment", "timed_verification", "upload"]}]);
    let duty = item(
        DUTY_ITEM,
        "住房公积金异地贷款核验",
        json!(["consent", "statutory_duty", "emergency"]),
        lookups,
        json!([
            {"type": MARRIAGE, "holder_region": [XIANAN], "modes": ["verify"], "fields": ["cert_no"]},
            terms(BUSINESS, &["uscc", "name", "scope"]),
            terms(HOUSEHOLD, &household)
        ]),
    );
    let quiet = item(QUIET_ITEM, "证件补领", json!(["consent"]), json!(["application.submit"]), json!([]));
    json!({
        "id": AGREEMENT, "parties": [XIANAN, YUHUAN], "name": "咸安—玉环跨省联办协议",
        "valid_from": "2020-08-01", "valid_to": "2030-07-31", "items": [newborn, duty, quiet],
        "quota": {"requests_per_second": 1000, "burst": 2000, "concurrent": 1000, "per_day": 200_000}
    })
}

/// An agreement between the same two that has ended; names an item of its own and one more.
pub fn lapsed_agreement() -> Value {
    let mut lapsed = agreement();
    lapsed["id"] = "421202-331083-2010".into();
    lapsed["valid_from"] = "2010-08-01".into();
    lapsed["valid_to"] = "2020-07-31".into();
    lapsed["items"][1]["code"] = LAPSED_ITEM.into();
    lapsed["items"].as_array_mut().unwrap().truncate(2);
    lapsed
}

/// The same agreement of 咸安 with somebody else.
pub fn others_agreement() -> Value {
    agreement().to_string().replace(YUHUAN, "150421").parse().unwrap()
}
