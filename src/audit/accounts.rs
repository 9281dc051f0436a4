//! The accounts of `trust/console/*.json`: who may stand at the desk, and as what.
//!
//! Reads names, roles and whether they are in force; what certificate belongs to whom is the
//! console's to check.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::DeskFault;
use super::mandate::{Actor, Role};
use crate::fault::Fault;
use crate::folder::{FileFault, Folder};

/// Characters of an account's name: it stands in leaves.
const LONGEST_NAME: usize = 64;

/// The accounts in force, by name.
#[derive(Clone, Debug, Default)]
pub struct Accounts(HashMap<String, Role>);

/// The members that the desk reads; the console reads all of them.
#[derive(Deserialize)]
struct Document {
    name: String,
    role: Role,
    status: Status,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Active,
    Suspended,
}

impl Accounts {
    /// Reads the folder; a folder that is not there holds nobody. A name that stands twice is
    /// nobody's.
    pub fn read(folder: &Path) -> (Self, Vec<FileFault>) {
        if !folder.is_dir() {
            return (Self::default(), Vec::new());
        }
        let (files, faults) = Folder::new(folder, parse).load();
        let mut roles: HashMap<String, Option<Role>> = HashMap::new();
        for document in files.values() {
            let role = (document.status == Status::Active).then_some(document.role);
            roles.entry(document.name.clone()).and_modify(|known| *known = None).or_insert(role);
        }
        (Self(roles.into_iter().filter_map(|(name, role)| Some((name, role?))).collect()), faults)
    }

    /// The account of this name, in force.
    pub fn actor(&self, name: &str) -> Result<Actor, DeskFault> {
        let role = self.0.get(name).ok_or(DeskFault::NoSuchAccount)?;
        Ok(Actor::new(name.to_owned(), *role))
    }
}

fn parse(value: &Value) -> Result<Document, Vec<Fault>> {
    let fault = || vec![Fault::new("", "account", "is not an account (name, role, status)", "不是有效的账户")];
    let document = Document::deserialize(value).map_err(|_| fault())?;
    if is_name(&document.name) { Ok(document) } else { Err(fault()) }
}

/// `[a-z0-9][a-z0-9-]*`.
fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && !name.starts_with('-')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_account_in_force_has_one_role_and_others_are_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let put = |file: &str, value: Value| std::fs::write(dir.path().join(file), value.to_string()).unwrap();
        let account = |name: &str, role: &str, status: &str| {
            json!({"name": name, "title": "某某", "role": role, "spki_sha256": [], "status": status})
        };
        put("a.json", account("li-auditor", "audit", "active"));
        put("b.json", account("wang-security", "security", "suspended"));
        put("c.json", account("twice", "audit", "active"));
        put("d.json", account("twice", "security", "active"));
        put("e.json", account("(gateway)", "system", "active"));
        put("f.json", account("zhao", "king", "active"));
        let (accounts, faults) = Accounts::read(dir.path());
        assert_eq!(faults.len(), 2);
        assert_eq!(accounts.actor("li-auditor").unwrap().role(), Role::Audit);
        for nobody in ["wang-security", "twice", "(gateway)", "zhao", ""] {
            assert_eq!(accounts.actor(nobody), Err(DeskFault::NoSuchAccount), "{nobody}");
        }
        assert!(Accounts::read(&dir.path().join("none")).0.actor("li-auditor").is_err());
    }
}
