//! Packages: the same bytes twice, accepted as they are, and refused with each seeded fault, also
//! when the manifest is signed again by somebody who has the key.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tongban::audit::package::check::{PackageVerdict, Trust, check};
use tongban::audit::package::{Export, Exported, Manifest, Selection, Warrant, export};
use tongban::ledger::Vkey;
use tongban::ledger::evidence::Field;
use tongban::ledger::verify::FindingKind;

use super::edits::{Chance, edit, edits};
use super::made::{DAY, START, checkpoint};
use super::{Ground, ground};

fn package(ground: &Ground, data: &Path, name: &str, selection: Selection) -> (PathBuf, Exported) {
    let key = ground.keys.ledger();
    let request = Export { data, key: &key, shard: None, selection, policy: None };
    let mut bytes = Vec::new();
    let exported = export(&request, &mut bytes).unwrap();
    let mut again = Vec::new();
    assert_eq!(export(&request, &mut again).unwrap(), exported);
    assert!(bytes == again, "{name}: not the same bytes");
    fs::create_dir_all(ground.root.join("packages")).unwrap();
    let path = ground.root.join("packages").join(name);
    fs::write(&path, bytes).unwrap();
    (path, exported)
}

fn trust(ground: &Ground) -> Trust {
    Trust::vkey(Vkey::parse(&ground.vkey).unwrap())
}

fn window(ground: &Ground) -> (Selection, Warrant) {
    let (from, to) = (START * 1000, (START + DAY / 2) * 1000);
    let subject = Box::new(ground.subject.clone());
    let warrant = Warrant::new(ground.shard(), Field::Citizen, &subject, from, to);
    (Selection::Window { field: Field::Citizen, subject, from, to }, warrant)
}

#[test]
fn a_package_has_the_same_bytes_twice_and_is_sound() {
    let ground = ground();
    let trust = trust(ground);
    let (path, exported) =
        package(ground, &ground.data, "range.tar", Selection::Range { from: 20, to: Some(60) });
    assert_eq!((exported.leaves, exported.evidence.len()), (40, 39));
    let verdict = check(&path, &trust, None).unwrap();
    assert!(verdict.sound, "{:#?}", verdict.findings);
    let seen = &verdict.evidence;
    assert_eq!((seen.present, seen.erased, seen.missing, seen.held), (39, 1, 0, 1));

    let exchanges = Selection::Exchanges(vec!["0190f3a2-7c1e-7d4b-9a51-000000000049".into()]);
    let (path, exported) = package(ground, &ground.data, "exchange.tar", exchanges);
    assert_eq!(exported.evidence, [50]);
    assert!(check(&path, &trust, None).unwrap().sound);
    let leaves = Selection::Leaves(vec![50, 51, 313, 0]);
    let (path, exported) = package(ground, &ground.data, "leaves.tar", leaves);
    assert_eq!((exported.leaves, exported.evidence.len()), (4, 2));
    assert!(check(&path, &trust, None).unwrap().sound);
    package(ground, &ground.other, "other.tar", Selection::Range { from: 0, to: None });

    // Unpacked by the system's own tar, it is as good.
    let folder = ground.root.join("packages/unpacked");
    fs::create_dir_all(&folder).unwrap();
    let unpacked = std::process::Command::new("tar").arg("-xf").arg(&path).arg("-C").arg(&folder).status();
    assert!(unpacked.unwrap().success());
    assert!(check(&folder, &trust, None).unwrap().sound);
    // Its own word for the key is taken, and said.
    let verdict = check(&folder, &Trust::default(), None).unwrap();
    assert_eq!((verdict.sound, verdict.key), (true, tongban::ledger::verify::KeySource::Genesis));
}

#[test]
fn a_policy_asks_for_its_quorum_under_a_packages_checkpoint() {
    use tongban::witness::{CosignerKey, Policy};
    let ground = ground();
    let selection = Selection::Range { from: 20, to: Some(30) };
    let (path, _) = package(ground, &ground.data, "quorum.tar", selection);
    let region = |code: &str| tongban::domain::Region::parse(code).unwrap();
    let keys = tempfile::tempdir().unwrap();
    let witness = |code: &str| CosignerKey::open(&keys.path().join(code), region(code)).unwrap();
    let witnesses = [witness("331083"), witness("320922")];
    let policy = |quorum: &str| {
        let text = format!(
            "log {}\nwitness a {}\nwitness b {}\ngroup both all a b\nquorum {quorum}\n",
            ground.vkey,
            witnesses[0].vkey(),
            witnesses[1].vkey()
        );
        Trust::policy(Policy::parse(text.as_bytes()).unwrap())
    };
    assert!(check(&path, &policy("none"), None).unwrap().sound);
    let kinds = |path: &Path, quorum: &str| {
        let verdict = check(path, &policy(quorum), None).unwrap();
        verdict.findings.iter().map(|finding| finding.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&path, "a"), [FindingKind::QuorumMissing]);
    // Cosigned by one: enough for a, too few for both; every proof carries the same note.
    let cosigned = |line: String| {
        seeded(ground, "quorum.tar", |members, _| {
            for (name, bytes) in members.iter_mut() {
                if name == "checkpoint" || name.starts_with("proofs/") {
                    bytes.extend_from_slice(line.as_bytes());
                }
            }
        })
    };
    let note = fs::read(checkpoint(&ground.data, "421202", super::made::SHARD)).unwrap();
    let text = tongban::ledger::note::Note::parse(&note).unwrap().text().to_owned();
    let line = format!("{}\n", witnesses[0].cosign(&text, tongban::clock::Now::from_secs(START)));
    let path = cosigned(line.clone());
    assert_eq!(kinds(&path, "a"), []);
    assert_eq!(kinds(&path, "both"), [FindingKind::QuorumMissing]);
    // A known witness's line that does not hold spoils the note.
    let forged = format!("{}\n", witnesses[0].cosign("another\n", tongban::clock::Now::from_secs(START)));
    assert!(kinds(&cosigned(forged), "none").contains(&FindingKind::QuorumMissing));
}

#[tokio::test]
async fn a_package_of_more_than_four_thousand_leaves_is_whole() {
    use tongban::ledger::evidence::Evidence;
    use tongban::ledger::{Entry, Leaf, LeafKind, RetentionClass};
    let root = tempfile::tempdir().unwrap();
    let keys = std::sync::Arc::new(super::made::Keys::new());
    let county = super::made::County::open(root.path(), "421202", &keys);
    const LEAVES: u64 = 4_200;
    let mut recording = tokio::task::JoinSet::new();
    for _ in 0..LEAVES {
        let ledger = county.ledger.clone();
        let leaf = Leaf { peer: Some("331083".into()), op: Some("ping".into()), ..Leaf::new(LeafKind::In) };
        let evidence = Evidence { result: Some(b"{}".to_vec()), ..Evidence::new(RetentionClass::Other) };
        recording
            .spawn(async move { ledger.record(Entry { evidence: Some(evidence), ..leaf.into() }).await });
        if recording.len() == 1_000 {
            while let Some(recorded) = recording.join_next().await {
                recorded.unwrap().unwrap();
            }
        }
    }
    while let Some(recorded) = recording.join_next().await {
        recorded.unwrap().unwrap();
    }
    let data = county.close().await;
    let key = keys.ledger();
    let selection = Selection::Range { from: 0, to: None };
    let request = Export { data: &data, key: &key, shard: None, selection, policy: None };
    let path = root.path().join("large.tar");
    let mut file = std::io::BufWriter::new(fs::File::create(&path).unwrap());
    let exported = export(&request, &mut file).unwrap();
    drop(file);
    // With the log's first leaf.
    assert_eq!((exported.leaves, exported.evidence.len() as u64), (LEAVES + 1, LEAVES));
    let verdict = check(&path, &Trust::default(), None).unwrap();
    assert!(verdict.sound, "{:#?}", verdict.findings);
    assert_eq!((verdict.leaves, verdict.evidence.present), (LEAVES + 1, LEAVES));
    let verdict = tongban::ledger::verify::verify(&data, Some(key.public())).unwrap();
    assert!(verdict.sound, "facets over more than one page: {:#?}", verdict.findings);
}

#[test]
fn a_period_is_complete_and_a_hidden_leaf_is_told() {
    let ground = ground();
    let (selection, warrant) = window(ground);
    let (path, exported) = package(ground, &ground.data, "window.tar", selection);
    fs::write(ground.root.join("warrant.json"), serde_json::to_string(&warrant).unwrap()).unwrap();
    // Every fifth of 280, without the one that was erased: nobody can find it any more.
    assert_eq!((exported.leaves, exported.evidence.len()), (284, 55));
    let verdict = check(&path, &trust(ground), Some(&warrant)).unwrap();
    assert!(verdict.sound && verdict.complete == Some(true), "{:#?}", verdict.findings);
    let hidden = seeded(ground, "window.tar", |members, manifest| {
        let gone = manifest["selection"]["matches"].as_array_mut().unwrap().remove(3);
        members.remove(&format!("evidence/{gone}.json"));
    });
    let verdict = check(&hidden, &trust(ground), Some(&warrant)).unwrap();
    let [finding] = &verdict.findings[..] else { panic!("{:#?}", verdict.findings) };
    assert_eq!((finding.kind, finding.index), (FindingKind::TagHidden, Some(16)));
}

/// The package with a fault in it, its manifest made and signed again to fit.
fn seeded(
    ground: &Ground,
    name: &str,
    fault: impl FnOnce(&mut BTreeMap<String, Vec<u8>>, &mut Value),
) -> PathBuf {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = tempfile::tempdir().unwrap();
    let path = ground.root.join("packages").join(name);
    let tar = std::process::Command::new("tar").arg("-xf").arg(&path).arg("-C").arg(folder.path()).status();
    assert!(tar.unwrap().success());
    let bytes = fs::read(folder.path().join("manifest.json")).unwrap();
    let manifest = Manifest::peek(&bytes).unwrap();
    let mut members: BTreeMap<String, Vec<u8>> = manifest
        .members
        .iter()
        .map(|member| (member.name.clone(), fs::read(folder.path().join(&member.name)).unwrap()))
        .collect();
    let mut value = serde_json::to_value(&manifest).unwrap();
    fault(&mut members, &mut value);
    let listed: Vec<Value> = members
        .iter()
        .map(|(name, bytes)| {
            let sum = hex::encode(crate::support::sha256(bytes));
            json!({"name": name, "sha256": sum, "size": bytes.len()})
        })
        .collect();
    value["members"] = listed.into();
    let manifest: Manifest = serde_json::from_value(value).unwrap();
    let to = ground.root.join("seeded").join(format!("{number:02}"));
    let _ = fs::remove_dir_all(&to);
    fs::create_dir_all(&to).unwrap();
    fs::write(to.join("manifest.json"), manifest.sign(&ground.keys.ledger()).unwrap()).unwrap();
    for (name, bytes) in members {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    to
}

fn replace(members: &mut BTreeMap<String, Vec<u8>>, name: &str, from: &str, to: &str) {
    let text = String::from_utf8(members[name].clone()).unwrap();
    assert!(text.contains(from), "{name} has no {from}");
    members.insert(name.to_owned(), text.replacen(from, to, 1).into_bytes());
}

/// A line of `leaves.jsonl` with its leaf changed.
fn forge(members: &mut BTreeMap<String, Vec<u8>>, index: u64, from: &str, to: &str) {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let text = String::from_utf8(members["leaves.jsonl"].clone()).unwrap();
    let lines = text.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        if line["i"] == index {
            let leaf = String::from_utf8(STANDARD.decode(line["l"].as_str().unwrap()).unwrap()).unwrap();
            assert!(leaf.contains(from));
            line["l"] = STANDARD.encode(leaf.replacen(from, to, 1)).into();
        }
        format!("{line}\n")
    });
    let lines: String = lines.collect();
    members.insert("leaves.jsonl".into(), lines.into_bytes());
}

#[test]
fn each_seeded_fault_is_found_although_the_manifest_is_signed_anew() {
    let ground = ground();
    for (name, from, to) in [("range.tar", 20, 60), ("leaves.tar", 50, 52)] {
        if !ground.root.join("packages").join(name).exists() {
            package(ground, &ground.data, name, Selection::Range { from, to: Some(to) });
        }
    }
    package(ground, &ground.data, "seed.tar", Selection::Range { from: 20, to: Some(60) });
    let foreign = |name: &str| {
        let other = ground.root.join("packages/other-for-seed.tar");
        if !other.exists() {
            package(ground, &ground.other, "other-for-seed.tar", Selection::Range { from: 0, to: None });
        }
        let folder = tempfile::tempdir().unwrap();
        let tar =
            std::process::Command::new("tar").arg("-xf").arg(&other).arg("-C").arg(folder.path()).status();
        assert!(tar.unwrap().success());
        fs::read(folder.path().join(name)).unwrap()
    };
    type Members = BTreeMap<String, Vec<u8>>;
    type Forging = Box<dyn Fn(&mut Members, &mut Value)>;
    let faults: Vec<(&str, Forging, FindingKind, Option<u64>)> = vec![
        (
            "a leaf inside the run",
            Box::new(|m, _| forge(m, 30, "permit", "error")),
            FindingKind::LeafChanged,
            Some(20),
        ),
        (
            "its first leaf",
            Box::new(|m, _| forge(m, 20, "permit", "error")),
            FindingKind::LeafChanged,
            Some(20),
        ),
        (
            "a leaf of another region",
            Box::new(|m, _| forge(m, 30, "421202", "331083")),
            FindingKind::LeafMalformed,
            Some(30),
        ),
        (
            "a leaf taken out",
            Box::new(|m, _| {
                let text = String::from_utf8(m["leaves.jsonl"].clone()).unwrap();
                let kept: Vec<&str> = text.lines().filter(|line| !line.contains("\"i\":30,")).collect();
                m.insert("leaves.jsonl".into(), (kept.join("\n") + "\n").into_bytes());
            }),
            FindingKind::LeafMissing,
            Some(30),
        ),
        (
            "leaves in another order",
            Box::new(|m, _| {
                let text = String::from_utf8(m["leaves.jsonl"].clone()).unwrap();
                let mut lines: Vec<&str> = text.lines().collect();
                lines.swap(3, 4);
                m.insert("leaves.jsonl".into(), (lines.join("\n") + "\n").into_bytes());
            }),
            FindingKind::LeafMalformed,
            None,
        ),
        (
            "evidence gone",
            Box::new(|m, _| drop(m.remove("evidence/50.json"))),
            FindingKind::EvidenceMissing,
            Some(50),
        ),
        (
            "evidence of another leaf",
            Box::new(|m, _| {
                let other = m["evidence/51.json"].clone();
                m.insert("evidence/50.json".into(), other);
            }),
            FindingKind::EvidenceChanged,
            Some(50),
        ),
        (
            "evidence of another region",
            Box::new(move |m, _| drop(m.insert("evidence/50.json".into(), foreign("evidence/50.json")))),
            FindingKind::EvidenceChanged,
            Some(50),
        ),
        (
            "evidence for a leaf that has none",
            Box::new(|m, _| {
                let other = m["evidence/51.json"].clone();
                m.insert("evidence/36.json".into(), other);
            }),
            FindingKind::EvidenceExtra,
            Some(36),
        ),
        (
            "an erasure without its order",
            Box::new(|m, _| drop(m.remove("facts.jsonl"))),
            FindingKind::EvidenceMissing,
            Some(36),
        ),
        (
            "an erasure that the order does not list",
            Box::new(|m, _| {
                replace(m, "facts.jsonl", "\"i\":36,", "\"i\":50,");
                m.remove("evidence/50.json");
            }),
            FindingKind::OrderUnproven,
            Some(50),
        ),
        (
            "another checkpoint",
            Box::new(|m, _| replace(m, "checkpoint", "421202", "331083")),
            FindingKind::CheckpointInvalid,
            None,
        ),
        (
            "a proof of another leaf",
            Box::new(|m, _| {
                let other = m["proofs/59.tlog-proof"].clone();
                m.insert("proofs/20.tlog-proof".into(), other);
            }),
            FindingKind::ProofInvalid,
            Some(20),
        ),
        (
            "a member too many",
            Box::new(|m, _| drop(m.insert("proofs/33.tlog-proof".into(), vec![1]))),
            FindingKind::MemberExtra,
            None,
        ),
        (
            "a range that is not all there",
            Box::new(|_, manifest| manifest["selection"]["to"] = json!(70)),
            FindingKind::LeafMissing,
            Some(60),
        ),
    ];
    let mut told = serde_json::Map::new();
    for (what, fault, kind, index) in faults {
        let path = seeded(ground, "seed.tar", |members, manifest| fault(members, manifest));
        let verdict = check(&path, &trust(ground), None).unwrap();
        let found = verdict.findings.iter().any(|f| f.kind == kind && (index.is_none() || f.index == index));
        let by_place = verdict.findings.iter().any(|f| f.file.contains("36"));
        assert!(found || (index == Some(36) && by_place), "{what}: {:#?}", verdict.findings);
        told.insert(path.file_name().unwrap().to_str().unwrap().to_owned(), what.into());
    }
    fs::write(ground.root.join("seeded.json"), Value::Object(told).to_string()).unwrap();
}

#[test]
fn thousands_of_random_edits_of_a_package_are_all_found() {
    let ground = ground();
    let (path, _) = package(ground, &ground.data, "small.tar", Selection::Range { from: 30, to: Some(40) });
    let bytes = fs::read(&path).unwrap();
    let foreign = fs::read(ground.root.join("a/ledger/2026h2/2026-11.provision.db")).unwrap();
    let edited = tempfile::NamedTempFile::new().unwrap();
    let trust = trust(ground);
    for number in 0..edits(8_000) as u64 {
        fs::write(edited.path(), edit(&bytes, &foreign, &mut Chance(number))).unwrap();
        let found = check(edited.path(), &trust, None).map_or(true, |verdict: PackageVerdict| !verdict.sound);
        assert!(found, "edit {number}");
    }
}
