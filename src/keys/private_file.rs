//! Files that hold private keys: read only when nobody else can have written or read them.
//!
//! Promises: no symbolic link is followed, the checks are made on the opened file (so the file
//! checked is the file read), and a fault is one line that names the file and the rule, never
//! the contents. Leaves what the bytes mean to the reader. Parent directories are not judged.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::JwkFault;

/// No key file of ours comes near this; a larger one is a mistake in the configuration (bytes).
const LARGEST_KEY_FILE: u64 = 64 * 1024;

/// Why a key file is not used. `Display` is one line: the file, then the rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileFault {
    #[error("{0}: no such file")]
    Missing(String),
    #[error("{0}: is there already and is not overwritten")]
    Exists(String),
    #[error("{0}: is a symbolic link; a private key must be a regular file")]
    SymbolicLink(String),
    #[error("{0}: is not a regular file")]
    NotRegular(String),
    #[error("{0}: others may read or write it (mode {1:04o}); a private key must have mode 0600")]
    Mode(String, u32),
    #[error("{0}: is owned by another user than the one this process runs as")]
    Owner(String),
    #[error("{0}: is larger than a key file may be (64 KiB)")]
    TooLarge(String),
    #[error("{0}: cannot be read or written ({1})")]
    Io(String, std::io::ErrorKind),
    #[error("{0}: is not a usable private JWK: {1}")]
    Unusable(String, JwkFault),
    #[error("{0}: does not hold the {1} secret bytes it was made with")]
    Length(String, usize),
    #[error("no random bytes could be had")]
    NoRandom,
}

/// The bytes of a private key file: regular, not a symbolic link, no access for group or
/// others, owned by this process's user, at most 64 KiB. Wiped when dropped.
pub fn read_private_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileFault> {
    let name = || path.display().to_string();
    // NONBLOCK so that a FIFO in the key's place cannot hold up the start.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT | Errno::NOTDIR => KeyFileFault::Missing(name()),
        Errno::LOOP => KeyFileFault::SymbolicLink(name()),
        other => KeyFileFault::Io(name(), other.kind()),
    })?;
    let stat = rustix::fs::fstat(&fd).map_err(|errno| KeyFileFault::Io(name(), errno.kind()))?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(KeyFileFault::NotRegular(name()));
    }
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(KeyFileFault::Owner(name()));
    }
    if stat.st_mode & 0o077 != 0 {
        return Err(KeyFileFault::Mode(name(), stat.st_mode & 0o7777));
    }
    let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    if size > LARGEST_KEY_FILE {
        return Err(KeyFileFault::TooLarge(name()));
    }
    // Room for all of it at once: a growing vector would leave unwiped copies behind.
    let room = usize::try_from(LARGEST_KEY_FILE.saturating_add(1)).unwrap_or(usize::MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    File::from(fd)
        .take(LARGEST_KEY_FILE.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| KeyFileFault::Io(name(), error.kind()))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LARGEST_KEY_FILE {
        return Err(KeyFileFault::TooLarge(name()));
    }
    Ok(bytes)
}

/// Writes a new private key file with mode 0600, durable when this returns; never overwrites.
pub fn write_private_file(path: &Path, bytes: &[u8]) -> Result<(), KeyFileFault> {
    let name = || path.display().to_string();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| match errno {
        Errno::EXIST | Errno::LOOP => KeyFileFault::Exists(name()),
        Errno::NOENT | Errno::NOTDIR => KeyFileFault::Missing(name()),
        other => KeyFileFault::Io(name(), other.kind()),
    })?;
    let io = |error: std::io::Error| KeyFileFault::Io(name(), error.kind());
    let mut file = File::from(fd);
    file.write_all(bytes).map_err(io)?;
    file.sync_all().map_err(io)?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent).and_then(|directory| directory.sync_all()).map_err(io)
}

/// The `N` random bytes a file of ours holds; made (0600, durable under its name) when it is not
/// there. A file of another length is not ours.
pub fn read_or_make_secret<const N: usize>(path: &Path) -> Result<Zeroizing<[u8; N]>, KeyFileFault> {
    // Who comes first makes it, everybody else reads that: two makers would each go on with a
    // secret of their own, and one of them would be lost.
    static MAKING: Mutex<()> = Mutex::new(());
    let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if !path.exists() {
        let mut secret = Zeroizing::new([0_u8; N]);
        aws_lc_rs::rand::fill(secret.as_mut()).map_err(|_| KeyFileFault::NoRandom)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        // Beside, then renamed: a stop in between must not leave half a key for good.
        let beside = path.with_extension("new");
        let io = |e: std::io::Error| KeyFileFault::Io(beside.display().to_string(), e.kind());
        std::fs::create_dir_all(folder).map_err(io)?;
        match std::fs::remove_file(&beside) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io(e)),
            _ => write_private_file(&beside, secret.as_ref())?,
        }
        std::fs::rename(&beside, path).and_then(|()| File::open(folder)?.sync_all()).map_err(io)?;
    }
    let bytes = read_private_file(path)?;
    let length = || KeyFileFault::Length(path.display().to_string(), N);
    bytes.as_slice().try_into().map(Zeroizing::new).map_err(|_| length())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_that_many_need_at_once_is_one_secret() {
        let dir = tempfile::tempdir().unwrap();
        for nth in 0..20 {
            let path = dir.path().join(format!("search/{nth}.key"));
            let start = std::sync::Barrier::new(8);
            let made: Vec<[u8; 32]> = std::thread::scope(|scope| {
                let maker = || {
                    start.wait();
                    *read_or_make_secret::<32>(&path).unwrap()
                };
                let makers: Vec<_> = (0..8).map(|_| scope.spawn(maker)).collect();
                makers.into_iter().map(|maker| maker.join().unwrap()).collect()
            });
            assert!(made.iter().all(|secret| *secret == made[0]));
            assert_eq!(read_private_file(&path).unwrap().as_slice(), made[0]);
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.jwk");
        write_private_file(&path, b"secret").unwrap();
        assert_eq!(read_private_file(&path).unwrap().as_slice(), b"secret");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    }

    #[test]
    fn an_existing_file_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.jwk");
        write_private_file(&path, b"first").unwrap();
        assert!(matches!(write_private_file(&path, b"second"), Err(KeyFileFault::Exists(_))));
        assert_eq!(read_private_file(&path).unwrap().as_slice(), b"first");
    }

    #[test]
    fn a_file_others_may_touch_is_refused_by_name_and_rule() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.jwk");
        write_private_file(&path, b"secret").unwrap();
        for mode in [0o640, 0o604, 0o660, 0o601, 0o777] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let fault = read_private_file(&path).unwrap_err();
            assert_eq!(fault, KeyFileFault::Mode(path.display().to_string(), mode));
            assert!(!fault.to_string().contains('\n') && !fault.to_string().contains("secret"));
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        assert!(read_private_file(&path).is_ok(), "stricter than 0600 is fine");
    }

    #[test]
    fn links_directories_fifos_and_absent_or_huge_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.jwk");
        write_private_file(&path, b"secret").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(read_private_file(&link), Err(KeyFileFault::SymbolicLink(_))));
        assert!(matches!(read_private_file(dir.path()), Err(KeyFileFault::NotRegular(_))));
        assert!(matches!(read_private_file(&dir.path().join("none")), Err(KeyFileFault::Missing(_))));
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(matches!(read_private_file(&fifo), Err(KeyFileFault::NotRegular(_))));
        let huge = dir.path().join("huge");
        write_private_file(&huge, &vec![b'x'; 65 * 1024]).unwrap();
        assert!(matches!(read_private_file(&huge), Err(KeyFileFault::TooLarge(_))));
    }
}
