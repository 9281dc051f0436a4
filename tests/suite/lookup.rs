//! A lookup between two regions: what is told, what is not, how old it may be, and where it
//! stands in the ledger.

use serde_json::{Value, json};

use crate::support::*;

/// The `result` of a lookup that must succeed.
async fn result(world: &World, message: impl Into<Vec<u8>>) -> Value {
    let verdict = world.ask(message).await;
    assert_eq!(verdict.word(), "ok", "{:?}", verdict.outcome);
    verdict.outcome
}

fn verify(world: &World, expect: Value) -> Draft {
    world
        .lookup()
        .without("/body/fields")
        .with("/body/mode", "verify")
        .with("/body/expect", expect)
        .authorized(&world.authorization().with("/authorization_details/0/actions", vec!["verify"]))
}

/// A lookup of another holder's marriage certificate, authorized by that holder.
fn of(world: &World, number: &str) -> Draft {
    world
        .lookup()
        .with("/body/license/holder/number", number)
        .authorized(&world.authorization_of("111", &number.to_ascii_uppercase()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_tells_what_was_asked_and_nothing_else() {
    let world = World::start().await;
    let told = result(&world, world.lookup().with("/body/fields", vec!["registered_on", "cert_no"])).await;
    assert_eq!(
        told,
        json!({"found": true, "source": "register", "as_of": NOW, "licenses": [{
            "license_id": MARRIAGE_ID, "type": MARRIAGE, "name": "结婚证",
            "issuer": {"code": "11331083TECT000279", "name": "测试民政局"},
            "issued_on": "2026-01-05", "valid_from": "2026-01-05", "valid_to": null, "long_term": true,
            "status": "01", "data": {"registered_on": "2026-01-05", "cert_no": "J331083-2026-000001"}
        }]})
    );
    // In the order in which they were asked.
    let data = told["licenses"][0]["data"].as_object().unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["registered_on", "cert_no"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verify_says_yes_or_no_and_never_the_value() {
    let world = World::start().await;
    let expect = json!({"cert_no": "J331083-2026-000001", "registered_on": "2026-01-06"});
    let told = result(&world, verify(&world, expect)).await;
    let license = &told["licenses"][0];
    assert_eq!(license["match"], json!({"cert_no": true, "registered_on": false}));
    assert_eq!(license.get("data"), None);
    assert!(!told.to_string().contains("J331083-2026-000001"), "the value stays here");
    // `read` covers `verify`.
    let covered = verify(&world, json!({"cert_no": "x"})).authorized(&world.authorization());
    assert_eq!(result(&world, covered).await["licenses"][0]["match"], json!({"cert_no": false}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_license_id_finds_one_and_only_for_its_holder() {
    let world = World::start().await;
    let by_id = || world.lookup().with("/body/license", json!({"type": MARRIAGE, "license_id": MARRIAGE_ID}));
    assert_eq!(result(&world, by_id()).await["licenses"][0]["license_id"], MARRIAGE_ID);
    // Either spouse may say yes, nobody else.
    let wife = by_id().authorized(&world.authorization_of("111", YI));
    assert_eq!(result(&world, wife).await["found"], true);
    let other = world.ask(by_id().authorized(&world.authorization_of("111", BING))).await;
    assert_eq!(other.word(), "authorization-invalid/holder");
    let none = license_id(MARRIAGE, "J33108320260009999", "001");
    let gone = world.lookup().with("/body/license", json!({"type": MARRIAGE, "license_id": none}));
    assert_eq!(result(&world, gone).await["found"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_given_must_match() {
    let world = World::start().await;
    let named = |name: &str| world.lookup().with("/body/license/holder/name", name);
    // Two ways to write the dot of a name are one.
    for name in ["测试·甲", "测试•甲"] {
        assert_eq!(result(&world, named(name)).await["found"], true, "{name}");
    }
    let told = result(&world, named("测试乙")).await;
    assert_eq!(told["found"], false, "the other spouse's name is not this holder's");
    assert_eq!(told["licenses"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_x_is_the_same_number() {
    let world = World::start().await;
    assert_eq!(result(&world, of(&world, &JIA.to_ascii_lowercase())).await["found"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_found_is_an_answer_with_the_ways_that_remain() {
    let world = World::start().await;
    let told = result(&world, of(&world, DING)).await;
    assert_eq!(
        told,
        json!({"found": false, "source": "register", "as_of": NOW, "licenses": [],
               "ways": ["commitment", "timed_verification", "upload"]}),
        "in the agreement's order"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_license_is_found_without_its_data_and_an_expired_one_with() {
    let world = World::start().await;
    let told = result(&world, of(&world, BING)).await;
    assert_eq!(told["found"], true);
    assert_eq!(told["licenses"][0]["status"], "03");
    assert_eq!(told["licenses"][0].get("data"), None);
    let household = world
        .lookup()
        .with("/body/license/type", HOUSEHOLD)
        .with("/body/fields", vec!["address"])
        .authorized(
            &world
                .authorization()
                .with("/authorization_details/0/datatypes", vec![HOUSEHOLD])
                .with("/authorization_details/0/fields", vec!["address"]),
        );
    let told = result(&world, household).await;
    assert_eq!(told["licenses"][0]["status"], "05");
    assert_eq!(told["licenses"][0]["data"], json!({"address": "咸安区测试路1号"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guardian_asks_for_the_ward() {
    let mut certificate = marriage();
    certificate["holders"][1]["code"] = WARD.into();
    certificate["data"]["woman"]["id_number"] = WARD.into();
    certificate["data"]["woman"]["birth"] = "1904-02-29".into();
    let world = World::plan().licenses(vec![certificate]).start().await;
    let token = world.authorization_of("111", BING);
    let ward = holder(token.jti(), "111", WARD);
    let token = token.with("/guardian", json!({"holder": ward, "relation": "51"}));
    let lookup = |number: &str| world.lookup().with("/body/license/holder/number", number).authorized(&token);
    // The guardian's own licenses are not what the ward's authorization is for.
    assert_eq!(world.ask(lookup(BING)).await.word(), "authorization-invalid/holder");
    assert_eq!(result(&world, lookup(WARD)).await["found"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_told_from_the_cache_within_its_age_and_each_answer_is_authorized_anew() {
    let library = Library::open().await;
    let world = World::plan().register(library.settings()).start().await;
    let source = |told: &Value| told["source"].as_str().unwrap().to_owned();
    assert_eq!(source(&result(&world, world.lookup()).await), "register");
    world.clock.advance(59_000);
    let cached = result(&world, world.lookup()).await;
    assert_eq!((source(&cached).as_str(), &cached["as_of"]), ("cache", &json!(NOW)));
    // Other fields of the same record come from the same entry, cut anew.
    let other = world.lookup().with("/body/fields", vec!["cert_no"]);
    assert_eq!(result(&world, other).await["licenses"][0]["data"], json!({"cert_no": "J331083-2026-000001"}));
    assert_eq!(library.calls(), 1);
    // The cache excuses nobody from the checks.
    assert_eq!(world.ask(world.lookup().without("/authorization")).await.word(), "authorization-missing");
    // Past the status age, and when the asker wants it fresh, the register is asked.
    world.clock.advance(2_000);
    assert_eq!(source(&result(&world, world.lookup()).await), "register");
    assert_eq!(source(&result(&world, world.lookup().with("/body/max_age", 0)).await), "register");
    world.clock.advance(10_000);
    assert_eq!(source(&result(&world, world.lookup().with("/body/max_age", 10)).await), "cache");
    world.clock.advance(1_000);
    assert_eq!(source(&result(&world, world.lookup().with("/body/max_age", 10)).await), "register");
    assert_eq!(library.calls(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_found_is_remembered_for_half_a_minute_and_a_fault_not_at_all() {
    let library = Library::open().await;
    let world = World::plan().register(library.settings()).start().await;
    library.says(Says::Status(503));
    assert_eq!(world.ask(world.lookup()).await.word(), "register-unavailable");
    library.says(Says::Licenses(Vec::new()));
    assert_eq!(result(&world, world.lookup()).await["found"], false);
    library.says(Says::Licenses(licenses()));
    world.clock.advance(30_000);
    assert_eq!(result(&world, world.lookup()).await["source"], "cache");
    world.clock.advance(1_000);
    assert_eq!(result(&world, world.lookup()).await["found"], true);
    assert_eq!(library.calls(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_notice_is_in_force_before_it_is_answered() {
    let library = Library::open().await;
    let world = World::plan().register(library.settings()).start().await;
    let notices = [
        json!({"license_id": MARRIAGE_ID}),
        json!({"type": MARRIAGE, "holder": {"type": "111", "number": JIA}}),
    ];
    for notice in notices {
        library.says(Says::Licenses(vec![marriage()]));
        result(&world, world.lookup().with("/body/max_age", 0)).await;
        library.says(Says::Licenses(vec![marriage_revoked_later()]));
        assert_eq!(result(&world, world.lookup()).await["licenses"][0]["status"], "01", "still remembered");
        let told = world.xianan.local().post("/local/v1/licenses/changed", &notice).await;
        assert_eq!(told.status, 200);
        let told = result(&world, world.lookup()).await;
        assert_eq!((&told["source"], &told["licenses"][0]["status"]), (&json!("register"), &json!("03")));
        assert_eq!(told["licenses"][0].get("data"), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_beside_the_running_gateway_is_told_at_once() {
    let world = World::start().await;
    assert_eq!(result(&world, world.lookup()).await["licenses"][0]["status"], "01");
    assert_eq!(result(&world, world.lookup()).await["source"], "cache");
    world.xianan.import(&[marriage_revoked_later()], world.clock.now());
    let told = result(&world, world.lookup()).await;
    assert_eq!((&told["source"], &told["licenses"][0]["status"]), (&json!("register"), &json!("03")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_register_is_down_only_a_type_that_allows_it_is_told_stale() {
    let library = Library::open().await;
    let world = World::plan().register(library.settings()).start().await;
    result(&world, world.lookup()).await;
    result(&world, world.duty()).await;
    library.says(Says::Status(503));
    world.clock.advance(61_000);
    assert_eq!(world.ask(world.lookup()).await.word(), "register-unavailable", "marriage: never");
    let told = result(&world, world.duty()).await;
    assert_eq!(
        (&told["source"], &told["stale"], &told["as_of"]),
        (&json!("cache"), &json!(true), &json!(NOW))
    );
    assert_eq!(told["licenses"][0]["data"]["name"], "测试有限公司");
    // Never for `verify`, and never beyond what the asker bears.
    let verify = world
        .duty()
        .without("/body/fields")
        .with("/body/mode", "verify")
        .with("/body/expect", json!({"name": "测试有限公司"}));
    assert_eq!(world.ask(verify).await.word(), "register-unavailable");
    assert_eq!(world.ask(world.duty().with("/body/max_age", 0)).await.word(), "register-unavailable");
    // An hour later nobody is told any more.
    world.clock.advance(3_600_000);
    world.publish(&[]);
    world.xianan.reload().await;
    assert_eq!(world.ask(world.duty()).await.word(), "register-unavailable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_stands_in_the_ledger_at_its_promised_place() {
    let world = World::start().await;
    let mut promised = Vec::new();
    let token = world.authorization();
    for (message, status) in [
        (world.ping(), 200),
        (world.lookup().authorized(&token), 200),
        (world.lookup().without("/authorization"), 403),
        (of(&world, DING), 200),
    ] {
        let bytes = message.bytes();
        let verdict = world.ask(bytes.clone()).await;
        assert_eq!(verdict.status, status);
        promised.push((message, bytes, verdict));
    }
    assert!(world.xianan.running().house.ledger.flush().await);

    let line = world.line().await;
    let origin = "tongban/421202/2030h1";
    let note = line.get(&format!("/v1/log/{origin}/checkpoint")).await;
    assert_eq!(note.status, 200);
    let tree = foreign_tree(&world, origin, &note.body).await;
    for (message, bytes, verdict) in &promised {
        let claims = verdict.claims.as_ref().unwrap();
        assert_eq!(claims["log"]["origin"], origin);
        let index = claims["log"]["index"].as_u64().unwrap();
        let entry = line.get(&format!("/v1/log/{origin}/entry/{index}")).await;
        assert_eq!(entry.status, 200);
        let leaf = leaf_of(&entry.body);
        assert_eq!(claims["log"]["leaf"], b64(tree.leaf(index)), "the promise is the tree's leaf");
        assert_eq!(tree.leaf(index), tlog_hash(&leaf), "and the entry's");

        let leaf: Value = serde_json::from_slice(&leaf).unwrap();
        assert_eq!(leaf["t"], "in");
        assert_eq!(leaf["x"], message.jti());
        assert_eq!((&leaf["me"], &leaf["peer"]), (&json!(XIANAN), &json!(YUHUAN)));
        assert_eq!(leaf["op"], message.claims["op"]);
        assert_eq!(leaf["status"], verdict.status);
        assert_eq!(leaf["rq"], b64(sha256(bytes)));
        assert_eq!(leaf["rd"], b64(sha256(&tongban::json::jcs(&verdict.outcome))));
        let text = leaf.to_string();
        for personal in [JIA, DING, "测试", "YH0123", CASE, "J331083"] {
            assert!(!text.contains(personal), "{personal} stands in a leaf");
        }
    }
    let leaf: Value = {
        let index = promised[1].2.claims.as_ref().unwrap()["log"]["index"].as_u64().unwrap();
        let entry = line.get(&format!("/v1/log/{origin}/entry/{index}")).await;
        serde_json::from_slice(&leaf_of(&entry.body)).unwrap()
    };
    assert_eq!(leaf["lt"], MARRIAGE);
    assert_eq!(leaf["agr"], b64(sha256(&tongban::json::jcs(&agreement()))));
    let named = format!("{IDP}\0{}", token.jti());
    assert_eq!(leaf["auth"], b64(sha256(named.as_bytes())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_is_told_to_its_parties_only() {
    let world = World::start().await;
    let verdict = world.ask(world.lookup()).await;
    let index = verdict.claims.unwrap()["log"]["index"].as_u64().unwrap();
    assert!(world.xianan.running().house.ledger.flush().await);
    let path = format!("/v1/log/tongban/421202/2030h1/entry/{index}");
    assert_eq!(world.line().await.get(&path).await.status, 200);
    let other = world.dial(&world.binhai, Http::Two).await.unwrap();
    assert_eq!(other.get(&path).await.status, 404, "not even that it is there");
    // Entry 0 is the genesis: no partner's.
    let genesis = "/v1/log/tongban/421202/2030h1/entry/0";
    assert_eq!(world.line().await.get(genesis).await.status, 404);
    for path in
        ["tile/entries/000", "tile/entries/000.p/3", "entry/00", "entry/-1", "entry/99999", "tile/0/999"]
    {
        let told = world.line().await.get(&format!("/v1/log/tongban/421202/2030h1/{path}")).await;
        assert_eq!(told.status, 404, "{path}");
    }
    assert_eq!(world.line().await.get("/v1/log/tongban/331083/2030h1/checkpoint").await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_card_is_served_with_the_keys_that_sign() {
    let world = World::start().await;
    let card = world.line().await.get("/v1/card").await.json();
    assert_eq!(card["id"], "urn:tongban:gw:421202");
    assert_eq!(card["jwks"]["keys"], json!([world.answering.signing.public_jwk()]));
    assert_eq!(card["tls"]["spki_sha256"], json!([world.answering.pin]));
    assert_eq!(card["ledger"]["origin"], "tongban/421202/2030h1");
    assert!(!card.to_string().contains("\"d\""), "a card is public");
}

/// The tree as a stranger sees it: checkpoint and tiles checked with the published crates
/// `signed_note` and `tlog_tiles`, none of our own code.
struct ForeignTree {
    leaves: Vec<[u8; 32]>,
}

impl ForeignTree {
    fn leaf(&self, index: u64) -> [u8; 32] {
        self.leaves[usize::try_from(index).unwrap()]
    }
}

fn tlog_hash(leaf: &[u8]) -> [u8; 32] {
    tlog_tiles::tlog::record_hash(leaf).0
}

async fn foreign_tree(world: &World, origin: &str, note: &[u8]) -> ForeignTree {
    use signed_note::{Note, StandardVerifier, VerifierList};
    let line = world.line().await;
    let card = line.get("/v1/card").await.json();
    let verifier = StandardVerifier::new(card["ledger"]["vkey"].as_str().unwrap()).unwrap();
    let note = Note::from_bytes(note).unwrap();
    note.verify(&VerifierList::new(vec![Box::new(verifier)])).expect("a foreign verifier accepts the note");
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!(checkpoint.origin(), origin);
    let size = checkpoint.size();
    assert!(size < 256, "one tile holds this test's tree");
    let tile = line.get(&format!("/v1/log/{origin}/tile/0/000.p/{size}")).await;
    assert_eq!(tile.status, 200);
    let leaves: Vec<[u8; 32]> = tile.body.chunks_exact(32).map(|hash| hash.try_into().unwrap()).collect();
    assert_eq!(leaves.len() as u64, size);
    let reader = Stored::of(&leaves);
    let root = tlog_tiles::tlog::tree_hash(size, &reader).unwrap();
    assert_eq!(root.0, checkpoint.hash().0, "the tiles lead to the signed root");
    for index in 0..size {
        let proof = tlog_tiles::tlog::prove_record(size, index, &reader).unwrap();
        let leaf = tlog_tiles::tlog::Hash(leaves[usize::try_from(index).unwrap()]);
        tlog_tiles::tlog::check_record(&proof, size, *checkpoint.hash(), index, leaf)
            .expect("each leaf is included");
    }
    ForeignTree { leaves }
}

/// What the foreign crate derives from the leaf hashes of a tile.
struct Stored(Vec<tlog_tiles::tlog::Hash>);

impl Stored {
    fn of(leaves: &[[u8; 32]]) -> Self {
        let mut stored = Self(Vec::new());
        for (at, leaf) in (0..).zip(leaves) {
            let hash = tlog_tiles::tlog::Hash(*leaf);
            let more = tlog_tiles::tlog::stored_hashes_for_record_hash(at, hash, &stored).unwrap();
            stored.0.extend(more);
        }
        stored
    }
}

impl tlog_tiles::tlog::HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::tlog::Hash>, tlog_tiles::tlog::Error> {
        Ok(indexes.iter().map(|at| self.0[usize::try_from(*at).unwrap()]).collect())
    }
}

/// `extra` of a tlog-proof file.
fn leaf_of(proof: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let text = std::str::from_utf8(proof).unwrap();
    let extra = text.lines().find_map(|line| line.strip_prefix("extra ")).unwrap();
    base64::engine::general_purpose::STANDARD.decode(extra).unwrap()
}
