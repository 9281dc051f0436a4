//! Indexes as a search sees them: tokens through merging, forgetting and damage, facets over many
//! blocks.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{
    FacetQuery, FacetReader, FacetWriter, Facets, StoredToken, TokenReader, TokenWriter, WholeTokens,
};

const TODAY: i64 = 20_261_123;

struct Home {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.db");
        Self { _folder: folder, path }
    }

    fn writer(&self) -> TokenWriter {
        TokenWriter::open(self.path.clone()).unwrap()
    }

    fn reader(&self) -> TokenReader {
        TokenReader::open(&self.path).unwrap().unwrap()
    }

    fn sql(&self, sql: &str) {
        Connection::open(&self.path).unwrap().execute_batch(sql).unwrap();
    }

    fn number(&self, sql: &str) -> i64 {
        Connection::open(&self.path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

/// Random as tokens are, and always the same.
fn token(of: u64) -> [u8; 16] {
    let mut token = [0; 16];
    token.copy_from_slice(&crate::ledger::tree::sha256(&of.to_be_bytes())[..16]);
    token
}

/// Every leaf about one of twenty persons, and one of its own; leaves of two days.
fn tokens(leaves: std::ops::Range<u64>) -> Vec<(i64, [u8; 16], u64)> {
    leaves
        .flat_map(|n| {
            let day = TODAY + i64::from(n >= 3_000);
            [(day, token(1_000_000 + n % 20), n), (day, token(n), n)]
        })
        .collect()
}

fn whole(home: &Home) -> (WholeTokens, Vec<StoredToken>) {
    let mut stored = Vec::new();
    let whole = home.reader().walk(|entry| stored.push(entry)).unwrap();
    (whole, stored)
}

/// Every sixteen octets of the file and its WAL.
fn octets_of(path: &Path) -> HashSet<[u8; 16]> {
    let of_file = |suffix| {
        let bytes: Vec<u8> = std::fs::read(format!("{}{suffix}", path.display())).unwrap_or_default();
        bytes.windows(16).map(|window| window.try_into().unwrap()).collect::<Vec<[u8; 16]>>()
    };
    ["", "-wal"].into_iter().flat_map(of_file).collect()
}

#[test]
fn what_was_taken_in_by_any_steps_is_found_on_its_day_in_the_order_of_the_log() {
    for step in [1, 7, 500, 4_000] {
        let home = Home::new();
        let mut writer = home.writer();
        let all = if step == 1 { 300 } else { 4_000 };
        for from in (0..all).step_by(step) {
            let to = all.min(from + step as u64);
            writer.add(&mut tokens(from..to), to - 1).unwrap();
        }
        assert_eq!(writer.upto(), Some(all - 1));
        let reader = home.reader();
        let of_seven: Vec<u64> = (0..all.min(3_000)).filter(|n| n % 20 == 7).collect();
        assert_eq!(reader.token(TODAY, &token(1_000_007), u64::MAX).unwrap(), of_seven, "by {step}");
        let below = of_seven.iter().copied().filter(|n| *n < 200).collect::<Vec<_>>();
        assert_eq!(reader.token(TODAY, &token(1_000_007), 200).unwrap(), below);
        for n in 0..all {
            let (today, tomorrow) = (u64::from(n < 3_000), u64::from(n >= 3_000));
            assert_eq!(
                reader.token(TODAY, &token(n), u64::MAX).unwrap().len() as u64,
                today,
                "{n} by {step}"
            );
            assert_eq!(reader.token(TODAY + 1, &token(n), u64::MAX).unwrap().len() as u64, tomorrow);
        }
        assert_eq!(reader.token(TODAY, &token(99_999), u64::MAX).unwrap(), [0; 0]);
        let (whole, stored) = whole(&home);
        assert_eq!(whole, WholeTokens { upto: Some(all - 1), well_formed: true });
        assert!(stored.iter().all(|entry| entry.in_place));
        let kept: BTreeSet<_> = stored.iter().map(|entry| (entry.day, entry.token, entry.index)).collect();
        assert_eq!(kept.into_iter().collect::<BTreeSet<_>>(), tokens(0..all).into_iter().collect());
        assert_eq!(stored.len() as u64, 2 * all);
    }
}

#[test]
fn a_day_taken_in_leaf_by_leaf_has_few_runs() {
    let home = Home::new();
    let mut writer = home.writer();
    for n in 0..1_000 {
        writer.add(&mut tokens(n..n + 1), n).unwrap();
        assert!(home.number("SELECT count(*) FROM run") <= 10);
    }
    assert!(home.number("SELECT count(*) FROM chunk") <= 2_000 / 166 + 10);
}

#[test]
fn one_person_of_more_leaves_than_a_chunk_holds_is_found_in_all_of_them() {
    let home = Home::new();
    let mut one: Vec<_> = (0..1_000).map(|n| (TODAY, token(1), n)).collect();
    one.extend((0..1_000).map(|n| (TODAY, token(2 + n), n)));
    home.writer().add(&mut one, 999).unwrap();
    assert_eq!(home.reader().token(TODAY, &token(1), u64::MAX).unwrap(), (0..1_000).collect::<Vec<_>>());
    assert_eq!(home.reader().token(TODAY, &token(1), 170).unwrap(), (0..170).collect::<Vec<_>>());
}

#[test]
fn of_what_was_forgotten_no_octet_stays() {
    let home = Home::new();
    let mut writer = home.writer();
    // Merged, split and moved on the way.
    for from in (0..4_000).step_by(250) {
        writer.add(&mut tokens(from..from + 250), from + 249).unwrap();
    }
    let gone: Vec<u64> = (0..4_000).filter(|n| n % 3 == 0).collect();
    assert!(octets_of(&home.path).contains(&token(3)));
    writer.forget(&gone).unwrap();
    let octets = octets_of(&home.path);
    for n in 0..4_000 {
        assert_eq!(octets.contains(&token(n)), n % 3 != 0, "{n}");
    }
    let (whole, stored) = whole(&home);
    assert!(whole.well_formed && stored.iter().all(|entry| entry.in_place && entry.index % 3 != 0));
    assert_eq!(home.reader().token(TODAY, &token(1_000_006), 100).unwrap(), [26, 46, 86]);
    writer.forget(&(0..4_000).collect::<Vec<_>>()).unwrap();
    assert_eq!(home.number("SELECT (SELECT count(*) FROM run)+(SELECT count(*) FROM chunk)"), 0);
    assert_eq!(writer.upto(), Some(3_999));
    writer.add(&mut tokens(4_000..4_001), 4_000).unwrap();
    assert_eq!(home.reader().token(TODAY + 1, &token(4_000), u64::MAX).unwrap(), [4_000]);
}

#[test]
fn forgetting_waits_for_nobody_who_reads_and_says_so() {
    let home = Home::new();
    let mut writer = home.writer();
    writer.add(&mut tokens(0..100), 99).unwrap();
    writer.rest().unwrap();
    let reading = Connection::open(&home.path).unwrap();
    let snapshot = reading.unchecked_transaction().unwrap();
    snapshot.query_row("SELECT count(*) FROM chunk", [], |row| row.get::<_, i64>(0)).unwrap();
    assert!(matches!(writer.forget(&[5]), Err(crate::store::StoreFault::Locked)));
    drop(snapshot);
    writer.forget(&[5]).unwrap();
    assert!(!octets_of(&home.path).contains(&token(5)));
}

#[test]
fn an_index_of_an_older_form_is_not_read_and_made_anew() {
    let home = Home::new();
    home.sql(
        "CREATE TABLE upto(one INTEGER, idx INTEGER); INSERT INTO upto VALUES(1, 5); PRAGMA user_version=1;",
    );
    assert!(TokenReader::open(&home.path).unwrap().is_none());
    let mut writer = home.writer();
    assert_eq!(writer.upto(), None);
    writer.add(&mut tokens(0..6), 5).unwrap();
    assert_eq!(home.reader().token(TODAY, &token(3), u64::MAX).unwrap(), [3]);
}

#[test]
fn a_run_that_is_not_in_its_order_is_made_anew_when_it_is_met() {
    let home = Home::new();
    let mut writer = home.writer();
    writer.add(&mut tokens(0..500), 499).unwrap();
    home.sql("UPDATE chunk SET body=CAST(substr(body, 25)||substr(body, 1, 24) AS BLOB) WHERE rowid=2");
    let (_, stored) = whole(&home);
    assert!(stored.iter().any(|entry| !entry.in_place));
    assert!(writer.add(&mut tokens(500..1_000), 999).is_err());
    let mut anew = home.writer();
    assert_eq!(anew.upto(), None);
    anew.add(&mut tokens(0..1_000), 999).unwrap();
    assert!(whole(&home).1.iter().all(|entry| entry.in_place));
}

#[test]
fn what_no_search_would_find_is_told_when_the_index_is_read_as_a_whole() {
    let edits = [
        "UPDATE chunk SET first=x'00' WHERE rowid=2",
        "UPDATE chunk SET body=substr(body, 25) WHERE rowid=2",
        "UPDATE chunk SET run=run+1 WHERE rowid=2",
        "UPDATE chunk SET body=substr(body, 2) WHERE rowid=2",
        "UPDATE chunk SET body=x'' WHERE rowid=2",
        "DELETE FROM run",
        "UPDATE run SET n=n+1",
        "INSERT INTO run(day, n) VALUES(1, 0)",
        "UPDATE chunk SET body=(SELECT body FROM chunk WHERE rowid=3) WHERE rowid=2",
    ];
    for edit in edits {
        let home = Home::new();
        home.writer().add(&mut tokens(0..500), 499).unwrap();
        home.sql(edit);
        let (whole, stored) = whole(&home);
        assert!(!whole.well_formed || stored.iter().any(|entry| !entry.in_place), "{edit}");
    }
}

/// Three partners, one of them rare; a refusal now and then; a clock that steps back once.
fn leaf(index: u64) -> Facets<'static> {
    let denied = index % 97 == 5;
    Facets {
        index,
        ts: index.cast_signed() * 1_000 - i64::from(index > 900) * 200_000,
        kind: if index.is_multiple_of(2) { "in" } else { "out.sent" },
        peer: match index {
            100 | 700 | 1_500 | 3_000 => "110000",
            n if n.is_multiple_of(3) => "331083",
            _ => "320922",
        },
        op: "license.query",
        dec: if denied { "deny" } else { "permit" },
        code: if denied { "replay" } else { "" },
        auth: index.is_multiple_of(2).then(|| [u8::try_from(index % 200).unwrap(); 32]),
        ms: 3,
        ..Facets::default()
    }
}

#[test]
fn facets_find_what_a_look_at_every_leaf_finds_newest_first() {
    const ALL: u64 = 9_700;
    let home = Home::new();
    let mut writer = FacetWriter::open(home.path.clone()).unwrap();
    let mut from = 0;
    for step in [1, 2, 500, 9, 1_000, 8_188] {
        let leaves: Vec<_> = (from..from + step).map(leaf).collect();
        from += step;
        writer.add(&leaves, from - 1).unwrap();
    }
    assert_eq!(from, ALL);
    let reader = FacetReader::open(&home.path).unwrap();
    let words = |all: &[(&'static str, &str)]| -> BTreeMap<&'static str, String> {
        all.iter().map(|(name, text)| (*name, (*text).to_owned())).collect()
    };
    let combinations = [
        words(&[]),
        words(&[("peer", "331083")]),
        words(&[("peer", "110000")]),
        words(&[("peer", "331083"), ("code", "replay")]),
        words(&[("kind", "out.sent"), ("dec", "deny"), ("op", "license.query")]),
        words(&[("item", "")]),
        words(&[("peer", "nobody")]),
        words(&[("peer", "permit")]),
    ];
    let times = [(i64::MIN, i64::MAX), (300_000, 600_000), (690_000, 720_000), (1_400_000, i64::MAX), (5, 5)];
    for words in &combinations {
        for (from, to) in times {
            for auth in [None, Some([88; 32]), Some([89; 32])] {
                for (before, most) in
                    [(u64::MAX, 10_000), (u64::MAX, 2), (6_000, 3), (1_024, 7), (1_023, 201), (1, 5), (0, 5)]
                {
                    let query = FacetQuery { words: words.clone(), auth, from, to, before, most };
                    let fits = |leaf: &Facets<'_>| {
                        let said = leaf.words();
                        let names = ["kind", "peer", "op", "item", "lt", "dec", "code"];
                        let mut pairs = names.into_iter().zip(said);
                        pairs.all(|(name, said)| words.get(name).is_none_or(|wanted| wanted == said))
                            && auth.is_none_or(|auth| leaf.auth == Some(auth))
                            && (from..to).contains(&leaf.ts)
                    };
                    let expected: Vec<u64> =
                        (0..ALL.min(before)).rev().filter(|index| fits(&leaf(*index))).take(most).collect();
                    assert_eq!(reader.facets(&query).unwrap(), expected, "{query:?}");
                }
            }
        }
    }
}
