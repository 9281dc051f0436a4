//! A disk that fills up, and one that fails: nothing is answered that is not recorded.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Resource, Rlimit, prlimit};
use tongban::ledger::verify::verify;

use crate::process::{Pair, Served, copy, until};

/// A disk of its own for a gateway's data: a little more than the least that must be free.
const DISK: &str = "size=80m";

/// Runs a command where it alone sees what it mounts; the mount ends with it. As root, or
/// as anybody where the system lets users have a namespace of their own.
const PRIVATELY: [&[&str]; 2] =
    [&["unshare", "--mount"], &["unshare", "--mount", "--user", "--map-root-user"]];

fn privately() -> Option<&'static [&'static str]> {
    let mountable = |way: &&&[&str]| {
        let place = tempfile::tempdir().unwrap();
        let mut trial = Command::new(way[0]);
        trial.args(&way[1..]).args(["mount", "-t", "tmpfs", "none"]).arg(place.path());
        trial.output().is_ok_and(|ran| ran.status.success())
    };
    PRIVATELY.iter().find(mountable).copied()
}

/// `serve` on that disk, and where the disk is seen from outside.
fn serve_on_a_small_disk(pair: &Pair, privately: &[&str]) -> (Served, PathBuf) {
    let disk = pair.xianan.file("disk");
    fs::create_dir(&disk).unwrap();
    pair.xianan.edit_config("data_dir = \"data\"", "data_dir = \"disk/data\"");
    let script = "mount -t tmpfs -o \"$1\" none \"$2\" && cp -a \"$3\" \"$2\" && shift 3 && exec \"$@\"";
    let mut command = Command::new(privately[0]);
    command.args(&privately[1..]).args(["sh", "-c", script, "sh", DISK]).arg(&disk).arg(pair.xianan.data());
    let serve = pair.xianan.serve_command();
    command.arg(serve.get_program()).args(serve.get_args());
    let serving = pair.xianan.serve_by(&mut command);
    let seen = PathBuf::from(format!("/proc/{}/root", serving.pid().as_raw_nonzero()));
    (serving, seen.join(disk.strip_prefix("/").unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_a_refusal_until_there_is_room_again() {
    let Some(privately) = privately() else {
        // Said aloud: here no disk can be made. The refusal itself is also held, engine by
        // hand, by `ledger::tests`; and the disk that fails, below, needs no mount.
        let mut err = std::io::stderr();
        return writeln!(err, "a full disk: this system allows no mount, not even privately").unwrap();
    };
    let pair = Pair::make();
    let (serving, disk) = serve_on_a_small_disk(&pair, privately);
    let line = pair.dial().await;
    assert_eq!(pair.ask(&line, &pair.ping()).await.word(), "ok");

    let filler = disk.join("filler");
    let mut filling = File::create(&filler).unwrap();
    while filling.write_all(&[0; 65_536]).is_ok() {}
    let lookup = pair.lookup(&pair.authorize(1).jws);
    for message in [&pair.ping(), &lookup, &lookup] {
        let refused = pair.ask(&line, message).await;
        assert_eq!(
            (refused.word().as_str(), refused.status, refused.signed),
            ("ledger-unavailable", 503, false)
        );
    }
    let (status, ready) = serving.get("/readyz");
    let store = ready["parts"].as_array().unwrap().iter().find(|part| part["part"] == "store").unwrap();
    assert_eq!((status, &store["ready"]), (503, &false.into()));
    assert!(store["why"].as_str().unwrap().contains("disk full"), "{store}");
    assert_eq!(serving.get("/healthz").0, 200, "the process lives");

    drop(filling);
    fs::remove_file(filler).unwrap();
    until("there is room again", || (serving.get("/readyz").0 == 200).then_some(()));
    // What was refused was not used: neither the id nor the one use.
    let answered = pair.ask(&line, &lookup).await;
    assert_eq!(answered.word(), "ok");
    assert_eq!(pair.ask(&line, &lookup).await.word(), "replay");
    let promised = answered.claims.unwrap()["log"].clone();

    // At rest, as the sums beside the files say, it is copied and read.
    let shard = promised["origin"].as_str().unwrap().rsplit('/').next().unwrap();
    let ledger = disk.join("data/ledger");
    let at_rest = |folder: PathBuf| {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().ends_with(".db.sha256")).count() == 1
    };
    until("the files are at rest", || (at_rest(ledger.clone()) && at_rest(ledger.join(shard))).then_some(()));
    copy(&disk.join("data"), &pair.root.path().join("copy"));
    let verdict = verify(&pair.root.path().join("copy"), None).unwrap();
    assert!(verdict.sound, "{:?}", verdict.findings);
    assert!(verdict.logs[0].sealed > promised["index"].as_u64().unwrap());
    drop(line);
    assert_eq!(serving.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_ends_the_process_and_nothing_unrecorded_was_answered() {
    let pair = Pair::make();
    // A write that is refused for its size is an error of the disk to SQLite. The signal
    // that would come with it is turned off.
    let serve = pair.xianan.serve_command();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ && exec \"$@\"", "sh"]).arg(serve.get_program()).args(serve.get_args());
    let mut serving = pair.xianan.serve_by(&mut command);
    let line = pair.dial().await;
    let claims = pair.ask(&line, &pair.ping()).await.claims.unwrap();
    let index = usize::try_from(claims["log"]["index"].as_u64().unwrap()).unwrap();

    prlimit(Some(serving.pid()), Resource::Fsize, Rlimit { current: Some(0), maximum: None }).unwrap();
    let lost = pair.lookup(&pair.authorize(1).jws);
    let told = line.try_exchange(lost.bytes.clone()).await;
    assert!(told.is_err() || told.is_ok_and(|told| told.status == 503), "an answer that is not recorded");
    assert_eq!(serving.wait(), 1);

    let serving = pair.xianan.serve();
    let leaves = pair.xianan.leaves();
    assert_eq!(claims["log"]["leaf"], crate::support::b64(leaves[index].0.hash));
    assert!(leaves.iter().all(|(_, leaf)| leaf["x"] != lost.jti.as_str()));
    let line = pair.dial().await;
    assert_eq!(pair.ask(&line, &lost).await.word(), "ok", "its one use was not taken");
    drop(line);
    assert_eq!(serving.stop(), 0);
    assert!(pair.xianan.verify().sound);
}
