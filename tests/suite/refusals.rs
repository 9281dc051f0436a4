//! Every refusal a lookup can meet.

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_world_answers() {
    let world = World::start().await;
    assert_eq!(world.ask(world.ping()).await.word(), "ok");
    let verdict = world.ask(world.lookup()).await;
    assert_eq!(verdict.word(), "ok", "{:?}", verdict.outcome);
    assert_eq!(verdict.outcome["found"], true);
    let verdict = world.ask(world.duty()).await;
    assert_eq!(verdict.word(), "ok", "{:?}", verdict.outcome);
}
