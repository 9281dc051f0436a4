//! CAs and revocation lists as watched PEM files: what they last said that could be used.

use std::path::Path;
use std::sync::Arc;

use super::Change;
use crate::fault::Fault;
use crate::folder::{FileFault, Poll, WatchedFile, What};
use crate::peer::{CaFile, CrlFile, shows_published_key};
use crate::witness::Policy;

/// One PEM file with its last good content.
pub struct Pem<T> {
    file: WatchedFile,
    parse: fn(&[u8]) -> Result<T, Fault>,
    pub good: Option<Arc<T>>,
    fault: Option<Fault>,
}

impl<T> Pem<T> {
    pub fn new(path: &Path, parse: fn(&[u8]) -> Result<T, Fault>) -> Self {
        Self { file: WatchedFile::new(path), parse, good: None, fault: None }
    }

    /// Looks again; tells what changed.
    pub fn look(&mut self, changes: &mut Vec<Change>) -> bool {
        let fault = match self.file.poll() {
            Poll::Unchanged => return false,
            Poll::Refused(fault) => fault,
            Poll::Changed(bytes) => match (self.parse)(&bytes) {
                Ok(good) => {
                    let what = if self.good.is_some() { What::Changed } else { What::Added };
                    self.good = Some(Arc::new(good));
                    self.fault = None;
                    changes.push(Change { file: self.file.path().to_owned(), what });
                    return true;
                }
                Err(fault) => fault,
            },
        };
        self.fault = Some(fault.clone());
        changes.push(Change { file: self.file.path().to_owned(), what: What::Refused(vec![fault]) });
        false
    }

    pub fn file_fault(&self) -> Option<FileFault> {
        let fault = self.fault.clone()?;
        Some(FileFault { file: self.file.path().to_owned(), faults: vec![fault] })
    }
}

pub fn ca(pem: &[u8]) -> Result<CaFile, Fault> {
    CaFile::from_pem(pem).map_err(|fault| pem_fault(&fault.to_string()))
}

pub fn unpublished_ca(pem: &[u8]) -> Result<CaFile, Fault> {
    if shows_published_key(pem) {
        let words = "is a published example CA: anybody could be a partner";
        return Err(Fault::new("", "example-key", words, "公开的示例CA，任何人均可冒充伙伴"));
    }
    ca(pem)
}

pub fn crl(pem: &[u8]) -> Result<CrlFile, Fault> {
    CrlFile::from_pem(pem).map_err(|fault| pem_fault(&fault.to_string()))
}

/// A c2sp.org/tlog-policy is no PEM, and watched in the same way.
pub fn watchers(text: &[u8]) -> Result<Policy, Fault> {
    Policy::parse(text).map_err(|faults| {
        let (rule, rule_zh) =
            faults.first().map_or(("cannot be used", "无法使用"), |f| (f.rule, f.rule_zh));
        let line = faults.first().map_or(0, |fault| fault.line);
        Fault::new(format!("/{line}"), "tlog-policy", rule, rule_zh)
    })
}

fn pem_fault(rule: &str) -> Fault {
    Fault::new("", "pem", rule, "PEM 文件无法使用")
}
