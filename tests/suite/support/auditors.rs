//! Auditors of a gateway: accounts, a key that evidence is sealed to, errands at the desk.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tongban::audit::unseal::AuditorPrivateKey;
use tongban::audit::{Desk, DeskFault, Errand, Page, Question, Sent};

use super::world::{Gateway, put};

pub const LI: &str = "li-auditor";
pub const WANG: &str = "wang-auditor";
pub const ZHAO: &str = "zhao-security";
pub const SUN: &str = "sun-system";
pub const PURPOSE: &str = "群众投诉核查";
pub const ORDER: &str = "咸审〔2030〕7号";

/// An account's file.
pub fn account(name: &str, role: &str) -> Value {
    json!({"name": name, "title": "某某", "role": role, "spki_sha256": [], "status": "active"})
}

/// Writes the accounts and an auditor's public key into a gateway's trust folders.
pub fn settle_auditors(home: &Path) -> (AuditorPrivateKey, Value) {
    for (name, role) in [(LI, "audit"), (WANG, "audit"), (ZHAO, "security"), (SUN, "system")] {
        fs::create_dir_all(home.join("trust/console")).unwrap();
        put(&home.join(format!("trust/console/{name}.json")), account(name, role).to_string());
    }
    let (private, public) = AuditorPrivateKey::generate().unwrap();
    put(&home.join("trust/auditors/li.jwk"), public.to_string());
    (AuditorPrivateKey::from_jwk(&private).unwrap(), private)
}

pub fn errand(by: &str, errand: Errand) -> Sent {
    Sent { by: by.into(), purpose: PURPOSE.into(), order: ORDER.into(), errand }
}

pub fn search(question: Question) -> Errand {
    Errand::Search { question: Box::new(question), page: Page::default() }
}

impl Gateway {
    /// Accounts and an auditor's key, in force.
    pub async fn admit_auditors(&self) -> AuditorPrivateKey {
        let (key, _) = settle_auditors(&self.home);
        self.reload().await;
        key
    }

    pub fn desk(&self) -> &Desk {
        &self.running().house.desk
    }

    /// An errand as the admin socket does it.
    pub async fn send(&self, sent: Sent) -> Result<Value, DeskFault> {
        let accounts = self.running().house.trust.load().accounts.clone();
        self.desk().run(accounts, sent).await
    }

    pub async fn done(&self, sent: Sent) -> Value {
        self.send(sent).await.unwrap_or_else(|fault| panic!("{fault:?}"))
    }

    /// The files below `data/<folder>`, with their bytes.
    pub fn bytes_below(&self, folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        read_below(&self.home.join("data").join(folder), &mut found);
        found
    }
}

pub fn read_below(path: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            read_below(&entry.unwrap().path(), found);
        }
    } else if path.is_file() {
        match fs::read(path) {
            Ok(bytes) => found.push((path.to_owned(), bytes)),
            // The gateway drops files while a test looks.
            Err(fault) => assert_eq!(fault.kind(), std::io::ErrorKind::NotFound),
        }
    }
}

/// The files that hold `needle`.
pub fn holding(files: &[(PathBuf, Vec<u8>)], needle: &[u8]) -> Vec<PathBuf> {
    assert!(needle.len() >= 6, "too short to mean anything");
    let holds = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    files.iter().filter(|(_, bytes)| holds(bytes)).map(|(path, _)| path.clone()).collect()
}
