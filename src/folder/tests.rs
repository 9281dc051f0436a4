//! What a watch over folders and files tells, and what it keeps.

use super::*;

fn numbers(path: &Path) -> Folder<i64> {
    Folder::new(path, |v| v.as_i64().ok_or_else(|| vec![Fault::new("", "type", "no number", "不是数")]))
}

fn put(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn values(folder: &Folder<i64>) -> Vec<i64> {
    let mut v: Vec<i64> = folder.good().values().map(|v| **v).collect();
    v.sort_unstable();
    v
}

#[test]
fn a_broken_file_keeps_its_last_good_version_and_says_why_once() {
    let dir = tempfile::tempdir().unwrap();
    let a = put(dir.path(), "a.json", "1");
    let mut folder = numbers(dir.path());
    assert!(folder.poll().changed);
    put(dir.path(), "a.json", "{\"half");
    let changes = folder.poll();
    assert!(!changes.changed);
    assert!(
        matches!(&changes.events[..], [Event { file, what: What::Refused(f) }] if *file == a && f[0].rule == "json")
    );
    assert_eq!(folder.poll().events, []);
    assert_eq!(values(&folder), [1]);
    assert_eq!(folder.faults().len(), 1);
    put(dir.path(), "a.json", "2");
    assert_eq!(folder.poll().events, [Event { file: a, what: What::Changed }]);
    assert_eq!((values(&folder), folder.faults()), (vec![2], vec![]));
}

#[test]
fn files_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut folder = numbers(dir.path());
    assert_eq!(folder.poll(), Changes::default());
    let a = put(dir.path(), "a.json", "1");
    put(dir.path(), ".b.json", "2");
    put(dir.path(), "c.json.tmp", "3");
    assert_eq!(folder.poll().events, [Event { file: a.clone(), what: What::Added }]);
    fs::remove_file(&a).unwrap();
    let gone = folder.poll();
    assert!(gone.changed);
    assert_eq!(gone.events, [Event { file: a, what: What::Removed }]);
    assert!(values(&folder).is_empty());
}

#[test]
fn a_missing_folder_keeps_everything_and_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let trust = dir.path().join("partners");
    fs::create_dir(&trust).unwrap();
    put(&trust, "a.json", "1");
    let mut folder = numbers(&trust);
    folder.poll();
    fs::rename(&trust, dir.path().join("elsewhere")).unwrap();
    let changes = folder.poll();
    assert!(!changes.changed);
    assert_eq!(changes.events.len(), 1);
    assert_eq!(folder.poll().events, []);
    assert_eq!((values(&folder), folder.faults().len()), (vec![1], 1));
    fs::rename(dir.path().join("elsewhere"), &trust).unwrap();
    folder.poll();
    assert_eq!(folder.faults(), []);
}

#[test]
fn writes_of_the_same_size_within_one_clock_tick_are_seen() {
    let dir = tempfile::tempdir().unwrap();
    let mut folder = numbers(dir.path());
    for n in 1..=9 {
        put(dir.path(), "a.json", &n.to_string());
        folder.poll();
        assert_eq!(values(&folder), [n]);
    }
}

#[test]
fn a_touched_file_with_the_same_content_is_no_change() {
    let dir = tempfile::tempdir().unwrap();
    let mut folder = numbers(dir.path());
    put(dir.path(), "a.json", "1");
    folder.poll();
    put(dir.path(), "a.json", "1");
    assert_eq!(folder.poll(), Changes::default());
}

#[test]
fn an_oversized_file_and_a_fifo_are_refused_without_hanging() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "big.json", &" ".repeat(LARGEST_FILE as usize + 1));
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.path().join("pipe.json"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let mut folder = numbers(dir.path());
    let rules: Vec<String> = folder.load().1.into_iter().map(|f| f.faults[0].rule.clone()).collect();
    assert_eq!(rules, ["too-large", "unreadable"]);
}

#[test]
fn a_pattern_takes_the_names_it_describes() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "a.jwk", "1");
    put(dir.path(), "b.json", "2");
    assert_eq!(numbers(&dir.path().join("*.jwk")).load().0.len(), 1);
    assert_eq!(numbers(&dir.path().join("b.json")).load().0.len(), 1);
    assert_eq!(numbers(&dir.path().join("*")).load().0.len(), 2);
}

#[test]
fn a_watched_file_comes_back_after_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let path = put(dir.path(), "crl.pem", "one");
    let mut file = WatchedFile::new(&path);
    assert!(matches!(file.poll(), Poll::Changed(b) if b.as_slice() == b"one"));
    assert!(matches!(file.poll(), Poll::Unchanged));
    fs::remove_file(&path).unwrap();
    assert!(matches!(file.poll(), Poll::Refused(_)));
    assert!(matches!(file.poll(), Poll::Unchanged));
    put(dir.path(), "crl.pem", "one");
    assert!(matches!(file.poll(), Poll::Changed(_)));
}

#[test]
fn ten_thousand_files_are_watched() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..10_000 {
        put(dir.path(), &format!("{n}.json"), &n.to_string());
    }
    let mut folder = numbers(dir.path());
    assert_eq!(folder.load().0.len(), 10_000);
    put(dir.path(), "77.json", "-1");
    assert_eq!(folder.poll().events.len(), 1);
    assert_eq!(values(&folder)[0], -1);
}
