//! Every refusal a lookup can meet (protocol §3.5), provoked over a real mTLS connection: the
//! right status, signed or not as the table says, both languages, fixed words, nothing of what
//! was received.

use std::collections::BTreeSet;

use serde_json::Value;
use tongban::answer::{Code, Refusal};

use crate::support::*;

/// The table of protocol §3.5, written here once more: status, code, signed, retry.
const TABLE: [(u16, &str, bool, &str); 42] = [
    (400, "malformed", false, "no"),
    (403, "not-a-member", false, "no"),
    (401, "signature-invalid", false, "no"),
    (401, "message-expired", true, "yes"),
    (401, "not-yet-valid", true, "yes"),
    (401, "lifetime-too-long", true, "yes"),
    (403, "audience-mismatch", true, "no"),
    (403, "issuer-mismatch", true, "no"),
    (409, "replay", true, "no"),
    (409, "jti-reuse", true, "no"),
    (403, "no-agreement", true, "no"),
    (403, "item-not-agreed", true, "no"),
    (403, "op-not-agreed", true, "no"),
    (403, "license-not-agreed", true, "no"),
    (403, "field-not-agreed", true, "no"),
    (403, "basis-not-agreed", true, "no"),
    (422, "schema-violation", true, "no"),
    (422, "unknown-op", true, "no"),
    (422, "unknown-license-type", true, "no"),
    (422, "unknown-item", true, "no"),
    (403, "authorization-missing", true, "no"),
    (403, "authorization-invalid", true, "no"),
    (403, "authorization-expired", true, "no"),
    (403, "authorization-revoked", true, "no"),
    (403, "authorization-used-up", true, "no"),
    (403, "authorization-insufficient", true, "no"),
    (409, "illegal-transition", true, "no"),
    (409, "sequence-gap", true, "no"),
    (409, "duplicate-case", true, "no"),
    (404, "unknown-case", true, "no"),
    (404, "unknown-material", false, "no"),
    (413, "too-large", false, "no"),
    (415, "media-type", false, "no"),
    (429, "rate-limited", false, "after"),
    (503, "overloaded", false, "after"),
    (503, "register-unavailable", true, "after"),
    (503, "status-stale", true, "after"),
    (503, "calendar-unpublished", true, "after"),
    (504, "register-timeout", true, "after"),
    (503, "ledger-unavailable", false, "after"),
    (508, "relay-loop", true, "no"),
    // The op's size limit: the one code with two faces.
    (413, "too-large", true, "no"),
];

/// Codes that are not about lookups.
const NOT_OF_LOOKUPS: [&str; 7] = [
    "illegal-transition",
    "sequence-gap",
    "duplicate-case",
    "unknown-case",
    "unknown-material",
    "calendar-unpublished",
    "relay-loop",
];

/// Codes that need more than one bent message, and the test below that provokes each.
const ELSEWHERE: [(&str, &str); 12] = [
    ("not-a-member", "a_suspended_and_a_removed_member_are_told_that_they_are_none"),
    ("replay", "the_same_message_again_is_a_replay_and_another_under_its_jti_is_reuse"),
    ("jti-reuse", "the_same_message_again_is_a_replay_and_another_under_its_jti_is_reuse"),
    ("authorization-used-up", "an_authorization_for_one_use_is_used_up_by_one_answer"),
    ("too-large", "more_than_a_message_may_be_is_refused_unread"),
    ("media-type", "only_the_request_type_without_an_encoding_is_read"),
    ("rate-limited", "a_partner_beyond_its_agreed_rate_is_told_when_to_come_again"),
    ("overloaded", "a_full_ledger_queue_is_told_as_overloaded"),
    ("register-unavailable", "a_register_that_fails_or_lies_is_unavailable"),
    ("register-timeout", "a_silent_register_is_a_timeout"),
    ("status-stale", "a_status_list_past_its_own_exp_closes_the_door"),
    ("ledger-unavailable", "what_cannot_be_recorded_is_not_answered"),
];

/// What a refusal owes its reader beside its code (the rest is [`Verdict`]'s).
fn assert_as_the_table_says(verdict: &Verdict, what: &str) {
    let word = verdict.code();
    let row = TABLE
        .iter()
        .find(|(_, code, signed, _)| *code == word && *signed == verdict.signed)
        .unwrap_or_else(|| panic!("{what}: {word} signed={}", verdict.signed));
    assert_eq!(row.0, verdict.status, "{what}");
    assert_eq!(verdict.outcome["retry"], row.3, "{what}");
    let code = Code::from_word(word).unwrap();
    // One limit, one text: the op's own limit has another than the message's.
    let detail = match (word, verdict.signed) {
        ("too-large", true) => Refusal::too_large_for_op().detail(),
        _ => code.detail(),
    };
    for (member, fixed) in [("title", code.title()), ("title_zh", code.title_zh()), ("detail", detail)] {
        assert_eq!(verdict.outcome[member], fixed, "{what}");
    }
    let errors = verdict.outcome.get("errors").and_then(Value::as_array);
    assert_eq!(errors.is_some(), word == "schema-violation", "{what}");
    for error in errors.into_iter().flatten() {
        let words = ["pointer", "rule", "message", "message_zh"].map(|name| error[name].as_str().unwrap());
        assert!(words[1..].iter().all(|text| !text.is_empty()), "{what}: {error}");
        assert!(!words[3].is_ascii(), "{what}: {error}");
    }
    assert!(errors.is_none_or(|all| !all.is_empty() && all.len() <= 20), "{what}");
}

/// Nothing that a message carried stands in its refusal.
fn assert_tells_nothing(verdict: &Verdict, what: &str) {
    let text = verdict.whole_text();
    for secret in
        [CANARY, "canary_7310", JIA, "YH0123", "421202190001010019", MARRIAGE_ID, "p-3f9c2d1e8b7a4c56"]
    {
        assert!(!text.contains(secret), "{what}: {secret} stands in {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bent_message_gets_the_refusal_it_deserves() {
    let world = World::start().await;
    world.publish(&[REVOKED_INDEX]);
    world.xianan.reload().await;
    let mut wrong = Vec::new();
    let cases = bent_messages(&world);
    let verdicts = world.ask_all(cases.iter().map(|case| case.body.clone()).collect()).await;
    for (case, verdict) in cases.into_iter().zip(verdicts) {
        let what = case.name;
        let mut told = verdict.pointers();
        told.sort_unstable();
        told.dedup();
        let pointers = case.pointers.unwrap_or_default();
        if verdict.word() != case.says || told != pointers {
            wrong.push(format!("{what}: {} {told:?} instead of {} {pointers:?}", verdict.word(), case.says));
        }
        assert_as_the_table_says(&verdict, what);
        assert_tells_nothing(&verdict, what);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // And after all that the door still answers.
    assert_eq!(world.ask(world.lookup()).await.word(), "ok");
}

#[test]
fn every_code_a_lookup_can_meet_is_provoked_here() {
    let scene = stage();
    let bent: BTreeSet<&str> =
        bent_messages(&scene).iter().map(|case| case.says.split('/').next().unwrap()).collect();
    let source = include_str!("refusals.rs");
    for code in Code::ALL {
        let word = code.word();
        let elsewhere = ELSEWHERE.iter().find(|(code, _)| *code == word);
        if let Some((_, test)) = elsewhere {
            assert!(source.contains(&format!("async fn {test}()")), "{test} is gone");
        }
        let provoked = bent.contains(word) || elsewhere.is_some();
        assert_eq!(provoked, !NOT_OF_LOOKUPS.contains(&word), "{word}");
        assert!(TABLE.iter().any(|(_, code, _, _)| *code == word), "{word} is not in the protocol");
    }
    assert_eq!(TABLE.len() - 1, Code::ALL.len());
}

#[test]
fn every_reason_is_provoked_here() {
    const REASONS: [(&str, &[&str]); 3] = [
        ("malformed", &["characters", "parts", "base64url", "header", "typ", "JSON"]),
        ("signature-invalid", &["kid-not-yours", "alg-not-registered", "signature-mismatch"]),
        (
            "authorization-invalid",
            &[
                "size",
                "characters",
                "parts",
                "base64url",
                "header",
                "typ",
                "kid-not-theirs",
                "alg-not-registered",
                "signature-mismatch",
                "JSON",
                "schema",
                "issuer",
                "audience",
                "client",
                "not-yet-valid",
                "lifetime",
                "holder",
                "key-binding",
                "status-list-unknown",
                "status-index",
            ],
        ),
    ];
    let scene = stage();
    let provoked: BTreeSet<&str> = bent_messages(&scene).iter().map(|case| case.says).collect();
    for (code, reasons) in REASONS {
        for reason in reasons {
            assert!(provoked.contains(format!("{code}/{reason}").as_str()), "{code}/{reason}");
        }
    }
    let with_reasons = provoked.iter().filter(|says| says.contains('/')).count();
    assert_eq!(with_reasons, REASONS.iter().map(|(_, reasons)| reasons.len()).sum::<usize>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_http_versions_get_the_same_answers() {
    let world = World::start().await;
    for http in [Http::One, Http::Two] {
        let line = world.dial(&world.asking, http).await.unwrap();
        for (message, says) in
            [(world.lookup().bytes(), "ok"), (world.lookup().without("/item").bytes(), "schema-violation")]
        {
            let told = line.exchange(message.clone()).await;
            assert_eq!(world.read(told, &message).word(), says, "{http:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_no_handshake() {
    let world = World::start().await;
    let now = world.clock.now();
    // Certified by the same CA, but no member; a member's name without its CA or pin; our own
    // region; another member's name.
    let strangers = [
        Member::certified("150421", &world.ca, now),
        Member::pinned(YUHUAN, now),
        Member::pinned(BINHAI, now),
        Member::certified(XIANAN, &world.ca, now),
    ];
    for stranger in strangers {
        for http in [Http::One, Http::Two] {
            let refused = match dial(world.xianan.door(), Some(&stranger), http).await {
                Err(_) => true,
                Ok(line) => line.try_exchange(world.ping().bytes()).await.is_err(),
            };
            assert!(refused, "{}", stranger.region);
        }
    }
    let nobody = match dial(world.xianan.door(), None, Http::Two).await {
        Err(_) => true,
        Ok(line) => line.try_exchange(world.ping().bytes()).await.is_err(),
    };
    assert!(nobody, "no certificate, no handshake");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_and_a_removed_member_are_told_that_they_are_none() {
    let world = World::start().await;
    for status in ["suspended", "removed"] {
        let mut card = world.asking.card("https://127.0.0.1:9");
        card["status"] = status.into();
        world.xianan.trust_card(&card);
        world.xianan.reload().await;
        let line = world.dial(&world.asking, Http::Two).await.unwrap();
        let ping = world.ping().bytes();
        let verdict = world.read(line.exchange(ping.clone()).await, &ping);
        assert_eq!(verdict.word(), "not-a-member", "{status}");
        assert_as_the_table_says(&verdict, status);
        assert_eq!(line.get("/v1/card").await.status, 403, "{status}: nothing at all is served");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_an_agreement_may_ping_and_nothing_else() {
    let world = World::start().await;
    let line = world.dial(&world.binhai, Http::Two).await.unwrap();
    let ping = world.ping_of(&world.binhai).bytes();
    assert_eq!(world.read_as(&world.binhai, line.exchange(ping.clone()).await, &ping).word(), "ok");
    // Not even whether the body would have been right: the claims are judged first.
    for lookup in [
        world.lookup_of(&world.binhai),
        world.lookup_of(&world.binhai).with("/body", Value::Object(Default::default())),
    ] {
        let told = line.exchange(lookup.bytes()).await;
        assert_eq!(told.status, 403);
        let payload = String::from_utf8(told.body.to_vec()).unwrap();
        let claims = open(payload.as_bytes(), &world.answering.signing, "tongban-response+jwt");
        assert_eq!(claims["problem"]["code"], "no-agreement");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_message_again_is_a_replay_and_another_under_its_jti_is_reuse() {
    let world = World::start().await;
    for message in [world.ping(), world.lookup()] {
        let first = message.bytes();
        assert_eq!(world.ask(first.clone()).await.word(), "ok");
        let again = world.ask(first).await;
        assert_eq!(again.word(), "replay");
        assert_as_the_table_says(&again, "replay");
        // Signed anew, the content is the same: an ES256 signature can be re-formed by anybody.
        assert_eq!(world.ask(message.bytes()).await.word(), "replay");
        let other = world.ask(message.with("/exp", world.now() + 61)).await;
        assert_eq!(other.word(), "jti-reuse");
        assert_as_the_table_says(&other, "reuse");
    }
    // A signed refusal uses its jti too (protocol §12).
    let refused = world.lookup().with("/agreement", "none").bytes();
    assert_eq!(world.ask(refused.clone()).await.word(), "no-agreement");
    assert_eq!(world.ask(refused).await.word(), "replay");
    // Another member's jti is its own.
    let ping = world.ping();
    assert_eq!(world.ask(&ping).await.word(), "ok");
    let theirs = world.ping_of(&world.binhai).with("/jti", ping.jti()).bytes();
    let line = world.dial(&world.binhai, Http::Two).await.unwrap();
    assert_eq!(world.read_as(&world.binhai, line.exchange(theirs.clone()).await, &theirs).word(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authorization_for_one_use_is_used_up_by_one_answer() {
    let world = World::start().await;
    let token = world.authorization();
    let lookup = || world.lookup().authorized(&token);
    // A refusal takes no use.
    assert_eq!(
        world.ask(lookup().with("/body/fields", vec!["op_type"])).await.word(),
        "authorization-insufficient"
    );
    assert_eq!(world.ask(lookup()).await.word(), "ok");
    let verdict = world.ask(lookup()).await;
    assert_eq!(verdict.word(), "authorization-used-up");
    assert_as_the_table_says(&verdict, "used up");
    // Three uses are three.
    let token = world.authorization().with("/authorization_details/0/max_uses", 3);
    for says in ["ok", "ok", "ok", "authorization-used-up"] {
        assert_eq!(world.ask(world.lookup().authorized(&token)).await.word(), says);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_message_may_be_is_refused_unread() {
    let world = World::start().await;
    for http in [Http::One, Http::Two] {
        let line = world.dial(&world.asking, http).await.unwrap();
        let body = vec![b'A'; 256 * 1024 + 1];
        let verdict = world.read(line.exchange(body.clone()).await, &body);
        assert_eq!(verdict.word(), "too-large", "{http:?}");
        assert!(!verdict.signed);
        assert_as_the_table_says(&verdict, "256 KiB");
        assert_eq!(verdict.outcome["detail"], "A message is at most 256 KiB.");
        let line = world.dial(&world.asking, http).await.unwrap();
        let body = vec![b'A'; 256 * 1024];
        assert_eq!(
            world.read(line.exchange(body.clone()).await, &body).word(),
            "malformed/parts",
            "{http:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_request_type_without_an_encoding_is_read() {
    let world = World::start().await;
    let line = world.line().await;
    let kind = "application/tongban-request+jwt";
    let wrong: [&[(&str, &str)]; 6] = [
        &[],
        &[("content-type", "application/jwt")],
        &[("content-type", "application/json")],
        &[("content-type", kind), ("content-encoding", "gzip")],
        &[("content-type", "application/tongban-request+jwt; charset=utf-8")],
        &[("content-type", kind), ("content-type", kind)],
    ];
    for headers in wrong {
        let ping = world.ping().bytes();
        let told = line.post("/v1/exchange", headers, ping.clone()).await.unwrap();
        let verdict = world.read(told, &ping);
        assert_eq!(verdict.word(), "media-type", "{headers:?}");
        assert_as_the_table_says(&verdict, "media type");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_else_is_served_at_the_partner_door() {
    let world = World::start().await;
    let line = world.line().await;
    for (method, path, status) in [
        ("GET", "/v1/exchange", 405),
        ("PUT", "/v1/exchange", 405),
        ("POST", "/v1/card", 405),
        ("GET", "/", 404),
        ("GET", "/v1/exchange/", 404),
        ("GET", "/metrics", 404),
        ("GET", "/local/v1/partners", 404),
        ("GET", "/v1/card", 200),
    ] {
        let told = line.call(method.parse().unwrap(), path, &[], Vec::new()).await.unwrap();
        assert_eq!(told.status, status, "{method} {path}");
        assert!(status == 200 || told.body.is_empty(), "{method} {path} repeats nothing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_beyond_its_agreed_rate_is_told_when_to_come_again() {
    let quota = serde_json::json!({"requests_per_second": 2, "burst": 3, "concurrent": 10, "per_day": 8});
    let world = World::plan().agreement(|agreement| agreement["quota"] = quota).start().await;
    for _ in 0..3 {
        assert_eq!(world.ask(world.lookup()).await.word(), "ok");
    }
    let late = world.lookup().bytes();
    let verdict = world.ask(late.clone()).await;
    assert_eq!(verdict.word(), "rate-limited");
    assert_as_the_table_says(&verdict, "rate");
    // Others have their own rate.
    let line = world.dial(&world.binhai, Http::Two).await.unwrap();
    let ping = world.ping_of(&world.binhai).bytes();
    assert_eq!(world.read_as(&world.binhai, line.exchange(ping.clone()).await, &ping).word(), "ok");
    // After the wait the very same message is answered: an unsigned refusal uses nothing.
    world.clock.advance(1500);
    assert_eq!(world.ask(late).await.word(), "ok");
    // The day's total, which waits until midnight in Shanghai.
    for _ in 0..2 {
        world.clock.advance(1500);
        assert_eq!(world.ask(world.lookup()).await.word(), "ok");
        assert_eq!(world.ask(world.lookup()).await.word(), "ok");
    }
    world.clock.advance(1500);
    let verdict = world.ask(world.lookup()).await;
    assert_eq!(verdict.word(), "rate-limited");
    let wait: u32 = verdict.told.header("retry-after").unwrap().parse().unwrap();
    assert!(wait > 3600, "{wait}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_beyond_its_agreed_concurrency_is_refused_until_an_answer_has_left() {
    let library = Library::open().await;
    let settings = library.settings().replace("timeout_ms = 1000", "timeout_ms = 30000");
    let world = World::plan()
        .register(settings)
        .agreement(|agreement| agreement["quota"]["concurrent"] = 2.into())
        .start()
        .await;
    library.shut_gate();
    let line = world.line().await;
    let mut waiting = tokio::task::JoinSet::new();
    for message in [world.lookup().bytes(), world.lookup().bytes()] {
        let line = line.clone();
        waiting.spawn(async move { line.exchange(message).await.status });
    }
    while world.xianan.running().house.lookup.stats().misses < 2 {
        tokio::task::yield_now().await;
    }
    let third = world.lookup().bytes();
    let verdict = world.ask(third.clone()).await;
    assert_eq!(verdict.word(), "rate-limited");
    assert_as_the_table_says(&verdict, "concurrency");
    library.open_gate();
    assert_eq!(waiting.join_all().await, [200, 200]);
    assert_eq!(world.ask(third).await.word(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_register_that_fails_or_lies_is_unavailable() {
    let library = Library::open().await;
    let world = World::plan().register(library.settings()).start().await;
    assert_eq!(world.ask(world.lookup()).await.word(), "ok");
    let mut wrong_number = marriage();
    wrong_number["holders"][1]["code"] = "421202190001010019".into();
    let mut wrong_data = marriage();
    wrong_data["data"]["cert_no"] = CANARY.into();
    for says in [
        Says::Status(500),
        Says::Status(403),
        Says::Body("<html>维护中</html>".into()),
        Says::Body("{\"list\":7}".into()),
        Says::Licenses(vec![wrong_number]),
        Says::Licenses(vec![wrong_data]),
    ] {
        library.says(says);
        let verdict = world.ask(world.lookup().with("/body/max_age", 0)).await;
        assert_eq!(verdict.word(), "register-unavailable");
        assert_as_the_table_says(&verdict, "register");
        assert_tells_nothing(&verdict, "register");
        assert!(!verdict.whole_text().contains("10.1.2.3"), "no upstream text");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_register_is_a_timeout() {
    let library = Library::open().await;
    let settings = library.settings().replace("timeout_ms = 1000", "timeout_ms = 50");
    let world = World::plan().register(settings).start().await;
    library.says(Says::Nothing);
    let verdict = world.ask(world.lookup()).await;
    assert_eq!(verdict.word(), "register-timeout");
    assert_as_the_table_says(&verdict, "timeout");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_list_past_its_own_exp_closes_the_door() {
    let world = World::start().await;
    world.clock.advance(LIST_LIFE * 1000);
    let verdict = world.ask(world.lookup()).await;
    assert_eq!(verdict.word(), "status-stale");
    assert_as_the_table_says(&verdict, "stale");
    // Who names no list needs none.
    let token = world.authorization().without("/status");
    assert_eq!(world.ask(world.lookup().authorized(&token)).await.word(), "ok");
    world.publish(&[]);
    world.xianan.reload().await;
    assert_eq!(world.ask(world.lookup()).await.word(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_ledger_queue_is_told_as_overloaded() {
    let world = World::start().await;
    let ledger = &world.xianan.running().house.ledger;
    let mut ping = world.ping().bytes();
    let mut verdict = world.ask(ping.clone()).await;
    assert_eq!(verdict.word(), "ok");
    // Somebody else holds the month's file: the writer waits with what it has taken up, and
    // the queue behind it fills.
    let month = world.xianan.ledger_file();
    let held = rusqlite::Connection::open(month).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    let leaf = || tongban::ledger::Leaf::new(tongban::ledger::LeafKind::Incident);
    let mut waiting = tokio::task::JoinSet::new();
    while ledger.health().queue_depth < tongban::ledger::LONGEST_QUEUE {
        let ledger = ledger.clone();
        for _ in 0..512 {
            let (ledger, leaf) = (ledger.clone(), leaf());
            waiting.spawn(async move { ledger.record(leaf.into()).await.is_ok() });
        }
        tokio::task::yield_now().await;
    }
    while verdict.code() == "ok" {
        ping = world.ping().bytes();
        verdict = world.ask(ping.clone()).await;
    }
    assert_eq!(verdict.word(), "overloaded");
    assert_as_the_table_says(&verdict, "overloaded");
    held.execute_batch("ROLLBACK").unwrap();
    drop(held);
    while waiting.join_next().await.is_some() {}
    // Nothing was done: the same message is answered now.
    assert_eq!(world.ask(ping).await.word(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_recorded_is_not_answered() {
    let world = World::start().await;
    assert_eq!(world.ask(world.lookup()).await.word(), "ok");
    let month = rusqlite::Connection::open(world.xianan.ledger_file()).unwrap();
    month.execute_batch("ALTER TABLE leaf RENAME TO gone").unwrap();
    for message in [world.lookup(), world.ping(), world.lookup().with("/agreement", "none")] {
        let verdict = world.ask(message).await;
        assert_eq!(verdict.word(), "ledger-unavailable");
        assert_as_the_table_says(&verdict, "ledger");
        assert_tells_nothing(&verdict, "ledger");
    }
    let ready = world.xianan.local().get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.json()["parts"].to_string().contains("\"part\":\"store\",\"ready\":false"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_steps_back_records_and_answers_nothing() {
    let world = World::start().await;
    assert_eq!(world.ask(world.ping()).await.word(), "ok");
    world.clock.advance(-10_000);
    let verdict = world.ask(world.ping()).await;
    assert_eq!(verdict.word(), "ledger-unavailable");
    assert_as_the_table_says(&verdict, "clock");
    world.clock.advance(10_000);
    assert_eq!(world.ask(world.ping()).await.word(), "ok");
}
