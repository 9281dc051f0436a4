//! What a gateway's ledger says, read as a party reads it: under a signed checkpoint.

use serde_json::Value;

use super::world::Gateway;

impl Gateway {
    /// Every leaf so far, in order.
    pub async fn leaves(&self) -> Vec<Value> {
        let ledger = &self.running().house.ledger;
        assert!(ledger.flush().await, "a checkpoint covers what was recorded");
        let origin = ledger.origin();
        let entries = (0..).map_while(|index| ledger.entry(&origin, index).unwrap());
        entries.map(|entry| serde_json::from_slice(&entry.leaf).unwrap()).collect()
    }

    /// `kind/code` of the leaves about this gateway's own files and keys.
    pub async fn changes(&self) -> Vec<String> {
        let leaves = self.leaves().await.into_iter();
        let ours = leaves.filter(|leaf| leaf["t"] == "config" || leaf["t"] == "key");
        ours.map(|leaf| format!("{}/{}", leaf["t"].as_str().unwrap(), leaf["code"].as_str().unwrap()))
            .collect()
    }

    /// A figure of `/metrics`, by its name with labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let told = self.local().get("/metrics").await;
        let text = String::from_utf8(told.body.to_vec()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }
}
