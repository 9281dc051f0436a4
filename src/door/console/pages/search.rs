//! Searches. What is about no person (an exchange id, an index, a leaf's hash) is found at
//! once; what is about a citizen, a license, a case or an operator needs a purpose and an order
//! number and stands in the log before it is shown.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::super::desk::{DeskFault, Found};
use super::super::guard;
use super::super::markup::{Markup, el, segment};
use super::asking::{asked, failed, fault_shown, field, period, recorded, sought_in, submit, warrant_fields};
use super::parts::{exchange_path, leaves, panel};
use super::{Call, Page, Shown, unreadable};

/// Leaves looked through for a hash: about half a second.
const LOOKED_THROUGH: u64 = 200_000;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_come_in_three_spellings() {
        let bytes = [0xfb; 32];
        for text in [hex::encode(bytes), STANDARD.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)] {
            assert_eq!(hash(&text), Some(bytes));
        }
        assert_eq!(hash("0198f1c2-0000-7000-8000-000000000000"), None);
    }
}
