//! Searches. What is about no person (an exchange id, an index, a leaf's hash) is found at
//! once; what is about a citizen, a license, a case, an operator or an authorization needs a
//! purpose and an order number and stands in the log before it is shown.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::StatusCode;
use serde_json::Value;

use crate::clock::Now;
use crate::ledger::Standing;

use super::super::desk::{DeskFault, Found, MOST_ORDER, MOST_PURPOSE, Question, Sought, Warrant};
use super::super::guard;
use super::super::markup::{El, Markup, el, segment};
use super::super::words::{Lang, moment};
use super::parts::{
    Table, at, code, decision, exchange_path, facts, leaf_path, leaves, link, panel, text, theirs,
};
use super::{Call, Page, Shown, unreadable};

/// Leaves looked through for a hash: about half a second.
const LOOKED_THROUGH: u64 = 200_000;
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
const SHANGHAI_MS: i64 = 8 * 3_600_000;

/// `/search`: the two forms, and what the first one found.
pub async fn search(call: &Call<'_>) -> Shown {
    let title = call.t("检索", "Search");
    let Some(wanted) = call.query.get("q") else { return Page::new(title, forms(call, None)).into() };
    // An index has twenty digits at most, an exchange id 22 characters at least.
    if wanted.len() <= 20 && wanted.bytes().all(|b| b.is_ascii_digit()) {
        let (origin, _) = call.house.ledger.present();
        let path = format!("/leaves/{}/{wanted}", segment(super::super::desk::shard_of(&origin)));
        return guard::see_other(&path).into();
    }
    let exchange = wanted.to_owned();
    let Some(found) = call.read(move |house| house.ledger.of_exchange(&exchange)).await else {
        return Page::new(title, unreadable(call)).into();
    };
    if !found.is_empty() {
        return guard::see_other(&exchange_path(wanted)).into();
    }
    match hash(wanted) {
        Some(hash) => by_hash(call, hash).await.into(),
        None => Page::new(title, nothing(call).and(forms(call, None))).into(),
    }
}

/// A leaf's hash or a message's (`rq`, `rs`, `rd`), in hex or either base64.
fn hash(text: &str) -> Option<[u8; 32]> {
    let decoded = hex::decode(text)
        .ok()
        .or_else(|| STANDARD.decode(text).ok())
        .or_else(|| URL_SAFE_NO_PAD.decode(text).ok());
    decoded?.try_into().ok()
}

async fn by_hash(call: &Call<'_>, hash: [u8; 32]) -> Page {
    let title = call.t("检索", "Search");
    let looked = call.read(move |house| {
        let (origin, size) = house.ledger.present();
        let text = format!("\"{}\"", URL_SAFE_NO_PAD.encode(hash));
        house.ledger.look_back(&origin, size, LOOKED_THROUGH, 50, |leaf| {
            leaf.hash == hash || super::super::desk::contains(&leaf.bytes, text.as_bytes())
        })
    });
    let Some(looked) = looked.await else { return Page::new(title, unreadable(call)) };
    let far = format!("{} {}", call.t("已查阅至第", "Looked back to entry"), looked.down_to);
    let body = leaves(call, &looked.found, call.t("没有找到。", "Nothing was found."));
    Page::new(title, body.and(el("p").class("nothing").add(far)).and(forms(call, None)))
}

fn nothing(call: &Call<'_>) -> Markup {
    el("p").class("notice").attr("role", "status").add(call.t("没有找到。", "Nothing was found.")).into()
}

fn forms(call: &Call<'_>, fault: Option<&DeskFault>) -> Markup {
    let exact = el("form")
        .attr("method", "get")
        .attr("action", "/search")
        .class("stacked")
        .add(field(call, "q", call.t("交换编号、序号或哈希", "Exchange id, index or hash"), 128, true))
        .add(submit(call.t("查找", "Find")));
    let kinds = [
        ("case", call.t("办件编号", "case number")),
        ("citizen", call.t("公民身份号码", "citizen's ID number")),
        ("license", call.t("证照标识", "license identifier")),
        ("operator", call.t("经办人(地区:工号)", "operator (region:operator)")),
    ];
    let options = kinds.map(|(value, name)| el("option").attr("value", value).add(name));
    let kind = el("p")
        .class("field")
        .add(el("label").attr("for", "kind").add(call.t("查什么", "What to look for")))
        .add(el("select").attr("name", "kind").attr("id", "kind").each(options));
    let person = call
        .form("/search")
        .class("stacked")
        .add(kind)
        .add(field(call, "value", call.t("号码", "The number"), 128, true))
        .add(period(call))
        .add(warrant_fields(call))
        .add(submit(call.t("检索并留痕", "Search, and record it")));
    let about = el("p").class("nothing").add(call.t(
        "涉及个人或办件的检索必须写明用途与文号,并先记入账本;号码不进入地址栏与日志。",
        "A search about a person or a case needs a purpose and an order number and is recorded first; the number enters no address and no log.",
    ));
    Markup::from(panel(call.t("精确查找", "Find exactly"), exact)).and(panel(
        call.t("涉及个人或办件", "About a person or a case"),
        Markup::from(about).and(fault.map(|fault| fault_shown(call, fault))).and(person),
    ))
}

/// `POST /search`.
pub async fn sought(call: &Call<'_>) -> Page {
    let title = call.t("检索", "Search");
    let sought = sought_in(call);
    match asked(call, sought, false).await {
        Ok(found) => Page::new(title, found_shown(call, &found)),
        Err(fault) => failed(title, forms(call, Some(&fault)), &fault),
    }
}

fn sought_in(call: &Call<'_>) -> Option<Sought> {
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

async fn asked(call: &Call<'_>, sought: Option<Sought>, report: bool) -> Result<Found, DeskFault> {
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

fn found_shown(call: &Call<'_>, found: &Found) -> Markup {
    let recorded = recorded(call, found);
    let rows = leaves(call, &found.rows, call.t("没有找到。", "Nothing was found."));
    // The next page is a search, too: recorded with the same words.
    let next = found.next.as_deref().map(|page| {
        let names = ["kind", "value", "from", "to", "purpose", "order"];
        let kept = names.into_iter().filter_map(|name| Some((name, call.fields.get(name)?)));
        let hidden =
            |name, value: &str| el("input").attr("type", "hidden").attr("name", name).attr("value", value);
        call.form("/search")
            .each(kept.map(|(name, value)| hidden(name, value)))
            .add(hidden("page", page))
            .add(submit(call.t("继续向前查", "Look further back")))
    });
    recorded.and(panel(call.t("结果", "Found"), rows)).and(next)
}

fn recorded(call: &Call<'_>, found: &Found) -> Markup {
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

/// `/subject`.
pub fn subject_form(call: &Call<'_>) -> Page {
    Page::new(call.t("主体报告", "Subject report"), subject_fields(call, None))
}

fn subject_fields(call: &Call<'_>, fault: Option<&DeskFault>) -> Markup {
    let about = el("p").class("nothing").add(call.t(
        "列出谁、何时、因何事项、凭何授权查阅过某人的数据,可打印答复本人。",
        "Who looked at this person's data, when, for which item and under which authorization: to print and hand over.",
    ));
    let kinds = [
        ("citizen", call.t("公民身份号码", "citizen's ID number")),
        ("license", call.t("证照标识", "license identifier")),
    ];
    let options = kinds.map(|(value, name)| el("option").attr("value", value).add(name));
    let kind = el("p")
        .class("field")
        .add(el("label").attr("for", "kind").add(call.t("主体", "Subject")))
        .add(el("select").attr("name", "kind").attr("id", "kind").each(options));
    let form = call
        .form("/subject")
        .class("stacked")
        .add(kind)
        .add(field(call, "value", call.t("号码", "The number"), 128, true))
        .add(period(call))
        .add(warrant_fields(call))
        .add(submit(call.t("生成报告并留痕", "Make the report, and record it")));
    panel(
        call.t("生成主体报告", "Make a subject report"),
        Markup::from(about).and(fault.map(|fault| fault_shown(call, fault))).and(form),
    )
    .into()
}

/// `POST /subject`: a report to print.
pub async fn subject(call: &Call<'_>) -> Page {
    let title = call.t("主体报告", "Subject report");
    match asked(call, sought_in(call), true).await {
        Ok(found) => Page::new(title, report(call, &found)),
        Err(fault) => failed(title, subject_fields(call, Some(&fault)), &fault),
    }
}

/// The subject's number is on no page: who asked knows it, who reads the report is told it.
fn report(call: &Call<'_>, found: &Found) -> Markup {
    let head = facts([
        (call.t("用途", "Purpose"), call.fields.get("purpose").map(Markup::from).into()),
        (call.t("文号", "Order"), call.fields.get("order").map(Markup::from).into()),
        (call.t("制作", "Made by"), Markup::from(call.visit.account.title()).and(" ").and(moment(call.now))),
        (
            call.t("范围", "Extent"),
            Markup::from(format!("{} {}", found.rows.len(), call.t("条记录", "entries"))),
        ),
    ]);
    let mut table = Table::new(
        call.t("查阅情况", "Who looked"),
        &[
            call.t("时间", "When"),
            call.t("谁", "Who"),
            call.t("事项", "Item"),
            call.t("证照", "License"),
            call.t("授权", "Authorization"),
            call.t("结果", "Result"),
            call.t("记录", "Entry"),
        ],
    );
    for (standing, leaf) in found.rows.iter().filter_map(|standing| Some((standing, standing.leaf()?))) {
        let short = leaf.auth.map(|auth| auth.to_string().chars().take(12).collect::<String>());
        table.row([
            at(Now::from_ms(leaf.ts)),
            leaf.peer.as_deref().map(Markup::from).into(),
            leaf.item.as_deref().map(code).into(),
            leaf.lt.as_deref().map(code).into(),
            short.map(code).into(),
            decision(call.lang, &leaf),
            link(&leaf_path(standing), standing.index.to_string()),
        ]);
    }
    let print = el("p")
        .class("screen")
        .add(el("button").attr("type", "button").flag("data-print", true).add(call.t("打印", "Print")));
    recorded(call, found)
        .and(panel(
            call.t("报告", "Report"),
            Markup::from(head).and(table.or(call.t("没有查阅记录。", "Nobody looked."))),
        ))
        .and(panel(call.t("审计人员的查阅", "Auditors' own acts"), acts(call, found)))
        .and(print)
}

fn acts(call: &Call<'_>, found: &Found) -> Markup {
    let mut table = Table::new(
        call.t("审计人员的查阅", "Auditors' own acts"),
        &[
            call.t("时间", "When"),
            call.t("账号", "Account"),
            call.t("事由", "Act"),
            call.t("用途", "Purpose"),
            call.t("文号", "Order"),
        ],
    );
    for act in &found.acts {
        table.row([
            act.get("at").and_then(Value::as_i64).map(|ms| at(Now::from_ms(ms))).into(),
            code(text(act, "/by")),
            code(text(act, "/act")),
            theirs(text(act, "/purpose")),
            theirs(text(act, "/order")),
        ]);
    }
    table.or(call.t("没有。", "None."))
}

/// `/authorization`.
pub fn authorization_form(call: &Call<'_>) -> Page {
    Page::new(call.t("授权使用", "Uses of an authorization"), authorization_fields(call, None))
}

fn authorization_fields(call: &Call<'_>, fault: Option<&DeskFault>) -> Markup {
    let about = el("p").class("nothing").add(call.t(
        "账本只存签发方与授权编号的哈希;填入二者即可列出该授权的每一次使用。",
        "The log holds only a hash of issuer and id; both together find every use.",
    ));
    let form = call
        .form("/authorization")
        .class("stacked")
        .add(field(call, "iss", call.t("签发方 iss", "Issuer (iss)"), 64, true))
        .add(field(call, "jti", call.t("授权编号 jti", "Authorization id (jti)"), 64, true))
        .add(warrant_fields(call))
        .add(submit(call.t("列出使用并留痕", "List the uses, and record it")));
    panel(
        call.t("查授权", "Look up an authorization"),
        Markup::from(about).and(fault.map(|fault| fault_shown(call, fault))).and(form),
    )
    .into()
}

/// `POST /authorization`.
pub async fn authorization(call: &Call<'_>) -> Page {
    let title = call.t("授权使用", "Uses of an authorization");
    let both = call.fields.get("iss").zip(call.fields.get("jti"));
    let sought =
        both.map(|(issuer, jti)| Sought::Authorization { issuer: issuer.to_owned(), jti: jti.to_owned() });
    match asked(call, sought, false).await {
        Ok(found) => {
            let taken =
                found.rows.iter().filter_map(Standing::leaf).filter(|leaf| leaf.code.is_none()).count();
            let words = format!(
                "{} {taken} · {} {}",
                call.t("准予", "permitted"),
                call.t("共", "in all"),
                found.rows.len()
            );
            let rows = leaves(call, &found.rows, call.t("没有使用记录。", "It was never used."));
            let body = Markup::from(el("p").add(words)).and(rows);
            Page::new(title, recorded(call, &found).and(panel(call.t("使用", "Uses"), body)))
        }
        Err(fault) => failed(title, authorization_fields(call, Some(&fault)), &fault),
    }
}

fn failed(title: &str, body: Markup, fault: &DeskFault) -> Page {
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

fn period(call: &Call<'_>) -> El {
    let day = |name: &'static str, label: &str| {
        let input = el("input").attr("type", "date").attr("name", name).attr("id", name);
        el("p").class("field").add(el("label").attr("for", name).add(label)).add(input)
    };
    el("div").class("pair").add(day("from", call.t("自", "From"))).add(day("to", call.t("至", "To")))
}

fn field(call: &Call<'_>, name: &'static str, label: &str, most: usize, required: bool) -> El {
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

fn submit(words: &str) -> El {
    el("button").attr("type", "submit").class("primary").add(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_shanghais_and_hashes_come_in_three_spellings() {
        assert_eq!(day("2030-03-18"), Some(1_899_993_600_000));
        assert_eq!(day("18/03/2030"), None);
        let bytes = [0xfb; 32];
        for text in [hex::encode(bytes), STANDARD.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)] {
            assert_eq!(hash(&text), Some(bytes));
        }
        assert_eq!(hash("0198f1c2-0000-7000-8000-000000000000"), None);
    }
}
