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

/// A witness of nobody's region: plain HTTP on loopback, with its own book and key.
async fn hub(root: &std::path::Path, world: &World) -> (String, String) {
    use http_body_util::{BodyExt as _, Full};
    use hyper::body::Bytes;
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use tongban::domain::Region;
    use tongban::witness::{Answer, KnownLog};
    let region = Region::parse("420000").unwrap_or_else(|_| Region::parse("320922").unwrap());
    let now = world.clock.now();
    let witness = Witness::open(root, region, None, now).unwrap();
    let vkey = witness.vkey().to_string();
    let card = world.xianan.running().house.own_card();
    let public = *tongban::ledger::Vkey::parse(card["ledger"]["vkey"].as_str().unwrap()).unwrap().public();
    let known = move || KnownLog { region: Region::parse(XIANAN).unwrap(), public };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hub", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let witness = witness.clone();
            let serve = service_fn(move |request: Request<hyper::body::Incoming>| {
                let witness = witness.clone();
                async move {
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let (status, body) = match path.as_str() {
                        "/hub/add-checkpoint" => {
                            match witness.add_checkpoint(Some(known()), &body, now).unwrap() {
                                Answer::Cosigned(line) => (200, line.into()),
                                Answer::Conflict(size) => (409, format!("{size}\n").into_bytes()),
                                other => panic!("{other:?}"),
                            }
                        }
                        other => {
                            let id =
                                other.strip_prefix("/hub/").and_then(|rest| rest.strip_suffix("/checkpoint"));
                            let found = id.and_then(|id| witness.last_cosigned(id).unwrap());
                            (if found.is_some() { 200 } else { 404 }, found.unwrap_or_default())
                        }
                    };
                    let answer = Response::builder().status(status).body(Full::new(Bytes::from(body)));
                    Ok::<_, std::convert::Infallible>(answer.unwrap())
                }
            });
            let io = hyper_util::rt::TokioIo::new(stream);
            drop(tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, serve)));
        }
    });
    (vkey, url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_of_the_policy_that_is_no_partner_is_asked_at_its_address_and_stops_an_older_copy() {
    let mut world = with_policy("quorum none\n").await;
    let clock = world.clock.clone();
    let root = tempfile::tempdir().unwrap();
    let (vkey, url) = hub(root.path(), &world).await;
    put(&world.xianan.home.join("trust/policy"), format!("witness hub {vkey} {url}\nquorum hub\n"));
    world.xianan.reload().await;
    witnessed(&world.xianan).await;
    let note = checkpoint(&to_xianan(&world).await, ORIGIN).await;
    assert_eq!(cosigned_at(&note, &vkey).len(), 1, "the hub's word alone is enough: {note}");
    // It goes on, is put back, and only the hub is there to tell.
    world.xianan.stop().await;
    let (data, backup) = (world.xianan.home.join("data"), world.xianan.home.join("backup"));
    copy(&data, &backup);
    world.xianan.try_start(&clock, false).await.unwrap();
    witnessed(&world.xianan).await;
    world.xianan.stop().await;
    world.yuhuan.stop().await;
    fs::remove_dir_all(&data).unwrap();
    fs::rename(&backup, &data).unwrap();
    let faults = world.xianan.try_start(&clock, false).await.unwrap_err();
    let name = vkey.split('+').next().unwrap();
    assert!(matches!(&faults[..], [StartFault::OlderCopy { by, .. }] if by == name), "{faults:?}");
}
