//! `tongban explain` is the door without its hands: what it says of a message is what the door
//! says, check by check, and nothing remains of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tongban::inbound::steps::Step;

use crate::support::*;

/// `tongban --config <home> explain …` with `input` on its standard input.
fn explain(home: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tongban"));
    command.arg("explain").arg("--config").arg(home.join("gateway.toml")).args(arguments);
    let mut running =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = running.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = running.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A line of `--jsonl`.
fn line(id: impl Into<Value>, peer: &str, at: i64, body: &[u8]) -> String {
    let body = std::str::from_utf8(body).unwrap();
    json!({"id": id.into(), "peer": peer, "at": at, "body": body}).to_string() + "\n"
}

/// The verdicts on lines, in their order.
fn verdicts(home: &Path, lines: &str) -> Vec<Value> {
    let output = explain(home, &["--jsonl"], lines.as_bytes());
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The line that says what the door said.
fn as_the_door(id: usize, verdict: &Verdict) -> Value {
    let accepted = verdict.status < 300;
    json!({
        "id": id, "accepted": accepted, "status": if accepted { 200 } else { verdict.status },
        "code": if accepted { Value::Null } else { verdict.code().into() }, "reason": verdict.reason(),
    })
}

/// Messages that pass every check, and some more bent ones than the corpus has.
fn further_messages(world: &World) -> Vec<Draft> {
    let verify = json!({"license": {"type": MARRIAGE, "holder": {"type": "111", "number": JIA}}, "mode": "verify",
        "expect": {"cert_no": "x"}});
    let now = world.now();
    let uses = world.authorization().with("/authorization_details/0/max_uses", 5).with("/exp", now + 86_000);
    vec![
        world.ping(),
        world.lookup(),
        world.duty(),
        world.duty().with("/basis", "emergency"),
        world.lookup().with("/body", verify),
        world.lookup().with("/body/license/holder/number", JIA.to_lowercase()),
        world.lookup().with("/body/max_age", 0),
        world.lookup().authorized(&uses),
        world.lookup().authorized(&world.authorization().without("/cnf").without("/status")),
        world.lookup().with("/iat", now + 30).with("/exp", now + 90),
        world.lookup().with("/iat", now - 89).with("/exp", now - 29),
        world.lookup().with("/exp", now + 120),
        world.ping().with("/iat", now + 31).with("/exp", now + 90),
        world.ping().with("/exp", now + 121),
        world.ping().with("/aud", world.asking.urn()),
        world.ping().with("/iss", world.binhai.urn()),
        world.ping().without("/body"),
        world.ping().with("/authorization", "x"),
        world.ping().with("/op", "application.submit"),
        world.ping().with("/op", "PING"),
        world.ping().header("typ", ""),
        world.ping().header("zip", "DEF"),
        world.ping().header("x5c", json!([])),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_says_of_every_message_what_the_door_says() {
    let world = World::start().await;
    world.publish(&[REVOKED_INDEX]);
    world.xianan.reload().await;
    let mut bodies: Vec<Vec<u8>> = bent_messages(&world).into_iter().map(|case| case.body).collect();
    bodies.extend(further_messages(&world).iter().map(Vec::from));
    bodies.push(vec![b'A'; 256 * 1024 + 1]);
    assert!(bodies.len() >= 80, "{}", bodies.len());
    let lines: String =
        bodies.iter().enumerate().map(|(id, body)| line(id, YUHUAN, world.now(), body)).collect();
    let explained = verdicts(&world.xianan.home, &lines);
    let told = world.ask_all(bodies).await;
    assert_eq!(explained.len(), told.len());
    let mut codes: BTreeMap<String, usize> = BTreeMap::new();
    for (id, (explained, told)) in explained.iter().zip(&told).enumerate() {
        assert_eq!(*explained, as_the_door(id, told));
        *codes.entry(told.code().to_owned()).or_default() += 1;
    }
    // Every refusal that needs no memory and no register stood in the corpus, and acceptance.
    assert!(codes.len() >= 24 && codes["ok"] >= 10, "{codes:?}");
}

/// Applications: the state of cases is taken as fresh, everything else is the door's word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_says_of_applications_what_the_door_says() {
    let world = WorldPlan::of_cases().start().await;
    let first = digest_of(&world.submit_body());
    let event = |seq, event: &str, data| {
        world.about(CASE, "application.event", world.window_event(seq, &first, event, data))
    };
    let question = json!({"id": "V".repeat(22), "material": "M2",
        "license": {"type": MARRIAGE, "holder": {"type": "111", "number": JIA}},
        "claims": {}, "question": "?", "due": "2030-03-20T23:59:59+08:00"});
    let ask = || world.about(CASE, "verification.request", question.clone());
    let submit = || world.submit_of(CASE);
    let drafts = [
        submit(),
        event(1, "withdraw", json!({})),
        world.about(CASE, "application.status", json!({"case": CASE})),
        ask(),
        submit().with("/body/mode", "online"),
        submit().without("/body/form"),
        submit().with("/body/handling/region", BINHAI),
        submit().with("/body/materials", json!([])),
        submit().authorized(&world.authorization()),
        submit().with("/exp", world.now() + 86_401),
        submit().with("/case", number_between(BINHAI, XIANAN, 1)),
        submit().with("/item", DUTY_ITEM).with("/basis", "statutory_duty"),
        submit().with("/agreement", "421202-331083-1999"),
        submit().without("/case"),
        submit().with("/body/form", json!({"note": "x".repeat(200 * 1024)})),
        event(1, "no_such_event", json!({})),
        event(1, "withdraw", json!({"why": 1})),
        world.about(CASE, "application.status", json!({"case": case_number(9)})),
        ask().with("/body/license/type", DIVORCE),
        ask().with("/body/license/type", HOUSEHOLD),
        ask().with("/body/material", "M9"),
        ask().with("/body/question", "x".repeat(40 * 1024)),
        ask().with("/exp", world.now() + 121),
    ];
    let bodies: Vec<Vec<u8>> = drafts.iter().map(Vec::from).collect();
    let lines: String =
        bodies.iter().enumerate().map(|(id, body)| line(id, YUHUAN, world.now(), body)).collect();
    let explained = verdicts(&world.xianan.home, &lines);
    for (id, (explained, body)) in explained.iter().zip(bodies).enumerate() {
        let told = world.ask(body).await;
        assert_eq!(*explained, as_the_door(id, &told), "{}", told.outcome);
        assert_eq!(explained["accepted"], id < 4, "{}", told.outcome);
    }
    // Nothing of it is kept, and what needs the case is not judged.
    let gap = world.about(
        case_number(8).as_str(),
        "application.event",
        world.window_event(7, &first, "withdraw", json!({})),
    );
    let told = verdicts(&world.xianan.home, &line(0, YUHUAN, world.now(), &gap.bytes()));
    assert_eq!(told[0]["accepted"], true);
    let cases = world.office().get("/local/v1/applications").await.json();
    assert_eq!(cases["applications"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_judges_each_line_for_its_peer_at_its_moment() {
    let world = World::start().await;
    let home = &world.xianan.home;
    let (ping, lookup, now) = (world.ping().bytes(), world.lookup().bytes(), world.now());
    let theirs = world.ping_of(&world.binhai).bytes();
    let mut card = Member::pinned("150421", world.clock.now()).pinning_card("https://127.0.0.1:9");
    card["status"] = "suspended".into();
    world.xianan.trust_card(&card);
    let lines = [
        (YUHUAN, now, &ping, "ok"),
        (BINHAI, now, &ping, "signature-invalid"),
        (BINHAI, now, &theirs, "ok"),
        ("150421", now, &ping, "not-a-member"),
        ("320981", now, &ping, "not-a-member"),
        (XIANAN, now, &ping, "not-a-member"),
        ("nowhere", now, &ping, "not-a-member"),
        (YUHUAN, now - 31, &lookup, "not-yet-valid"),
        (YUHUAN, now + 89, &lookup, "ok"),
        (YUHUAN, now + 90, &lookup, "message-expired"),
    ];
    let all: String =
        lines.iter().enumerate().map(|(id, (peer, at, body, _))| line(id, peer, *at, body)).collect();
    let told: Vec<Value> = verdicts(home, &all);
    let codes: Vec<&str> = told.iter().map(|line| line["code"].as_str().unwrap_or("ok")).collect();
    assert_eq!(codes, lines.map(|(_, _, _, says)| says));
    assert!(told.iter().zip(0..).all(|(line, id)| line["id"] == id), "in the order of the lines");

    // Ids come back as they are; an empty line is none; `peer` and `at` may stand in the call.
    let body = text(&ping);
    let lines =
        format!("{}\n\n{}\n", json!({"id": "甲", "body": body}), json!({"id": {"n": 1}, "body": body}));
    let at = now.to_string();
    let output = explain(home, &["--jsonl", "--as", YUHUAN, "--at", &at], lines.as_bytes());
    let accepted = r#""accepted":true,"status":200,"code":null,"reason":null}"#;
    assert_eq!(
        text(&output.stdout),
        format!("{{\"id\":\"甲\",{accepted}\n{{\"id\":{{\"n\":1}},{accepted}\n")
    );
    // Half a surrogate pair can stand in a line's escapes: such a body is refused, not lost.
    let output = explain(home, &["--jsonl", "--as", YUHUAN], b"{\"id\":1,\"body\":\"\\ud800.a.b\"}\n");
    let refused: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&refused["code"], &refused["reason"]), (&json!("malformed"), &json!("characters")));
    // A line that is none of ours fails the run, and the others are judged.
    let lines = format!("not a line\n{}", line(7, YUHUAN, now, &ping));
    let output = explain(home, &["--jsonl"], lines.as_bytes());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("line 1"));
    assert_eq!(text(&output.stdout), format!("{{\"id\":7,{accepted}\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_takes_ids_and_uses_as_fresh() {
    let world = World::start().await;
    let message = world.lookup().bytes();
    assert_eq!(world.ask(message.clone()).await.word(), "ok");
    assert_eq!(world.ask(message.clone()).await.word(), "replay");
    let token = world.authorization();
    assert_eq!(world.ask(world.lookup().authorized(&token)).await.word(), "ok");
    let again = world.lookup().authorized(&token).bytes();
    assert_eq!(world.ask(again.clone()).await.word(), "authorization-used-up");
    let now = world.now();
    let lines = [&message, &message, &again].map(|body| line(0, YUHUAN, now, body)).concat();
    for verdict in verdicts(&world.xianan.home, &lines) {
        assert_eq!(verdict["accepted"], true);
    }
    // What explain judged is as fresh at the door as before.
    let message = world.lookup().bytes();
    assert_eq!(verdicts(&world.xianan.home, &line(0, YUHUAN, now, &message))[0]["accepted"], true);
    assert_eq!(world.ask(message).await.word(), "ok");
}

#[test]
fn explain_stores_nothing() {
    let root = tempfile::tempdir().unwrap();
    let (scene, xianan, _) = World::plan().settle(root.path());
    let before = files(&xianan.home);
    let message = scene.lookup().bytes();
    assert_eq!(verdicts(&xianan.home, &line(0, YUHUAN, scene.now(), &message))[0]["accepted"], true);
    assert_eq!(files(&xianan.home), before);
}

/// Every file under a directory with its content.
fn files(at: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

#[test]
fn a_single_message_is_told_check_by_check() {
    let root = tempfile::tempdir().unwrap();
    let (scene, xianan, _) = World::plan().settle(root.path());
    let now = scene.now().to_string();
    let file = root.path().join("message.jwt");
    let run = |message: &[u8], json: bool| {
        // As an editor saves it.
        fs::write(&file, [message, b"\n"].concat()).unwrap();
        let mut arguments = vec!["--as", YUHUAN, "--at", &now];
        arguments.extend(json.then_some("--json"));
        arguments.push(file.to_str().unwrap());
        explain(&xianan.home, &arguments, b"")
    };
    let good = scene.lookup();
    // Keys are made anew for each run.
    let shown = |output: &Output| text(&output.stdout).replace(scene.asking.signing.kid(), "<kid>");
    let output = run(&good.bytes(), false);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(shown(&output), @r#"
    ✓ member         T-3   连接方是有效成员 / the TLS peer is an active member
        应为 有效成员 / an active member
        实为 331083 active
    ✓ size           T-10  报文不超过 256 KiB / the message is at most 256 KiB
        应为 至多 262144 字节 / at most 262144 bytes
        实为 2706 字节 / 2706 bytes
    ✓ characters     E-1   字符为 base64url,共三段且均非空 / base64url characters, three non-empty parts
        应为 三段 base64url,写法唯一 / three parts of base64url, one spelling each
        实为 3 段:127 + 2491 + 86 字符 / 3 parts: 127 + 2491 + 86 characters
    ✓ header         E-4   报头为严格 JSON,仅含 alg、typ、kid / the header is strict JSON of exactly alg, typ, kid
        应为 alg, typ, kid
        实为 3 个成员的对象 / an object of 3 members
    ✓ typ            E-5   typ 为请求类型 / typ is a request's
        应为 tongban-request+jwt
        实为 tongban-request+jwt
    ✓ kid            E-6   kid 为该伙伴在用的网关密钥 / kid is a gateway key of this partner, in force
        应为 <kid>
        实为 <kid>
    ✓ alg            E-7   alg 与密钥登记的算法一致 / alg is the key's registered algorithm
        应为 ES256
        实为 ES256
    ✓ signature      E-8   签名验证通过 / the signature verifies
        应为 对收到的 报头.载荷 的签名 / one over header.payload as received
        实为 签名 64 字节 / a signature of 64 bytes
    ✓ payload        E-9   载荷为严格 JSON 对象 / the payload is one strict JSON object
        应为 一个严格 JSON 对象 / one strict JSON object
        实为 15 个成员的对象 / an object of 15 members
    ✓ op-size        E-10  报文大小在该操作限制之内 / the message is within its operation's size
        应为 至多 32768 字节 / at most 32768 bytes
        实为 2706 字节 / 2706 bytes
    ✓ envelope       Q-1   操作已知且信封符合模式 / op is known and the envelope meets its schema
        应为 已知操作及其成员 / a known op, its members
        实为 license.query
    ✓ issuer         O-2   iss 与连接方一致 / iss is the TLS peer
        应为 urn:tongban:gw:331083
        实为 urn:tongban:gw:331083
    ✓ audience       O-2   aud 为本网关 / aud is this gateway
        应为 urn:tongban:gw:421202
        实为 urn:tongban:gw:421202
    ✓ times          O-3   签发、到期时间及有效期合规 / iat, exp and lifetime are within limits
        应为 iat、exp 与当前相差不超过 30 秒,有效期至多 120 秒 / iat and exp within 30 s of now, a life of at most 120 s
        实为 iat 与本网关时钟一致,有效期 60 秒 / iat is this gateway's time, a life of 60 s
    ✓ first-use      O-4   jti 首次使用 / jti is used for the first time
        应为 新的 jti / a new jti
        实为 此处视为首次 / taken as new here
    ✓ agreement      G-2   生效协议允许该事项、操作与依据 / an agreement in force allows item, op and basis
        应为 421202-331083-2020
        实为 421202-331083-2020
    ✓ body           O-1   正文符合模式 / the body meets its schema
        应为 docs/schemas/license-query.json
        实为 3 个成员的对象 / an object of 3 members
    ✓ license        G-7   协议列有该证照类型、方式、字段与地区 / the agreement lists type, mode, fields and region
        应为 111000000000131433001 | 11421202TECT000191002 | 11100000MB0143028R001
        实为 111000000000131433001
    ✓ authorization  A-2   公民授权恰好覆盖本次请求 / the citizen's authorization covers exactly this
        应为 独立覆盖本次请求的授权书 / an authorization that covers this request alone
        实为 1313 字符的授权书 / one of 1313 characters

    accepted / 通过: every check passed; the door would act on it
    "#);
    let output = run(&good.clone().with("/body/license/holder/number", "421202190001010019").bytes(), false);
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(shown(&output), @r#"
    ✓ member         T-3   连接方是有效成员 / the TLS peer is an active member
        应为 有效成员 / an active member
        实为 331083 active
    ✓ size           T-10  报文不超过 256 KiB / the message is at most 256 KiB
        应为 至多 262144 字节 / at most 262144 bytes
        实为 2706 字节 / 2706 bytes
    ✓ characters     E-1   字符为 base64url,共三段且均非空 / base64url characters, three non-empty parts
        应为 三段 base64url,写法唯一 / three parts of base64url, one spelling each
        实为 3 段:127 + 2491 + 86 字符 / 3 parts: 127 + 2491 + 86 characters
    ✓ header         E-4   报头为严格 JSON,仅含 alg、typ、kid / the header is strict JSON of exactly alg, typ, kid
        应为 alg, typ, kid
        实为 3 个成员的对象 / an object of 3 members
    ✓ typ            E-5   typ 为请求类型 / typ is a request's
        应为 tongban-request+jwt
        实为 tongban-request+jwt
    ✓ kid            E-6   kid 为该伙伴在用的网关密钥 / kid is a gateway key of this partner, in force
        应为 <kid>
        实为 <kid>
    ✓ alg            E-7   alg 与密钥登记的算法一致 / alg is the key's registered algorithm
        应为 ES256
        实为 ES256
    ✓ signature      E-8   签名验证通过 / the signature verifies
        应为 对收到的 报头.载荷 的签名 / one over header.payload as received
        实为 签名 64 字节 / a signature of 64 bytes
    ✓ payload        E-9   载荷为严格 JSON 对象 / the payload is one strict JSON object
        应为 一个严格 JSON 对象 / one strict JSON object
        实为 15 个成员的对象 / an object of 15 members
    ✓ op-size        E-10  报文大小在该操作限制之内 / the message is within its operation's size
        应为 至多 32768 字节 / at most 32768 bytes
        实为 2706 字节 / 2706 bytes
    ✓ envelope       Q-1   操作已知且信封符合模式 / op is known and the envelope meets its schema
        应为 已知操作及其成员 / a known op, its members
        实为 license.query
    ✓ issuer         O-2   iss 与连接方一致 / iss is the TLS peer
        应为 urn:tongban:gw:331083
        实为 urn:tongban:gw:331083
    ✓ audience       O-2   aud 为本网关 / aud is this gateway
        应为 urn:tongban:gw:421202
        实为 urn:tongban:gw:421202
    ✓ times          O-3   签发、到期时间及有效期合规 / iat, exp and lifetime are within limits
        应为 iat、exp 与当前相差不超过 30 秒,有效期至多 120 秒 / iat and exp within 30 s of now, a life of at most 120 s
        实为 iat 与本网关时钟一致,有效期 60 秒 / iat is this gateway's time, a life of 60 s
    ✓ first-use      O-4   jti 首次使用 / jti is used for the first time
        应为 新的 jti / a new jti
        实为 此处视为首次 / taken as new here
    ✓ agreement      G-2   生效协议允许该事项、操作与依据 / an agreement in force allows item, op and basis
        应为 421202-331083-2020
        实为 421202-331083-2020
    ✗ body           O-1   正文符合模式 / the body meets its schema
        应为 docs/schemas/license-query.json
        实为 3 个成员的对象 / an object of 3 members
    · license        G-7   协议列有该证照类型、方式、字段与地区 / the agreement lists type, mode, fields and region
    · authorization  A-2   公民授权恰好覆盖本次请求 / the citizen's authorization covers exactly this

    refused / 拒绝: 422 schema-violation
    报文不符合模式 / The message breaks its schema
    Every fault found is listed in errors.
      /body/license/holder/number: is not a valid ID number: its check character does not fit (resident-id) 不是有效的公民身份号码：校验码不符

    原因 / the cause:
      编号的校验位或格式不对 [check-character, N-10]
      An identifier's check character or form does not fit
        → /body/license/holder/number
        号码录入有误或系虚构 / a mistyped or made-up number

    怎么办 / what to do [Q-1, J-9, R-6]:
      errors 一次列出该步骤的全部错误及 JSON 指针,请一并改正;发送前可用 docs/schemas 校验。
      errors lists every fault of the step at once, each with its JSON pointer; mend them all. Validate with docs/schemas before sending.
    "#);

    let words: Vec<&str> = Step::ALL.iter().map(|step| step.word()).collect();
    for (failed, message) in [
        ("characters", "..=".to_owned()),
        ("kid", good.clone().header("kid", "x").text()),
        ("payload", good.clone().raw_payload("[]").text()),
        ("times", good.clone().with("/exp", scene.now() + 121).text()),
        ("license", good.clone().with("/body/fields", vec!["man"]).text()),
    ] {
        let output = run(message.as_bytes(), true);
        assert_eq!(output.status.code(), Some(2), "{failed}");
        let whole: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&whole["accepted"], &whole["step"]), (&json!(false), &json!(failed)));
        let checks: Vec<(&str, &str)> = whole["checks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|check| (check["check"].as_str().unwrap(), check["outcome"].as_str().unwrap()))
            .collect();
        let at = words.iter().position(|word| *word == failed).unwrap();
        let outcome = |place: usize| match place.cmp(&at) {
            std::cmp::Ordering::Less => "passed",
            std::cmp::Ordering::Equal => "failed",
            std::cmp::Ordering::Greater => "not-reached",
        };
        let expected: Vec<(&str, &str)> =
            words.iter().enumerate().map(|(place, word)| (*word, outcome(place))).collect();
        assert_eq!(checks, expected);
    }
}

#[test]
fn explain_is_told_what_it_needs() {
    let root = tempfile::tempdir().unwrap();
    let (_, xianan, _) = World::plan().settle(root.path());
    for (arguments, missing) in
        [(&[][..], "--as"), (&["--as", YUHUAN, "/nowhere/message.jwt"], "cannot be opened")]
    {
        let output = explain(&xianan.home, arguments, b"");
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(output.stdout.is_empty());
        assert!(text(&output.stderr).contains(missing), "{}", text(&output.stderr));
    }
    let output = explain(root.path(), &["--as", YUHUAN], b"");
    assert_eq!(output.status.code(), Some(64), "no gateway there");
}
