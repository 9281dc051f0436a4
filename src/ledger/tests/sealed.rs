//! Where evidence stands, and that it goes.

use super::super::verify::FindingKind;
use super::*;
use crate::store::Month;

/// Evidence for `answered(n)`, of one retention class.
fn with_evidence(n: u32, class: RetentionClass) -> Entry {
    let evidence = evidence::Evidence {
        request: Some(bytes::Bytes::from(format!("request {n}"))),
        subjects: vec![evidence::Subject::new(evidence::Field::Case, format!("K{n}"))],
        ..evidence::Evidence::new(class)
    };
    Entry { evidence: Some(evidence), ..answered(n) }
}

fn an_auditor() -> Arc<AuditorKey> {
    use josekit::jwk::alg::ec::{EcCurve, EcKeyPair};
    let mut public = EcKeyPair::generate(EcCurve::P256).unwrap().to_jwk_public_key();
    public.set_key_use("enc");
    public.set_algorithm("ECDH-ES+A256KW");
    Arc::new(AuditorKey::read(&serde_json::Value::Object(public.as_ref().clone())).unwrap())
}

#[tokio::test]
async fn evidence_stands_in_its_classs_vault_and_is_gone_when_it_was_erased() {
    use crate::store::sqlite::Vaults;
    let home = Home::new();
    let (ledger, _) = home.open();
    ledger.seal_to(vec![an_auditor()]);
    let mut places = Vec::new();
    for (n, class) in
        [(1, RetentionClass::Provision), (2, RetentionClass::Other), (3, RetentionClass::Provision)]
    {
        places.push(ledger.record(with_evidence(n, class)).await.unwrap());
    }
    let vaults = Vaults::of_data_dir(home.dir.path());
    let row = |n: usize| vaults.row(places[n].mark).unwrap();
    for (n, class) in
        [(0, RetentionClass::Provision), (1, RetentionClass::Other), (2, RetentionClass::Provision)]
    {
        let (file, stored) = row(n).unwrap();
        let leaf =
            ledger.inner.shelf.leaves(places[n].mark.shard, places[n].index..places[n].index + 1).unwrap();
        let leaf = Leaf::from_bytes(&leaf[0].leaf).unwrap();
        assert_eq!((file.class, stored.sum_fits), (class, true));
        assert_eq!(leaf.ev, Some(LeafHash(tree::sha256(&stored.sealed))));
        assert!(file.epoch(stored.epoch).unwrap().is_some() && leaf.tags.len() == 1);
    }
    let shard = places[0].mark.shard;
    let hold = VaultOrder::Hold { shard, of: vec![places[2].index], leaf: places[1].mark };
    assert_eq!(ledger.obey(hold).await.unwrap(), [places[2].index]);
    let (_, gone) = row(0).unwrap();
    let erase =
        || VaultOrder::Erase { shard, of: vec![places[0].index, places[2].index], leaf: places[1].mark };
    assert_eq!(ledger.obey(erase()).await.unwrap(), [places[0].index], "a held row stays");
    assert!(row(0).is_none() && row(2).is_some());
    let folder = home.dir.path().join("ledger").join(shard.to_string());
    for file in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let holds = |secret: &[u8]| bytes.windows(secret.len()).any(|w| w == secret);
        assert!(!holds(&gone.r) && !holds(&gone.tokens) && !holds(&gone.sealed[..32]));
    }
    ledger.obey(VaultOrder::Release { shard, of: vec![places[2].index] }).await.unwrap();
    assert_eq!(ledger.obey(erase()).await.unwrap(), [places[2].index]);
    let month = vaults.list(shard).unwrap()[0].0;
    ledger.obey(VaultOrder::Drop { shard, month, class: RetentionClass::Other }).await.unwrap();
    assert_eq!(vaults.list(shard).unwrap(), [(month, RetentionClass::Provision)]);
    // Every leaf still verifies; but nothing in the tree ordered any of this.
    assert!(ledger.flush().await);
    drop(ledger);
    let findings = verify(home.dir.path(), None).unwrap().findings;
    let unproven = FindingKind::ErasureUnproven;
    let kinds: Vec<_> = findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [unproven, FindingKind::EvidenceMissing, unproven], "{findings:#?}");
}

impl Home {
    /// As after a stop between writing the evidence and the leaf: a row so many places further on.
    fn leaves_a_row_behind(&self, shard: Shard, further: u64) -> Month {
        let month = Month::at(Now::from_secs(START));
        let folder = self.dir.path().join("ledger").join(shard.to_string());
        let path = folder.join(format!("{month}.provision.sealed"));
        let mut bytes = std::fs::read(&path).unwrap();
        let mut copy = bytes[..4096].to_vec();
        let index = u64::from_be_bytes(*copy[8..].first_chunk().unwrap());
        copy[8..16].copy_from_slice(&(index + further).to_be_bytes());
        bytes[4096..8192].copy_from_slice(&copy);
        std::fs::write(path, bytes).unwrap();
        month
    }
}

#[tokio::test]
async fn evidence_whose_leaf_was_never_stored_is_taken_away() {
    use crate::store::sqlite::Vaults;
    let home = Home::new();
    let (ledger, _) = home.open();
    ledger.seal_to(vec![an_auditor()]);
    let first = ledger.record(with_evidence(1, RetentionClass::Provision)).await.unwrap();
    drop(ledger);
    let month = home.leaves_a_row_behind(first.mark.shard, 7);
    let (ledger, _) = home.open();
    ledger.seal_to(vec![an_auditor()]);
    let second = ledger.record(with_evidence(2, RetentionClass::Provision)).await.unwrap();
    let vaults = Vaults::of_data_dir(home.dir.path());
    let file = vaults.open(first.mark.shard, month, RetentionClass::Provision).unwrap().unwrap();
    assert_eq!(file.span().unwrap(), Some((first.index, second.index)));
}

/// As [`evidence_whose_leaf_was_never_stored_is_taken_away`]; found by killing gateways under load.
#[tokio::test]
async fn evidence_without_a_leaf_goes_before_a_leaf_of_another_class_takes_its_place() {
    let home = Home::new();
    let (ledger, _) = home.open();
    ledger.seal_to(vec![an_auditor()]);
    let first = ledger.record(with_evidence(1, RetentionClass::Provision)).await.unwrap();
    drop(ledger);
    home.leaves_a_row_behind(first.mark.shard, 1);
    let (ledger, _) = home.open();
    ledger.seal_to(vec![an_auditor()]);
    let second = ledger.record(with_evidence(2, RetentionClass::Other)).await.unwrap();
    assert_eq!(second.index, first.index + 1);
    let third = ledger.record(with_evidence(3, RetentionClass::Provision)).await.unwrap();
    assert!(ledger.flush().await);
    drop(ledger);
    let verdict = verify(home.dir.path(), None).unwrap();
    assert!(verdict.sound, "{:#?}", verdict.findings);
    assert_eq!(verdict.logs[0].evidence.present, third.index - first.index + 1);
}
