//! To whoever builds: what is shipped is laid out by the profile that lies in the repository, and what is
//! only tested is compiled as ever (docs/decisions/0013).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output};

fn called(asked: &[&str], profile: Option<&str>) -> Output {
    let mut wrapper = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(".cargo/rustc"));
    wrapper.args(["printf", "%s\\n"]).args(asked).env_remove("TONGBAN_PROFILE");
    wrapper.envs(profile.map(|said| ("TONGBAN_PROFILE", said)));
    wrapper.output().unwrap()
}

/// What the compiler is given, where cargo asks for `asked`.
fn given(asked: &[&str], profile: Option<&str>) -> Vec<String> {
    let told = called(asked, profile);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8(told.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The compiler whose names the functions in the profile have (`rustc --version`, all of it: it is in the names).
const RECORDED_WITH: &str = "rustc 1.95.0 (59807616e 2026-04-14)";

/// The name that a function of ours has when it is compiled, behind its first `_`; a hash follows.
const KNOWN: &[u8] = b"ZN7tongban6config6Config4load17h";
const HASH: usize = 16;

/// The hashes behind that name, in a program or profile.
fn hashes(path: &Path) -> BTreeSet<Vec<u8>> {
    let mut file = BufReader::new(File::open(path).unwrap());
    let (mut found, mut piece) = (BTreeSet::new(), Vec::new());
    while file.read_until(b'_', &mut piece).unwrap() > 0 {
        found.extend(piece.strip_prefix(KNOWN).and_then(|rest| rest.get(..HASH)).map(<[u8]>::to_vec));
        piece.clear();
    }
    found
}

#[test]
fn the_profile_knows_our_functions_by_the_names_that_they_have_today() {
    let here = hashes(&std::env::current_exe().unwrap());
    let there = hashes(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".cargo/release.profdata"));
    assert_eq!((here.len(), there.len()), (1, 1), "the function stands in this program and in the profile");
    let compiler = Command::new("rustc").arg("--version").output().unwrap().stdout;
    let same = compiler.trim_ascii() == RECORDED_WITH.as_bytes();
    assert_eq!(here == there, same, "record it anew with scripts/profile, and say with which compiler");
}

#[test]
fn our_names_do_not_depend_on_what_we_depend_on() {
    let cargo = |metadata| ["--crate-name", "tongban", "src/lib.rs", "-C", metadata];
    let ours = given(&cargo("metadata=1f2e"), None);
    assert_eq!(ours, cargo("metadata=tongban"));
    assert_eq!(ours, given(&cargo("metadata=3c4d"), None));
    let another = ["--crate-name", "tongban2", "-C", "metadata=1f2e"];
    assert_eq!(given(&another, None), another);
}

#[test]
fn what_is_optimized_is_given_the_profile_and_nothing_else_is() {
    let release = ["--crate-name", "with space", "-C", "opt-level=3"];
    let with = given(&release, None);
    assert_eq!(with[..4], release);
    let [_, _, _, _, profile, quiet] = with.as_slice() else { panic!("{with:?}") };
    let file = profile.strip_prefix("-Cprofile-use=").unwrap();
    let begins = std::fs::read(file).unwrap();
    assert_eq!(begins[..8], *b"\xfflprofi\x81", "LLVM's indexed format");

    // Who only builds is not told of each function that has changed.
    assert_eq!(quiet, "-Cllvm-args=-no-pgo-warn-mismatch");

    assert_eq!(given(&release, Some("off")), release);
    assert_eq!(given(&release, Some("tell")), with[..5]);
    assert_eq!(given(&release, Some("/some/where"))[4], "-Cprofile-generate=/some/where");
    let mistyped = called(&release, Some("of"));
    assert!(!mistyped.status.success() && mistyped.stdout.is_empty(), "the compiler was called");
    for plain in [&["-vV"][..], &["-C", "opt-level=0"], &["-C", "debuginfo=2"]] {
        assert_eq!(given(plain, None), plain);
    }
}
