//! Evidence as an auditor and a thief see it.

use josekit::jwe::{self, ECDH_ES_A256KW};
use josekit::jwk::Jwk;
use josekit::jwk::alg::ec::{EcCurve, EcKeyPair};
use serde_json::{Value, json};

use super::*;
use crate::clock::Now;
use crate::ledger::leaf::LeafKind;

const AT: i64 = 1_900_000_000;

struct Auditor {
    private: Jwk,
    public: AuditorKey,
}

fn auditor() -> Auditor {
    let pair = EcKeyPair::generate(EcCurve::P256).unwrap();
    let mut public = pair.to_jwk_public_key();
    public.set_key_use("enc");
    public.set_algorithm("ECDH-ES+A256KW");
    let public = AuditorKey::read(&Value::Object(public.as_ref().clone())).unwrap();
    Auditor { private: pair.to_jwk_private_key(), public }
}

impl Auditor {
    fn unwrap(&self, wrapped: &str) -> Option<[u8; 32]> {
        let mut jwe: Value = serde_json::from_str(wrapped).unwrap();
        let recipients = jwe["recipients"].as_array().unwrap().clone();
        let mine = recipients.into_iter().find(|r| r["header"]["kid"] == self.public.kid())?;
        jwe["recipients"] = json!([mine]);
        let mut decrypter = ECDH_ES_A256KW.decrypter_from_jwk(&self.private).unwrap();
        decrypter.set_key_id(self.public.kid());
        let (payload, _) = jwe::deserialize_json(&jwe.to_string(), &decrypter).ok()?;
        let payload: Value = serde_json::from_slice(&payload).unwrap();
        URL_SAFE_NO_PAD.decode(payload["key"].as_str().unwrap()).unwrap().try_into().ok()
    }
}

fn sealing(dir: &std::path::Path, auditors: &[&Auditor]) -> Sealing {
    let keys = auditors.iter().map(|a| std::sync::Arc::new(a.public.clone())).collect();
    Sealing { epochs: Epochs::new(keys, None), keys: SearchKeys::of_data_dir(dir) }
}

fn said() -> Evidence {
    Evidence {
        request: Some(Bytes::from_static(b"aaa.bbb.ccc")),
        result: Some(br#"{"found":true}"#.to_vec()),
        certificate: Some(Bytes::from_static(b"MII=")),
        subjects: vec![
            Subject::new(Field::Citizen, "42120219000101001x"),
            Subject::new(Field::Case, "K3310834212022026101200000001M"),
        ],
        ..Evidence::new(RetentionClass::Provision)
    }
}

#[test]
fn every_auditor_opens_what_was_sealed_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two, stranger) = (auditor(), auditor(), auditor());
    let sealing = sealing(dir.path(), &[&one, &two]);
    let mut leaf = Leaf::new(LeafKind::In);
    let (row, bytes) = sealing.seal(&mut leaf, &said(), Now::from_secs(AT)).unwrap().unwrap();
    assert_eq!(bytes, leaf.to_bytes().unwrap());
    for auditor in [&one, &two] {
        let key = auditor.unwrap(&row.epoch.wrapped).unwrap();
        let plain = open_sealed(&key, &row.r, &bytes, &row.sealed).unwrap();
        let plain: Value = serde_json::from_slice(&plain).unwrap();
        let told = json!({"certificate": "MII=", "request": "aaa.bbb.ccc", "result": r#"{"found":true}"#});
        assert_eq!(plain, told);
    }
    assert_eq!(stranger.unwrap(&row.epoch.wrapped), None);
    for secret in ["aaa.bbb", "42120219000101001"] {
        let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
        assert!(!holds(&row.sealed) && !holds(&bytes) && !holds(&row.tokens), "{secret}");
    }
}

#[test]
fn sealed_bytes_stand_for_one_leaf_and_need_its_secret() {
    let dir = tempfile::tempdir().unwrap();
    let auditor = auditor();
    let sealing = sealing(dir.path(), &[&auditor]);
    let mut leaf = Leaf::new(LeafKind::In);
    let (row, _) = sealing.seal(&mut leaf, &said(), Now::from_secs(AT)).unwrap().unwrap();
    let key = auditor.unwrap(&row.epoch.wrapped).unwrap();
    let open = |leaf: &Leaf, r: &[u8], sealed: &[u8]| {
        open_sealed(&key, r, &leaf.to_bytes().unwrap(), sealed).map(|plain| plain.len())
    };
    assert!(open(&leaf, &row.r, &row.sealed).is_ok());
    // Put under another leaf that names the same evidence.
    let other = Leaf { x: Some("another-exchange-id-22c".into()), ..leaf.clone() };
    assert_eq!(open(&other, &row.r, &row.sealed), Err(OpenFault::Cipher));
    assert_eq!(open(&leaf, &[0; 32], &row.sealed), Err(OpenFault::OtherSecret));
    let mut changed = row.sealed.clone();
    changed[0] ^= 1;
    assert_eq!(open(&leaf, &row.r, &changed), Err(OpenFault::OtherEvidence));
}

#[test]
fn an_epoch_lasts_ten_minutes_and_ends_with_a_new_auditor() {
    let (one, two) = (auditor(), auditor());
    let epochs = Epochs::new(vec![std::sync::Arc::new(one.public.clone())], None);
    let at = |secs: i64| epochs.present(Now::from_secs(AT + secs)).unwrap().unwrap();
    let first = at(0);
    assert_eq!(first.wrapped().id, AT * 1000);
    assert_eq!(at(599).key(), first.key());
    assert_ne!(at(600).key(), first.key());
    let before = at(601).wrapped().id;
    epochs.seal_to(vec![std::sync::Arc::new(two.public.clone())]);
    let after = at(602).wrapped();
    assert!(
        after.id > before && two.unwrap(&after.wrapped).is_some() && one.unwrap(&after.wrapped).is_none()
    );
    // A clock that steps back does not prolong one.
    assert_ne!(at(0).wrapped().id, after.id);
}

#[test]
fn no_two_epochs_share_an_id_also_while_the_clock_stands_and_after_a_restart() {
    let one = auditor();
    let auditors = || vec![std::sync::Arc::new(one.public.clone())];
    // A leaf was stamped in this very millisecond by the run before.
    let epochs = Epochs::new(auditors(), Some(AT * 1000));
    let mut ids = vec![AT * 1000];
    for _ in 0..3 {
        let epoch = epochs.present(Now::from_secs(AT)).unwrap().unwrap();
        assert_eq!(epochs.present(Now::from_secs(AT)).unwrap().unwrap().key(), epoch.key(), "it lasts");
        assert_eq!(epoch.commitment(), epoch_commitment(&epoch.wrapped().wrapped));
        ids.push(epoch.wrapped().id);
        epochs.seal_to(auditors());
    }
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
}

#[test]
fn without_auditors_there_is_no_evidence_and_no_tag() {
    let dir = tempfile::tempdir().unwrap();
    let mut leaf = Leaf::new(LeafKind::In);
    assert!(sealing(dir.path(), &[]).seal(&mut leaf, &said(), Now::from_secs(AT)).unwrap().is_none());
    assert_eq!(leaf, Leaf::new(LeafKind::In));
}

#[test]
fn a_number_is_found_however_it_is_written_and_tags_of_two_leaves_share_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let keys = SearchKeys::of_data_dir(dir.path());
    let key = keys.of(Now::from_secs(AT)).unwrap();
    let subject = |value: &str| *key.subject(Field::Citizen, value).bytes();
    let same = subject("42120219000101001X");
    // 15 digits of before 1999, full width, lower case, with spaces.
    for written in ["42120219000101001x", "4212 0219 0001 01001X", "４２１２０２１９０００１０１００１Ｘ"]
    {
        assert_eq!(subject(written), same, "{written}");
    }
    assert_eq!(subject("110105491231002"), subject("11010519491231002X"));
    assert_ne!(key.subject(Field::License, "42120219000101001X").bytes(), &same);
    let found = SubjectKey::from_bytes(same);
    assert_ne!(tag_of(&[1; 32], &found), tag_of(&[2; 32], &found));
    let day = |secs: i64| found.token(Now::from_secs(AT + secs));
    assert_eq!(day(0), day(1));
    assert_ne!(day(0), day(86_400));
    // The same key after a restart, another in the next half-year.
    let again = SearchKeys::of_data_dir(dir.path());
    assert_eq!(
        *again.of(Now::from_secs(AT)).unwrap().subject(Field::Citizen, "42120219000101001X").bytes(),
        same
    );
    let later = again.of(Now::from_secs(AT + 200 * 86_400)).unwrap();
    assert_ne!(*later.subject(Field::Citizen, "42120219000101001X").bytes(), same);
}
