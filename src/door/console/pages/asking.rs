//! What is asked about a person, a case or an authorization: the form's fields, the reason that
//! each of them needs, and the desk's answer with the leaf that says that it was asked.

use hyper::StatusCode;

use super::super::desk::{DeskFault, Found, MOST_ORDER, MOST_PURPOSE, Question, Sought, Warrant};
use super::super::markup::{El, Markup, el, segment};
use super::super::words::Lang;
use super::parts::{code, link};
use super::{Call, Page};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
const SHANGHAI_MS: i64 = 8 * 3_600_000;

pub fn sought_in(call: &Call<'_>) -> Option<Sought> {
    let value = call.fields.get("value")?.to_owned();
    match call.fields.get("kind")? {
        "case" => Some(Sought::Case(value)),
        "citizen" => Some(Sought::Citizen(value)),
        "license" => Some(Sought::License(value)),
        "operator" => {
            let (region, operator) = value.split_once(':')?;
            Some(Sought::Operator { region: region.to_owned(), operator: operator.to_owned() })
        }
        _ => None,
    }
}

pub async fn asked(call: &Call<'_>, sought: Option<Sought>, report: bool) -> Result<Found, DeskFault> {
    let sought = sought.ok_or_else(|| {
        DeskFault::new(StatusCode::UNPROCESSABLE_ENTITY, "请填写要查的号码", "Fill in what to look for")
    })?;
    let warrant = Warrant::new(call.fields.get("purpose"), call.fields.get("order"));
    let question = Question {
        sought,
        report,
        from: call.fields.get("from").and_then(day),
        to: call.fields.get("to").and_then(day).map(|day| day + DAY_MS),
    };
    call.console.desk.search(&call.visit.account, &warrant, &question, call.fields.get("page")).await
}

/// The first millisecond of a day in Shanghai.
fn day(text: &str) -> Option<i64> {
    let date: jiff::civil::Date = text.parse().ok()?;
    let at = jiff::tz::Offset::UTC.to_timestamp(date.to_datetime(jiff::civil::Time::midnight())).ok()?;
    Some(at.as_millisecond() - SHANGHAI_MS)
}

pub fn recorded(call: &Call<'_>, found: &Found) -> Markup {
    let place = found.recorded.rsplit_once('/');
    let path = place.map(|(shard, index)| format!("/leaves/{}/{}", segment(shard), segment(index)));
    let note = found.note.as_ref().map(|(zh, en)| el("span").add(call.lang.pick(zh, en)));
    el("p")
        .class("notice")
        .attr("role", "status")
        .add(call.t("此次检索已记入账本:", "This search is recorded: "))
        .add(path.map(|path| link(&path, code(&found.recorded))))
        .add(" ")
        .add(note)
        .into()
}

pub fn failed(title: &str, body: Markup, fault: &DeskFault) -> Page {
    let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Page { status, ..Page::new(title, body) }
}

pub fn fault_shown(call: &Call<'_>, fault: &DeskFault) -> El {
    let words = match call.lang {
        Lang::Zh => &fault.zh,
        Lang::En => &fault.en,
    };
    el("p").class("notice bad").attr("role", "alert").add(words)
}

/// Purpose and order: in every form about a person.
pub fn warrant_fields(call: &Call<'_>) -> Markup {
    Markup::from(field(call, "purpose", call.t("用途", "Purpose"), MOST_PURPOSE, true)).and(field(
        call,
        "order",
        call.t("文号或案号", "Order or case number"),
        MOST_ORDER,
        true,
    ))
}

pub fn period(call: &Call<'_>) -> El {
    let day = |name: &'static str, label: &str| {
        let input = el("input").attr("type", "date").attr("name", name).attr("id", name);
        el("p").class("field").add(el("label").attr("for", name).add(label)).add(input)
    };
    el("div").class("pair").add(day("from", call.t("自", "From"))).add(day("to", call.t("至", "To")))
}

pub fn field(call: &Call<'_>, name: &'static str, label: &str, most: usize, required: bool) -> El {
    let kept = call.fields.get(name).or_else(|| call.query.get(name)).unwrap_or_default();
    let input = el("input")
        .attr("type", "text")
        .attr("name", name)
        .attr("id", name)
        .attr("maxlength", most)
        .attr("autocomplete", "off")
        .attr("value", kept)
        .flag("required", required);
    el("p").class("field").add(el("label").attr("for", name).add(label)).add(input)
}

pub fn submit(words: &str) -> El {
    el("button").attr("type", "submit").class("primary").add(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_shanghais() {
        assert_eq!(day("2030-03-18"), Some(1_899_993_600_000));
        assert_eq!(day("18/03/2030"), None);
    }
}
