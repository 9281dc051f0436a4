//! Who may come to the auditors' console, and as what: one file an account under
//! `trust/console/`.
//!
//! Promises: a name and a certificate's key stand in one account only, or in none (two files
//! that share one are both left out); the three roles are one account each, so that no
//! certificate holds two of them. Leaves sessions and sign-in to the console.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fault::Fault;
use crate::folder::FileFault;

/// SHA-256 of a certificate's DER SubjectPublicKeyInfo.
pub type Pin = [u8; 32];

/// Certificates of one account: the one in use and the next, with room for a second device.
pub const MOST_PINS: usize = 8;
/// Characters of an account's title.
pub const MOST_TITLE: usize = 60;

/// The three administrators that one person cannot be at once (GB/T 22239 8.1.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Keeps the gateway running.
    System,
    /// Looks into exchanges.
    Audit,
    /// Watches those two, and decides with the second pair of eyes.
    Security,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::System, Self::Audit, Self::Security];

    pub const fn word(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Audit => "audit",
            Self::Security => "security",
        }
    }

    /// As people call it, in Chinese and English.
    pub const fn says(self) -> (&'static str, &'static str) {
        match self {
            Self::System => ("系统管理员", "System administrator"),
            Self::Audit => ("审计管理员", "Auditor"),
            Self::Security => ("安全管理员", "Security administrator"),
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}

/// One person's place at the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    name: String,
    title: String,
    role: Role,
    pins: Vec<Pin>,
    active: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    name: String,
    title: String,
    role: Role,
    #[serde(default)]
    spki_sha256: Vec<String>,
    status: Status,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Active,
    Suspended,
}

impl Account {
    /// Reads an account's file; every fault is told.
    pub fn from_value(value: &Value) -> Result<Self, Vec<Fault>> {
        let document: Document = serde_json::from_value(value.clone()).map_err(|_| {
            vec![Fault::new(
                "",
                "account",
                "has name, title, role (system, audit, security), spki_sha256, status (active, suspended) and nothing else",
                "须含 name、title、role(system/audit/security)、spki_sha256、status(active/suspended)，不得有其他成员",
            )]
        })?;
        let mut faults = Vec::new();
        if !is_account_name(&document.name) {
            faults.push(Fault::new(
                "/name",
                "pattern",
                "is 2 to 40 of a-z, 0-9 and -",
                "须为2至40个a-z、0-9或-",
            ));
        }
        let title = document.title.trim();
        if title.is_empty() || title.chars().count() > MOST_TITLE || title.chars().any(char::is_control) {
            faults.push(Fault::new("/title", "length", "is 1 to 60 characters", "须为1至60个字符"));
        }
        let pins: Vec<Pin> = document.spki_sha256.iter().filter_map(|text| pin(text)).collect();
        if pins.len() != document.spki_sha256.len() || pins.len() > MOST_PINS {
            faults.push(Fault::new(
                "/spki_sha256",
                "pin",
                "holds at most 8 base64url SHA-256 of a certificate's DER SPKI",
                "至多8个证书公钥(DER SPKI)的base64url SHA-256",
            ));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let active = document.status == Status::Active;
        Ok(Self { name: document.name, title: title.to_owned(), role: document.role, pins, active })
    }

    /// The account's word in leaves and files.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who it is, as people call them.
    pub fn title(&self) -> &str {
        &self.title
    }

    pub fn role(&self) -> Role {
        self.role
    }

    pub fn pins(&self) -> &[Pin] {
        &self.pins
    }

    pub fn is_active(&self) -> bool {
        self.active
    }
}

/// `[a-z0-9-]{2,40}`.
pub fn is_account_name(name: &str) -> bool {
    (2..=40).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn pin(text: &str) -> Option<Pin> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// Every account that contradicts no other, as one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    by_name: BTreeMap<String, Arc<Account>>,
    by_pin: HashMap<Pin, Arc<Account>>,
}

impl Accounts {
    /// The accounts of these files. Two that share a name or a key are a fault of both.
    pub fn build(files: &HashMap<PathBuf, Arc<Account>>) -> (Self, Vec<FileFault>) {
        let twice = |seen: &mut dyn Iterator<Item = String>| {
            let (mut once, mut twice) = (HashSet::new(), HashSet::new());
            for word in seen {
                if !once.insert(word.clone()) {
                    twice.insert(word);
                }
            }
            twice
        };
        let names = twice(&mut files.values().map(|account| account.name.clone()));
        let pins = twice(&mut files.values().flat_map(|account| account.pins.iter().map(hex::encode)));
        let mut accounts = Self::default();
        let mut faults = Vec::new();
        for (file, account) in files {
            let shared = [
                (
                    names.contains(&account.name),
                    "/name",
                    "shares its name with another account",
                    "与另一账号重名",
                ),
                (
                    account.pins.iter().any(|pin| pins.contains(&hex::encode(pin))),
                    "/spki_sha256",
                    "shares a certificate with another account: nobody holds two roles",
                    "与另一账号共用证书:一人不得兼任",
                ),
            ];
            let shared: Vec<Fault> = shared
                .into_iter()
                .filter(|(shares, ..)| *shares)
                .map(|(_, place, en, zh)| Fault::new(place, "duplicate-account", en, zh))
                .collect();
            if !shared.is_empty() {
                faults.push(FileFault { file: file.clone(), faults: shared });
                continue;
            }
            for pin in &account.pins {
                accounts.by_pin.insert(*pin, Arc::clone(account));
            }
            accounts.by_name.insert(account.name.clone(), Arc::clone(account));
        }
        faults.sort_by(|a, b| a.file.cmp(&b.file));
        (accounts, faults)
    }

    /// The active account of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<Account>> {
        self.by_name.get(name).filter(|account| account.active)
    }

    /// The active account that this certificate's key opens.
    pub fn of_pin(&self, pin: &Pin) -> Option<&Arc<Account>> {
        self.by_pin.get(pin).filter(|account| account.active)
    }

    /// All of them, suspended ones too, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.by_name.values()
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(name: &str, role: &str, pins: &[u8]) -> Value {
        let pins: Vec<String> = pins.iter().map(|pin| URL_SAFE_NO_PAD.encode([*pin; 32])).collect();
        json!({"name": name, "title": "李审计", "role": role, "spki_sha256": pins, "status": "active"})
    }

    fn files(documents: &[Value]) -> HashMap<PathBuf, Arc<Account>> {
        let read = |value| Arc::new(Account::from_value(value).unwrap());
        documents.iter().enumerate().map(|(i, d)| (PathBuf::from(format!("{i}.json")), read(d))).collect()
    }

    #[test]
    fn an_account_opens_with_its_name_and_with_each_of_its_keys() {
        let (accounts, faults) = Accounts::build(&files(&[document("li-auditor", "audit", &[1, 2])]));
        assert!(faults.is_empty());
        let account = accounts.of_pin(&[2; 32]).unwrap();
        assert_eq!((account.role(), account.title()), (Role::Audit, "李审计"));
        assert!(accounts.named("li-auditor").is_some() && accounts.of_pin(&[3; 32]).is_none());
    }

    #[test]
    fn a_name_or_a_key_in_two_accounts_is_a_fault_of_both() {
        let same_name = [document("li", "audit", &[1]), document("li", "security", &[2])];
        let (accounts, faults) = Accounts::build(&files(&same_name));
        assert!(accounts.is_empty());
        assert_eq!(faults.len(), 2);
        let same_key = [document("li", "audit", &[1]), document("wang", "security", &[1, 2])];
        let (accounts, faults) = Accounts::build(&files(&same_key));
        assert!(accounts.is_empty() && accounts.of_pin(&[2; 32]).is_none());
        assert_eq!(faults[0].faults[0].rule, "duplicate-account");
    }

    #[test]
    fn a_suspended_account_is_listed_and_opens_nothing() {
        let mut suspended = document("li", "audit", &[1]);
        suspended["status"] = "suspended".into();
        let (accounts, _) = Accounts::build(&files(&[suspended]));
        assert!(accounts.named("li").is_none() && accounts.of_pin(&[1; 32]).is_none());
        assert_eq!(accounts.iter().count(), 1);
    }

    #[test]
    fn what_is_no_account_is_refused() {
        let bent = |bend: &dyn Fn(&mut Value)| {
            let mut value = document("li-auditor", "audit", &[1]);
            bend(&mut value);
            Account::from_value(&value).unwrap_err()
        };
        assert_eq!(bent(&|v| v["name"] = "Li".into())[0].pointer, "/name");
        assert_eq!(bent(&|v| v["title"] = " ".into())[0].pointer, "/title");
        assert_eq!(bent(&|v| v["role"] = "root".into())[0].rule, "account");
        assert_eq!(bent(&|v| v["spki_sha256"] = json!(["AA"]))[0].rule, "pin");
        assert_eq!(bent(&|v| v["password"] = "123456".into())[0].rule, "account");
    }
}
