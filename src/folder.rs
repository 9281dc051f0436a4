//! Folders and files of configuration that change while the gateway runs: cards,
//! agreements, authorities, certificates, revocation lists.
//!
//! Promises: a file is taken whole or not at all; one that cannot be read or fails its
//! parser keeps its last good version and says why; an unreadable folder keeps
//! everything. A poll without changes costs one `stat` a file.
//! Leaves to others: how often to poll, and what a document means.

use std::collections::HashMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::fault::Fault;
use crate::json;

/// Bytes of one file. A card with 8 keys has 4 KiB and a large agreement 200 KiB; beyond
/// this somebody copied the wrong file.
pub const LARGEST_FILE: u64 = 1024 * 1024;

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

/// One file whose content is wanted again whenever it changed: a certificate, a key, a CRL.
pub struct WatchedFile {
    path: PathBuf,
    /// Bytes.
    most: u64,
    stamp: Option<Stamp>,
    content: Option<[u8; 32]>,
    /// The content was read twice under the same stamp. A write within the file system's
    /// clock tick of our read leaves the stamp as it was; one more read finds it.
    settled: bool,
    fault: Option<Fault>,
}

pub enum Poll {
    Unchanged,
    /// The bytes, wiped when dropped since they may be a key.
    Changed(Zeroizing<Vec<u8>>),
    /// Told once per fault.
    Refused(Fault),
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
    inode: (u64, u64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            size: meta.size(),
            inode: (meta.dev(), meta.ino()),
        }
    }
}

impl WatchedFile {
    pub fn new(path: &Path) -> Self {
        Self::up_to(path, LARGEST_FILE)
    }

    /// For a kind of file with another limit than [`LARGEST_FILE`] (bytes).
    pub fn up_to(path: &Path, most: u64) -> Self {
        Self { path: path.to_owned(), most, stamp: None, content: None, settled: false, fault: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn poll(&mut self) -> Poll {
        match self.look() {
            Ok(Some(bytes)) => {
                self.fault = None;
                Poll::Changed(bytes)
            }
            Ok(None) => Poll::Unchanged,
            Err(fault) => {
                // Told again when it returns, were it the same.
                self.settled = false;
                self.content = None;
                if self.fault.as_ref() == Some(&fault) {
                    return Poll::Unchanged;
                }
                self.fault = Some(fault.clone());
                Poll::Refused(fault)
            }
        }
    }

    fn look(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
        let meta = fs::metadata(&self.path).map_err(|_| unreadable())?;
        if self.settled && self.stamp == Some(Stamp::of(&meta)) {
            return Ok(None);
        }
        let (bytes, stamp) = read_whole(&self.path, self.most)?;
        self.settled = self.stamp == Some(stamp);
        self.stamp = Some(stamp);
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &bytes).as_ref());
        if self.content == Some(hash) {
            return Ok(None);
        }
        self.content = Some(hash);
        Ok(Some(bytes))
    }
}

/// The bytes and the stamp they were read under; a file written meanwhile is refused, the
/// next poll sees it again.
fn read_whole(path: &Path, most: u64) -> Result<(Zeroizing<Vec<u8>>, Stamp), Fault> {
    // A FIFO put in a trust folder must not hang the gateway.
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut file =
        OpenOptions::new().read(true).custom_flags(nonblock).open(path).map_err(|_| unreadable())?;
    let before = regular(&file)?;
    if before.size > most {
        let most = most / (1024 * 1024);
        let words = (format!("is larger than {most} MiB"), format!("文件超过{most} MiB"));
        return Err(Fault::new("", "too-large", words.0, words.1));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(before.size).unwrap_or(0) + 1));
    (&mut file).take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|_| unreadable())?;
    if regular(&file)? != before || bytes.len() as u64 != before.size {
        return Err(Fault::new("", "being-written", "is being written", "文件正在写入"));
    }
    Ok((bytes, before))
}

fn regular(file: &File) -> Result<Stamp, Fault> {
    let meta = file.metadata().map_err(|_| unreadable())?;
    if meta.is_file() { Ok(Stamp::of(&meta)) } else { Err(unreadable()) }
}

fn unreadable() -> Fault {
    Fault::new("", "unreadable", "cannot be read as a regular file", "无法作为普通文件读取")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(path: &Path) -> Folder<i64> {
        Folder::new(path, |v| v.as_i64().ok_or_else(|| vec![Fault::new("", "type", "no number", "不是数")]))
    }

    fn put(dir: &Path, name: &str, text: &str) -> PathBuf {
        let path = dir.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn values(folder: &Folder<i64>) -> Vec<i64> {
        let mut v: Vec<i64> = folder.good().values().map(|v| **v).collect();
        v.sort_unstable();
        v
    }

    #[test]
    fn a_broken_file_keeps_its_last_good_version_and_says_why_once() {
        let dir = tempfile::tempdir().unwrap();
        let a = put(dir.path(), "a.json", "1");
        let mut folder = numbers(dir.path());
        assert!(folder.poll().changed);
        put(dir.path(), "a.json", "{\"half");
        let changes = folder.poll();
        assert!(!changes.changed);
        assert!(
            matches!(&changes.events[..], [Event { file, what: What::Refused(f) }] if *file == a && f[0].rule == "json")
        );
        assert_eq!(folder.poll().events, []);
        assert_eq!(values(&folder), [1]);
        assert_eq!(folder.faults().len(), 1);
        put(dir.path(), "a.json", "2");
        assert_eq!(folder.poll().events, [Event { file: a, what: What::Changed }]);
        assert_eq!((values(&folder), folder.faults()), (vec![2], vec![]));
    }

    #[test]
    fn files_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = numbers(dir.path());
        assert_eq!(folder.poll(), Changes::default());
        let a = put(dir.path(), "a.json", "1");
        put(dir.path(), ".b.json", "2");
        put(dir.path(), "c.json.tmp", "3");
        assert_eq!(folder.poll().events, [Event { file: a.clone(), what: What::Added }]);
        fs::remove_file(&a).unwrap();
        let gone = folder.poll();
        assert!(gone.changed);
        assert_eq!(gone.events, [Event { file: a, what: What::Removed }]);
        assert!(values(&folder).is_empty());
    }

    #[test]
    fn a_missing_folder_keeps_everything_and_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let trust = dir.path().join("partners");
        fs::create_dir(&trust).unwrap();
        put(&trust, "a.json", "1");
        let mut folder = numbers(&trust);
        folder.poll();
        fs::rename(&trust, dir.path().join("elsewhere")).unwrap();
        let changes = folder.poll();
        assert!(!changes.changed);
        assert_eq!(changes.events.len(), 1);
        assert_eq!(folder.poll().events, []);
        assert_eq!((values(&folder), folder.faults().len()), (vec![1], 1));
        fs::rename(dir.path().join("elsewhere"), &trust).unwrap();
        folder.poll();
        assert_eq!(folder.faults(), []);
    }

    #[test]
    fn writes_of_the_same_size_within_one_clock_tick_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = numbers(dir.path());
        for n in 1..=9 {
            put(dir.path(), "a.json", &n.to_string());
            folder.poll();
            assert_eq!(values(&folder), [n]);
        }
    }

    #[test]
    fn a_touched_file_with_the_same_content_is_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = numbers(dir.path());
        put(dir.path(), "a.json", "1");
        folder.poll();
        put(dir.path(), "a.json", "1");
        assert_eq!(folder.poll(), Changes::default());
    }

    #[test]
    fn an_oversized_file_and_a_fifo_are_refused_without_hanging() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "big.json", &" ".repeat(LARGEST_FILE as usize + 1));
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.path().join("pipe.json"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let mut folder = numbers(dir.path());
        let rules: Vec<String> = folder.load().1.into_iter().map(|f| f.faults[0].rule.clone()).collect();
        assert_eq!(rules, ["too-large", "unreadable"]);
    }

    #[test]
    fn a_pattern_takes_the_names_it_describes() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "a.jwk", "1");
        put(dir.path(), "b.json", "2");
        assert_eq!(numbers(&dir.path().join("*.jwk")).load().0.len(), 1);
        assert_eq!(numbers(&dir.path().join("b.json")).load().0.len(), 1);
        assert_eq!(numbers(&dir.path().join("*")).load().0.len(), 2);
    }

    #[test]
    fn a_watched_file_comes_back_after_a_fault() {
        let dir = tempfile::tempdir().unwrap();
        let path = put(dir.path(), "crl.pem", "one");
        let mut file = WatchedFile::new(&path);
        assert!(matches!(file.poll(), Poll::Changed(b) if b.as_slice() == b"one"));
        assert!(matches!(file.poll(), Poll::Unchanged));
        fs::remove_file(&path).unwrap();
        assert!(matches!(file.poll(), Poll::Refused(_)));
        assert!(matches!(file.poll(), Poll::Unchanged));
        put(dir.path(), "crl.pem", "one");
        assert!(matches!(file.poll(), Poll::Changed(_)));
    }

    #[test]
    fn ten_thousand_files_are_watched() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..10_000 {
            put(dir.path(), &format!("{n}.json"), &n.to_string());
        }
        let mut folder = numbers(dir.path());
        assert_eq!(folder.load().0.len(), 10_000);
        put(dir.path(), "77.json", "-1");
        assert_eq!(folder.poll().events.len(), 1);
        assert_eq!(values(&folder)[0], -1);
    }
}
