//! Files that others read while we write them: whole or not at all, and still there after a
//! power cut.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;

/// Puts `bytes` in the place of `path` by a rename. A leading dot hides the unfinished file
/// from those who watch the folder.
pub fn replace_file(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let shown = path.display();
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().with_context(|| format!("{shown}: names no file"))?.to_string_lossy();
    let unfinished = folder.join(format!(".{name}.{}.new", std::process::id()));
    let written = write_new(&unfinished, bytes, mode).and_then(|()| {
        std::fs::rename(&unfinished, path)?;
        File::open(folder)?.sync_all()
    });
    written.map_err(|error| {
        let _ = std::fs::remove_file(&unfinished);
        anyhow::anyhow!("{shown}: cannot be written ({})", error.kind())
    })
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("331083.json");
        replace_file(&path, b"one", 0o644).unwrap();
        replace_file(&path, b"two", 0o644).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
