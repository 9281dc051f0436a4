//! An errand on a stopped gateway asks the same question as a start: an older copy is never
//! written to.

use tongban::audit::{DeskFault, Errand, Question};
use tongban::gateway::AtRest;

use super::*;

fn files(world: &World) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    read_below(&world.xianan.home.join("data/ledger"), &mut found);
    // What SQLite shares among readers is no word of the log's.
    found.retain(|(path, _)| !path.to_str().unwrap().ends_with("-shm"));
    read_below(&world.xianan.home.join("data/tiles"), &mut found);
    found.sort();
    found
}

/// Not one byte was written.
fn assert_same(before: &[(std::path::PathBuf, Vec<u8>)], after: &[(std::path::PathBuf, Vec<u8>)]) {
    let of = |files: &[(std::path::PathBuf, Vec<u8>)]| {
        files.iter().map(|(path, bytes)| (path.clone(), sha256(bytes))).collect::<Vec<_>>()
    };
    assert_eq!(of(before), of(after));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_errand_at_rest_never_writes_to_an_older_copy() {
    let world = restored().await;
    settle_auditors(&world.xianan.home);
    let before = files(&world);
    let faults = AtRest::open(&world.xianan.config(), world.clock.clone(), false).await.err().unwrap();
    let [StartFault::OlderCopy { origin, by, .. }] = &faults[..] else { panic!("{faults:?}") };
    assert_eq!((origin.as_str(), by.as_str()), (ORIGIN, YUHUAN));
    assert_same(&before, &files(&world));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_rest_somebody_must_have_answered_or_the_register_says_that_nobody_was_asked() {
    let mut world = pair().await;
    let clock = world.clock.clone();
    settle_auditors(&world.xianan.home);
    witnessed(&world.xianan).await;
    world.xianan.stop().await;
    let search = || errand(LI, search(Question { partner: Some(YUHUAN.into()), ..Question::default() }));
    let registers = || errand(LI, Errand::Registers { act: None, by: None, before: None });
    // A partner answers: as while the gateway runs.
    let desk = AtRest::open(&world.xianan.config(), clock.clone(), false)
        .await
        .map_err(|f| panic!("{f:?}"))
        .unwrap();
    desk.run(search()).await.unwrap();
    let entries = desk.run(registers()).await.unwrap();
    assert_eq!(entries[0].get("offline"), None);
    drop(desk);
    // None does.
    world.yuhuan.stop().await;
    let before = files(&world);
    let faults = AtRest::open(&world.xianan.config(), clock.clone(), false).await.err().unwrap();
    assert!(matches!(faults[..], [StartFault::NobodyAsked]), "{faults:?}");
    assert_same(&before, &files(&world));
    let desk = AtRest::open(&world.xianan.config(), clock, true).await.map_err(|f| panic!("{f:?}")).unwrap();
    desk.run(search()).await.unwrap();
    let entries = desk.run(registers()).await.unwrap();
    assert_eq!(entries[0]["offline"], true);
    assert_eq!(desk.run(errand("nobody", Errand::Requests {})).await, Err(DeskFault::NoSuchAccount));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_gateway_remembers_of_its_witnesses_counts_offline_too() {
    // The log is put back, the witness's book is not.
    let mut world = pair().await;
    let clock = world.clock.clone();
    settle_auditors(&world.xianan.home);
    witnessed(&world.xianan).await;
    world.xianan.stop().await;
    let (data, backup) = (world.xianan.home.join("data"), world.xianan.home.join("backup"));
    copy(&data, &backup);
    world.xianan.start(&clock).await;
    acquaint(&world).await;
    witnessed(&world.xianan).await;
    world.xianan.stop().await;
    for folder in ["ledger", "tiles"] {
        fs::remove_dir_all(data.join(folder)).unwrap();
        copy(&backup.join(folder), &data.join(folder));
    }
    let faults = AtRest::open(&world.xianan.config(), clock, true).await.err().unwrap();
    assert!(matches!(faults[..], [StartFault::OlderCopy { .. }]), "{faults:?}");
}
