//! Folders and files of configuration that change while the gateway runs: cards,
//! agreements, authorities, certificates, revocation lists.
//!
//! Promises: a file is taken whole or not at all; one that cannot be read or fails its
//! parser keeps its last good version and says why; an unreadable folder keeps
//! everything. A poll without changes costs one `stat` a file.
//! Leaves to others: how often to poll, and what a document means.

#[cfg(test)]
mod tests;
mod watched_file;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use serde_json::Value;

use crate::fault::Fault;
use crate::json;

pub use watched_file::{LARGEST_FILE, Poll, WatchedFile};

type Parser<T> = Box<dyn Fn(&Value) -> Result<T, Vec<Fault>> + Send + Sync>;

/// A folder (`trust/partners`), or a pattern in one (`trust/auditors/*.jwk`), whose files
/// become `T`s. A folder's files are those named `*.json`; names with a leading dot are
/// nobody's (editors and mounts leave them behind).
pub struct Folder<T> {
    folder: PathBuf,
    names: Names,
    parse: Parser<T>,
    files: HashMap<PathBuf, Entry<T>>,
    folder_fault: Option<Fault>,
}

struct Entry<T> {
    watched: WatchedFile,
    good: Option<Arc<T>>,
    faults: Vec<Fault>,
}

/// What is wrong with one file, or with the folder itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFault {
    pub file: PathBuf,
    pub faults: Vec<Fault>,
}

/// What a poll found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The set of good documents is another one than before.
    pub changed: bool,
    pub events: Vec<Event>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub file: PathBuf,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Added,
    Changed,
    Removed,
    /// Not taken; the last good version, if there was one, stays in force.
    Refused(Vec<Fault>),
}

impl<T> Folder<T> {
    pub fn new(path: &Path, parse: impl Fn(&Value) -> Result<T, Vec<Fault>> + Send + Sync + 'static) -> Self {
        let (folder, names) = Names::split(path);
        Self { folder, names, parse: Box::new(parse), files: HashMap::new(), folder_fault: None }
    }

    /// Polls once and tells everything that holds now, and everything that is wrong.
    pub fn load(&mut self) -> (HashMap<PathBuf, Arc<T>>, Vec<FileFault>) {
        self.poll();
        (self.good(), self.faults())
    }

    /// The last good version of each file.
    pub fn good(&self) -> HashMap<PathBuf, Arc<T>> {
        self.files.iter().filter_map(|(path, e)| Some((path.clone(), Arc::clone(e.good.as_ref()?)))).collect()
    }

    /// The faults that stand now, by file name.
    pub fn faults(&self) -> Vec<FileFault> {
        let folder = self
            .folder_fault
            .iter()
            .map(|f| FileFault { file: self.folder.clone(), faults: vec![f.clone()] });
        let files = self.files.iter().filter(|(_, e)| !e.faults.is_empty());
        let files = files.map(|(path, e)| FileFault { file: path.clone(), faults: e.faults.clone() });
        let mut all: Vec<_> = folder.chain(files).collect();
        all.sort_by(|a, b| a.file.cmp(&b.file));
        all
    }

    /// Looks for changes since the last poll. The same fault is told once, not every time.
    pub fn poll(&mut self) -> Changes {
        let mut changes = Changes::default();
        let present = match self.list() {
            Ok(present) => present,
            Err(fault) => {
                if self.folder_fault.as_ref() != Some(&fault) {
                    let what = What::Refused(vec![fault.clone()]);
                    changes.events.push(Event { file: self.folder.clone(), what });
                }
                self.folder_fault = Some(fault);
                return changes;
            }
        };
        self.folder_fault = None;
        self.drop_missing(&present, &mut changes);
        for path in present {
            self.poll_file(path, &mut changes);
        }
        changes.events.sort_by(|a, b| a.file.cmp(&b.file));
        changes
    }

    fn list(&self) -> Result<Vec<PathBuf>, Fault> {
        let names = || -> io::Result<Vec<PathBuf>> {
            let mut found = Vec::new();
            for entry in fs::read_dir(&self.folder)? {
                let name = entry?.file_name();
                if name.to_str().is_some_and(|n| self.names.take(n)) {
                    found.push(self.folder.join(name));
                }
            }
            Ok(found)
        };
        names()
            .map_err(|_| Fault::new("", "unreadable-folder", "the folder cannot be listed", "无法列出目录"))
    }

    fn drop_missing(&mut self, present: &[PathBuf], changes: &mut Changes) {
        if self.files.is_empty() {
            return;
        }
        let present: std::collections::HashSet<&Path> = present.iter().map(PathBuf::as_path).collect();
        self.files.retain(|path, entry| {
            let stays = present.contains(path.as_path());
            if !stays {
                changes.changed |= entry.good.is_some();
                changes.events.push(Event { file: path.clone(), what: What::Removed });
            }
            stays
        });
    }

    fn poll_file(&mut self, path: PathBuf, changes: &mut Changes) {
        let entry = self.files.entry(path.clone()).or_insert_with(|| Entry {
            watched: WatchedFile::new(&path),
            good: None,
            faults: Vec::new(),
        });
        let read = match entry.watched.poll() {
            Poll::Unchanged => return,
            Poll::Changed(bytes) => read_value(&bytes).and_then(|v| (self.parse)(&v)),
            Poll::Refused(fault) => Err(vec![fault]),
        };
        let what = match read {
            Ok(document) => {
                entry.faults.clear();
                changes.changed = true;
                match entry.good.replace(Arc::new(document)) {
                    None => What::Added,
                    Some(_) => What::Changed,
                }
            }
            Err(mut faults) => {
                if faults.is_empty() {
                    faults.push(Fault::new("", "invalid", "is not valid", "无效"));
                }
                if faults == entry.faults {
                    return;
                }
                entry.faults.clone_from(&faults);
                What::Refused(faults)
            }
        };
        changes.events.push(Event { file: path, what });
    }
}

fn read_value(bytes: &[u8]) -> Result<Value, Vec<Fault>> {
    json::parse_config(bytes)
        .map_err(|_| vec![Fault::new("", "json", "is not one strict JSON document", "不是合法的JSON文档")])
}

/// Which names in a folder are meant.
enum Names {
    Json,
    Exactly(String),
    Between(String, String),
}

impl Names {
    /// The folder, and which of its names. One `*` in the last component is understood.
    fn split(path: &Path) -> (PathBuf, Self) {
        let last = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let names = match last.split_once('*') {
            Some((before, after)) => Self::Between(before.to_owned(), after.to_owned()),
            None if last.ends_with(".json") || last.ends_with(".jwk") => Self::Exactly(last.to_owned()),
            None => return (path.to_owned(), Self::Json),
        };
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        (folder.to_owned(), names)
    }

    fn take(&self, name: &str) -> bool {
        !name.starts_with('.')
            && match self {
                Self::Json => name.ends_with(".json"),
                Self::Exactly(exact) => name == exact,
                Self::Between(before, after) => {
                    name.len() >= before.len() + after.len()
                        && name.starts_with(before.as_str())
                        && name.ends_with(after.as_str())
                }
            }
    }
}
