//! The papers of the demonstration: agreement, licenses, the family's application. Synthetic,
//! every number of them.

use jiff::civil::Date;
use serde_json::{Value, json};

use crate::cli::Stop;
use crate::clock::Now;
use crate::domain::{Calendar, LicenseId, ResidentId};

/// 结婚证.
pub const MARRIAGE: &str = "111000000000131433001";
const BIRTH: &str = "11421202TECT000191001";
pub const HOUSEHOLD: &str = "11421202TECT000191002";
const RESIDENCE: &str = "11421202TECT000191003";
const ID_CARD: &str = "11100000000013127D001";

pub const ITEM: &str = "11421202TECT0001914000709001000";
pub const AGREEMENT: &str = "421202-331083-2020";
/// 咸安's police, who decide.
pub const OFFICE: &str = "11421202TECT000191";
/// 玉环's window, who collects.
pub const WINDOW: &str = "11331083TECT000279";
/// The father, who holds the licenses of the lookups; somebody without any; the mother.
pub const CITIZEN: &str = "42120219000101001X";
pub const OTHER: &str = "440703190303039973";
pub const MOTHER: &str = "150421190202029984";

/// One synthetic license of every type.
const LICENSES: &str = include_str!("../../../tests/vectors/licenses.jsonl");

const SECONDS_A_DAY: i64 = 86_400;
/// How old the newborn is.
const DAYS_OLD: i64 = 20;

/// Fields that the item needs of each license.
const FIELDS: [(&str, &[&str]); 5] = [
    (MARRIAGE, &["cert_no", "registered_on", "authority", "op_type"]),
    (BIRTH, &["cert_no", "newborn_name", "sex", "born_at"]),
    (ID_CARD, &["name", "id_number"]),
    (HOUSEHOLD, &["household_type", "head_name", "address"]),
    (RESIDENCE, &["residence_address"]),
];

/// The agreement of protocol §5, for the one item of the story.
pub fn agreement() -> Value {
    let licenses = FIELDS.map(|(kind, fields)| {
        json!({"type": kind, "holder_region": ["331083", "421202"], "modes": ["read", "verify"], "fields": fields})
    });
    let all = ["shared_data", "timed_verification", "commitment", "upload"];
    let proven = ["shared_data", "timed_verification", "upload"];
    json!({
        "id": AGREEMENT, "parties": ["421202", "331083"], "name": "咸安—玉环跨省联办协议",
        "valid_from": "2020-08-01", "valid_to": "2099-07-31",
        "items": [{
            "code": ITEM, "name": "新生儿户口登记", "handling": "421202", "collecting": ["331083"],
            "mode": "multi_joint", "project_type": "2", "bases": ["consent"],
            "ops": ["license.query", "application.submit", "application.event", "application.status",
                "verification.request", "verification.answer"],
            "licenses": licenses,
            "materials": [
                {"code": "M1", "name": "出生医学证明", "necessity": "required", "license": BIRTH, "evidence": proven},
                {"code": "M2", "name": "结婚证", "necessity": "required", "license": MARRIAGE, "evidence": all},
                {"code": "M3", "name": "落户方户口簿", "necessity": "required", "license": HOUSEHOLD, "evidence": all},
                {"code": "M4", "name": "居住证", "necessity": "tolerant", "license": RESIDENCE, "evidence": all},
                {"code": "M5", "name": "申请表", "necessity": "optional", "evidence": ["upload"]},
                {"code": "M6", "name": "父亲身份证", "necessity": "required", "license": ID_CARD, "evidence": proven},
                {"code": "M7", "name": "母亲身份证", "necessity": "required", "license": ID_CARD, "evidence": proven},
                {"code": "M8", "name": "落户地址核实", "necessity": "required", "license": HOUSEHOLD,
                    "evidence": ["timed_verification", "upload"]},
            ],
            "form": "newborn-registration",
            "legal_limit": {"value": 20, "unit": "working_day"},
            "promise_limit": {"value": 5, "unit": "working_day"},
            "receipt_clock": "handling",
            "verification_limit": {"value": 2, "unit": "working_day"},
        }],
        "quota": {"requests_per_second": 50, "burst": 100, "concurrent": 64, "per_day": 200_000},
    })
}

/// 咸安's register, a license a line: one of every type, and what this family holds.
pub fn licenses(now: Now) -> Result<String, Stop> {
    let mut lines = String::new();
    for mut license in shipped() {
        match license.get("type_code").and_then(Value::as_str) {
            Some(BIRTH) => born_lately(&mut license, now)?,
            Some(ID_CARD) => lines.push_str(&format!("{}\n", mothers_card(license.clone())?)),
            _ => {}
        }
        lines.push_str(&format!("{license}\n"));
    }
    Ok(lines)
}

fn shipped() -> impl Iterator<Item = Value> {
    LICENSES.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// The number on the marriage certificate among the licenses.
pub fn cert_no() -> String {
    let marriage = shipped().find(|license| license.get("type_code").is_some_and(|code| code == MARRIAGE));
    let number = marriage.and_then(|license| Some(license.pointer("/data/cert_no")?.as_str()?.to_owned()));
    number.unwrap_or_default()
}

/// The newborn of the story, born in 咸安 some weeks ago.
fn born_lately(certificate: &mut Value, now: Now) -> Result<(), Stop> {
    set(certificate, "license_id", license_id(BIRTH, "BIRTH0000000021", "001")?.into());
    set(certificate, "issuer_code", OFFICE.into());
    set(certificate, "area_code", "421202".into());
    for name in ["issued_on", "valid_from"] {
        set(certificate, name, days_from(now, 1 - DAYS_OLD).into());
    }
    if let Some(data) = certificate.get_mut("data") {
        set(data, "born_at", born_at(now).into());
        set(data, "issued_on", days_from(now, 1 - DAYS_OLD).into());
        set(data, "birth_place", "湖北省咸宁市咸安区".into());
    }
    Ok(())
}

fn mothers_card(mut card: Value) -> Result<Value, Stop> {
    set(&mut card, "license_id", license_id(ID_CARD, "T00000000021", "001")?.into());
    set(&mut card, "number", MOTHER.into());
    set(&mut card, "holders", json!([{"name": "测试乙", "type_code": "111", "code": MOTHER}]));
    if let Some(data) = card.get_mut("data") {
        for (name, value) in
            [("name", "测试乙"), ("sex", "2"), ("birth_date", "1902-02-02"), ("id_number", MOTHER)]
        {
            set(data, name, value.into());
        }
    }
    Ok(card)
}

/// The page of the household register that the decision brings: the newborn stands on it.
pub fn registered(now: Now) -> Result<(String, Value), Stop> {
    let register = shipped().find(|license| license.get("type_code").is_some_and(|code| code == HOUSEHOLD));
    let mut register = register.ok_or_else(|| Stop::failed("there is no household register"))?;
    let id = license_id(HOUSEHOLD, "T00000000002", "002")?;
    set(&mut register, "license_id", id.as_str().into());
    set(&mut register, "version", "002".into());
    let today = now.shanghai_day().to_string();
    for name in ["issued_on", "valid_from"] {
        set(&mut register, name, today.as_str().into());
    }
    if let Some(data) = register.get_mut("data") {
        set(data, "issued_on", today.into());
        if let Some(members) = data.get_mut("members").and_then(Value::as_array_mut) {
            let born = days_from(now, -DAYS_OLD);
            members.push(json!({"name": "测试戊", "relation": "30", "sex": "2", "ethnicity": "01",
                "id_number": nobodys_number(&born), "birth_date": born}));
        }
    }
    Ok((id, register))
}

/// A resident number that nobody has: the sequence 000 is never given out.
fn nobodys_number(born: &str) -> Option<String> {
    let body = format!("421202{}000", born.replace('-', ""));
    let candidates = "0123456789X".chars().map(|check| format!("{body}{check}"));
    candidates.into_iter().find(|number| ResidentId::parse(number, Date::MAX).is_ok())
}

fn license_id(kind: &str, serial: &str, version: &str) -> Result<String, Stop> {
    let id = LicenseId::compose(kind, OFFICE, serial, version).map_err(Stop::failed)?;
    Ok(id.as_str().to_owned())
}

fn born_at(now: Now) -> String {
    format!("{}T08:15:00+08:00", days_from(now, -DAYS_OLD))
}

/// The day so many days from now.
pub fn days_from(now: Now, days: i64) -> String {
    Now::from_secs(now.secs() + days * SECONDS_A_DAY).shanghai_day().to_string()
}

/// What the window hands in: the form, and per material what it takes to show it without paper.
pub struct Family<'a> {
    /// The parents' authorizations.
    pub father: &'a str,
    pub mother: &'a str,
    /// The attachment, as a material names it.
    pub upload: Value,
    pub case: &'a str,
    pub now: Now,
}

impl Family<'_> {
    /// The body of `POST /local/v1/applications`.
    pub fn application(&self) -> Value {
        let parent = |name: &str, number: &str| {
            json!({"name": name, "surname": "测", "id_type": "111", "id_number": number, "nationality": "CHN",
                "ethnicity": "01"})
        };
        json!({
            "to": "421202", "item": ITEM, "case": self.case, "basis": "consent", "operator": "YH0123",
            "agreement": AGREEMENT, "purpose": "新生儿户口登记",
            "body": {
                "mode": "multi_joint", "parent": null, "native": {"collecting": "YH2026101200017"},
                "collecting": {"region": "331083", "place": "331083001", "org": WINDOW, "officer": "YH0123",
                    "collected_at": self.now.secs(), "identity_check": "id_card_reader"},
                "handling": {"region": "421202", "org": OFFICE},
                "applicant": {"kind": "1", "name": "测试甲", "id_type": "111", "id_number": CITIZEN,
                    "mobile": "13900000000", "agent": null},
                "form": {
                    "newborn_name": "测试戊", "sex": "2", "born_at": born_at(self.now), "settle_with": "father",
                    "settle_region": "421202", "relation": "30", "birth_country": "CHN",
                    "birth_certificate_no": "Y420000001",
                    "father": parent("测试甲", CITIZEN), "mother": parent("测试乙", MOTHER),
                    "marriage": {"cert_no": cert_no(), "registered_on": "2026-01-05"},
                    "household": {"type": "家庭户", "head_name": "测试甲", "address": "湖北省咸宁市咸安区测试路1号"},
                    "residence": {"holder": "mother", "kind": "residence_permit", "region": "331083"},
                },
                "materials": self.materials(),
                "authorizations": [self.father, self.mother],
            },
        })
    }

    fn materials(&self) -> Value {
        let holder = |number: &str| json!({"holder": {"type": "111", "number": number}});
        let looked_up = |code: &str, kind: &str, number: &str, authorization: &str| {
            let fields = FIELDS.iter().find(|(known, _)| *known == kind).map(|(_, fields)| *fields);
            json!({"code": code, "license": holder(number), "fields": fields, "authorization": authorization})
        };
        let mut residence = looked_up("M4", RESIDENCE, MOTHER, self.mother);
        set(
            &mut residence,
            "commitment",
            json!({
                "text_digest": crate::case::digest_text(&json!("居住证告知承诺书(演示)")),
                "authorization": self.mother,
                "due": days_from(self.now, 10),
            }),
        );
        json!([
            looked_up("M1", BIRTH, CITIZEN, self.father),
            looked_up("M2", MARRIAGE, CITIZEN, self.father),
            looked_up("M3", HOUSEHOLD, CITIZEN, self.father),
            residence,
            {"code": "M5", "upload": self.upload},
            looked_up("M6", ID_CARD, CITIZEN, self.father),
            looked_up("M7", ID_CARD, MOTHER, self.mother),
            {"code": "M8", "license": holder(CITIZEN), "claims": {"address": "湖北省咸宁市咸安区测试路1号"},
                "question": "拟落户地址是否为家庭户且同意落户?"},
        ])
    }
}

/// Types and fields that a parent says yes to.
pub fn consent_of_father() -> (Vec<&'static str>, Vec<&'static str>) {
    consent(&[BIRTH, MARRIAGE, HOUSEHOLD, ID_CARD])
}

pub fn consent_of_mother() -> (Vec<&'static str>, Vec<&'static str>) {
    consent(&[RESIDENCE, ID_CARD])
}

fn consent(kinds: &[&'static str]) -> (Vec<&'static str>, Vec<&'static str>) {
    let mut fields: Vec<&str> = FIELDS
        .iter()
        .filter(|(kind, _)| kinds.contains(kind))
        .flat_map(|(_, fields)| fields.iter().copied())
        .collect();
    fields.sort_unstable();
    fields.dedup();
    (kinds.to_vec(), fields)
}

/// This year's and the next year's calendar where none is published: every weekday a working
/// day, said so in its title.
pub fn unpublished_years(now: Now) -> Vec<(i16, Value)> {
    let this = now.shanghai_day().year();
    let known: Vec<i16> = Calendar::shipped().years().map(|year| year.year).collect();
    let missing = [this, this.saturating_add(1)].into_iter().filter(|year| !known.contains(year));
    let made = |year: i16| {
        let calendar = json!({
            "year": year, "title": "Made up for the demonstration", "title_zh": "演示用,非国务院通知",
            "notice": "演示", "published": now.shanghai_day().to_string(),
            "off": [format!("{year}-01-01")], "work": [],
        });
        (year, calendar)
    };
    missing.map(made).collect()
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::domain::CalendarYear;
    use crate::license::register::import;
    use crate::policy::Agreement;
    use crate::schema::Catalog;

    #[test]
    fn the_papers_are_good_on_any_day_the_demonstration_runs() {
        assert!(Agreement::from_value(&agreement()).is_ok());
        for day in ["2026-11-22", "2026-12-31", "2031-03-01", "2032-02-29"] {
            let now =
                Now::from_ms(format!("{day}T04:00:00Z").parse::<jiff::Timestamp>().unwrap().as_millisecond());
            let dir = tempfile::tempdir().unwrap();
            let page = registered(now).unwrap().1;
            let lines = format!("{}{page}\n", licenses(now).unwrap());
            let report =
                import(&dir.path().join("register.db"), Cursor::new(lines), now.shanghai_day(), |_| {})
                    .unwrap();
            assert!(report.refused.is_empty(), "{day}: {:?}", report.refused);
            let years = unpublished_years(now);
            for (year, calendar) in &years {
                let read = Catalog::embedded().admit::<CalendarYear>(calendar);
                assert_eq!(read.map(|read| read.get().year).ok(), Some(*year), "{day}");
            }
            let next = now.shanghai_day().year() + 1;
            assert!(
                Calendar::shipped().years().any(|year| year.year == next)
                    || years.iter().any(|(year, _)| *year == next)
            );
        }
    }
}
