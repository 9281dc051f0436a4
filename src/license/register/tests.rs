//! What the embedded register and its import promise.

use std::io::{BufReader, Cursor};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::license::tests::{MARRIAGE, marriage};

const NOW: Now = Now::from_secs(1_900_000_000);

struct File {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl File {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("register.db");
        Self { _folder: folder, path }
    }

    fn import(&self, lines: &[Value]) -> ImportReport {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.import_text(text)
    }

    fn import_text(&self, text: impl Into<Vec<u8>>) -> ImportReport {
        import(&self.path, BufReader::new(Cursor::new(text.into())), NOW.shanghai_day(), |_| {}).unwrap()
    }

    fn open(&self) -> Register {
        Register::embedded(&self.path).unwrap()
    }
}

fn holder(number: &str) -> Ask {
    Ask::Holder { license_type: MARRIAGE.into(), kind: "111".into(), number: number.into() }
}

fn id(value: &Value) -> Ask {
    Ask::Id { license_type: MARRIAGE.into(), license_id: value["license_id"].as_str().unwrap().into() }
}

const HUSBAND: &str = "42120219000101001X";
const WIFE: &str = "150421190202029984";

async fn found(register: &Register, ask: Ask) -> Vec<String> {
    let records = register.fetch(&ask, NOW).await.unwrap();
    records.iter().map(|record| record.license_id().to_owned()).collect()
}

fn counts(report: &ImportReport) -> [u64; 5] {
    [report.loaded, report.replaced, report.unchanged, report.outdated, report.refused_lines]
}

#[tokio::test]
async fn a_license_is_found_under_each_holder_and_its_id() {
    let file = File::new();
    let license = marriage("A1", "001");
    assert_eq!(counts(&file.import(std::slice::from_ref(&license))), [1, 0, 0, 0, 0]);
    let register = file.open();
    let wanted = [license["license_id"].as_str().unwrap().to_owned()];
    for ask in [holder(HUSBAND), holder(WIFE), id(&license)] {
        assert_eq!(found(&register, ask).await, wanted);
    }
    assert!(found(&register, holder("440703190303039973")).await.is_empty());
    assert!(found(&register, id(&marriage("A2", "001"))).await.is_empty());
}

#[tokio::test]
async fn of_two_versions_the_newer_stands_in_whatever_order_they_come() {
    let [first, second] = ["001", "002"].map(|version| marriage("A1", version));
    for lines in [[first.clone(), second.clone()], [second.clone(), first.clone()]] {
        let file = File::new();
        file.import(&lines);
        let register = file.open();
        assert_eq!(found(&register, holder(HUSBAND)).await, [second["license_id"].as_str().unwrap()]);
        assert!(found(&register, id(&first)).await.is_empty());
    }
}

#[test]
fn the_report_tells_new_replaced_unchanged_and_outdated_apart() {
    let file = File::new();
    let mut corrected = marriage("A1", "001");
    corrected["data"]["registered_on"] = json!("2026-01-04");
    assert_eq!(counts(&file.import(&[marriage("A1", "001"), marriage("A1", "001")])), [1, 0, 1, 0, 0]);
    assert_eq!(counts(&file.import(&[corrected, marriage("A1", "002")])), [0, 2, 0, 0, 0]);
    assert_eq!(counts(&file.import(&[marriage("A1", "001"), marriage("A1", "002")])), [0, 0, 1, 1, 0]);
}

#[test]
fn refused_lines_are_told_with_all_their_faults_and_the_others_are_loaded() {
    let file = File::new();
    let mut wrong = marriage("A2", "001");
    wrong["holders"][0]["code"] = json!("421202190001010019");
    wrong["issuer_code"] = json!("11421202TECT000191");
    let text = format!(
        "{}\n\n{wrong}\n{{\"a\":1,\"a\":2}}\n\u{fffd}\nnot json\n{}",
        marriage("A1", "001"),
        marriage("A3", "001")
    );
    let mut told = Vec::new();
    let report = import(&file.path, Cursor::new(text), NOW.shanghai_day(), |progress| {
        if let Progress::Refused(refused) = progress {
            told.push(refused.line);
        }
    })
    .unwrap();
    assert_eq!(counts(&report), [2, 0, 0, 0, 4]);
    assert_eq!(report.lines, 7);
    assert_eq!(told, [3, 4, 5, 6]);
    let rules: Vec<_> = report.refused[0].faults.iter().map(|f| f.pointer.as_str()).collect();
    assert!(rules.contains(&"/holders/0/code") && rules.contains(&"/issuer_code"), "{rules:?}");
    assert_eq!(report.refused[1].faults[0].rule, "json-duplicate-name");
    assert!(!format!("{report:?}").contains("421202190001010019"), "no value is repeated");
}

#[test]
fn a_line_that_is_too_long_is_refused_without_being_held() {
    let file = File::new();
    let text = format!("{}\n{}\n{}", "x".repeat(3_000_000), marriage("A1", "001"), "y".repeat(300_000));
    let report = file.import_text(text);
    assert_eq!(counts(&report), [1, 0, 0, 0, 2]);
    assert_eq!(report.refused.iter().map(|r| r.line).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(report.refused[0].faults[0].rule, "line-too-long");
}

#[test]
fn a_large_file_is_committed_in_batches() {
    let file = File::new();
    let lines: Vec<_> = (0..2_500).map(|n| marriage(&format!("S{n}"), "001")).collect();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let mut commits = Vec::new();
    let report = import(&file.path, Cursor::new(text), NOW.shanghai_day(), |progress| {
        if let Progress::Committed { lines } = progress {
            commits.push(lines);
        }
    });
    assert_eq!(report.unwrap().loaded, 2_500);
    assert_eq!(commits, [1_000, 2_000, 2_500]);
    assert_eq!(EmbeddedRegister::open(&file.path).unwrap().count().unwrap(), 2_500);
}

#[tokio::test]
async fn data_that_is_never_shared_is_not_in_the_file() {
    let withheld = crate::schema::Catalog::embedded().license_type(MARRIAGE).unwrap();
    assert!(!withheld.shareable("photo"));
    let file = File::new();
    let mut license = marriage("A1", "001");
    license["data"]["photo"] = json!("c2VjcmV0LXBob3Rv");
    let report = file.import(&[license]);
    assert_eq!(report.loaded, 1, "{report:?}");
    let there = |bytes: &[u8]| bytes.windows(16).any(|part| part == b"c2VjcmV0LXBob3Rv");
    assert!(!there(&std::fs::read(&file.path).unwrap()));
    assert!(!there(&std::fs::read(file.path.with_extension("db-wal")).unwrap_or_default()));
}

#[test]
fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let file = File::new();
    file.import(&[marriage("A1", "001")]);
    assert_eq!(std::fs::metadata(&file.path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn another_layout_is_not_touched() {
    let file = File::new();
    let connection = rusqlite::Connection::open(&file.path).unwrap();
    connection.pragma_update(None, "user_version", 7).unwrap();
    assert!(matches!(Register::embedded(&file.path), Err(RegisterFileFault::Layout(7))));
}

#[tokio::test]
async fn a_record_that_somebody_changed_in_the_file_is_not_believed() {
    let file = File::new();
    file.import(&[marriage("A1", "001")]);
    let connection = rusqlite::Connection::open(&file.path).unwrap();
    connection.execute("UPDATE license SET doc = replace(doc, '2026-01-05', '2026-13-05')", []).unwrap();
    assert_eq!(file.open().fetch(&holder(HUSBAND), NOW).await.err(), Some(RegisterFault::Record));
    connection
        .execute("UPDATE holder SET number = '440703190303039973' WHERE number = ?1", [HUSBAND])
        .unwrap();
    connection.execute("UPDATE license SET doc = replace(doc, '2026-13-05', '2026-01-05')", []).unwrap();
    let asked = holder("440703190303039973");
    assert_eq!(file.open().fetch(&asked, NOW).await.err(), Some(RegisterFault::Record));
}

#[tokio::test]
async fn a_running_reader_learns_what_an_import_changed() {
    let file = File::new();
    file.import(&[marriage("A1", "001")]);
    let register = file.open();
    assert_eq!(register.changes(), Changes::None);
    let mut changed = marriage("A1", "002");
    changed["holders"][1] = json!({"name": "测试丙", "type_code": "111", "code": "440703190303039973"});
    let report = file.import(&[changed]);
    assert_eq!(report.replaced, 1, "{report:?}");
    let Changes::Some(changes) = register.changes() else { panic!("changes") };
    for number in [HUSBAND, WIFE, "440703190303039973"] {
        let change =
            Change::Holder { license_type: MARRIAGE.into(), kind: "111".into(), number: number.into() };
        assert!(changes.contains(&change), "{number}");
    }
    assert_eq!(register.changes(), Changes::None);
    file.import(&[marriage("A1", "001")]);
    assert_eq!(register.changes(), Changes::None, "an outdated line changes nothing");
}

#[tokio::test]
async fn a_reader_that_missed_too_much_forgets_everything() {
    let file = File::new();
    file.import(&[marriage("A1", "001")]);
    let register = file.open();
    let lines: Vec<_> = (0..6_000).map(|n| marriage(&format!("S{n}"), "001")).collect();
    file.import(&lines);
    assert_eq!(register.changes(), Changes::Everything);
    assert_eq!(register.changes(), Changes::None);
}

#[tokio::test]
async fn an_import_beside_a_running_lookup_is_told_at_once() {
    use crate::license::{Lookup, Mode};
    let file = File::new();
    let license_type = crate::schema::Catalog::embedded().license_type(MARRIAGE).unwrap();
    let permit = crate::policy::testing::permit(MARRIAGE, &["registered_on"]);
    let query: crate::license::LicenseQuery = serde_json::from_value(json!({
        "license": {"type": MARRIAGE, "holder": {"type": "111", "number": HUSBAND}},
        "mode": "read", "fields": ["registered_on"]
    }))
    .unwrap();
    assert_eq!(query.mode, Mode::Read);
    let lookup = Lookup::new(file.open());
    let ask = async || lookup.run(&query, license_type, &permit, |_, _| true, NOW).await.unwrap().result;
    assert_eq!(ask().await["found"], json!(false));
    file.import(&[marriage("A1", "001")]);
    assert_eq!(ask().await["licenses"][0]["data"]["registered_on"], json!("2026-01-05"));
    assert_eq!(ask().await["source"], json!("cache"));
    let mut corrected = marriage("A1", "002");
    corrected["data"]["registered_on"] = json!("2026-01-04");
    file.import(&[corrected]);
    assert_eq!(ask().await["licenses"][0]["data"]["registered_on"], json!("2026-01-04"));
}
