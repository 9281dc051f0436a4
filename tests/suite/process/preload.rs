//! Libraries of a page that stand between the real process and its disk: compiled by the test, once
//! each. SQLite and Rust's standard library go through the calls of the C library.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `<folder>/shim.c` below `tests/suite`. The C compiler that built SQLite is there.
pub fn compile(folder: &str) -> PathBuf {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite");
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{folder}-{}.so", std::process::id()));
    let mut cc = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    cc.args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-pthread", "-I"]).arg(suite.join("process"));
    cc.arg("-o").arg(&library).arg(suite.join(folder).join("shim.c")).arg("-ldl");
    let compiled = cc.output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    library
}

/// The file by which a test steers a library while the gateway runs: words, then texts, as its
/// `shim.c` lays them out.
pub struct Steering {
    file: File,
    pub path: PathBuf,
    words: u64,
}

pub const TEXT_BYTES: usize = 1024;

impl Steering {
    pub fn create(path: &Path, words: u64, texts: &[&Path]) -> Self {
        let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
        file.set_len(words * 4 + (texts.len() * TEXT_BYTES) as u64).unwrap();
        let steering = Self { file, path: path.to_owned(), words };
        texts.iter().enumerate().for_each(|(number, text)| steering.set_text(number, text.to_str().unwrap()));
        steering
    }

    pub fn set(&self, at: u64, word: u32) {
        self.file.write_all_at(&word.to_le_bytes(), at * 4).unwrap();
    }

    pub fn word(&self, at: u64) -> u32 {
        let mut word = [0; 4];
        self.file.read_exact_at(&mut word, at * 4).unwrap();
        u32::from_le_bytes(word)
    }

    pub fn set_text(&self, number: usize, text: &str) {
        let mut bytes = [0; TEXT_BYTES];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        self.file.write_all_at(&bytes, self.words * 4 + (number * TEXT_BYTES) as u64).unwrap();
    }

    pub fn text(&self, number: usize) -> String {
        let mut text = [0; TEXT_BYTES];
        self.file.read_exact_at(&mut text, self.words * 4 + (number * TEXT_BYTES) as u64).unwrap();
        String::from_utf8_lossy(text.split(|byte| *byte == 0).next().unwrap()).into_owned()
    }
}
