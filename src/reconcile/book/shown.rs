//! Reconciliation as people look at it: windows, hours of a heat map, differences. Reads beside a
//! running gateway, or a copy of its data directory; without a file there is nothing yet.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::civil::Date;
use rusqlite::{Connection, params};
use serde::Serialize;
use serde_json::Value;

use super::super::classify::DifferenceKind;
use super::super::window::{MINUTE, MOST_SECONDS, SETTLED_AFTER, Window};
use super::windows::State;
use super::{BookFault, file};
use crate::clock::Now;
use crate::store::sqlite::{open_reader, sqlite_fault};

/// Minutes of an hour.
const MINUTES: usize = 60;

/// One window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WindowRow {
    pub peer: String,
    #[serde(flatten)]
    pub window: Window,
    pub state: State,
    /// Answered exchanges on our side.
    pub count: u64,
    /// Exchanges whose answer was lost on the way.
    pub lost: u64,
    /// When it was last compared, milliseconds.
    pub at: i64,
    /// The note that both signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One exchange that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DifferenceRow {
    pub peer: String,
    #[serde(flatten)]
    pub window: Window,
    /// `SHA-256(jti)[0:16]`, hexadecimal.
    pub x: String,
    pub kind: &'static str,
    /// What stands behind it; see `reconcile::proof`.
    pub proof: Value,
    /// When it was found, milliseconds.
    pub at: i64,
}

/// One hour with one partner, in minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hour {
    /// Its first second.
    pub from: i64,
    pub agreed: usize,
    pub disputed: usize,
    /// Settled and in no window that was decided.
    pub missing: usize,
}

/// One day in Shanghai with one partner.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Day {
    pub peer: String,
    pub day: Date,
    /// Windows.
    pub agreed: usize,
    pub disputed: usize,
    /// Minutes that are settled and in no decided window.
    pub unsigned_minutes: usize,
    /// Answered exchanges in the agreed windows.
    pub exchanges: u64,
    /// Exchanges whose answer was lost on the way.
    pub lost: u64,
    pub hours: Vec<Hour>,
    pub differences: Vec<DifferenceRow>,
}

/// The days of partners, oldest first; `peer` and `day` cut it.
pub fn days(data: &Path, peer: Option<&str>, day: Option<Date>, now: Now) -> Result<Vec<Day>, BookFault> {
    let path = file(data);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let connection = open_reader(&path)?;
    let fault = |e: rusqlite::Error| BookFault::from(sqlite_fault("read", &path, &e));
    let span = day.and_then(first_second).map(|from| (from, from + 86_400));
    let mut days: BTreeMap<(Date, String), Day> = BTreeMap::new();
    for (pair, since) in pairs(&connection, peer).map_err(fault)? {
        let (from, to) = span.unwrap_or((since, i64::MAX));
        let windows = windows(&connection, &pair, from, to).map_err(fault)?;
        let differences = differences(&connection, &pair, from, to).map_err(fault)?;
        let settled = windows.iter().map(|row| row.window.to).max().unwrap_or(since);
        let (from, to) = (from.max(since), to.min(settled.max(now.secs() - SETTLED_AFTER)));
        for hour in hours(&windows, from, to) {
            let day = at(&mut days, &pair, hour.from);
            day.unsigned_minutes += hour.missing;
            day.hours.push(hour);
        }
        for row in windows {
            let day = at(&mut days, &pair, row.window.from);
            day.lost += row.lost;
            match row.state {
                State::Agreed => (day.agreed, day.exchanges) = (day.agreed + 1, day.exchanges + row.count),
                State::Open | State::Differs => day.disputed += 1,
            }
        }
        for row in differences {
            at(&mut days, &pair, row.window.from).differences.push(row);
        }
    }
    Ok(days.into_values().collect())
}

/// Windows with a partner that overlap `[from, to)`.
pub fn windows_between(data: &Path, peer: &str, from: i64, to: i64) -> Result<Vec<WindowRow>, BookFault> {
    let path = file(data);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let connection = open_reader(&path)?;
    windows(&connection, peer, from, to).map_err(|e| sqlite_fault("read", &path, &e).into())
}

fn at<'a>(days: &'a mut BTreeMap<(Date, String), Day>, peer: &str, secs: i64) -> &'a mut Day {
    let day = Now::from_secs(secs).shanghai_day();
    days.entry((day, peer.to_owned())).or_insert_with(|| Day {
        peer: peer.to_owned(),
        day,
        agreed: 0,
        disputed: 0,
        unsigned_minutes: 0,
        exchanges: 0,
        lost: 0,
        hours: Vec::new(),
        differences: Vec::new(),
    })
}

fn first_second(day: Date) -> Option<i64> {
    let zone = jiff::tz::TimeZone::fixed(jiff::tz::Offset::constant(8));
    day.to_zoned(zone).ok().map(|at| at.timestamp().as_second())
}

/// The hours from `from` to `to`, minute by minute: disputed before agreed before missing.
pub fn hours(windows: &[WindowRow], from: i64, to: i64) -> Vec<Hour> {
    let mut hours = Vec::new();
    let mut start = from - from.rem_euclid(MOST_SECONDS);
    while start < to {
        let mut minutes = [None; MINUTES];
        for row in
            windows.iter().filter(|row| row.window.from < start + MOST_SECONDS && row.window.to > start)
        {
            for (minute, state) in (start..).step_by(MINUTE as usize).zip(&mut minutes) {
                let inside = row.window.from <= minute && minute < row.window.to;
                if inside && *state != Some(false) {
                    *state = Some(row.state == State::Agreed);
                }
            }
        }
        let expected = (start..).step_by(MINUTE as usize).zip(minutes);
        let expected: Vec<_> = expected.filter(|(at, _)| *at >= from && at + MINUTE <= to).collect();
        let count = |wanted: Option<bool>| expected.iter().filter(|(_, state)| *state == wanted).count();
        hours.push(Hour {
            from: start,
            agreed: count(Some(true)),
            disputed: count(Some(false)),
            missing: count(None),
        });
        start += MOST_SECONDS;
    }
    hours
}

fn pairs(c: &Connection, peer: Option<&str>) -> rusqlite::Result<Vec<(String, i64)>> {
    let mut statement =
        c.prepare("SELECT peer, since FROM pair WHERE ?1 IS NULL OR peer=?1 ORDER BY peer")?;
    statement.query_map([peer], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn windows(c: &Connection, peer: &str, from: i64, to: i64) -> rusqlite::Result<Vec<WindowRow>> {
    let mut statement = c.prepare(
        "SELECT start, stop, state, count, lost, at, note FROM window \
         WHERE peer=? AND start<? AND stop>? ORDER BY start, stop",
    )?;
    let rows = statement.query_map(params![peer, to, from], |row| {
        let note: Option<Vec<u8>> = row.get(6)?;
        Ok(WindowRow {
            peer: peer.to_owned(),
            window: Window { from: row.get(0)?, to: row.get(1)? },
            state: State::from_word(&row.get::<_, String>(2)?).unwrap_or(State::Open),
            count: row.get::<_, i64>(3)?.unsigned_abs(),
            lost: row.get::<_, i64>(4)?.unsigned_abs(),
            at: row.get(5)?,
            note: note.and_then(|note| String::from_utf8(note).ok()),
        })
    })?;
    rows.collect()
}

/// Differences of windows that still differ.
fn differences(c: &Connection, peer: &str, from: i64, to: i64) -> rusqlite::Result<Vec<DifferenceRow>> {
    let mut statement = c.prepare(
        "SELECT d.start, d.stop, d.x, d.kind, d.proof, d.at FROM difference AS d \
         JOIN window AS w ON w.peer=d.peer AND w.start=d.start AND w.stop=d.stop AND w.state='differs' \
         WHERE d.peer=? AND d.start<? AND d.stop>? ORDER BY d.start, d.x, d.kind",
    )?;
    let rows = statement.query_map(params![peer, to, from], |row| {
        let kind = DifferenceKind::from_word(&row.get::<_, String>(3)?);
        Ok(DifferenceRow {
            peer: peer.to_owned(),
            window: Window { from: row.get(0)?, to: row.get(1)? },
            x: hex::encode(row.get::<_, Vec<u8>>(2)?),
            kind: kind.map_or("", DifferenceKind::word),
            proof: serde_json::from_str(&row.get::<_, String>(4)?).unwrap_or_default(),
            at: row.get(5)?,
        })
    })?;
    rows.collect()
}
