use super::*;
use crate::audit::act::Intent;
use crate::audit::tests::{Home, exchange, mandate};
use crate::ledger::Mark;

/// A desk's files after a hold, a restriction and a release of one exchange's evidence, and the
/// marks of the three leaves.
async fn acted() -> (Home, [Mark; 3]) {
    let home = Home::new();
    let desk = home.open();
    let of = exchange(&desk).await;
    let mut marks = Vec::new();
    for act in [Act::Hold, Act::Restrict, Act::Release] {
        let intent = Intent { n: 1, shard: Some(of.shard), of: vec![of.index], ..Intent::new(act) };
        let recorded = desk.record(&mandate(), intent).await.unwrap();
        desk.finish(&recorded).await.unwrap();
        marks.push(recorded.mark);
    }
    assert!(desk.inner.ledger.flush().await);
    drop(desk);
    (home, marks.try_into().unwrap())
}

impl Home {
    fn tamper(&self, sql: &str) {
        let connection = Connection::open(self.dir.path().join("audit.db")).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    fn bound(&self) -> RegistersBound {
        registers_bound(self.dir.path()).unwrap()
    }
}

fn named(bound: &RegistersBound) -> Vec<(RegisterFault, Option<i64>, Option<String>, &'static str)> {
    bound.findings.iter().map(|f| (f.kind, f.number, f.leaf.clone(), f.part)).collect()
}

fn place(mark: Mark) -> Option<String> {
    Some(format!("{}/{}", mark.shard, mark.index))
}

#[tokio::test]
async fn registers_that_nobody_touched_are_what_the_ledger_says() {
    let (home, _) = acted().await;
    let bound = home.bound();
    assert_eq!((bound.sound, bound.entries, bound.leaves, bound.under_way), (true, 3, 3, 0), "{bound:?}");
    let empty = tempfile::tempdir().unwrap();
    let nothing = registers_bound(empty.path()).unwrap();
    assert_eq!((nothing.sound, nothing.entries, nothing.leaves), (true, 0, 0));
}

#[tokio::test]
async fn every_edit_of_an_entry_is_found_and_located() {
    use RegisterFault::{Altered, Deleted, Inserted};
    let purpose = "UPDATE entry SET doc=replace(doc, '核查', '考勤') WHERE n=2";
    for (sql, findings) in [
        (purpose, vec![(Altered, Some(2), 1, "words")]),
        // Its own hash along with it: the leaf still says the old one.
        (
            "UPDATE entry SET doc=replace(doc, '核查', '考勤'), rd=x'00' WHERE n=2",
            vec![(Altered, Some(2), 1, "words")],
        ),
        ("UPDATE entry SET rd=x'00' WHERE n=1", vec![(Altered, Some(1), 0, "rd")]),
        ("UPDATE entry SET who='sun-auditor' WHERE n=3", vec![(Altered, Some(3), 2, "by")]),
        ("UPDATE entry SET act='search' WHERE n=3", vec![(Altered, Some(3), 2, "act")]),
        ("UPDATE entry SET at=at-86400000 WHERE n=1", vec![(Altered, Some(1), 0, "at")]),
        ("UPDATE entry SET idx=NULL, shard=NULL WHERE n=1", vec![(Altered, Some(1), 0, "place")]),
        ("UPDATE entry SET idx=99999 WHERE n=1", vec![(Altered, Some(1), 0, "place")]),
        ("UPDATE entry SET shard='nonsense' WHERE n=1", vec![(Altered, Some(1), 0, "place")]),
        ("DELETE FROM concerns WHERE n=3", vec![(Altered, Some(3), 2, "of")]),
        ("INSERT INTO concerns VALUES('2030h1', 77, 3)", vec![(Altered, Some(3), 2, "of")]),
        ("INSERT INTO restricted VALUES('2030h1', 77, 1)", vec![(Altered, Some(1), 0, "restricted")]),
        ("DELETE FROM entry WHERE n=2", vec![(Deleted, None, 1, "entry")]),
        (
            "INSERT INTO entry(at, act, who, rd, doc, shard, idx, done) \
             SELECT at, act, who, x'01', replace(doc, '核查', '考勤'), shard, idx, 1 FROM entry WHERE n=1",
            vec![(Inserted, Some(4), usize::MAX, "entry")],
        ),
        (
            "INSERT INTO entry(at, act, who, rd, doc, shard, idx, done) \
             SELECT at, act, who, x'01', doc, '2030h1', 500, 1 FROM entry WHERE n=1",
            vec![(Inserted, Some(4), usize::MAX, "entry")],
        ),
    ] {
        let (home, marks) = acted().await;
        home.tamper(sql);
        let bound = home.bound();
        let expected: Vec<_> = findings
            .into_iter()
            .map(|(kind, number, at, part)| (kind, number, marks.get(at).copied().and_then(place), part))
            .collect();
        assert_eq!((bound.sound, named(&bound)), (false, expected), "{sql}");
        for finding in &bound.findings {
            let leaf = finding.leaf.as_deref().unwrap_or_default();
            assert!(finding.message().contains(leaf) && finding.message_zh().contains(leaf));
        }
    }
}

#[tokio::test]
async fn two_entries_that_changed_places_are_both_named() {
    let (home, _) = acted().await;
    home.tamper("UPDATE entry SET idx = idx + CASE n WHEN 1 THEN 1 ELSE -1 END WHERE n IN (1, 2)");
    let numbers: Vec<_> = home.bound().findings.iter().map(|f| (f.kind, f.number)).collect();
    assert_eq!(numbers, [(RegisterFault::Altered, Some(1)), (RegisterFault::Altered, Some(2))]);
}

#[tokio::test]
async fn an_act_that_is_under_way_or_crashed_is_no_finding() {
    let (home, _) = acted().await;
    // Its leaf stands and its place is not noted yet; another stands before its leaf.
    home.tamper("UPDATE entry SET idx=NULL, shard=NULL, done=0 WHERE n=3");
    home.tamper(
        "INSERT INTO entry(at, act, who, rd, doc) \
         SELECT at, act, who, x'02', replace(doc, '核查', '复核') FROM entry WHERE n=1",
    );
    let bound = home.bound();
    assert_eq!((bound.sound, bound.under_way), (true, 2), "{bound:?}");
}

#[tokio::test]
async fn more_findings_than_are_told_are_counted() {
    let (home, _) = acted().await;
    let insert = |n: u32| {
        format!(
            "INSERT INTO entry(at, act, who, rd, doc, shard, idx, done) VALUES(1, 'search', 'li', \
             CAST('{n}' AS BLOB), '{{}}', '2030h1', {}, 1);",
            1000 + n
        )
    };
    home.tamper(&(0..105).map(insert).collect::<String>());
    let bound = home.bound();
    assert_eq!((bound.findings.len(), bound.more), (MOST_FINDINGS, 5));
}
