//! What stands on the disk of the gateway once nobody writes to it.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use tongban::audit::unseal::AuditorPrivateKey;
use tongban::ledger::evidence::open_sealed;
use tongban::ledger::tree::{Hash, leaf_hash};
use tongban::store::sqlite::{SqliteShelf, Vaults, open_reader};
use tongban::store::{Mark, Shard, Shelf as _};

use crate::process::Home;
use crate::support::{b64, sha256};

/// What of a leaf is compared.
#[derive(Clone, Debug, Deserialize)]
pub struct LeafFacts {
    pub t: String,
    pub x: Option<String>,
    pub status: Option<u16>,
    pub code: Option<String>,
    pub rq: Option<String>,
    pub rd: Option<String>,
    pub auth: Option<String>,
    pub ev: Option<String>,
    /// Of its exact bytes, computed here.
    #[serde(skip)]
    pub hashed: Hash,
    #[serde(skip)]
    pub hash: String,
}

#[derive(Clone, Default)]
pub struct Disk {
    /// Leaves in order, by origin.
    pub logs: BTreeMap<String, Vec<LeafFacts>>,
    /// Leaves under the newest signed checkpoint, by origin.
    pub sealed: HashMap<String, u64>,
    /// Digests of event 0 by case.
    pub cases: HashMap<String, Vec<String>>,
    /// Evidence that was tried and did not open, or was another.
    pub unopened: HashSet<(String, u64)>,
    pub opened: usize,
    /// What `audit verify` says.
    pub findings: Vec<String>,
    pub ledger_key: [u8; 32],
}

/// Of so many leaves the evidence of one is opened; that each has its sealed bytes is a matter of
/// `audit verify`.
const OPEN_ONE_OF: usize = 50;

impl Disk {
    pub fn read(home: &Home, auditor: &AuditorPrivateKey) -> Self {
        let verdict = home.verify();
        let mut disk = Self {
            ledger_key: home.ledger_key(),
            findings: verdict.findings.iter().map(|finding| format!("{finding:?}")).collect(),
            sealed: verdict.logs.iter().map(|log| (log.origin.clone(), log.sealed)).collect(),
            ..Self::default()
        };
        let shelf = SqliteShelf::of_data_dir(&home.data());
        for shard in shelf.shards().unwrap() {
            disk.read_log(home, &shelf, shard, auditor);
        }
        disk.read_cases(home);
        disk
    }

    fn read_log(&mut self, home: &Home, shelf: &SqliteShelf, shard: Shard, auditor: &AuditorPrivateKey) {
        let origin = tongban::ledger::origin(home.region, shard);
        let mut log = Vec::new();
        for (place, stored) in shelf.leaves(shard, 0..u64::MAX >> 1).unwrap().into_iter().enumerate() {
            assert_eq!(stored.index, place as u64, "a leaf is missing");
            let hashed = leaf_hash(&stored.leaf);
            let mut leaf: LeafFacts = serde_json::from_slice(&stored.leaf).unwrap();
            (leaf.hash, leaf.hashed) = (b64(hashed), hashed);
            if leaf.t == "in" && leaf.ev.is_some() && place % OPEN_ONE_OF == 0 {
                self.opened += 1;
                let mark = Mark { shard, index: stored.index };
                if open(home, auditor, mark, &stored.leaf, &leaf).is_none() {
                    self.unopened.insert((origin.clone(), stored.index));
                }
            }
            log.push(leaf);
        }
        self.logs.insert(origin, log);
    }

    fn read_cases(&mut self, home: &Home) {
        let book = open_reader(&home.file("data/cases.db")).unwrap();
        let mut events = book.prepare("SELECT doc FROM event WHERE seq=0 ORDER BY n").unwrap();
        for doc in events.query_map([], |row| row.get::<_, String>(0)).unwrap() {
            let event: tongban::casebook::EventRow = serde_json::from_str(&doc.unwrap()).unwrap();
            self.cases.entry(event.case).or_default().push(event.digest);
        }
    }
}

/// Opens one leaf's evidence as an auditor does; `None` when it does not, or is another's.
fn open(home: &Home, auditor: &AuditorPrivateKey, mark: Mark, bytes: &[u8], leaf: &LeafFacts) -> Option<()> {
    let (vault, row) = Vaults::of_data_dir(&home.data()).row(mark).ok()??;
    let epoch = auditor.epoch_key(&vault.epoch(row.epoch).ok()??).ok()?;
    let plain = open_sealed(&epoch, &row.r, bytes, &row.sealed).ok()?;
    let said: serde_json::Value = serde_json::from_slice(&plain).ok()?;
    let hash = |name: &str| Some(b64(sha256(said[name].as_str()?.as_bytes())));
    (hash("request") == leaf.rq && hash("result") == leaf.rd).then_some(())
}
