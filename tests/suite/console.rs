//! The auditors' console from outside, over TLS: nobody comes in without an account, each role
//! sees its own pages, what changes anything is a form of the console's own, what partners
//! wrote stays text, and the log is served to be verified by somebody else.

use std::fs;
use std::path::Path;

use hyper::Method;
use serde_json::json;
use tongban::ledger::proof::Proof;
use tongban::ledger::{LeafKind, Vkey};

use crate::support::*;

const LOG: &str = "tongban/421202/2030h1";

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'";

fn certificate(world: &World) -> Member {
    Member::pinned("331083", tongban::clock::Now::from_secs(world.now()))
}

/// A world with one account of each role, and their certificates.
async fn with_accounts() -> (World, [Member; 3]) {
    let world = World::start().await;
    let members = [certificate(&world), certificate(&world), certificate(&world)];
    for (role, member) in ["system", "audit", "security"].into_iter().zip(&members) {
        open_account(&world.xianan, &format!("{role}-one"), role, Some(member)).await;
    }
    (world, members)
}

async fn auditor() -> (World, Member, Browser) {
    let world = World::start().await;
    let member = certificate(&world);
    open_account(&world.xianan, "li-auditor", "audit", Some(&member)).await;
    let browser = Browser::signed_in(&world.xianan, &member).await;
    (world, member, browser)
}

async fn flush(world: &World) {
    assert!(world.xianan.running().house.ledger.flush().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_bears_the_headers_that_keep_others_out() {
    let (_world, _, mut browser) = auditor().await;
    let page = browser.page("/").await;
    let asset = |suffix: &str| {
        let at = page.match_indices("/assets/").map(|(at, _)| at);
        let mut paths = at.map(|at| page[at..].split('"').next().unwrap().to_owned());
        paths.find(|path| path.ends_with(suffix)).unwrap()
    };
    for path in
        ["/", "/search", "/no/such/page", "/log/nothing", &asset(".css"), &asset(".js"), &asset(".svg")]
    {
        let told = browser.get(path).await;
        assert_eq!(told.header("content-security-policy"), Some(POLICY), "{path}");
        assert_eq!(told.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(told.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(told.header("referrer-policy"), Some("same-origin"), "{path}");
        assert_eq!(told.header("cross-origin-opener-policy"), Some("same-origin"), "{path}");
        assert_eq!(told.header("cross-origin-resource-policy"), Some("same-origin"), "{path}");
        let kept = told.header("cache-control").unwrap();
        assert_eq!(kept.contains("immutable"), path.starts_with("/assets/"), "{path}: {kept}");
        assert_eq!(kept.contains("no-store"), !path.starts_with("/assets/"), "{path}: {kept}");
    }
    assert_eq!(browser.get("/assets/../gateway.toml").await.status, 404);
    assert!(!page.contains("<style") && !page.contains(" style=") && !page.contains("<script>"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_signs_in_and_its_session_is_worth_nothing_elsewhere() {
    let (world, [_, member, other]) = with_accounts().await;
    let mut browser = Browser::at(&world.xianan, Some(&member)).await;
    assert_eq!(browser.get("/").await.status, 401);
    let told = browser.post("/sign-in", &[]).await;
    assert_eq!((told.status, told.header("location")), (303, Some("/")));
    let cookie = told.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-session="), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"), "{cookie}");
    assert!(browser.page("/").await.contains("李审计"));
    // The same cookie without the certificate, and with somebody else's.
    for shown in [None, Some(&other)] {
        let mut thief = Browser::at(&world.xianan, shown).await;
        thief.cookies = browser.cookies.clone();
        assert_eq!(thief.get("/").await.status, 401);
    }
    assert_eq!(browser.get("/").await.status, 200, "the owner is still signed in");
    let told = browser.submit("/sign-out", &[]).await;
    assert_eq!((told.status, browser.cookies.len()), (303, 0));
    assert_eq!(browser.get("/").await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_and_an_expired_certificate_open_nothing() {
    let (world, member, _) = auditor().await;
    let stranger = certificate(&world);
    for shown in [None, Some(&stranger)] {
        let mut browser = Browser::at(&world.xianan, shown).await;
        assert_eq!(browser.post("/sign-in", &[]).await.status, 403);
        assert_eq!(browser.get("/search").await.status, 401);
    }
    world.clock.advance(401 * 86_400_000);
    let mut browser = Browser::at(&world.xianan, Some(&member)).await;
    assert_eq!(browser.post("/sign-in", &[]).await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_signs_in_once_and_tells_nobody_anything() {
    let world = World::start().await;
    open_account(&world.xianan, "wang-security", "security", None).await;
    let console = world.xianan.running().console.clone().unwrap();
    assert!(console.mint_link("nobody").is_err());
    let path = console.mint_link("wang-security").unwrap();
    let secret = path.strip_prefix("/link/").unwrap();
    let mut browser = Browser::at(&world.xianan, None).await;
    let right = browser.page(&path).await;
    let wrong = browser.page(&format!("/link/{}", "A".repeat(43))).await;
    assert_eq!(
        right.replace(secret, ""),
        wrong.replace(&"A".repeat(43), ""),
        "looking at a link tells nothing"
    );
    assert_eq!(browser.post("/link", &[("secret", secret)]).await.status, 303);
    assert!(browser.page("/registers").await.contains("李审计"));
    let mut again = Browser::at(&world.xianan, None).await;
    let used = again.post("/link", &[("secret", secret)]).await;
    let guessed = again.post("/link", &[("secret", "guess")]).await;
    assert_eq!((used.status, used.body), (403, guessed.body));
    // Five minutes are over.
    let late = console.mint_link("wang-security").unwrap();
    world.clock.advance(5 * 60_000);
    assert_eq!(again.post("/link", &[("secret", late.strip_prefix("/link/").unwrap())]).await.status, 403);
    // Who failed five times waits, right or wrong.
    for _ in 0..5 {
        again.post("/link", &[("secret", "guess")]).await;
    }
    let fresh = console.mint_link("wang-security").unwrap();
    assert_eq!(again.post("/link", &[("secret", fresh.strip_prefix("/link/").unwrap())]).await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_form_of_the_consoles_own_page_changes_anything() {
    let (world, _, mut browser) = auditor().await;
    let token = browser.token().await;
    let origin = format!("https://{}", browser.host);
    let own = ("origin", origin.as_str());
    let same = ("sec-fetch-site", "same-origin");
    let fields = [("csrf", token.as_str())];
    for (headers, fields) in [
        (&[][..], &fields[..]),
        (&[("origin", "https://evil.example")], &fields),
        (&[("origin", "null"), same], &fields),
        (&[("sec-fetch-site", "cross-site"), own], &fields),
        (&[own, same], &[]),
        (&[own, same], &[("csrf", "")]),
        (&[own, same], &[("csrf", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]),
    ] {
        let told = browser.post_as("/integrity", fields, headers).await;
        assert_eq!(told.status, 403, "{headers:?} {fields:?}");
    }
    let kind = [own, same, ("content-type", "application/json")];
    assert_eq!(browser.call(Method::POST, "/integrity", &kind, b"{}".to_vec()).await.status, 415);
    assert_eq!(browser.call(Method::PUT, "/integrity", &[own], Vec::new()).await.status, 405);
    assert_eq!(browser.get("/sign-out").await.status, 405);
    let before = world.xianan.running().house.ledger.health().size;
    assert_eq!(browser.get("/integrity?csrf=x").await.status, 200);
    assert_eq!(world.xianan.running().house.ledger.health().size, before);
    assert_eq!(browser.post_as("/integrity", &fields, &[own, same]).await.status, 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_name_of_somebody_elses_gets_nothing() {
    let (_world, _, mut browser) = auditor().await;
    for host in ["evil.example", "localhost.evil.example", "gateway"] {
        browser.host = host.to_owned();
        let told = browser.get("/").await;
        assert_eq!((told.status, told.body.len()), (421, 0), "{host}");
    }
    for host in ["127.0.0.1", "LOCALHOST:9", "[::1]:9"] {
        browser.host = host.to_owned();
        assert_eq!(browser.get("/").await.status, 200, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_gets_its_own_pages_and_a_refusal_for_the_others() {
    let (world, members) = with_accounts().await;
    let paths = [
        "/",
        "/search",
        "/subject",
        "/authorization",
        "/leaves/2030h1/0",
        "/partners",
        "/partners/331083",
        "/cases",
        "/integrity",
        "/registers",
        "/approvals",
        "/accounts",
        "/nowhere",
    ];
    let mut matrix = format!("{:<20} system audit security nobody\n", "");
    let mut answers = Vec::new();
    for member in members.iter().map(Some).chain([None]) {
        let mut browser = match member {
            Some(member) => Browser::signed_in(&world.xianan, member).await,
            None => Browser::at(&world.xianan, None).await,
        };
        let mut column = Vec::new();
        for path in paths {
            column.push(browser.get(path).await.status);
        }
        answers.push(column);
    }
    for (row, path) in paths.iter().enumerate() {
        let statuses: Vec<String> = answers.iter().map(|column| column[row].to_string()).collect();
        matrix +=
            &format!("{path:<20} {:<6} {:<5} {:<8} {}\n", statuses[0], statuses[1], statuses[2], statuses[3]);
    }
    insta::assert_snapshot!(matrix, @r"
                         system audit security nobody
    /                    200    200   200      401
    /search              403    200   403      401
    /subject             403    200   403      401
    /authorization       403    200   403      401
    /leaves/2030h1/0     403    200   403      401
    /partners            200    200   403      401
    /partners/331083     200    200   403      401
    /cases               200    200   403      401
    /integrity           200    200   200      401
    /registers           403    403   200      401
    /approvals           403    403   200      401
    /accounts            403    403   200      401
    /nowhere             404    404   404      401
    ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_taken_away_is_out_at_once() {
    for end in ["removed", "suspended", "certificate", "shared"] {
        let (world, member, mut browser) = auditor().await;
        assert_eq!(browser.get("/").await.status, 200);
        let file = account_file(&world.xianan, "li-auditor");
        let with = |status: &str, pins: &[&str]| {
            let document = json!({"name": "li-auditor", "title": "李审计", "role": "audit", "spki_sha256": pins, "status": status});
            put(&file, document.to_string());
        };
        match end {
            "removed" => fs::remove_file(&file).unwrap(),
            "suspended" => with("suspended", &[&member.pin]),
            "certificate" => with("active", &[]),
            _ => open_account(&world.xianan, "li-two", "security", Some(&member)).await,
        }
        world.xianan.reload().await;
        assert_eq!(browser.get("/").await.status, 401, "{end}");
        assert_eq!(browser.post("/sign-in", &[]).await.status, 403, "{end}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifteen_minutes_of_silence_or_eight_hours_end_a_session() {
    let (world, member, mut browser) = auditor().await;
    world.clock.advance(14 * 60_000);
    assert_eq!(browser.get("/").await.status, 200);
    world.clock.advance(14 * 60_000);
    assert_eq!(
        browser.get(&format!("/log/{LOG}/checkpoint")).await.status,
        200,
        "what a page fetches is answered"
    );
    world.clock.advance(60_000);
    assert_eq!(browser.get("/").await.status, 401, "and keeps nobody signed in");
    let mut browser = Browser::signed_in(&world.xianan, &member).await;
    for _ in 0..48 {
        assert_eq!(browser.get("/").await.status, 200);
        world.clock.advance(10 * 60_000);
    }
    assert_eq!(browser.get("/").await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_served_to_accounts_and_whole_bundles_to_auditors_only() {
    let (world, [system, audit, _]) = with_accounts().await;
    world.ask(world.ping()).await;
    flush(&world).await;
    let ledger = world.xianan.running().house.ledger.clone();
    let vkey = ledger.vkey(LOG).unwrap();
    let sealed = ledger.health().sealed_size;
    let bundle = format!("/log/{LOG}/tile/entries/000.p/{sealed}");
    let mut nobody = Browser::at(&world.xianan, None).await;
    let stranger = certificate(&world);
    let mut strange = Browser::at(&world.xianan, Some(&stranger)).await;
    for path in ["checkpoint", "entry/0", "tile/0/000"] {
        assert_eq!(nobody.get(&format!("/log/{LOG}/{path}")).await.status, 403);
        assert_eq!(strange.get(&format!("/log/{LOG}/{path}")).await.status, 403);
    }
    // A tool with the certificate needs no session.
    let mut tool = Browser::at(&world.xianan, Some(&audit)).await;
    let note = tool.get(&format!("/log/{LOG}/checkpoint")).await;
    assert!(tongban::ledger::checkpoint::Checkpoint::open(&note.body, &vkey).is_ok());
    for index in 0..sealed {
        let told = tool.get(&format!("/log/{LOG}/entry/{index}")).await;
        assert_eq!(Proof::parse(&told.body).unwrap().verify(&vkey).unwrap().index, index);
    }
    let told = tool.get(&bundle).await;
    let first = usize::from(u16::from_be_bytes([told.body[0], told.body[1]]));
    assert_eq!(tongban::ledger::Leaf::from_bytes(&told.body[2..2 + first]).unwrap().t, LeafKind::Genesis);
    let mut runs_it = Browser::signed_in(&world.xianan, &system).await;
    assert_eq!(runs_it.get(&bundle).await.status, 403);
    assert_eq!(runs_it.get(&format!("/log/{LOG}/checkpoint")).await.status, 200);
    assert_eq!(tool.get("/log/tongban/331083/2030h1/checkpoint").await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_is_shown_with_what_was_checked_and_a_proof_that_anybody_can_verify() {
    let (world, _, mut browser) = auditor().await;
    let token = world.authorization();
    let good = world.lookup().authorized(&token);
    assert_eq!(world.ask(good.clone()).await.word(), "ok");
    let refused = world.lookup().without("/authorization");
    assert_eq!(world.ask(refused.clone()).await.word(), "authorization-missing");
    flush(&world).await;
    let page = browser.page(&format!("/exchanges/{}", good.jti())).await;
    assert_eq!(page.matches("未通过").count(), 0);
    let page = browser.page(&format!("/exchanges/{}", refused.jti())).await;
    assert!(page.contains("authorization-missing") && page.contains("未通过"));
    let at = page.find("/proofs/").expect("a proof to download");
    let path = page[at..].split('"').next().unwrap();
    let told = browser.get(path).await;
    assert!(told.header("content-disposition").unwrap().starts_with("attachment; filename=\"2030h1-"));
    let vkey: Vkey = world.xianan.running().house.ledger.vkey(LOG).unwrap();
    assert!(Proof::parse(&told.body).unwrap().verify(&vkey).is_ok());
    // Found by its id, by its index and by a hash of its leaf.
    let told = browser.get(&format!("/search?q={}", good.jti())).await;
    assert_eq!(told.header("location").unwrap(), format!("/exchanges/{}", good.jti()));
    assert_eq!(browser.get("/search?q=0").await.header("location"), Some("/leaves/2030h1/0"));
    let hash = hex::encode(world.xianan.running().house.ledger.of_exchange(good.jti()).unwrap()[0].hash);
    assert!(browser.page(&format!("/search?q={hash}")).await.contains(good.jti()));
    assert!(browser.page("/search?q=nothing-of-that-name").await.contains("没有找到"));
    assert_eq!(browser.get("/exchanges/nothing-of-that-name").await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_about_a_person_needs_a_reason_and_is_recorded_before_it_is_shown() {
    let (world, _, mut browser) = auditor().await;
    let token = world.authorization();
    let message = world.lookup().authorized(&token);
    assert_eq!(world.ask(message.clone()).await.word(), "ok");
    let claims = token.claims.clone();
    let (iss, jti) = (claims["iss"].as_str().unwrap(), claims["jti"].as_str().unwrap());
    let ledger = world.xianan.running().house.ledger.clone();
    let before = ledger.health().size;
    for fields in [&[("iss", iss), ("jti", jti)][..], &[("iss", iss), ("jti", jti), ("purpose", "投诉核查")]]
    {
        let told = browser.submit("/authorization", fields).await;
        assert_eq!(told.status, 422);
        assert!(!String::from_utf8(told.body.to_vec()).unwrap().contains(message.jti()));
    }
    assert_eq!(ledger.health().size, before, "what was not done is not recorded");
    let fields = [("iss", iss), ("jti", jti), ("purpose", "投诉核查"), ("order", "咸审〔2030〕1号")];
    let told = browser.submit("/authorization", &fields).await;
    assert_eq!(told.status, 200);
    assert!(String::from_utf8(told.body.to_vec()).unwrap().contains(message.jti()));
    let last = ledger.leaves(LOG, before..before + 1).unwrap().pop().unwrap().leaf().unwrap();
    assert_eq!((last.t, last.by.as_deref(), last.n), (LeafKind::Search, Some("li-auditor"), Some(1)));
    // The security administrator sees that it was done.
    let wang = certificate(&world);
    open_account(&world.xianan, "wang-security", "security", Some(&wang)).await;
    let mut watching = Browser::signed_in(&world.xianan, &wang).await;
    let page = watching.page("/registers?kind=search").await;
    assert!(page.contains("li-auditor") && page.contains("authorization"));
    assert!(watching.page("/accounts").await.contains("wang-security"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_partner_calls_itself_stays_text() {
    let (world, _, mut browser) = auditor().await;
    for payload in ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'-alert(1)-'", "{{7*7}}"]
    {
        let mut card = world.asking.card("https://127.0.0.1:9");
        card["name"] = payload.into();
        card["contact"] = payload.into();
        world.xianan.trust_card(&card);
        world.xianan.reload().await;
        for path in ["/", "/partners", "/partners/331083"] {
            let page = browser.page(path).await;
            let escaped = payload
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;")
                .replace('\'', "&#39;");
            assert!(page.contains(&escaped), "{path} {payload}");
            assert!(payload == escaped || !page.contains(payload), "{path} {payload}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cases_words_stay_text_and_its_page_names_nobody() {
    let payload = "<img src=x onerror=alert(1)>";
    let plan = WorldPlan::of_cases().item(|item| item["name"] = payload.into());
    let world = plan.start().await;
    let member = certificate(&world);
    open_account(&world.xianan, "zhao-system", "system", Some(&member)).await;
    let mut browser = Browser::signed_in(&world.xianan, &member).await;
    let number = case_number(1);
    let submit = world
        .submit_of(&number)
        .with("/body/native/collecting", payload)
        .with("/body/materials/0/name", payload)
        .with("/body/collecting/officer", payload);
    assert_eq!(world.ask(submit).await.status, 202);
    for path in ["/cases".to_owned(), format!("/cases/{number}")] {
        let page = browser.page(&path).await;
        assert!(
            page.contains("&lt;img src=x onerror=alert(1)&gt;") && !page.contains("<img src=x"),
            "{path}"
        );
        for private in [JIA, "测试甲", "13900000000"] {
            assert!(!page.contains(private), "{path} names somebody: {private}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_check_runs_beside_the_gateway_and_says_what_it_found() {
    let (world, _, mut browser) = auditor().await;
    world.ask(world.ping()).await;
    flush(&world).await;
    let run = async |browser: &mut Browser| {
        assert_eq!(browser.submit("/integrity", &[]).await.status, 303);
        while browser.get("/integrity/progress").await.json()["running"] == true {
            tokio::task::yield_now().await;
        }
        browser.page("/integrity").await
    };
    let page = run(&mut browser).await;
    assert!(page.contains("未发现任何改动") && page.contains("登记簿与账本一致"), "{page}");
    // Somebody changes a tile on the disk.
    let tile = find_tile(&world.xianan.home.join("data"));
    let mut bytes = fs::read(&tile).unwrap();
    bytes[0] ^= 1;
    fs::write(&tile, bytes).unwrap();
    let page = run(&mut browser).await;
    assert!(page.contains("发现问题") && page.contains("tile"), "{page}");
}

fn find_tile(folder: &Path) -> std::path::PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().contains("/tile/0/") {
                return path;
            }
        }
    }
    panic!("there is no tile");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_language_is_chinese_until_somebody_asks_for_english() {
    let (_world, _, mut browser) = auditor().await;
    assert!(browser.page("/").await.contains("<html lang=\"zh-CN\">"));
    let told = browser.post("/language", &[("lang", "en"), ("back", "/integrity")]).await;
    assert_eq!((told.status, told.header("location")), (303, Some("/integrity")));
    let page = browser.page("/").await;
    assert!(page.contains("<html lang=\"en\">") && page.contains("Not verified by this browser"));
    for elsewhere in ["//evil.example", "https://evil.example", "/\\evil.example"] {
        let told = browser.post("/language", &[("lang", "zh"), ("back", elsewhere)]).await;
        assert_eq!(told.header("location"), Some("/"), "{elsewhere}");
    }
}
