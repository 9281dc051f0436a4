//! What somebody does who changes a ledger behind the gateway's back: one byte of a copy.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::county::{LOOK_AGAIN, PATIENCE};

/// A word that a refusal of the story left in a leaf.
const RECORDED: &[u8] = b"authorization-missing";

/// Copies the data of a running gateway and changes one bit of one recorded word in the copy;
/// says at which byte of its file.
pub fn copy_with_one_byte_flipped(data: &Path, copy: &Path) -> Result<usize, String> {
    copy_at_rest(data, copy)?;
    let kind = |e: std::io::Error| e.kind().to_string();
    let databases = files_below(&copy.join("ledger")).map_err(kind)?.into_iter();
    for file in
        databases.filter(|file| is_of_leaves(file) && file.extension().is_some_and(|kind| kind == "db"))
    {
        let mut bytes = std::fs::read(&file).map_err(kind)?;
        if let Some(at) = bytes.windows(RECORDED.len()).position(|window| window == RECORDED)
            && let Some(byte) = bytes.get_mut(at)
        {
            *byte ^= 1;
            std::fs::write(&file, &bytes).map_err(kind)?;
            return Ok(at);
        }
    }
    Err("no recorded refusal was found in the copy".to_owned())
}

/// A copy taken when the gateway has put its store to rest. What still lies in a write-ahead
/// log is not in the file yet, and damage there SQLite itself drops: the leaf would be missing
/// instead of changed.
fn copy_at_rest(data: &Path, copy: &Path) -> Result<(), String> {
    let waiting = Instant::now();
    loop {
        match copied_at_rest(data, copy) {
            Ok(true) => return Ok(()),
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e.kind().to_string()),
            // At work: logs hold something, or a file went while it was copied.
            _ if waiting.elapsed() > PATIENCE => return Err("the store did not come to rest".to_owned()),
            _ => std::thread::sleep(LOOK_AGAIN),
        }
    }
}

/// A month's leaves or the checkpoints: not a vault or an index beside them, which stay open
/// and hold no leaf.
fn is_of_leaves(file: &Path) -> bool {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.matches('.').count() == 1
}

fn copied_at_rest(data: &Path, copy: &Path) -> std::io::Result<bool> {
    if copy.exists() {
        std::fs::remove_dir_all(copy)?;
    }
    copy_folder(data, copy)?;
    let files = files_below(&copy.join("ledger"))?;
    let mut logs = files.iter().filter(|file| is_of_leaves(file) && file.to_string_lossy().ends_with("-wal"));
    Ok(logs.all(|log| log.metadata().is_ok_and(|meta| meta.len() == 0)))
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if entry.file_type()?.is_file() {
            // The admin socket is no file.
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn files_below(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}
