//! A register entry: what an auditor did, in words that name no citizen. The SHA-256 of its
//! JCS bytes is the `rd` of the act's leaf.

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::account::Role;
use crate::json::jcs;
use crate::ledger::{Leaf, LeafHash, LeafKind};

/// Indices that stand in one leaf: with ten digits each they are well below an entry's 64 KiB.
pub const MOST_IN_A_LEAF: usize = 4096;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    Search,
    /// Everything about one citizen's, license's, case's or operator's exchanges.
    Subject,
    /// Every use of one authorization.
    Authorization,
    /// Evidence given to an auditor, on the word of two accounts.
    Open,
    Export,
    Erase,
    /// Taken out of use, not destroyed: the law asks to keep it.
    Restrict,
    Hold,
    Release,
    /// A month whose period is over.
    Drop,
    Completeness,
    Sample,
    /// A search key for somebody outside.
    Warrant,
}

impl Act {
    pub const ALL: [Self; 13] = [
        Self::Search,
        Self::Subject,
        Self::Authorization,
        Self::Open,
        Self::Export,
        Self::Erase,
        Self::Restrict,
        Self::Hold,
        Self::Release,
        Self::Drop,
        Self::Completeness,
        Self::Sample,
        Self::Warrant,
    ];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Subject => "subject",
            Self::Authorization => "authorization",
            Self::Open => "open",
            Self::Export => "export",
            Self::Erase => "erase",
            Self::Restrict => "restrict",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Drop => "drop",
            Self::Completeness => "completeness",
            Self::Sample => "sample",
            Self::Warrant => "warrant",
        }
    }

    /// The kind of its leaf (protocol §7.1), and the `op` where kind and act differ.
    pub const fn leaf(self) -> (LeafKind, Option<&'static str>) {
        match self {
            Self::Search => (LeafKind::Search, None),
            Self::Subject | Self::Authorization | Self::Completeness | Self::Sample | Self::Warrant => {
                (LeafKind::Search, Some(self.word()))
            }
            Self::Open => (LeafKind::Open, None),
            Self::Export => (LeafKind::Export, None),
            Self::Erase => (LeafKind::Erase, None),
            Self::Restrict | Self::Hold | Self::Release | Self::Drop => (LeafKind::Erase, Some(self.word())),
        }
    }
}

/// One line of the registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub act: Act,
    /// Milliseconds since 1970.
    pub at: i64,
    pub by: String,
    /// Makes two like acts two entries.
    pub id: String,
    /// How many exchanges came of it.
    pub n: u64,
    /// Their indices in `shard`, where the act is about single ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<u64>,
    /// Done on a stopped gateway that asked no partner whether its log is an older copy.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub offline: bool,
    pub order: String,
    pub purpose: String,
    pub role: Role,
    /// `2026h2`: the log that `of` speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// What was asked: facets, names of fields, a period; no value of a person's.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub what: Value,
    /// The other account of an act that takes two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
}

impl Entry {
    /// The exact bytes that the leaf's `rd` speaks of.
    pub fn to_bytes(&self) -> Vec<u8> {
        jcs(&serde_json::to_value(self).unwrap_or_default())
    }

    /// The leaf that says that this was done.
    pub fn leaf(&self) -> Leaf {
        let (kind, op) = self.act.leaf();
        Leaf {
            by: Some(self.by.clone()),
            n: Some(self.n),
            of: self.of.clone(),
            op: op.map(str::to_owned),
            rd: Some(LeafHash(rd_of(&self.to_bytes()))),
            ..Leaf::new(kind)
        }
    }
}

/// SHA-256 of an entry's bytes.
pub fn rd_of(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(act: Act) -> Entry {
        Entry {
            act,
            at: 1_900_000_000_000,
            by: "li-auditor".into(),
            id: "1".into(),
            n: 2,
            of: vec![7, 9],
            offline: false,
            order: "咸审〔2026〕1号".into(),
            purpose: "投诉核查".into(),
            role: Role::Audit,
            shard: Some("2030h1".into()),
            what: serde_json::json!({"partner": "331083"}),
            with: None,
        }
    }

    #[test]
    fn an_act_has_one_word_and_its_leaf_says_it() {
        for act in Act::ALL {
            assert_eq!(serde_json::to_value(act).unwrap(), act.word());
            let leaf = entry(act).leaf();
            let said = leaf.op.clone().unwrap_or_else(|| leaf.t.name().to_owned());
            assert_eq!(said, act.word());
            assert_eq!(
                (leaf.by.as_deref(), leaf.n, &leaf.of[..]),
                (Some("li-auditor"), Some(2), &[7, 9][..])
            );
        }
    }

    #[test]
    fn an_entry_reads_back_and_its_leaf_holds_no_word_of_it() {
        let entry = entry(Act::Open);
        let bytes = entry.to_bytes();
        assert_eq!(serde_json::from_slice::<Entry>(&bytes).unwrap(), entry);
        let leaf = entry.leaf();
        assert_eq!(leaf.rd, Some(LeafHash(rd_of(&bytes))));
        let text = String::from_utf8(leaf.to_bytes().unwrap()).unwrap();
        assert!(!text.contains("核查") && !text.contains("咸审"), "{text}");
    }

    #[test]
    fn the_most_indices_fit_into_a_leaf() {
        let mut entry = entry(Act::Erase);
        entry.of = (0..MOST_IN_A_LEAF as u64).map(|n| 9_999_999_999 - n).collect();
        assert!(entry.leaf().to_bytes().is_some());
    }
}
