//! Partners watch each other (protocol §7.4): a checkpoint is cosigned over mutual TLS and the
//! cosignature holds by its specification alone; a forked log is refused and the evidence
//! kept; a restored copy is found out at the start or soon after, and goes on only in the next
//! half-year; a policy says when the witnesses are enough.

use std::fs;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use signed_note::{Note, StandardVerifier, VerifierList};
use tongban::clock::Clock;
use tongban::gateway::StartFault;
use tongban::ledger::checkpoint::Checkpoint;
use tongban::ledger::current_origin;
use tongban::ledger::tree::{leaf_hash, node_hash, sha256};
use tongban::ledger::{LedgerKey, verify};
use tongban::witness::{CosignerKey, Shown, Witness, book_path};

use crate::process::{Home, copy};
use crate::support::*;

mod at_rest;
mod policy;

const ORIGIN: &str = "tongban/421202/2030h1";
const NEXT: &str = "tongban/421202/2030h2";

/// Each takes the other's card with its present door and its ledger.
async fn acquaint(world: &World) {
    for (here, there) in [(&world.xianan, &world.yuhuan), (&world.yuhuan, &world.xianan)] {
        let mut card = there.member.card(&format!("https://{}", there.door()));
        card["ledger"] = there.running().house.own_card()["ledger"].clone();
        here.trust_card(&card);
        here.reload().await;
    }
}

async fn pair() -> World {
    let world = World::plan().asking().start().await;
    acquaint(&world).await;
    world
}

/// Everything so far under a checkpoint that the witnesses have seen.
async fn witnessed(gateway: &Gateway) {
    assert!(gateway.running().house.ledger.flush().await);
    gateway.running().ask_witnesses().await;
}

/// 玉环's connection to 咸安's present door, and the other way round.
async fn to_xianan(world: &World) -> Line {
    dial(world.xianan.door(), Some(&world.asking), Http::Two).await.unwrap()
}

async fn to_yuhuan(world: &World) -> Line {
    dial(world.yuhuan.door(), Some(&world.answering), Http::Two).await.unwrap()
}

async fn vkey_of(line: &Line) -> String {
    let told = line.get("/v1/witness").await;
    assert_eq!((told.status, told.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    String::from_utf8(told.body.to_vec()).unwrap().trim_end().to_owned()
}

async fn checkpoint(line: &Line, origin: &str) -> String {
    let told = line.get(&format!("/v1/log/{origin}/checkpoint")).await;
    assert_eq!(told.status, 200);
    String::from_utf8(told.body.to_vec()).unwrap()
}

/// The cosignatures under a note that hold for `vkey`, checked by c2sp.org/tlog-cosignature alone.
fn cosigned_at(note: &str, vkey: &str) -> Vec<u64> {
    let (name, rest) = vkey.split_once('+').unwrap();
    let (id, key) = rest.split_once('+').unwrap();
    let key = STANDARD.decode(key).unwrap();
    assert_eq!((key[0], key.len()), (4, 33), "an Ed25519 cosignature key");
    assert_eq!(id, hex::encode(&sha256(&[name.as_bytes(), b"\n", &key].concat())[..4]));
    let (text, signatures) = note.rsplit_once("\n\n").unwrap();
    let mut times = Vec::new();
    for line in signatures.lines() {
        let (by, blob) = line.strip_prefix("\u{2014} ").unwrap().split_once(' ').unwrap();
        let blob = STANDARD.decode(blob).unwrap();
        if by != name || hex::encode(&blob[..4]) != id {
            continue;
        }
        let time = u64::from_be_bytes(blob[4..12].try_into().unwrap());
        let message = format!("cosignature/v1\ntime {time}\n{text}\n");
        UnparsedPublicKey::new(&ED25519, &key[1..]).verify(message.as_bytes(), &blob[12..]).unwrap();
        times.push(time);
    }
    times
}

/// What a foreign verifier makes of the log's own signature.
fn foreign(note: &str, vkey: &str) -> tlog_tiles::Checkpoint {
    let note = Note::from_bytes(note.as_bytes()).unwrap();
    let verifier = StandardVerifier::new(vkey).unwrap();
    let (verified, _) = note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!(verified.len(), 1);
    tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_comes_back_with_a_cosignature_that_holds_by_its_specification() {
    let world = pair().await;
    let line = to_xianan(&world).await;
    let log_key = world.xianan.running().house.own_card()["ledger"]["vkey"].as_str().unwrap().to_owned();
    assert!(world.xianan.running().house.ledger.flush().await);
    let plain = checkpoint(&line, ORIGIN).await;
    assert_eq!(plain.matches('\u{2014}').count(), 1, "nobody has seen it yet");
    witnessed(&world.xianan).await;
    let vkey = vkey_of(&to_yuhuan(&world).await).await;
    assert!(vkey.starts_with("tongban/331083/w1+"));
    let note = checkpoint(&line, ORIGIN).await;
    assert_eq!(cosigned_at(&note, &vkey), [NOW as u64]);
    let size = foreign(&note, &log_key).size();
    // The witness shows the same to whoever watches.
    let id = hex::encode(sha256(ORIGIN.as_bytes()));
    let watched = to_yuhuan(&world).await.get(&format!("/v1/log/{id}/checkpoint")).await;
    assert_eq!((watched.status, watched.body.as_ref()), (200, note.as_bytes()));
    // It grows: the next one continues it. It does not grow: a cosignature of now.
    world.xianan.running().house.record_unsigned_counts().await;
    let ping = world.ping().bytes();
    assert_eq!(world.read(line.exchange(ping.clone()).await, &ping).word(), "ok");
    witnessed(&world.xianan).await;
    let grown = checkpoint(&line, ORIGIN).await;
    assert!(foreign(&grown, &log_key).size() > size);
    world.clock.advance(60_000);
    witnessed(&world.xianan).await;
    assert_eq!(cosigned_at(&checkpoint(&line, ORIGIN).await, &vkey), [NOW as u64 + 60]);
    // A proof is handed out under the cosigned checkpoint.
    let told = line.get(&format!("/v1/log/{ORIGIN}/entry/{size}")).await;
    let proof = String::from_utf8(told.body.to_vec()).unwrap();
    let (_, note) = proof.split_once("\n\n").unwrap();
    assert_eq!((told.status, cosigned_at(note, &vkey).len()), (200, 1));
    // And 玉环's own log is watched by 咸安.
    witnessed(&world.yuhuan).await;
    let theirs = checkpoint(&to_yuhuan(&world).await, "tongban/331083/2030h1").await;
    assert_eq!(cosigned_at(&theirs, &vkey_of(&line).await).len(), 1);
}

/// A log of 玉环's with some leaves, made by the test.
struct HandMade {
    key: LedgerKey,
    origin: &'static str,
}

impl HandMade {
    fn new() -> Self {
        let pem = LedgerKey::generate_pem().unwrap();
        Self { key: LedgerKey::from_pem(pem.as_bytes()).unwrap(), origin: "tongban/331083/2030h1" }
    }

    fn root(leaves: &[&str]) -> [u8; 32] {
        let hash = |leaf: &&str| leaf_hash(leaf.as_bytes());
        match leaves {
            [one] => hash(one),
            [one, two] => node_hash(&hash(one), &hash(two)),
            [one, two, three] => node_hash(&node_hash(&hash(one), &hash(two)), &hash(three)),
            _ => unreachable!(),
        }
    }

    fn request(&self, old: u64, proof: &[[u8; 32]], leaves: &[&str]) -> Vec<u8> {
        let checkpoint =
            Checkpoint { origin: self.origin.into(), size: leaves.len() as u64, root: Self::root(leaves) };
        let mut body = format!("old {old}\n");
        proof.iter().for_each(|hash| body.push_str(&format!("{}\n", STANDARD.encode(hash))));
        body.push('\n');
        let mut body = body.into_bytes();
        body.extend(checkpoint.sign(&self.key).unwrap());
        body
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_of_a_witness_and_a_fork_that_is_refused_with_its_evidence_kept() {
    let world = World::start().await;
    let log = HandMade::new();
    let line = to_xianan(&world).await;
    let bring = async |body: Vec<u8>| {
        let told = line.post("/v1/log/add-checkpoint", &[], body).await.unwrap();
        (
            told.status,
            String::from_utf8(told.body.to_vec()).unwrap(),
            told.header("content-type").map(str::to_owned),
        )
    };
    let two = ["a", "b"];
    assert_eq!(bring(log.request(0, &[], &two)).await.0, 404, "its card names no log");
    let mut card = world.asking.card("https://127.0.0.1:9");
    card["ledger"] = json!({"origin": log.origin, "vkey": log.key.vkey(log.origin).unwrap().to_string()});
    world.xianan.trust_card(&card);
    world.xianan.reload().await;
    let line = to_xianan(&world).await;
    let bring = async |body: Vec<u8>| {
        let told = line.post("/v1/log/add-checkpoint", &[], body).await.unwrap();
        (
            told.status,
            String::from_utf8(told.body.to_vec()).unwrap(),
            told.header("content-type").map(str::to_owned),
        )
    };
    let foreign_log = HandMade { key: HandMade::new().key, origin: ORIGIN };
    assert_eq!(bring(foreign_log.request(0, &[], &two)).await.0, 404, "another region's log");
    assert_eq!(bring(HandMade::new().request(0, &[], &two)).await.0, 403, "another key");
    assert_eq!(bring(log.request(3, &[], &two)).await.0, 400, "backwards");
    assert_eq!(bring(b"old\n\nnothing".to_vec()).await, (400, String::new(), None));
    let (status, line_of_witness, _) = bring(log.request(0, &[], &two)).await;
    assert_eq!(status, 200);
    let note = String::from_utf8(log.request(0, &[], &two)).unwrap().split_off("old 0\n\n".len());
    assert_eq!(cosigned_at(&format!("{note}{line_of_witness}"), &vkey_of(&line).await), [NOW as u64]);
    let conflict = (409, "2\n".to_owned(), Some("text/x.tlog.size".to_owned()));
    assert_eq!(bring(log.request(0, &[], &two)).await, conflict);
    assert_eq!(bring(log.request(1, &[], &["a", "b", "c"])).await, conflict);
    assert_eq!(bring(log.request(2, &[], &["a", "x"])).await.0, 422, "a second tree of that size");
    let c = leaf_hash(b"c");
    assert_eq!(bring(log.request(2, &[c], &["a", "x", "c"])).await.0, 422, "of another history");
    assert_eq!(bring(log.request(2, &[c], &["a", "b", "c"])).await.0, 200);
    assert_eq!(bring(vec![b'a'; 70_000]).await.0, 413);
    let get = line.get("/v1/log/add-checkpoint").await;
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    let nobody = line.get(&format!("/v1/log/{}/checkpoint", "0".repeat(64))).await;
    assert_eq!((nobody.status, nobody.body.len()), (404, 0));

    let shown = Shown::read(&book_path(&world.xianan.home.join("data"))).unwrap();
    let [one] = &shown.contradictions[..] else { panic!("{:?}", shown.contradictions) };
    let vkey = log.key.vkey(log.origin).unwrap();
    let roots = [&one.kept, &one.brought].map(|note| Checkpoint::open(note, &vkey).unwrap().root);
    assert_eq!(roots, [HandMade::root(&two), HandMade::root(&["a", "x"])], "both under its own key");
    let leaves = world.xianan.leaves().await;
    let told: Vec<&Value> = leaves.iter().filter(|leaf| leaf["code"] == "log-contradiction").collect();
    assert_eq!((told.len(), &told[0]["peer"]), (1, &json!(YUHUAN)));
    let metrics = world.xianan.local().get("/metrics").await;
    assert!(String::from_utf8_lossy(&metrics.body).contains("tongban_log_contradictions_total 1"));
}

/// 咸安 was backed up, went on and was witnessed; then the backup was put back.
async fn restored() -> World {
    let mut world = pair().await;
    let clock = world.clock.clone();
    witnessed(&world.xianan).await;
    world.xianan.stop().await;
    let (data, backup) = (world.xianan.home.join("data"), world.xianan.home.join("backup"));
    copy(&data, &backup);
    world.xianan.start(&clock).await;
    acquaint(&world).await;
    let line = to_xianan(&world).await;
    let ping = world.ping().bytes();
    assert_eq!(world.read(line.exchange(ping.clone()).await, &ping).word(), "ok");
    witnessed(&world.xianan).await;
    world.xianan.stop().await;
    fs::remove_dir_all(&data).unwrap();
    fs::rename(&backup, &data).unwrap();
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_copy_is_refused_at_the_start_and_goes_on_only_in_the_next_half_year() {
    let mut world = restored().await;
    let clock = world.clock.clone();
    let known = Shown::read(&book_path(&world.yuhuan.home.join("data"))).unwrap().cosigned;
    let data = world.xianan.home.join("data");
    let before = fs::read(data.join(format!("tiles/{ORIGIN}/checkpoint"))).unwrap();
    let faults = world.xianan.try_start(&clock, false).await.unwrap_err();
    let [StartFault::OlderCopy { origin, size, by }] = &faults[..] else { panic!("{faults:?}") };
    assert_eq!((origin.as_str(), *size, by.as_str()), (ORIGIN, known[0].size, YUHUAN));
    let text = faults[0].to_string();
    assert!(text.contains("--after-restore") && text.contains("旧副本") && !text.contains('\n'));
    assert_eq!(
        fs::read(data.join(format!("tiles/{ORIGIN}/checkpoint"))).unwrap(),
        before,
        "nothing was signed"
    );

    world.xianan.try_start(&clock, true).await.unwrap();
    assert_eq!(fs::read(data.join(format!("tiles/{ORIGIN}/checkpoint"))).unwrap(), before, "and nothing is");
    assert_eq!(world.xianan.running().house.own_card()["ledger"]["origin"], NEXT);
    let leaves = world.xianan.leaves().await;
    let begun: Vec<&Value> = leaves.iter().skip_while(|leaf| leaf["past"] != ORIGIN).collect();
    let digest = b64(sha256(&known[0].note));
    for (leaf, kind) in begun.iter().zip(["genesis", "incident"]) {
        assert_eq!(
            (&leaf["t"], &leaf["code"], &leaf["past"]),
            (&json!(kind), &json!("restored"), &json!(ORIGIN))
        );
        assert_eq!(leaf["ck"], digest, "the checkpoint that 玉环 keeps");
    }
    assert_eq!(begun[1]["n"], known[0].size);
    assert!(data.join("ledger/2030h2/2030-03.db").is_file(), "under the month in which it was written");
    acquaint(&world).await;
    witnessed(&world.xianan).await;
    let vkey = vkey_of(&to_yuhuan(&world).await).await;
    assert_eq!(cosigned_at(&checkpoint(&to_xianan(&world).await, NEXT).await, &vkey).len(), 1);
    let line = to_xianan(&world).await;
    let ping = world.ping().bytes();
    let verdict = world.read(line.exchange(ping.clone()).await, &ping);
    assert_eq!(verdict.claims.unwrap()["log"]["origin"], NEXT);

    // From now on it starts like any other, and not with the word for emergencies.
    world.xianan.stop().await;
    let faults = world.xianan.try_start(&clock, true).await.unwrap_err();
    assert!(matches!(faults[..], [StartFault::NothingLost]), "{faults:?}");
    world.xianan.try_start(&clock, false).await.unwrap();
    world.xianan.stop().await;
    let verdict = verify::verify(&data, None).unwrap();
    assert!(verdict.sound, "{:?}", verdict.findings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_directory_is_a_restored_copy_too() {
    let mut world = restored().await;
    let clock = world.clock.clone();
    fs::remove_dir_all(world.xianan.home.join("data")).unwrap();
    fs::create_dir(world.xianan.home.join("data")).unwrap();
    let faults = world.xianan.try_start(&clock, false).await.unwrap_err();
    assert!(matches!(faults[..], [StartFault::OlderCopy { .. }]), "{faults:?}");
    world.xianan.try_start(&clock, true).await.unwrap();
    assert_eq!(world.xianan.running().house.ledger.origin(), NEXT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_copy_that_starts_while_nobody_answers_is_stopped_by_the_first_who_does() {
    let mut world = restored().await;
    let clock = world.clock.clone();
    world.yuhuan.stop().await;
    world.xianan.try_start(&clock, false).await.unwrap();
    world.yuhuan.start(&clock).await;
    acquaint(&world).await;
    assert!(!world.xianan.running().is_older_copy());
    world.xianan.running().ask_witnesses().await;
    world.xianan.running().poisoned().await;
    assert!(world.xianan.running().is_older_copy());
    let line = to_xianan(&world).await;
    let told = line.exchange(world.ping().bytes()).await;
    assert_eq!(told.status, 503, "nothing is answered any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_that_only_claims_a_longer_log_stops_nobody() {
    let world = pair().await;
    // 玉环's own checkpoint, under 咸安's name in its book, is no word of 咸安's.
    witnessed(&world.xianan).await;
    let stranger = HandMade { key: HandMade::new().key, origin: ORIGIN };
    let body = stranger.request(0, &[], &["a", "b"]);
    let told = to_yuhuan(&world).await.post("/v1/log/add-checkpoint", &[], body).await.unwrap();
    assert_eq!(told.status, 403);
    witnessed(&world.xianan).await;
    assert!(!world.xianan.running().is_older_copy());
}

async fn ready(world: &World) -> (u16, Value) {
    let told = world.xianan.local().get("/readyz").await;
    let parts = told.json()["parts"].as_array().unwrap().clone();
    (told.status, parts.into_iter().find(|part| part["part"] == "witnesses").unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_says_when_the_witnesses_are_enough() {
    let mut world = pair().await;
    let clock = world.clock.clone();
    assert_eq!(ready(&world).await.1, Value::Null, "without a policy nobody has to");
    let vkey = vkey_of(&to_yuhuan(&world).await).await;
    let log_key = world.xianan.running().house.own_card()["ledger"]["vkey"].as_str().unwrap().to_owned();
    world.xianan.stop().await;
    let (config, policy) = (world.xianan.home.join("gateway.toml"), world.xianan.home.join("trust/policy"));
    let text = fs::read_to_string(&config).unwrap();
    put(&config, text.replacen("[ledger]\n", "[ledger]\npolicy = \"trust/policy\"\n", 1));
    put(&policy, "witness yuhuan nonsense\nquorum yuhuan\n");
    let faults = world.xianan.try_start(&clock, false).await.unwrap_err();
    let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(
        text.len() == 2 && text[0].contains("trust/policy: line 1") && text[1].contains("第2行"),
        "{text:?}"
    );
    put(&policy, format!("log {log_key}\nwitness yuhuan {vkey}\nquorum yuhuan\n"));
    world.xianan.try_start(&clock, false).await.unwrap();
    let exchange = async |world: &World| to_xianan(world).await.exchange(world.ping().bytes()).await.status;
    assert_eq!((ready(&world).await.1["ready"].clone(), exchange(&world).await), (json!(true), 200));
    world.clock.advance(3_601_000);
    let (status, part) = ready(&world).await;
    assert_eq!((status, &part["ready"], &part["needed"]), (200, &json!(false), &json!(false)), "named");
    assert_eq!(exchange(&world).await, 200);
    world.clock.advance(3 * 3_600_000);
    let (status, part) = ready(&world).await;
    assert_eq!((status, &part["ready"], &part["needed"]), (503, &json!(false), &json!(true)));
    let told = to_xianan(&world).await.exchange(world.ping().bytes()).await;
    assert_eq!((told.status, &told.json()["code"]), (503, &json!("ledger-unavailable")));
    // A witness that comes back opens the door.
    acquaint(&world).await;
    witnessed(&world.xianan).await;
    assert_eq!((ready(&world).await.0, exchange(&world).await), (200, 200));
    let metrics = world.xianan.local().get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains("tongban_ledger_quorum_age_seconds 0"), "{metrics}");
    assert!(metrics.contains("tongban_ledger_witnessed_age_seconds{partner=\"331083\"} 0"));
}

#[test]
fn serve_ends_with_1_and_one_line_on_an_older_copy() {
    let root = tempfile::tempdir().unwrap();
    let home = Home::make(root.path(), "421202");
    let now = Clock::system().now();
    let key = LedgerKey::from_pem(&fs::read(home.file("keys/ledger.key")).unwrap()).unwrap();
    let signed = Checkpoint { origin: current_origin(home.region, now), size: 1000, root: [7; 32] };
    let note = signed.sign(&key).unwrap();
    // What 玉环 once said of it stands in our own book.
    let theirs =
        CosignerKey::open(&root.path().join("w1"), tongban::domain::Region::parse("331083").unwrap())
            .unwrap();
    let said = format!("{}\n", theirs.cosign(&signed.text(), now));
    let witness = Witness::open(&home.data(), home.region, None, now).unwrap();
    assert!(
        witness.take_cosignature("331083", theirs.vkey(), &note, said.as_bytes(), now).unwrap().is_some()
    );
    drop(witness);
    let ran = home.serve_to_its_end().ended(1);
    let lines: Vec<&str> = ran.err.lines().filter(|line| line.starts_with("tongban: ")).collect();
    assert_eq!(lines.len(), 1, "{ran:?}");
    for word in [&signed.origin, "1000", "331083", "--after-restore", "旧副本"] {
        assert!(lines[0].contains(word), "{word}: {ran:?}");
    }
    assert!(!home.data().join("tiles").exists(), "nothing was signed");
}

#[test]
fn check_tells_the_faults_of_a_policy() {
    let root = tempfile::tempdir().unwrap();
    let home = Home::make(root.path(), "421202");
    home.edit_config("[ledger]\n", "[ledger]\npolicy = \"trust/policy\"\n");
    home.run(&["check"]).ended(2);
    let key = home.run(&["audit", "witness", "key", "--json"]).ended(0).json();
    let line = home.run(&["audit", "witness", "key"]).ended(0).out;
    assert_eq!(
        line.trim(),
        format!("witness 421202 {} {}", key["vkey"].as_str().unwrap(), key["url"].as_str().unwrap())
    );
    fs::write(home.file("trust/policy"), format!("{line}group all-of all 421202\nquorum nobody\n")).unwrap();
    let ran = home.run(&["check"]).ended(2);
    assert!(ran.out.contains("line 3: names nobody defined above"), "{ran:?}");
    fs::write(home.file("trust/policy"), format!("{line}group all-of all 421202\nquorum all-of\n")).unwrap();
    home.run(&["check"]).ended(0);
    let status = home.run(&["audit", "witness", "status", "--json"]).ended(2).json();
    assert_eq!((&status["needed"], &status["quorum"]), (&json!(true), &Value::Null));
}
