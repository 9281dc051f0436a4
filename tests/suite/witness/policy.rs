//! The policy is a trust file like any other: read again when it changes, and kept when what
//! stands there is none.

use super::*;

async fn with_policy(text: &str) -> World {
    let mut world = pair().await;
    let clock = world.clock.clone();
    world.xianan.stop().await;
    let config = world.xianan.home.join("gateway.toml");
    let said = fs::read_to_string(&config).unwrap();
    put(&config, said.replacen("[ledger]\n", "[ledger]\npolicy = \"trust/policy\"\n", 1));
    put(&world.xianan.home.join("trust/policy"), text);
    world.xianan.try_start(&clock, false).await.unwrap_or_else(|faults| panic!("{faults:?}"));
    acquaint(&world).await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_changes_is_in_force_at_the_next_look_and_a_broken_one_changes_nothing() {
    let world = with_policy("quorum none\n").await;
    let file = world.xianan.home.join("trust/policy");
    assert_eq!(ready(&world).await.1, Value::Null);
    let vkey = vkey_of(&to_yuhuan(&world).await).await;
    // From now on 玉环's word is needed; time begins to count now, not at the start.
    world.clock.advance(5 * 3_600_000);
    put(&file, format!("witness yuhuan {vkey}\nquorum yuhuan\n"));
    world.xianan.reload().await;
    assert_eq!(ready(&world).await.1["ready"], true);
    world.clock.advance(5 * 3_600_000);
    assert_eq!(ready(&world).await.0, 503);
    put(&file, "quorum nobody\n");
    world.xianan.reload().await;
    assert_eq!(ready(&world).await.0, 503, "what was good stays in force");
    fs::remove_file(&file).unwrap();
    world.xianan.reload().await;
    assert_eq!(ready(&world).await.0, 503, "taking the file away frees nobody");
    let leaves = world.xianan.leaves().await;
    let told = |code: &str| leaves.iter().any(|leaf| leaf["t"] == "config" && leaf["code"] == code);
    assert!(told("changed") && told("refused"), "both stand in the log");
    put(&file, format!("witness yuhuan {vkey}\nquorum yuhuan\n"));
    world.xianan.reload().await;
    witnessed(&world.xianan).await;
    assert_eq!(ready(&world).await.0, 200);
    put(&file, "quorum none\n");
    world.xianan.reload().await;
    world.clock.advance(5 * 3_600_000);
    assert_eq!(ready(&world).await.1, Value::Null);
}
