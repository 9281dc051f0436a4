//! What JSON Schema cannot say: members that must agree with each other, and identifiers
//! whose form depends on another member. Every rule looks at the value as it came and
//! keeps quiet about members whose shape the schema has already faulted.

use jiff::civil::Date;
use serde_json::Value;

use super::Kind;
use super::license_type::LicenseType;
use super::telling::{Faults, member};
use crate::domain::{self, IdentifierFault, LicenseId, ResidentId, Sex, is_id_number};
use crate::fault::Fault;

/// Whether birthdays inside ID numbers are compared with a day.
#[derive(Clone, Copy)]
pub(super) enum Birthdays {
    UpTo(Date),
    NotCompared,
}

pub(super) fn check(kind: Kind, value: &Value, birthdays: Birthdays, faults: &mut Faults) {
    match kind {
        Kind::Request | Kind::Response | Kind::Authorization => expiry(value, faults),
        Kind::LicenseQuery | Kind::VerificationRequest => query(value, birthdays, faults),
        Kind::ApplicationSubmit => submit(value, birthdays, faults),
        Kind::Agreement => agreement(value, faults),
        Kind::Reconcile => window(value, faults),
        Kind::CalendarYear => super::calendar::check(value, faults),
        Kind::Card
        | Kind::Problem
        | Kind::Ping
        | Kind::LicenseResult
        | Kind::ApplicationEvent
        | Kind::ApplicationReceipt
        | Kind::ApplicationStatus
        | Kind::ApplicationStatusResult
        | Kind::VerificationAnswer
        | Kind::VerificationReceipt
        | Kind::ReconcileResult
        | Kind::Authority
        | Kind::LicenseHeader => {}
    }
}

/// `exp` > `iat` (protocol §3).
fn expiry(value: &Value, faults: &mut Faults) {
    let time = |name| value.get(name).and_then(Value::as_i64);
    if let (Some(iat), Some(exp)) = (time("iat"), time("exp"))
        && exp <= iat
    {
        faults.push(Fault::new("/exp", "expiry", "is not later than iat", "不晚于iat"));
    }
}

/// From one minute to one hour (protocol §7.4).
fn window(value: &Value, faults: &mut Faults) {
    let time = |pointer| value.pointer(pointer).and_then(Value::as_i64);
    if let (Some(from), Some(to)) = (time("/window/from"), time("/window/to"))
        && !(60..=3_600).contains(&to.saturating_sub(from))
    {
        let words = ("is not one minute to one hour after from", "须晚于from一分钟至一小时");
        faults.push(Fault::new("/window/to", "window", words.0, words.1));
    }
}

/// The holder's number by its type, and a license id of the type asked for (protocol §4, §12).
fn query(value: &Value, birthdays: Birthdays, faults: &mut Faults) {
    let Some(license) = value.get("license") else { return };
    if let Some(holder) = license.get("holder")
        && let (Some(kind), Some(number)) = (text(holder, "type"), text(holder, "number"))
    {
        number_of(kind, number, birthdays, "/license/holder/number", faults);
    }
    if let (Some(kind), Some(id)) = (text(license, "type"), text(license, "license_id"))
        && domain::license_type_of(id).is_some_and(|of| of != kind)
    {
        let words = ("is of another type than the license asked for", "与所查证照类型不同");
        faults.push(Fault::new("/license/license_id", "license-type", words.0, words.1));
    }
}

/// The applicant's and the agent's numbers by their types, and no material twice (protocol §6.1).
fn submit(value: &Value, birthdays: Birthdays, faults: &mut Faults) {
    for (person, at) in
        [("/applicant", "/applicant/id_number"), ("/applicant/agent", "/applicant/agent/id_number")]
    {
        let Some(person) = value.pointer(person) else { continue };
        if let (Some(kind), Some(number)) = (text(person, "id_type"), text(person, "id_number")) {
            number_of(kind, number, birthdays, at, faults);
        }
    }
    let mut seen = std::collections::HashSet::new();
    for (i, material) in value.get("materials").and_then(Value::as_array).into_iter().flatten().enumerate() {
        if text(material, "code").is_some_and(|code| !seen.insert(code)) {
            let pointer = format!("/materials/{i}/code");
            faults.push(Fault::new(pointer, "uniqueItems", "names a material a second time", "材料重复"));
        }
    }
}

/// A number as its document type demands; a type the code list lacks is the schema's fault.
fn number_of(kind: &str, number: &str, birthdays: Birthdays, pointer: &str, faults: &mut Faults) {
    let judged = match birthdays {
        Birthdays::UpTo(today) if is_id_number(kind) => {
            domain::check_holder(kind, number).and_then(|()| ResidentId::parse(number, today).map(drop))
        }
        _ => domain::check_holder(kind, number),
    };
    let format = match kind {
        "001" => "uscc",
        _ if is_id_number(kind) => "resident-id",
        _ => "holder-number",
    };
    if let Err(fault) = judged {
        faults.identifier(pointer, format, fault);
    }
}

/// Regions must be parties, days in order, items named once (protocol §5).
fn agreement(value: &Value, faults: &mut Faults) {
    in_order(value, "valid_from", "valid_to", "", faults);
    let Some(parties) = value.get("parties").and_then(Value::as_array) else { return };
    let items = value.get("items").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut party = |region: &Value, pointer: String| {
        if region.is_string() && !parties.contains(region) {
            faults.push(Fault::new(pointer, "party", "is no party of the agreement", "不是协议方"));
        }
    };
    let listed =
        |holder: &Value, name: &str| holder.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    for (i, item) in items.iter().enumerate() {
        if let Some(handling) = item.get("handling") {
            party(handling, format!("/items/{i}/handling"));
        }
        for (j, region) in listed(item, "collecting").iter().enumerate() {
            party(region, format!("/items/{i}/collecting/{j}"));
        }
        for (j, license) in listed(item, "licenses").iter().enumerate() {
            for (k, region) in listed(license, "holder_region").iter().enumerate() {
                party(region, format!("/items/{i}/licenses/{j}/holder_region/{k}"));
            }
        }
    }
    let mut seen = std::collections::HashSet::new();
    for (i, item) in items.iter().enumerate() {
        if let Some(code) = text(item, "code")
            && !seen.insert(code)
        {
            let pointer = format!("/items/{i}/code");
            faults.push(Fault::new(pointer, "uniqueItems", "names an item a second time", "事项重复"));
        }
    }
}

/// The header agrees with the license id and with itself, the data with the header, and
/// every person in it with their ID number (domain reference §4.2, §6).
pub(super) fn license(document: &Value, license: &LicenseType, today: Date, faults: &mut Faults) {
    header(document, faults);
    for (i, holder) in document.get("holders").and_then(Value::as_array).into_iter().flatten().enumerate() {
        if let (Some(kind), Some(number)) = (text(holder, "type_code"), text(holder, "code")) {
            number_of(kind, number, Birthdays::UpTo(today), &format!("/holders/{i}/code"), faults);
        }
    }
    if let Some(data) = document.get("data") {
        people(data, "/data", today, faults);
        for (from, to) in [("valid_from", "valid_to"), ("term_from", "term_to"), ("issued_on", "valid_to")] {
            in_order(data, from, to, "/data", faults);
        }
        born_before_issue(data, faults);
        disability(data, faults);
        if let Some(field) = license.holder_number() {
            belongs_to_a_holder(document, data, field, faults);
        }
    }
}

fn header(document: &Value, faults: &mut Faults) {
    if let Some(id) = text(document, "license_id").and_then(|id| LicenseId::parse(id).ok()) {
        let parts = [
            ("type_code", id.type_code(), true),
            // Where a real id carries a region instead of a credit code, the two may differ.
            ("issuer_code", id.issuer_code(), id.issuer_code().len() == 18),
            ("version", id.version(), true),
        ];
        for (name, part, binding) in parts {
            if binding && text(document, name).is_some_and(|value| value != part) {
                let words = ("differs from the license id", "与电子证照标识不一致");
                faults.push(Fault::new(member("", name), "license-id-part", words.0, words.1));
            }
        }
    }
    in_order(document, "valid_from", "valid_to", "", faults);
    if let (Some(valid_to), Some(long_term)) =
        (document.get("valid_to"), document.get("long_term").and_then(Value::as_bool))
        && valid_to.is_null() != long_term
    {
        let words = ("is null exactly when long_term is true", "当且仅当长期有效时为null");
        faults.push(Fault::new("/valid_to", "long-term", words.0, words.1));
    }
    if let (Some(issued), Some(made)) = (day(document, "issued_on"), text(document, "generated_at"))
        && made.get(..10).and_then(|made| made.parse::<Date>().ok()).is_some_and(|made| issued > made)
    {
        let words = ("is later than the document was made", "晚于文件生成时间");
        faults.push(Fault::new("/issued_on", "date-order", words.0, words.1));
    }
}

/// In every object of the data: an ID number is no future one, and sex and birthday beside
/// it are those it states.
pub(super) fn people(value: &Value, at: &str, today: Date, faults: &mut Faults) {
    match value {
        Value::Object(members) => {
            person(value, at, today, faults);
            for (name, inner) in members.iter().filter(|(_, inner)| inner.is_object() || inner.is_array()) {
                people(inner, &member(at, name), today, faults);
            }
        }
        Value::Array(entries) => {
            for (i, inner) in entries.iter().enumerate() {
                people(inner, &format!("{at}/{i}"), today, faults);
            }
        }
        _ => {}
    }
}

fn person(value: &Value, at: &str, today: Date, faults: &mut Faults) {
    let kind = text(value, "id_type").unwrap_or("111");
    let mut id = None;
    for name in ["id_number", "ssn", "number"] {
        let Some(number) = text(value, name) else { continue };
        match ResidentId::parse(number, today) {
            Ok(parsed) => id = id.or(Some(parsed)),
            Err(IdentifierFault::Future) if is_id_number(kind) => {
                faults.identifier(member(at, name), "resident-id", IdentifierFault::Future);
            }
            // A document with its own type is checked by it; other faults are the schema's.
            Err(_) if name == "id_number" && value.get("id_type").is_some() => {
                number_of(kind, number, Birthdays::UpTo(today), &member(at, name), faults);
            }
            Err(_) => {}
        }
    }
    let Some(id) = id.filter(|_| is_id_number(kind)) else { return };
    let stated = match text(value, "sex") {
        Some("1") => Some(Sex::Male),
        Some("2") => Some(Sex::Female),
        _ => None,
    };
    if stated.is_some() && stated != id.sex() {
        differs(member(at, "sex"), faults);
    }
    for name in ["birth_date", "birth"] {
        if let Some(born) = day(value, name)
            && Some(born) != id.birthday()
        {
            differs(member(at, name), faults);
        }
    }
}

fn differs(pointer: String, faults: &mut Faults) {
    faults.push(Fault::new(pointer, "id-number-part", "differs from the ID number", "与公民身份号码不一致"));
}

/// A birth certificate is not issued before the birth.
fn born_before_issue(data: &Value, faults: &mut Faults) {
    let born = text(data, "born_at").and_then(|at| at.get(..10)?.parse::<Date>().ok());
    if let (Some(born), Some(issued)) = (born, day(data, "issued_on"))
        && issued < born
    {
        faults.push(Fault::new("/data/issued_on", "date-order", "is earlier than the birth", "早于出生时间"));
    }
}

/// 残疾人证号 begins with the ID number and ends with category and level.
fn disability(data: &Value, faults: &mut Faults) {
    let (Some(number), Some(id)) = (text(data, "cert_no"), text(data, "id_number")) else { return };
    let (Some(category), Some(level)) = (text(data, "category"), text(data, "level")) else { return };
    if domain::check_disability_number(number).is_err() {
        return;
    }
    let agrees = number.get(..18).is_some_and(|prefix| prefix.eq_ignore_ascii_case(id))
        && number.get(18..19) == Some(category)
        && number.get(19..20) == Some(level);
    if !agrees {
        let words = ("differs from ID number, category or level", "与公民身份号码、类别或等级不一致");
        faults.push(Fault::new("/data/cert_no", "disability-number", words.0, words.1));
    }
}

/// The data names one of the license's holders.
fn belongs_to_a_holder(document: &Value, data: &Value, field: &str, faults: &mut Faults) {
    let (Some(number), Some(holders)) =
        (text(data, field), document.get("holders").and_then(Value::as_array))
    else {
        return;
    };
    let mut codes = holders.iter().filter_map(|holder| text(holder, "code"));
    if !codes.any(|code| code.eq_ignore_ascii_case(number)) {
        let words = ("is the number of none of the holders", "不是任何持证主体的证件号码");
        faults.push(Fault::new(member("/data", field), "holder", words.0, words.1));
    }
}

pub(super) fn in_order(value: &Value, from: &str, to: &str, at: &str, faults: &mut Faults) {
    if let (Some(first), Some(last)) = (day(value, from), day(value, to))
        && last < first
    {
        faults.push(Fault::new(
            member(at, to),
            "date-order",
            "is earlier than its beginning",
            "早于起始日期",
        ));
    }
}

pub(super) fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str)
}

pub(super) fn day(value: &Value, name: &str) -> Option<Date> {
    text(value, name)?.parse().ok()
}
