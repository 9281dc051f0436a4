//! Searching as an auditor sees it: everything that fits, whether indexed or not.

use std::sync::Arc;

use josekit::jwk::alg::ec::{EcCurve, EcKeyPair};
use serde_json::Value;

use super::finder::DAY_MS;
use super::*;
use crate::clock::{Clock, Now};
use crate::domain::Region;
use crate::ledger::evidence::{AuditorKey, Evidence};
use crate::ledger::{Decision, Entry, LeafHash, LeafKind, Ledger, LedgerKey, LedgerSettings, VaultOrder};
use crate::store::sqlite::{TokenReader, WholeFacets, facet_index_path, remove_index, token_index_path};
use crate::store::{Month, RetentionClass, Shard};

/// 2026-11-22T00:00:00+08:00.
const START: i64 = 1_795_276_800;
const CITIZEN: &str = "42120219000101001X";

struct Home {
    dir: tempfile::TempDir,
    clock: Clock,
}

impl Home {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), clock: Clock::by_hand(Now::from_secs(START)) }
    }

    fn open(&self) -> Ledger {
        let mut public = EcKeyPair::generate(EcCurve::P256).unwrap().to_jwk_public_key();
        public.set_key_use("enc");
        public.set_algorithm("ECDH-ES+A256KW");
        let auditor = AuditorKey::read(&Value::Object(public.as_ref().clone())).unwrap();
        let settings = LedgerSettings {
            data_dir: self.dir.path().to_owned(),
            region: Region::parse("421202").unwrap(),
            key: LedgerKey::from_seed(&[1; 32]).unwrap(),
            auditors: vec![Arc::new(auditor)],
            clock: self.clock.clone(),
            workers: None,
        };
        Ledger::open(settings).unwrap().0
    }
}

/// Every third about the citizen, every fifth refused, two partners in turn.
fn exchange(n: u64) -> Entry {
    let leaf = Leaf {
        x: Some(format!("exchange-{n:014}")),
        peer: Some(if n.is_multiple_of(2) { "331083" } else { "420100" }.into()),
        op: Some("license.query".into()),
        dec: Some(if n.is_multiple_of(5) { Decision::Deny } else { Decision::Permit }),
        code: n.is_multiple_of(5).then(|| "replay".into()),
        auth: Some(LeafHash([u8::try_from(n % 7).unwrap(); 32])),
        ms: vec![u32::try_from(n).unwrap()],
        ..Leaf::new(LeafKind::In)
    };
    let about = if n.is_multiple_of(3) { CITIZEN.to_owned() } else { format!("other {n}") };
    let evidence = Evidence {
        subjects: vec![Subject::new(Field::Citizen, about)],
        ..Evidence::new(RetentionClass::Provision)
    };
    Entry { evidence: Some(evidence), ..leaf.into() }
}

fn citizen() -> Option<About> {
    Some(About::Value(Subject::new(Field::Citizen, CITIZEN)))
}

fn exchanges(page: &FoundPage) -> Vec<u64> {
    let number = |found: &FoundLeaf| found.leaf.x.as_ref().unwrap()[9..].parse().unwrap();
    page.leaves.iter().map(number).collect()
}

/// All pages of a search, and that each but the last is full.
fn all(finder: &Finder, mut wanted: Wanted) -> Vec<u64> {
    wanted.most = 7;
    let mut found = Vec::new();
    loop {
        let page = finder.find(&wanted).unwrap();
        found.extend(exchanges(&page));
        let Some(next) = page.next else { return found };
        assert_eq!(page.leaves.len(), 7);
        wanted.before = Some(next);
    }
}

#[tokio::test]
async fn what_fits_is_found_before_and_after_it_was_indexed_and_without_an_index() {
    let home = Home::new();
    let ledger = home.open();
    for n in 0..60 {
        ledger.record(exchange(n)).await.unwrap();
        home.clock.advance(DAY_MS / 4);
    }
    let finder = ledger.finder();
    let only = |fits: fn(u64) -> bool| -> Vec<u64> { (0..60).rev().filter(|n| fits(*n)).collect() };
    let facets = |facets: WantedFacets| Wanted { facets, ..Wanted::default() };
    let check = |when: &str| {
        let about = Wanted { about: citizen(), ..Wanted::default() };
        assert_eq!(all(&finder, about), only(|n| n.is_multiple_of(3)), "{when}");
        let denied = WantedFacets { dec: Some("deny".into()), ..WantedFacets::default() };
        assert_eq!(all(&finder, facets(denied.clone())), only(|n| n.is_multiple_of(5)), "{when}");
        let both = Wanted { about: citizen(), ..facets(denied) };
        assert_eq!(all(&finder, both), only(|n| n.is_multiple_of(15)), "{when}");
        let auth = WantedFacets { auth: Some([3; 32]), ..WantedFacets::default() };
        assert_eq!(all(&finder, facets(auth)), only(|n| n % 7 == 3), "{when}");
        let peer = WantedFacets {
            peer: Some("331083".into()),
            code: Some("replay".into()),
            kind: Some("in".into()),
            ..WantedFacets::default()
        };
        assert_eq!(all(&finder, facets(peer)), only(|n| n.is_multiple_of(10)), "{when}");
        let unknown = WantedFacets { op: Some("no.such".into()), ..WantedFacets::default() };
        assert_eq!(all(&finder, facets(unknown)), [0; 0], "{when}");
    };
    let kinds = WantedFacets { kind: Some("in".into()), ..WantedFacets::default() };
    check("not indexed");
    assert!(ledger.index().await);
    check("indexed");
    for n in 60..64 {
        ledger.record(exchange(n)).await.unwrap();
    }
    let newest = Wanted { facets: kinds, most: 5, ..Wanted::default() };
    assert_eq!(exchanges(&finder.find(&newest).unwrap()), [63, 62, 61, 60, 59]);
    let sums = finder.hourly(0, i64::MAX).unwrap();
    let of_partners = sums.iter().filter(|sum| sum.kind == "in");
    assert_eq!(of_partners.map(|sum| sum.n).sum::<u64>(), 60);
    drop(ledger);
    for shard in std::fs::read_dir(home.dir.path().join("ledger")).unwrap() {
        for file in std::fs::read_dir(shard.unwrap().path()).into_iter().flatten() {
            let path = file.unwrap().path();
            if path.to_string_lossy().contains(".index.db") {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
    let denied = WantedFacets { dec: Some("deny".into()), ..WantedFacets::default() };
    let both = Wanted { about: citizen(), ..facets(denied) };
    let lost = (0..64).rev().filter(|n: &u64| n.is_multiple_of(15)).collect::<Vec<_>>();
    assert_eq!(all(&finder, both.clone()), lost);
    // A start makes the index again.
    let ledger = home.open();
    assert!(ledger.index().await);
    assert_eq!(all(&ledger.finder(), both), lost);
}

#[tokio::test]
async fn a_search_keeps_to_its_days_and_a_warrant_to_its_subject() {
    let home = Home::new();
    let ledger = home.open();
    for n in 0..20 {
        ledger.record(exchange(n)).await.unwrap();
        home.clock.advance(DAY_MS);
    }
    let finder = ledger.finder();
    let (from, to) = (START * 1000 + 5 * DAY_MS, START * 1000 + 13 * DAY_MS);
    let keys = finder.subject_keys(&Subject::new(Field::Citizen, CITIZEN)).unwrap();
    for about in [citizen(), Some(About::Keys(Field::Citizen, keys))] {
        let wanted = Wanted { about, from: Some(from), to: Some(to), ..Wanted::default() };
        assert_eq!(all(&finder, wanted.clone()), [12, 9, 6]);
        ledger.index().await;
        assert_eq!(all(&finder, wanted), [12, 9, 6]);
    }
    let stranger = finder.subject_keys(&Subject::new(Field::Citizen, "nobody")).unwrap();
    let about = Some(About::Keys(Field::Citizen, stranger));
    assert_eq!(all(&finder, Wanted { about, ..Wanted::default() }), [0; 0]);
}

#[tokio::test]
async fn what_was_erased_is_not_found_and_its_tokens_are_not_in_the_index() {
    let home = Home::new();
    let ledger = home.open();
    let mut places = Vec::new();
    for n in 0..6 {
        places.push(ledger.record(exchange(n)).await.unwrap());
    }
    assert!(ledger.index().await);
    let finder = ledger.finder();
    let shard = places[0].mark.shard;
    let erase = VaultOrder::Erase { shard, of: vec![places[3].index], leaf: places[5].mark };
    assert_eq!(ledger.obey(erase).await.unwrap(), [places[3].index]);
    assert_eq!(all(&finder, Wanted { about: citizen(), ..Wanted::default() }), [0]);
    let path =
        token_index_path(home.dir.path(), shard, Month::at(home.clock.now()), RetentionClass::Provision);
    let mut left = Vec::new();
    TokenReader::open(&path).unwrap().unwrap().walk(|stored| left.push(stored.index)).unwrap();
    assert!(!left.contains(&places[3].index) && left.len() == 5);
    // Nor do they come there later, of a leaf that was not taken in yet.
    for n in 6..9 {
        places.push(ledger.record(exchange(n)).await.unwrap());
    }
    let erase = VaultOrder::Erase { shard, of: vec![places[7].index], leaf: places[8].mark };
    assert_eq!(ledger.obey(erase).await.unwrap(), [places[7].index]);
    assert!(ledger.index().await);
    left.clear();
    TokenReader::open(&path).unwrap().unwrap().walk(|stored| left.push(stored.index)).unwrap();
    assert!(!left.contains(&places[7].index) && left.len() == 7, "{left:?}");
    // The leaf itself stays, and says what it said.
    let all_in = WantedFacets { kind: Some("in".into()), ..WantedFacets::default() };
    assert_eq!(all(&finder, Wanted { facets: all_in, ..Wanted::default() }), [8, 7, 6, 5, 4, 3, 2, 1, 0]);
}

#[tokio::test]
async fn a_leaf_that_is_not_flushed_is_taken_in_by_nobody_until_it_is() {
    use crate::store::sqlite::FacetReader;
    let home = Home::new();
    let ledger = home.open();
    for n in 0..5 {
        ledger.record(exchange(n)).await.unwrap();
    }
    let (shard, month) = (Shard::parse("2026h2").unwrap(), Month::parse("2026-11").unwrap());
    let (_, size) = ledger.present();
    // As its writer's commit is seen before the flush has ended.
    let file = home.dir.path().join(format!("ledger/{shard}/{month}.db"));
    let written = "INSERT INTO leaf SELECT idx+1, ts, kind, exchange, hash, leaf FROM leaf WHERE idx=?";
    rusqlite::Connection::open(file).unwrap().execute(written, [size.cast_signed() - 1]).unwrap();
    assert!(ledger.index().await);
    let index = FacetReader::open(&facet_index_path(home.dir.path(), shard, month)).unwrap();
    assert_eq!((index.upto().unwrap(), ledger.leaves_of(shard).unwrap()), (Some(size - 1), size));
}

/// Everything the indexes of a month say, in an order that does not depend on how it came there.
fn said(home: &Home, shard: Shard, month: Month) -> String {
    let mut told = Vec::new();
    let path = token_index_path(home.dir.path(), shard, month, RetentionClass::Provision);
    let tokens = TokenReader::open(&path).unwrap().unwrap();
    tokens.walk(|stored| told.push(format!("{stored:?}"))).unwrap();
    let path = facet_index_path(home.dir.path(), shard, month);
    let mut facets = WholeFacets::open(&path).unwrap().unwrap();
    facets.runs(|stored| told.push(format!("{stored:?}"))).unwrap();
    facets.hours(|hour| told.push(format!("{hour:?}"))).unwrap();
    facets.places(|combo, block| told.push(format!("{combo} {block}"))).unwrap();
    while let Some(row) = facets.next_row().unwrap() {
        told.push(format!("{row:?}"));
    }
    told.sort();
    told.join("\n")
}

#[tokio::test]
async fn what_is_taken_in_from_memory_is_what_the_files_say() {
    let home = Home::new();
    let ledger = home.open();
    let (shard, month) = (Shard::parse("2026h2").unwrap(), Month::parse("2026-11").unwrap());
    for n in 0..70 {
        ledger.record(exchange(n)).await.unwrap();
        home.clock.advance(DAY_MS / 16);
        if n == 20 || n == 40 {
            assert!(ledger.index().await);
        }
    }
    // Behind the genesis leaf and the 41 that were taken in already, all of it in memory.
    assert_eq!(ledger.recent(&ledger.origin(), 42).iter().map(|batch| batch.leaves.len()).sum::<usize>(), 29);
    assert!(ledger.index().await);
    let from_memory = said(&home, shard, month);
    drop(ledger);
    remove_index(&facet_index_path(home.dir.path(), shard, month)).unwrap();
    remove_index(&token_index_path(home.dir.path(), shard, month, RetentionClass::Provision)).unwrap();
    let ledger = home.open();
    assert!(ledger.recent(&ledger.origin(), 0).is_empty());
    assert!(ledger.index().await);
    assert_eq!(from_memory, said(&home, shard, month));
    assert!(from_memory.lines().count() > 200);
}
