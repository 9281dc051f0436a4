//! How a case and what hangs on it stand in the casebook.

use serde_json::{Map, Value};

use crate::case::{self, Case, Role, TimerEvent};
use crate::casebook::{
    CaseRow, EventRow, MaterialRow, MaterialWay, NoticeRow, ParcelRow, ParcelState, Write,
};
use crate::clock::Now;
use crate::domain::{Calendar, Region};
use crate::envelope::{self, Op};
use crate::house::House;

/// Where a case's row began, and what stays of it.
#[derive(Clone, Copy)]
pub(super) struct Root<'a> {
    /// Milliseconds.
    pub opened: i64,
    pub woken: i64,
    pub business: &'a Map<String, Value>,
}

impl<'a> From<&'a CaseRow> for Root<'a> {
    fn from(row: &'a CaseRow) -> Self {
        Self { opened: row.opened, woken: row.woken, business: &row.business }
    }
}

/// The case's row.
pub(super) fn case(house: &House, case: &Case, root: Root<'_>, now: Now) -> Write {
    let wake = wake(case, &house.calendar.load(), root.woken, now);
    Write::Case(CaseRow {
        case: case.number().to_owned(),
        role: case.role().name().to_owned(),
        partner: case.partner().to_string(),
        item: case.terms().item.clone(),
        state: case.state().name().to_owned(),
        opened: root.opened,
        changed: now.ms(),
        wake,
        woken: root.woken,
        parent: case.parent().map(str::to_owned),
        business: root.business.clone(),
        // A case is plain data with text keys.
        doc: serde_json::to_value(case).unwrap_or_default(),
    })
}

/// The next moment that is not told yet, or at which the gateway itself acts: only the
/// handling side's does. A case that cannot be reckoned is looked at again when somebody may
/// have loaded the calendar of the year.
pub(super) fn wake(case: &Case, calendar: &Calendar, woken: i64, now: Now) -> Option<i64> {
    let Ok(timers) = case::timers(case, calendar) else {
        return Some(now.ms() + 1000 * i64::from(super::CALENDAR_PAUSE));
    };
    let acts = |event: &TimerEvent| event.event().is_some() && case.role() == Role::Handling;
    let open = timers.into_iter().filter(|(at, event)| acts(event) || at.ms() > woken);
    open.map(|(at, _)| at.ms()).min()
}

/// An event that was applied: its body as it came, and the receipt it got.
pub(super) struct Applied<'a> {
    pub case: &'a Case,
    pub body: &'a Value,
    pub mine: bool,
    pub exchange: Option<&'a str>,
    pub receipt: Value,
}

impl Applied<'_> {
    pub fn row(self, now: Now) -> Write {
        let mark = self.case.events().last();
        Write::Event(EventRow {
            case: self.case.number().to_owned(),
            seq: mark.map_or(0, |mark| mark.seq.into()),
            event: mark.map_or_else(String::new, |mark| mark.event.clone()),
            digest: mark.map_or_else(String::new, |mark| mark.digest.clone()),
            at: mark.map_or(0, |mark| mark.at),
            applied: now.ms(),
            mine: self.mine,
            exchange: self.exchange.map(str::to_owned),
            body: self.body.clone(),
            receipt: self.receipt,
        })
    }
}

/// The receipt of the case's last event (protocol §6.1, §6.2).
pub(super) fn receipt(case: &Case) -> Value {
    let (seq, _) = case.last();
    case::receipt(case, seq).and_then(|receipt| serde_json::to_value(receipt).ok()).unwrap_or_default()
}

/// Sets a member of an object.
pub(super) fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value.into());
    }
}

/// A message that must arrive.
pub(super) struct NewParcel<'a> {
    pub to: Region,
    pub line: &'a str,
    pub seq: u64,
    pub op: Op,
    pub digest: String,
    pub business: Map<String, Value>,
    pub body: Value,
}

impl NewParcel<'_> {
    pub fn row(self, now: Now) -> ParcelRow {
        ParcelRow {
            id: envelope::new_message_id(),
            partner: self.to.to_string(),
            line: self.line.to_owned(),
            seq: self.seq,
            op: self.op.name().to_owned(),
            digest: self.digest,
            business: self.business,
            body: self.body,
            state: ParcelState::Waiting,
            reason: None,
            sent: None,
            attempts: 0,
            not_before: 0,
            made: now.ms(),
            ended: None,
            receipt: None,
        }
    }
}

/// Something the region's own systems should hear of.
pub(super) fn notice(kind: &str, line: &str, body: Value, now: Now) -> Write {
    Write::Notice(NoticeRow {
        id: envelope::new_message_id(),
        line: line.to_owned(),
        kind: kind.to_owned(),
        at: now.ms(),
        body,
    })
}

/// The uploads that a case's materials name.
pub(super) fn materials(case: &Case, there: &[String]) -> Vec<Write> {
    use crate::case::Proof;
    let way = if case.role() == Role::Handling { MaterialWay::Coming } else { MaterialWay::Going };
    case.materials()
        .iter()
        .filter_map(|material| match &material.proof {
            Proof::Upload { sha256, bytes, media_type } => Some(Write::Material(MaterialRow {
                sha256: sha256.clone(),
                case: case.number().to_owned(),
                partner: case.partner().to_string(),
                way,
                bytes: *bytes,
                media_type: media_type.clone(),
                there: material.here_at.is_some() || there.contains(sha256),
                reason: None,
            })),
            _ => None,
        })
        .collect()
}

/// Milliseconds as the doors tell them.
pub(super) fn secs(ms: i64) -> Value {
    ms.div_euclid(1000).into()
}
