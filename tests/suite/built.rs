//! To whoever builds: what is shipped is laid out by the profile that lies in the repository, and what is
//! only tested is compiled as ever (docs/decisions/0013).

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
