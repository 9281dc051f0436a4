//! What stands on a side's disk at the end: chains, parcels, the ledger.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use base64::Engine as _;
use serde_json::Value;
use tongban::casebook::{CaseRow, EventRow, ParcelRow};
use tongban::store::sqlite::{SqliteShelf, open_reader};
use tongban::store::{Shard, Shelf as _};

use super::told::Side;

/// One side, read from its files while nobody writes them.
#[derive(Clone)]
pub struct Effects {
    pub side: Side,
    pub cases: BTreeMap<String, CaseRow>,
    /// Event rows of each case, in order.
    pub chains: HashMap<String, Vec<EventRow>>,
    pub parcels: Vec<ParcelRow>,
    pub leaves: Vec<Value>,
    /// Digests of what this side's own people did, as its ledger has them.
    pub acts: HashSet<String>,
    /// `origin/index` and leaf hash (base64url) of every leaf.
    pub places: HashSet<(String, String)>,
    pub ledger_sound: bool,
}

impl Effects {
    pub fn read(side: Side, data: &Path, ledger_sound: bool) -> Self {
        let book = open_reader(&data.join("cases.db")).unwrap();
        let mut effects = Self {
            side,
            cases: BTreeMap::new(),
            chains: HashMap::new(),
            parcels: rows(&book, "SELECT doc FROM parcel ORDER BY n"),
            leaves: Vec::new(),
            acts: HashSet::new(),
            places: HashSet::new(),
            ledger_sound,
        };
        for row in rows::<CaseRow>(&book, "SELECT doc FROM case_ ORDER BY n") {
            effects.cases.insert(row.case.clone(), row);
        }
        for row in rows::<EventRow>(&book, "SELECT doc FROM event ORDER BY line, seq") {
            effects.chains.entry(row.case.clone()).or_default().push(row);
        }
        let shelf = SqliteShelf::of_data_dir(data);
        for shard in shelf.shards().unwrap() {
            effects.take_leaves(&shelf, shard);
        }
        effects
    }

    fn take_leaves(&mut self, shelf: &SqliteShelf, shard: Shard) {
        for stored in shelf.leaves(shard, 0..u64::MAX >> 1).unwrap() {
            let leaf: Value = serde_json::from_slice(&stored.leaf).unwrap();
            let me = leaf["me"].as_str().unwrap_or_default();
            let place = format!("tongban/{me}/{shard}/{}", stored.index);
            self.places.insert((place, crate::support::b64(stored.hash)));
            if let (Some("event"), Some(digest)) = (leaf["t"].as_str(), leaf["rq"].as_str()) {
                self.acts.insert(digest.to_owned());
            }
            self.leaves.push(leaf);
        }
    }

    /// Does the promise (protocol §3.2, `log`) stand in this side's ledger?
    pub fn keeps(&self, log: &Value) -> bool {
        let place = format!("{}/{}", log["origin"].as_str().unwrap(), log["index"]);
        self.places.contains(&(place, log["leaf"].as_str().unwrap().to_owned()))
    }

    pub fn chain(&self, case: &str) -> &[EventRow] {
        self.chains.get(case).map_or(&[], Vec::as_slice)
    }
}

fn rows<R: serde::de::DeserializeOwned>(book: &rusqlite::Connection, sql: &str) -> Vec<R> {
    let mut statement = book.prepare(sql).unwrap();
    let docs = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    docs.map(|doc| serde_json::from_str(&doc.unwrap()).unwrap()).collect()
}

/// The claims of a signed message, read without checking.
pub fn claims(jws: &str) -> Value {
    let payload = jws.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}
