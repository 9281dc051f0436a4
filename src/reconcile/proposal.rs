//! The body and the result of `ledger.reconcile`, Rust twins of `schemas/reconcile.json` and
//! `schemas/reconcile-result.json`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::item::{Item, ItemText};
use super::window::Window;
use crate::ledger::tree::Hash;
use crate::schema::{Admissible, Kind};

/// Items in one answer: 111 octets each in JSON, 148 KiB as a message, of the 256 that one may
/// have; and half of the 2 000 nodes of a payload.
pub const PAGE: usize = 1_000;
/// Answers that a request may bring for exchanges whose answer was lost: with them it stays
/// below the 32 KiB of its op. More losses in one window are shown, not agreed.
pub const MOST_ANSWERS: usize = 128;

/// What the asking side has logged of both sides' exchanges in a window.
#[derive(Clone, Debug, Deserialize)]
pub struct Proposal {
    pub window: Window,
    pub count: u64,
    root: String,
    note: String,
    /// Exchanges the other side asked and has no answer to, as this side answered them.
    #[serde(default)]
    answers: Vec<ItemText>,
    /// The last item of the page before.
    #[serde(default)]
    after: Option<ItemText>,
}

impl Admissible for Proposal {
    const KIND: Kind = Kind::Reconcile;
}

impl Proposal {
    pub fn root(&self) -> Option<Hash> {
        URL_SAFE_NO_PAD.decode(&self.root).ok()?.try_into().ok()
    }

    /// The bytes of the signed note.
    pub fn note(&self) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(&self.note).ok()
    }

    pub fn answers(&self) -> Option<Vec<Item>> {
        self.answers.iter().map(|text| Item::from_text(text)).collect()
    }

    pub fn after(&self) -> Option<Option<Item>> {
        self.after.as_ref().map(|text| Item::from_text(text)).map_or(Some(None), |item| item.map(Some))
    }

    /// The body as it is sent.
    pub fn body(
        window: Window,
        count: u64,
        root: &Hash,
        note: &[u8],
        answers: &[Item],
        after: Option<Item>,
    ) -> Value {
        let mut body = json!({
            "window": window, "count": count,
            "root": URL_SAFE_NO_PAD.encode(root), "note": URL_SAFE_NO_PAD.encode(note),
        });
        if let Some(members) = body.as_object_mut() {
            if !answers.is_empty() {
                members.insert("answers".into(), answers.iter().map(|item| item.to_text()).collect());
            }
            if let Some(after) = after {
                members.insert("after".into(), after.to_text().into());
            }
        }
        body
    }
}

/// What the answering side told.
#[derive(Clone, Debug, Deserialize)]
pub struct Told {
    note: Option<String>,
    #[serde(default)]
    items: Vec<ItemText>,
    #[serde(default)]
    pub more: bool,
}

impl Admissible for Told {
    const KIND: Kind = Kind::ReconcileResult;
}

impl Told {
    /// The note with both signatures; then there are no items.
    pub fn note(&self) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(self.note.as_ref()?).ok()
    }

    pub fn is_agreed(&self) -> bool {
        self.note.is_some()
    }

    /// Items in order, each after `after`; `None` when they are anything else.
    pub fn items(&self, after: Option<Item>) -> Option<Vec<Item>> {
        let items: Vec<Item> = self.items.iter().map(|text| Item::from_text(text)).collect::<Option<_>>()?;
        let first = items.first().is_none_or(|first| after.is_none_or(|after| *first > after));
        (first && items.is_sorted_by(|a, b| a < b) && !(self.more && items.is_empty())).then_some(items)
    }

    pub fn agreed(note: &[u8]) -> Value {
        json!({"note": URL_SAFE_NO_PAD.encode(note)})
    }
}

/// The page of sorted `items` that comes after one of them.
pub fn page(items: &[Item], after: Option<Item>) -> Value {
    let start = after.map_or(0, |after| items.partition_point(|item| *item <= after));
    let rest = items.get(start..).unwrap_or_default();
    let shown: Vec<String> = rest.iter().take(PAGE).map(|item| item.to_text()).collect();
    json!({"items": shown, "more": rest.len() > PAGE})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::Outcome;
    use crate::schema::Catalog;

    fn items(count: u16) -> Vec<Item> {
        let item = |n: u16| {
            let mut x = [0; 16];
            x[..2].copy_from_slice(&n.to_be_bytes());
            Item { x, rq: [1; 32], rd: [2; 32], outcome: Outcome::Done }
        };
        (0..count).map(item).collect()
    }

    fn told(value: &Value) -> Option<Told> {
        Catalog::embedded().admit(value).ok().map(crate::schema::Admitted::into_inner)
    }

    #[test]
    fn items_come_in_pages_that_follow_each_other() {
        let all = items(2_100);
        let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let told = told(&page(&all, after)).unwrap();
            seen.extend(told.items(after).unwrap());
            after = seen.last().copied();
            pages += 1;
            if !told.more {
                break;
            }
        }
        assert_eq!((seen, pages), (all, 3));
        // The largest page fits a message, in octets and in JSON values.
        assert!(page(&items(1_000), None).to_string().len() * 4 / 3 < 200 * 1024);
    }

    #[test]
    fn a_page_out_of_order_or_without_an_end_is_not_taken() {
        let [a, b] = items(2)[..] else { panic!() };
        let page = |items: &[Item], more| {
            let items: Vec<String> = items.iter().map(|item| item.to_text()).collect();
            told(&json!({"items": items, "more": more})).unwrap()
        };
        assert!(page(&[a, b], false).items(None).is_some());
        assert!(page(&[b, a], false).items(None).is_none() && page(&[a, a], false).items(None).is_none());
        assert!(page(&[a], false).items(Some(a)).is_none() && page(&[], true).items(Some(a)).is_none());
        for odd in [
            json!({}),
            json!({"note": "AAAA", "items": [], "more": false}),
            json!({"items": []}),
            json!({"items": ["A"], "more": false}),
            json!({"note": "AAAA", "other": 1}),
        ] {
            assert!(told(&odd).is_none(), "{odd}");
        }
    }

    #[test]
    fn a_proposal_reads_back_and_its_bounds_hold() {
        let window = Window { from: 1_900_000_020, to: 1_900_000_080 };
        let [a, b] = items(2)[..] else { panic!() };
        let body = Proposal::body(window, 2, &[9; 32], b"note", &[a], Some(b));
        let read = |body: &Value| Catalog::embedded().admit::<Proposal>(body).map(|p| p.into_inner());
        let proposal = read(&body).unwrap();
        assert_eq!((proposal.window, proposal.count, proposal.root()), (window, 2, Some([9; 32])));
        assert_eq!((proposal.note(), proposal.answers()), (Some(b"note".to_vec()), Some(vec![a])));
        assert_eq!(proposal.after(), Some(Some(b)));
        let bent = |pointer: &str, value: Value| {
            let mut body = body.clone();
            *body.pointer_mut(pointer).unwrap() = value;
            read(&body)
                .err()
                .unwrap_or_default()
                .iter()
                .map(|f| format!("{} {}", f.pointer, f.rule))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            bent("/window/from", 1_900_000_021.into()),
            ["/window/from multipleOf", "/window/to window"]
        );
        assert_eq!(bent("/window/to", 1_900_003_680.into()), ["/window/to window"]);
        assert_eq!(bent("/window/to", 1_900_000_020.into()), ["/window/to window"]);
        assert_eq!(bent("/root", "x".into()), ["/root pattern"]);
        assert_eq!(bent("/note", "=".into()), ["/note pattern"]);
        assert_eq!(bent("/answers/0", "=".into()), ["/answers/0 pattern"]);
        assert_eq!(bent("/answers", json!([])), ["/answers minItems"]);
    }
}
