//! The asking side believes a partner's answer after every check of protocol §3.2 and not a
//! word before; and what the region's own systems get at their door (protocol §9).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tongban::keys::Algorithm;
use tongban::peer::ClientLimits;

use crate::support::*;

const QUERY: &str = "/local/v1/licenses/query";

/// 玉环's gateway, and a 咸安 that answers what the test says.
struct Asking {
    world: World,
    partner: Answerer,
}

impl Asking {
    async fn start() -> Self {
        let world = World::plan().asking().start().await;
        let partner = Answerer::open(&world.answering).await;
        world.yuhuan.trust_card(&world.answering.card(&partner.endpoint()));
        world.yuhuan.reload().await;
        Self { world, partner }
    }

    async fn ask(&self) -> Told {
        self.world.yuhuan.local().post(QUERY, &question()).await
    }

    /// The leaves of the exchange with this id.
    async fn leaves_of(&self, exchange: &Value) -> Vec<Value> {
        assert!(exchange.is_string());
        let leaves = self.world.yuhuan.leaves().await;
        leaves.into_iter().filter(|leaf| leaf["x"] == *exchange).collect()
    }
}

/// What a window asks: a company's license, under a statutory duty.
fn question() -> Value {
    json!({"to": XIANAN, "item": DUTY_ITEM, "basis": "statutory_duty", "purpose": "公积金异地贷款核验",
        "operator": "YH0123", "agreement": AGREEMENT,
        "body": {"license": {"type": BUSINESS, "holder": {"type": "001", "number": COMPANY}},
                 "mode": "read", "fields": ["uscc", "name"]}})
}

/// A result in which a word that must not leak stands wherever one fits.
fn result() -> Value {
    json!({"found": true, "source": "register", "as_of": NOW, "licenses": [{
        "license_id": license_id(BUSINESS, "0000000016", "001"), "type": BUSINESS, "name": CANARY,
        "issuer": {"code": "11331083TECT000279", "name": CANARY}, "issued_on": "2026-01-05",
        "valid_from": "2026-01-05", "valid_to": null, "long_term": true, "status": "01",
        "data": {"uscc": COMPANY, "name": CANARY}}]})
}

fn refusal(code: &str, status: u16) -> Value {
    json!({"type": format!("urn:tongban:problem:{code}"), "title": CANARY, "title_zh": CANARY, "status": status,
        "code": code, "detail": CANARY, "retry": "no", "trace": CANARY})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_true_answer_reaches_the_window_and_both_its_leaves_the_ledger() {
    let asking = Asking::start().await;
    let member = asking.world.answering.clone();
    let house = Arc::clone(&asking.world.yuhuan.running().house);
    let before = house.ledger.health().size;
    let heard = Arc::new(Mutex::new(None));
    let note = Arc::clone(&heard);
    asking.partner.says(move |request| {
        // `out.sent` was durable before a byte left, its end is not there yet.
        assert_eq!(house.ledger.health().size, before + 1);
        let answer = answer_to(&request, &member, NOW, &result()).bytes();
        *note.lock().unwrap() = Some((request, answer.clone()));
        http(200, RESPONSE_TYPE, answer)
    });
    let told = asking.ask().await;
    assert_eq!(told.status, 200);
    let told = told.json();
    let (request, answer) = heard.lock().unwrap().take().unwrap();
    assert_eq!(
        told,
        json!({"exchange": request.claims["jti"], "partner": XIANAN, "status": 200, "result": result(),
            "log": {"origin": "tongban/421202/2030h1", "index": 4711, "leaf": b64([7; 32])}})
    );
    // What was asked is what was sent.
    let claims = &request.claims;
    for name in ["item", "basis", "purpose", "operator", "agreement", "body"] {
        assert_eq!(claims[name], question()[name], "{name}");
    }
    assert_eq!((&claims["iat"], &claims["exp"]), (&json!(NOW), &json!(NOW + 60)));

    let leaves = asking.leaves_of(&claims["jti"]).await;
    let [sent, done] = leaves.as_slice() else { panic!("{leaves:?}") };
    assert_eq!((&sent["t"], &done["t"]), (&json!("out.sent"), &json!("out.done")));
    for leaf in [sent, done] {
        assert_eq!(leaf["rq"], b64(sha256(&request.body)));
        assert_eq!((&leaf["peer"], &leaf["op"]), (&json!(XIANAN), &json!("license.query")));
        assert_eq!((&leaf["item"], &leaf["lt"]), (&json!(DUTY_ITEM), &json!(BUSINESS)));
    }
    assert_eq!(done["rs"], b64(sha256(&answer)));
    assert_eq!((&done["dec"], &done["status"]), (&json!("permit"), &json!(200)));
    assert!(done.get("code").is_none());
    let text = json!(asking.world.yuhuan.leaves().await).to_string();
    assert!(!text.contains(COMPANY) && !text.contains(CANARY), "no personal data in a leaf");
}

/// The HTTP answer to what was heard, made of the true one.
type Bend = Box<dyn Fn(&Heard, Draft) -> Vec<u8> + Send>;

/// An answer that must not be believed: how it is bent, and what the window is told.
struct Lie {
    name: &'static str,
    bytes: Bend,
    code: &'static str,
    reason: &'static str,
}

fn lie(
    name: &'static str,
    reason: &'static str,
    bytes: impl Fn(&Heard, Draft) -> Vec<u8> + Send + 'static,
) -> Lie {
    Lie { name, bytes: Box::new(bytes), code: "partner-answer-invalid", reason }
}

/// A signed answer, bent before it is signed.
fn bent(name: &'static str, reason: &'static str, bend: impl Fn(Draft) -> Draft + Send + 'static) -> Lie {
    lie(name, reason, move |_, answer| {
        let answer = bend(answer);
        let status =
            answer.claims["status"].as_u64().and_then(|status| status.try_into().ok()).unwrap_or(200);
        http(status, RESPONSE_TYPE, answer.bytes())
    })
}

/// No answer at all, or none with a signature.
fn silence(
    name: &'static str,
    code: &'static str,
    bytes: impl Fn(&Heard, Draft) -> Vec<u8> + Send + 'static,
) -> Lie {
    Lie { name, bytes: Box::new(bytes), code, reason: "" }
}

fn signed_lies(world: &World) -> Vec<Lie> {
    let stranger = new_key(Algorithm::Es256);
    let (unknown, forger) = (Arc::clone(&stranger), stranger);
    let (own, retired, coming) = (
        Arc::clone(&world.asking.signing),
        Arc::clone(&world.answering.retired),
        Arc::clone(&world.answering.coming),
    );
    vec![
        bent("a key nobody knows", "kid-not-yours", move |a| a.signed_by(&unknown)),
        bent("our own key", "kid-not-yours", move |a| a.signed_by(&own)),
        bent("a key past its exp", "kid-not-yours", move |a| a.signed_by(&retired)),
        bent("a key before its nbf", "kid-not-yours", move |a| a.signed_by(&coming)),
        bent("a forged signature", "signature-mismatch", move |a| a.forged_by(&forger)),
        bent("another algorithm", "alg-not-registered", |a| a.header("alg", "PS256")),
        bent("no algorithm", "alg-not-registered", |a| a.header("alg", "none")),
        bent("a header with more in it", "header", |a| a.header("jwk", json!({}))),
        bent("a request's typ", "typ", |a| a.header("typ", "tongban-request+jwt")),
        lie("our own request", "typ", |heard, _| http(200, RESPONSE_TYPE, &heard.body)),
        bent("another issuer", "issuer", |a| a.with("/iss", format!("urn:tongban:gw:{BINHAI}"))),
        bent("ourselves as the issuer", "issuer", |a| a.with("/iss", format!("urn:tongban:gw:{YUHUAN}"))),
        bent("another audience", "audience", |a| a.with("/aud", format!("urn:tongban:gw:{BINHAI}"))),
        bent("another request's id", "request-jti", |a| {
            a.with("/req/jti", "0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22")
        }),
        bent("no request's id", "request-jti", |a| a.without("/req/jti")),
        bent("another request's digest", "request-digest", |a| a.with("/req/digest", b64([0; 32]))),
        lie("another HTTP status", "status", |_, a| http(403, RESPONSE_TYPE, a.bytes())),
        lie("a refusal as a success", "status", |_, a| {
            let refused =
                a.without("/result").with("/problem", refusal("no-agreement", 403)).with("/status", 403);
            http(200, RESPONSE_TYPE, refused.bytes())
        }),
        bent("an answer of long ago", "times", |a| a.with("/iat", NOW - 100).with("/exp", NOW - 30)),
        bent("an answer of the future", "times", |a| a.with("/iat", NOW + 31).with("/exp", NOW + 60)),
        bent("an answer for a day", "times", |a| a.with("/exp", NOW + 121)),
        bent("an answer that ends as it begins", "schema", |a| a.with("/exp", NOW)),
        bent("no result", "schema", |a| a.without("/result")),
        bent("a result and a problem", "schema", |a| a.with("/problem", refusal("no-agreement", 403))),
        bent("a member more", "schema", |a| a.with("/more", CANARY)),
        bent("no promise", "schema", |a| a.without("/log")),
        bent("another version", "schema", |a| a.with("/ver", 2)),
        bent("another op", "op", |a| a.with("/op", "ping")),
        bent("a result that is a word", "schema", |a| a.with("/result", CANARY)),
        bent("a result with a member more", "schema", |a| a.with("/result/more", CANARY)),
        bent("a result without its source", "schema", |a| a.without("/result/source")),
        bent("found and nothing there", "schema", |a| a.with("/result/licenses", json!([]))),
        bent("a license with a member more", "schema", |a| a.with("/result/licenses/0/more", CANARY)),
        bent("a license without its issuer", "schema", |a| a.without("/result/licenses/0/issuer")),
        bent("another license type", "type-not-asked", |a| {
            let id = license_id(MARRIAGE, "0000000016", "001");
            let told = a.with("/result/licenses/0/license_id", id);
            told.with("/result/licenses/0/type", MARRIAGE)
        }),
        bent("a field more", "field-not-asked", |a| a.with("/result/licenses/0/data/address", CANARY)),
        bent("a match where a reading was asked", "field-not-asked", |a| {
            a.without("/result/licenses/0/data").with("/result/licenses/0/match", json!({"uscc": true}))
        }),
        bent("a success of another status", "schema", |a| a.with("/status", 202)),
        bent("a refusal with a result", "schema", |a| a.with("/status", 403)),
        bent("a problem of another status", "schema", |a| {
            a.without("/result").with("/problem", refusal("no-agreement", 404)).with("/status", 403)
        }),
        bent("a member twice", "JSON", |a| {
            let text = a.claims.to_string();
            a.raw_payload(text.replacen('{', "{\"status\":200,", 1))
        }),
        lie("no JWS", "characters", |_, a| http(200, RESPONSE_TYPE, a.claims.to_string())),
        lie("two parts", "parts", |_, a| http(200, RESPONSE_TYPE, a.text().rsplit_once('.').unwrap().0)),
        lie("more than a message may be", "too-large", |_, a| {
            http(200, RESPONSE_TYPE, a.text() + &"A".repeat(256 * 1024))
        }),
    ]
}

fn unsigned_lies() -> Vec<Lie> {
    let (refused, gone) = ("partner-refused", "partner-unreachable");
    vec![
        silence("an unsigned refusal", refused, |_, _| {
            http(503, "application/problem+json", refusal("overloaded", 503).to_string())
        }),
        silence("an unsigned refusal of no known code", refused, |_, _| {
            http(403, "application/problem+json", refusal("canary-7310", 403).to_string())
        }),
        silence("an unsigned business fact", refused, |_, a| {
            http(200, "application/json", a.claims["result"].to_string())
        }),
        silence("a signed answer as something else", refused, |_, a| http(200, "application/jwt", a.bytes())),
        silence("a page", refused, |_, _| http(502, "text/html", format!("<h1>{CANARY}</h1>"))),
        silence("another place", refused, |_, _| {
            b"HTTP/1.1 307 Elsewhere\r\nlocation: https://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n".to_vec()
        }),
        silence("half a body", gone, |_, a| {
            let whole = http(200, RESPONSE_TYPE, a.bytes());
            whole[..whole.len() - 100].to_vec()
        }),
        silence("half a head", gone, |_, _| b"HTTP/1.1 200 OK\r\ncontent-ty".to_vec()),
        silence("no HTTP", gone, |_, _| CANARY.as_bytes().to_vec()),
        silence("a body over a mebibyte", gone, |_, a| {
            http(200, RESPONSE_TYPE, a.text() + &"A".repeat(1024 * 1024))
        }),
        silence("nothing", gone, |_, _| Vec::new()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_a_word_of_a_false_answer_is_believed() {
    let asking = Asking::start().await;
    let member = asking.world.answering.clone();
    let mut expected = Vec::new();
    for Lie { name, bytes, code, reason } in signed_lies(&asking.world).into_iter().chain(unsigned_lies()) {
        let member = member.clone();
        asking.partner.says(move |heard| {
            let good = answer_to(&heard, &member, NOW, &result());
            bytes(&heard, good)
        });
        let told = asking.ask().await;
        let text = String::from_utf8(told.body.to_vec()).unwrap();
        assert_eq!(told.status, 502, "{name}: {text}");
        let problem = told.json();
        assert_eq!(problem["code"], code, "{name}");
        assert_eq!(problem["reason"].as_str().unwrap_or_default(), reason, "{name}");
        assert!(problem.get("signed").is_none() && problem.get("result").is_none(), "{name}");
        assert!(!text.contains(CANARY) && !text.contains("canary"), "{name}: {text}");
        expected.push((problem["exchange"].clone(), code));
    }
    // Each left two leaves: that it was sent, and that it failed, with a fixed word.
    let leaves = asking.world.yuhuan.leaves().await;
    for (exchange, code) in expected {
        let of: Vec<_> = leaves.iter().filter(|leaf| leaf["x"] == exchange).collect();
        let kinds: Vec<_> = of.iter().map(|leaf| leaf["t"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["out.sent", "out.failed"]);
        assert_eq!(of[1]["code"], code);
        assert_eq!(of[0]["rq"], of[1]["rq"]);
        assert!(of[1].get("status").is_none() && of[1].get("dec").is_none());
    }
    assert!(!json!(leaves).to_string().to_lowercase().contains("canary"));
    // After all that a true answer is believed.
    asking
        .partner
        .says(move |heard| http(200, RESPONSE_TYPE, answer_to(&heard, &member, NOW, &result()).bytes()));
    assert_eq!(asking.ask().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_two_outstanding_requests_cannot_be_swapped() {
    let asking = Asking::start().await;
    let member = asking.world.answering.clone();
    asking.partner.says_together(2, move |heard| {
        let answers = heard.iter().map(|one| answer_to(one, &member, NOW, &result()).bytes());
        answers.rev().map(|answer| http(200, RESPONSE_TYPE, answer)).collect()
    });
    let (one, other) = tokio::join!(asking.ask(), asking.ask());
    for told in [one, other] {
        let problem = told.json();
        assert_eq!((told.status, &problem["reason"]), (502, &json!("request-jti")));
        let leaves = asking.leaves_of(&problem["exchange"]).await;
        assert_eq!(leaves[1]["t"], "out.failed");
    }
    // An answer kept from yesterday's exchange does not fit today's.
    let member = asking.world.answering.clone();
    let mut first = None;
    asking.partner.says(move |heard| {
        let answer = answer_to(&heard, &member, NOW, &result()).bytes();
        http(200, RESPONSE_TYPE, first.get_or_insert(answer))
    });
    assert_eq!(asking.ask().await.status, 200);
    assert_eq!(asking.ask().await.json()["reason"], "request-jti");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_unsigned_refusal_says_is_a_hint() {
    let asking = Asking::start().await;
    asking.partner.says(|_| http(429, "application/problem+json", refusal("rate-limited", 429).to_string()));
    let told = asking.ask().await;
    let problem = told.json();
    assert_eq!(told.header("retry-after"), Some("7"));
    assert_eq!((&problem["hint"], &problem["partner_status"]), (&json!("rate-limited"), &json!(429)));
    assert!(!problem["hint_title_zh"].as_str().unwrap().is_ascii());
    // A partner that is up and says no is up.
    let partners = asking.world.yuhuan.local().get("/local/v1/partners").await.json();
    assert_eq!(partners["partners"][0]["up"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_refusal_comes_with_the_partners_status_and_words() {
    let asking = Asking::start().await;
    let member = asking.world.answering.clone();
    let problem = json!({"type": "urn:tongban:problem:schema-violation", "title": "t", "title_zh": "不符",
        "status": 422, "code": "schema-violation", "detail": "d", "retry": "no", "trace": "t-1",
        "errors": [{"pointer": "/body/fields/1", "rule": "enum", "message": "m", "message_zh": "信"}]});
    let said = problem.clone();
    asking.partner.says(move |heard| {
        let answer = answer_to(&heard, &member, NOW, &Value::Null).without("/result");
        http(422, RESPONSE_TYPE, answer.with("/problem", said.clone()).with("/status", 422).bytes())
    });
    let told = asking.ask().await;
    assert_eq!((told.status, told.header("content-type")), (422, Some("application/problem+json")));
    assert_eq!(told.header("retry-after"), Some("7"), "the partner's hint comes along");
    let mut expected = problem;
    for (name, value) in
        [("partner", json!(XIANAN)), ("signed", json!(true)), ("exchange", told.json()["exchange"].clone())]
    {
        expected[name] = value;
    }
    expected["log"] = json!({"origin": "tongban/421202/2030h1", "index": 4711, "leaf": b64([7; 32])});
    assert_eq!(told.json(), expected);
    let leaves = asking.leaves_of(&told.json()["exchange"]).await;
    let done = &leaves[1];
    assert_eq!((&done["t"], &done["dec"]), (&json!("out.done"), &json!("deny")));
    assert_eq!((&done["code"], &done["status"]), (&json!("schema-violation"), &json!(422)));
}

/// On one thread, so that time moves only where the test moves it.
#[tokio::test]
async fn a_partner_that_never_answers_is_given_up_after_the_limit_and_that_is_recorded() {
    let limit = Duration::from_secs(3);
    let limits = ClientLimits { total: limit, ..ClientLimits::default() };
    let world = World::plan().asking().partner_limits(limits).start().await;
    let (addr, mut heard) = Answerer::by_hand(&world.answering).await;
    world.yuhuan.trust_card(&world.answering.card(&format!("https://{addr}")));
    world.yuhuan.reload().await;
    let local = world.yuhuan.local();
    let window = tokio::spawn(async move { local.post(QUERY, &question()).await });
    let (request, _no_answer) = heard.recv().await.unwrap();
    tokio::time::pause();
    tokio::time::advance(limit).await;
    tokio::time::resume();

    let told = window.await.unwrap();
    let problem = told.json();
    assert_eq!((told.status, &problem["code"]), (504, &json!("partner-timeout")));
    assert_eq!((&problem["retry"], &problem["exchange"]), (&json!("yes"), &request.claims["jti"]));
    let leaves = world.yuhuan.leaves().await;
    let of: Vec<_> = leaves.iter().filter(|leaf| leaf["x"] == problem["exchange"]).collect();
    let [sent, failed] = of.as_slice() else { panic!("{of:?}") };
    assert_eq!((&sent["t"], &failed["t"]), (&json!("out.sent"), &json!("out.failed")));
    assert_eq!((&failed["code"], &failed["rq"]), (&json!("partner-timeout"), &sent["rq"]));
    let partners = world.yuhuan.local().get("/local/v1/partners").await.json();
    assert_eq!(partners["partners"][0]["up"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_partner_itself_is_asked() {
    let asking = Asking::start().await;
    let world = &asking.world;
    let now = world.clock.now();
    let closed = {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("https://{}", socket.local_addr().unwrap())
    };
    let another = Answerer::open(&Member::certified(BINHAI, &world.ca, now)).await;
    let no_ca = Answerer::open(&Member::pinned(XIANAN, now)).await;
    let ourselves = Answerer::open(&world.asking).await;
    let overheard = Arc::new(Mutex::new(0));
    for stub in [&another, &no_ca, &ourselves] {
        let overheard = Arc::clone(&overheard);
        stub.says(move |_| {
            *overheard.lock().unwrap() += 1;
            Vec::new()
        });
    }
    for endpoint in [closed, another.endpoint(), no_ca.endpoint(), ourselves.endpoint()] {
        world.yuhuan.trust_card(&world.answering.card(&endpoint));
        world.yuhuan.reload().await;
        let told = asking.ask().await;
        assert_eq!((told.status, &told.json()["code"]), (502, &json!("partner-unreachable")), "{endpoint}");
        let leaves = asking.leaves_of(&told.json()["exchange"]).await;
        assert_eq!(leaves[1]["code"], "partner-unreachable");
    }
    assert_eq!(*overheard.lock().unwrap(), 0, "nothing was said to a stranger");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_hangs_up_leaves_no_exchange_without_its_end() {
    let asking = Asking::start().await;
    let member = asking.world.answering.clone();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let go = Arc::new(std::sync::Barrier::new(2));
    let wait = Arc::clone(&go);
    asking.partner.says(move |request| {
        told.send(request.claims["jti"].clone()).unwrap();
        tokio::task::block_in_place(|| wait.wait());
        http(200, RESPONSE_TYPE, answer_to(&request, &member, NOW, &result()).bytes())
    });
    let local = asking.world.yuhuan.local();
    let window = tokio::spawn(async move { local.post(QUERY, &question()).await });
    let exchange = heard.recv().await.unwrap();
    window.abort();
    assert!(window.await.unwrap_err().is_cancelled());
    tokio::task::block_in_place(|| go.wait());
    while asking.leaves_of(&exchange).await.len() < 2 {
        tokio::task::yield_now().await;
    }
    let kinds: Vec<_> = asking.leaves_of(&exchange).await.iter().map(|leaf| leaf["t"].clone()).collect();
    assert_eq!(kinds, ["out.sent", "out.done"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_recorded_is_not_sent() {
    let asking = Asking::start().await;
    asking.partner.says(|_| panic!("nothing may be sent"));
    let month = rusqlite::Connection::open(asking.world.yuhuan.ledger_file()).unwrap();
    month.execute_batch("ALTER TABLE leaf RENAME TO gone").unwrap();
    let told = asking.ask().await;
    assert_eq!((told.status, &told.json()["code"]), (503, &json!("ledger-unavailable")));
    assert!(told.header("retry-after").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_cannot_be_recorded_is_not_told() {
    let asking = Asking::start().await;
    let (member, file) = (asking.world.answering.clone(), asking.world.yuhuan.ledger_file());
    asking.partner.says(move |request| {
        let month = rusqlite::Connection::open(&file).unwrap();
        month.execute_batch("ALTER TABLE leaf RENAME TO gone").unwrap();
        http(200, RESPONSE_TYPE, answer_to(&request, &member, NOW, &result()).bytes())
    });
    let told = asking.ask().await;
    assert_eq!((told.status, &told.json()["code"]), (503, &json!("ledger-unavailable")));
    assert!(!String::from_utf8_lossy(&told.body).contains(CANARY), "not a word of it");
}

// The door itself.

/// A further system, which may only say what changed; its token is its name.
const REGISTRY: &str =
    "\n[[local_listener.client]]\nname = \"民政\"\ntoken_sha256 = \"TOKEN\"\nmay = [\"register.changed\"]\n";

fn registry() -> String {
    REGISTRY.replace("TOKEN", &hex::encode(sha256(b"registry-token")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_shows_its_token_and_does_what_it_may() {
    let world = World::plan().asking().configured(&registry()).start().await;
    let door = world.yuhuan.local().door;
    let ping = format!("/local/v1/partners/{XIANAN}/ping");
    for token in [None, Some("wrong".to_owned()), Some(String::new()), Some(world.xianan.token.clone())] {
        let local = Local { door, token };
        for told in [
            local.post(QUERY, &question()).await,
            local.get("/local/v1/partners").await,
            local.post(&ping, &json!({})).await,
        ] {
            assert_eq!((told.status, &told.json()["code"]), (401, &json!("token-required")));
            assert_eq!(told.header("www-authenticate"), Some("Bearer"));
        }
    }
    let local = Local { door, token: None };
    for header in ["Basic eDp5", "Bearer", "bearer ", &format!("Token {}", world.yuhuan.token)] {
        assert_eq!(
            local.call("GET", "/local/v1/partners", &[("authorization", header)], Bytes::new()).await.status,
            401
        );
    }
    let header = format!("bearer {}", world.yuhuan.token);
    assert_eq!(
        local.call("GET", "/local/v1/partners", &[("authorization", &header)], Bytes::new()).await.status,
        200
    );

    let registry = Local { door, token: Some("registry-token".into()) };
    let told = registry.post(QUERY, &question()).await;
    assert_eq!((told.status, &told.json()["code"]), (403, &json!("not-permitted")));
    let changed = json!({"type": MARRIAGE, "holder": {"type": "111", "number": JIA}});
    assert_eq!(registry.post("/local/v1/licenses/changed", &changed).await.json(), json!({"dropped": true}));
    let sent = world.yuhuan.leaves().await.iter().filter(|leaf| leaf["t"] == "out.sent").count();
    assert_eq!(sent, 0, "nothing was asked for anybody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_is_told_everything_that_is_wrong_before_a_partner_is_asked() {
    let world = World::plan().asking().start().await;
    let local = world.yuhuan.local();
    let post = async |kind: &str, body: &[u8]| {
        local.call("POST", QUERY, &[("content-type", kind)], Bytes::copy_from_slice(body)).await
    };
    let true_one = question().to_string();
    for kind in ["text/plain", "application/jwt", "application/json5", ""] {
        let told = post(kind, true_one.as_bytes()).await;
        assert_eq!((told.status, &told.json()["code"]), (415, &json!("media-type")), "{kind}");
    }
    let told = local.call("POST", QUERY, &[], true_one.clone().into()).await;
    assert_eq!(told.status, 415, "no media type");
    assert_eq!(post("application/json; charset=utf-8", true_one.as_bytes()).await.status, 200);
    let twice = true_one.replacen('{', "{\"to\":\"421202\",", 1);
    for body in ["", "{", "[]", "7", "null", &twice, "{\"to\":\"\u{202e}\"}", "{\"to\":1.5}"] {
        let told = post("application/json", body.as_bytes()).await;
        assert_eq!((told.status, &told.json()["code"]), (400, &json!("malformed")), "{body}");
    }
    assert_eq!(post("application/json", b"\xff").await.status, 400);
    let large = vec![b' '; 64 * 1024 + 1];
    let told = post("application/json", &large).await;
    assert_eq!((told.status, &told.json()["code"]), (413, &json!("too-large")));
    assert!(told.json()["detail"].as_str().unwrap().contains("64 KiB"), "this door's own limit");

    let mut faulty = question();
    for (name, value) in [
        ("to", json!("429999")),
        ("purpose", json!(7)),
        ("case", json!("K1")),
        ("extra", json!(CANARY)),
        ("item", json!("X")),
        ("basis", json!(CANARY)),
    ] {
        faulty[name] = value;
    }
    faulty.as_object_mut().unwrap().shift_remove("operator").unwrap();
    faulty["body"]["license"]["holder"]["number"] = "91320922MATECT015V".into();
    faulty["body"]["mode"] = CANARY.into();
    faulty["body"]["fields"] = json!(["uscc", "uscc"]);
    let told = local.post(QUERY, &faulty).await;
    assert_eq!((told.status, &told.json()["code"]), (422, &json!("schema-violation")));
    let problem = told.json();
    let mut pointers: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    pointers.dedup();
    assert_eq!(
        pointers,
        [
            "",
            "/basis",
            "/body/fields",
            "/body/license/holder/number",
            "/body/mode",
            "/case",
            "/item",
            "/operator",
            "/purpose",
            "/to"
        ]
    );
    let text = problem.to_string();
    assert!(!text.contains(CANARY) && !text.contains("91320922"), "{text}");
    let sent = world.yuhuan.leaves().await.iter().filter(|leaf| leaf["t"] == "out.sent").count();
    assert_eq!(sent, 1, "the one that was right");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_active_partner_is_asked() {
    let world = World::plan().asking().start().await;
    let local = world.yuhuan.local();
    let mut elsewhere = question();
    elsewhere["to"] = BINHAI.into();
    let told = local.post(QUERY, &elsewhere).await;
    assert_eq!((told.status, &told.json()["code"]), (404, &json!("unknown-partner")));
    assert_eq!(local.post(&format!("/local/v1/partners/{BINHAI}/ping"), &json!({})).await.status, 404);
    assert_eq!(local.post("/local/v1/partners/429999/ping", &json!({})).await.status, 404);
    assert_eq!(local.post(QUERY, &question()).await.status, 200);
    let mut card = world.answering.card(&format!("https://{}", world.xianan.door()));
    card["status"] = "suspended".into();
    world.yuhuan.trust_card(&card);
    world.yuhuan.reload().await;
    let told = local.post(QUERY, &question()).await;
    assert_eq!((told.status, &told.json()["code"]), (404, &json!("unknown-partner")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agreement_may_be_left_out_where_one_fits() {
    let world = World::plan().asking().start().await;
    let local = world.yuhuan.local();
    let mut unnamed = question();
    unnamed.as_object_mut().unwrap().shift_remove("agreement");
    assert_eq!(local.post(QUERY, &unnamed).await.status, 200);
    let mut second = agreement();
    second["id"] = "421202-331083-2021".into();
    world.yuhuan.trust_agreement(&second);
    world.yuhuan.reload().await;
    let wants_a_name = async || {
        let told = local.post(QUERY, &unnamed).await;
        assert_eq!(told.status, 422);
        let problem = told.json();
        assert_eq!(problem["errors"][0]["pointer"], "/agreement");
        assert_eq!(problem["errors"].as_array().unwrap().len(), 1);
    };
    wants_a_name().await;
    assert_eq!(local.post(QUERY, &question()).await.status, 200, "named, it is one");
    for id in [AGREEMENT, "421202-331083-2021"] {
        std::fs::remove_file(world.yuhuan.agreement_file(id)).unwrap();
    }
    world.yuhuan.reload().await;
    wants_a_name().await;
    // The partner has the word: a name that is not in force there is its refusal.
    let mut lapsed = question();
    lapsed["agreement"] = "421202-331083-2010".into();
    let told = local.post(QUERY, &lapsed).await;
    assert_eq!(
        (told.status, &told.json()["code"], &told.json()["signed"]),
        (403, &json!("no-agreement"), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_partners_are_shown_up_or_down_and_since_when() {
    let mut world = World::plan().asking().start().await;
    let local = world.yuhuan.local();
    let shown = async || {
        let told = local.get("/local/v1/partners").await;
        assert_eq!(told.status, 200);
        told.json()["partners"][0].clone()
    };
    let first = shown().await;
    assert_eq!((&first["region"], &first["status"]), (&json!(XIANAN), &json!("active")));
    assert_eq!((&first["up"], &first["since"]), (&Value::Null, &Value::Null), "nobody asked yet");
    let agreements = first["agreements"].as_array().unwrap();
    let in_force: Vec<_> = agreements.iter().map(|a| (&a["id"], a["in_force"] == true)).collect();
    // In the order of their ids, the lapsed one too.
    assert_eq!(in_force, [(&json!("421202-331083-2010"), false), (&json!(AGREEMENT), true)]);
    assert!(agreements[1]["items"].as_array().unwrap().iter().any(|item| item == DUTY_ITEM));

    let ping = format!("/local/v1/partners/{XIANAN}/ping");
    for _ in 0..2 {
        assert_eq!(local.post(&ping, &json!({})).await.status, 200);
        let up = shown().await;
        assert_eq!((&up["up"], &up["since"]), (&json!(true), &json!(NOW)), "since the first");
        world.clock.advance(60_000);
    }
    world.xianan.stop().await;
    for _ in 0..2 {
        assert_eq!(local.post(&ping, &json!({})).await.status, 502);
        let down = shown().await;
        assert_eq!((&down["up"], &down["since"]), (&json!(false), &json!(NOW + 120)));
        world.clock.advance(1000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ops_door_says_what_is_not_ready() {
    let world = World::plan().asking().crl().start().await;
    let ops = Local { token: None, ..world.yuhuan.local() };
    assert_eq!(ops.get("/healthz").await.json()["status"], "ok");
    let not_ready = async || {
        let told = ops.get("/readyz").await;
        let parts = told.json()["parts"].clone();
        let parts = parts.as_array().unwrap().clone();
        let not: Vec<String> = parts
            .iter()
            .filter(|p| p["ready"] == false)
            .map(|p| p["part"].as_str().unwrap().to_owned())
            .collect();
        // What only guards something closes that and not the whole.
        let closed = parts.iter().any(|part| part["ready"] == false && part["needed"] == true);
        assert_eq!((told.status, &told.json()["ready"]), (if closed { 503 } else { 200 }, &json!(!closed)));
        assert!(parts.iter().all(|part| part["needed"] == (part["part"] != "status_lists")));
        for part in &parts {
            let words = part.get("why").is_some() && !part["why_zh"].as_str().unwrap_or_default().is_ascii();
            assert_eq!(words, part["ready"] == false, "{part}");
        }
        not
    };
    assert!(not_ready().await.is_empty());
    world.clock.advance(LIST_LIFE * 1000);
    assert_eq!(not_ready().await, ["status_lists"]);
    world.clock.advance(7 * 86_400_000);
    assert_eq!(not_ready().await, ["crl", "status_lists"]);
    world.clock.advance(-10_000);
    assert_eq!(not_ready().await, ["crl", "status_lists", "clock"]);
    world.clock.advance(400 * 86_400_000);
    assert_eq!(not_ready().await, ["keys", "crl", "status_lists"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_have_their_names_and_name_nobody() {
    let world = World::plan().asking().start().await;
    let local = world.yuhuan.local();
    assert_eq!(local.post(QUERY, &question()).await.status, 200);
    let read = async |gateway: &Gateway| {
        let told = Local { token: None, ..gateway.local() }.get("/metrics").await;
        assert!(told.header("content-type").unwrap().starts_with("application/openmetrics-text"));
        String::from_utf8(told.body.to_vec()).unwrap()
    };
    let (asking, answering) = (read(&world.yuhuan).await, read(&world.xianan).await);
    for name in [
        "tongban_exchanges_total{direction=\"out\",partner=\"421202\",op=\"license.query\",code=\"ok\"} 1",
        "tongban_phase_seconds_bucket{",
        "tongban_ledger_queue_depth ",
        "tongban_ledger_size ",
        "tongban_ledger_checkpoint_age_seconds ",
        "tongban_replay_live_ids ",
        "tongban_connections{door=\"partner\",what=\"accepted\"}",
        "tongban_connections{door=\"local\",what=\"accepted\"}",
        "tongban_days_left{part=\"certificate/own\"} 400",
        "tongban_days_left{part=\"ca/1\"} 800",
        "tongban_ready{part=\"store\"} 1",
        "tongban_trust_files_refused_total 0",
    ] {
        assert!(asking.contains(name), "{name} in {asking}");
    }
    for name in [
        "tongban_exchanges_total{direction=\"in\",partner=\"331083\",op=\"license.query\",code=\"ok\"} 1",
        "tongban_license_answers_total{source=\"register\"} 1",
        "tongban_license_cache{part=\"misses\"} 1",
        "tongban_replay_live_ids 1",
    ] {
        assert!(answering.contains(name), "{name} in {answering}");
    }
    for text in [asking, answering] {
        assert!(text.trim_end().ends_with("# EOF"));
        for secret in [COMPANY, "YH0123", "测试", DUTY_ITEM] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_description_lists_exactly_what_is_served() {
    const SERVED: [(&str, &str); 21] = [
        ("GET", "/healthz"),
        ("GET", "/local/v1/applications"),
        ("GET", "/local/v1/applications/{case}"),
        ("GET", "/local/v1/materials/{sha256}"),
        ("GET", "/local/v1/notices"),
        ("GET", "/local/v1/openapi.json"),
        ("GET", "/local/v1/parcels"),
        ("GET", "/local/v1/partners"),
        ("GET", "/local/v1/reports/timeliness"),
        ("GET", "/local/v1/verifications"),
        ("GET", "/metrics"),
        ("GET", "/readyz"),
        ("POST", "/local/v1/applications"),
        ("POST", "/local/v1/applications/{case}/events"),
        ("POST", "/local/v1/authorizations/redeem"),
        ("POST", "/local/v1/licenses/changed"),
        ("POST", "/local/v1/licenses/query"),
        ("POST", "/local/v1/parcels/{id}/redrive"),
        ("POST", "/local/v1/partners/{region}/ping"),
        ("POST", "/local/v1/verifications/{id}/answer"),
        ("PUT", "/local/v1/materials/{sha256}"),
    ];
    let world = World::plan().asking().start().await;
    let local = world.yuhuan.local();
    let described = Local { token: None, ..local.clone() }.get("/local/v1/openapi.json").await.json();
    assert_eq!(described["openapi"].as_str().unwrap().split('.').next(), Some("3"));
    assert!(described["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut listed = Vec::new();
    for (path, methods) in described["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter(|name| *name != "parameters") {
            listed.push((method.to_uppercase(), path.clone()));
        }
    }
    listed.sort();
    let served: Vec<_> =
        SERVED.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(listed, served);
    // A file that is there, so that there is something to read.
    let file = tongban::material::MaterialDigest::of(b"x");
    let says = file.content_digest();
    let here = format!("/local/v1/materials/{file}");
    let put = local.call("PUT", &here, &[("content-digest", &says)], Bytes::from_static(b"x")).await;
    assert_eq!(put.status, 201);
    for (method, path) in SERVED {
        let documented = &described["paths"][path][method.to_lowercase()]["responses"];
        let allowed: Vec<_> = SERVED.iter().filter(|(_, other)| *other == path).map(|(m, _)| *m).collect();
        let path = path.replace("{region}", XIANAN).replace("{sha256}", &file.to_string());
        let path = path.replace("{case}", CASE).replace("{id}", "0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22");
        let told = local.call(method, &path, &[], Bytes::new()).await;
        // Nobody's case or parcel is a problem with a code; an unknown path is not.
        assert!(
            told.status != 405 && (told.status != 404 || !told.body.is_empty()),
            "{method} {path}: {}",
            told.status
        );
        assert!(documented.get(told.status.to_string()).is_some(), "{method} {path}: {}", told.status);
        let told = local.call("DELETE", &path, &[], Bytes::new()).await;
        assert_eq!((told.status, told.header("allow")), (405, Some(&*allowed.join(", "))), "{path}");
    }
    for path in [
        "/",
        "/local/v1/",
        "/local/v2/partners",
        "/local/v1/partners/",
        "/v1/exchange",
        "/local/v1/materials",
    ] {
        assert_eq!(local.get(path).await.status, 404, "{path}");
    }
}
