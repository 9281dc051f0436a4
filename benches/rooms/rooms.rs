//! The rooms that work on the caller's thread, in the order a lookup meets them.

use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use serde_json::Value;
use tongban::answer::Response;
use tongban::authorization::{Action, Ask, Authorizer};
use tongban::envelope::{Replay, RequestClaims, SignedMessage, Typ, digest, seal};
use tongban::inbound::judge::{FreshMemory, Seen, judge};
use tongban::json;
use tongban::ledger::tree::leaf_hash;
use tongban::ledger::{Decision, Leaf, LeafHash, LeafKind};
use tongban::license::LicenseQuery;

use crate::Row;
use crate::load::primitives::cost;
use crate::load::requests::Mint;
use crate::load::scene::Scene;
use crate::recording::start;

const LICENSES: u32 = 1_000;

/// Its name, and its work once.
type Room<'a> = (&'static str, Box<dyn FnMut() -> Result<()> + 'a>);

pub fn measure(rounds: u32, long: Duration) -> Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let scene = Scene::set(LICENSES)?;
    let running = runtime.block_on(start(&scene))?;
    let house = running.house.clone();
    let trust = house.trust.load_full();
    let (me, asking) = (scene.answering, scene.asking);
    let peer = trust.directory.assume(asking).context("a partner")?;
    let now = house.clock.now();
    let day = now.shanghai_day();
    let wrong = |what: &'static str| anyhow!("void: {what}");

    let body =
        |uses| -> Result<Bytes> { Ok(Mint::new(&scene, uses).batch(1)?.pop().context("a request")?.body) };
    let (often, once) = (body(100)?, body(1)?);
    let open = |body: &[u8]| {
        SignedMessage::parse(body).and_then(|signed| signed.open(Typ::Request, peer.card().keys(), now))
    };
    let admitted = |body: &Bytes| -> Result<RequestClaims> {
        let opened = open(body).map_err(|fault| anyhow!("{fault}"))?;
        Ok(house.catalog.admit_whole(opened.payload).map_err(|_| wrong("the envelope"))?.into_inner())
    };
    let payload = open(&often).map_err(|fault| anyhow!("{fault}"))?.payload;
    let text = payload.to_string().into_bytes();
    let (claims, single) = (admitted(&often)?, admitted(&once)?);
    let query: LicenseQuery =
        house.catalog.admit_on(&claims.body, day).map_err(|_| wrong("the body"))?.into_inner();
    let license_type = house.catalog.license_type(&query.license.kind).context("a type")?;
    let grant = trust.policy.authorize(&claims, &asking, &me, day).map_err(|_| wrong("the agreement"))?;
    let permit = grant
        .license(&query.license.kind, "read", query.fields(), &me, true)
        .map_err(|_| wrong("the permit"))?;
    let holder = query.license.holder.as_ref().context("a holder")?;
    let ask = Ask {
        me,
        client: asking,
        signer_kid: scene.gateway_key.kid(),
        license_type: &query.license.kind,
        sensitive_type: license_type.sensitive(),
        action: Action::Read,
        fields: query.fields().collect(),
        item: claims.item.as_deref().unwrap_or_default(),
        case: claims.case.as_deref(),
        holder: Some((holder.kind.as_str(), holder.number.as_str())),
    };
    let authorizer = Authorizer::default();
    let consent = |claims: &RequestClaims| {
        let token = claims.authorization.as_deref().unwrap_or_default();
        let checked = authorizer.check(token, &ask, &trust.authorities, &trust.status_lists, now);
        checked.map(drop).map_err(|fault| anyhow!("{fault}"))
    };
    // The same holder: both requests are of the first citizen.
    consent(&claims)?;
    let replay = Replay::new(100_000_000);
    let nth = Cell::new(0_u64);
    let found = runtime
        .block_on(house.lookup.run(&query, license_type, &permit, |_: &str, _: &str| true, now))
        .map_err(|fault| anyhow!("{fault}"))?;
    let told = json::jcs(&found.result);
    let leaf = Leaf {
        x: Some(claims.jti.clone()),
        peer: Some(asking.to_string()),
        op: Some("license.query".into()),
        item: claims.item.clone(),
        lt: Some(query.license.kind.clone()),
        case: Some(house.ledger.case_tag("K1")),
        dec: Some(Decision::Permit),
        status: Some(200),
        rq: Some(LeafHash(digest(&often))),
        rd: Some(LeafHash(digest(&told))),
        agr: Some(LeafHash(grant.agreement_digest())),
        auth: Some(LeafHash([3; 32])),
        ms: vec![1],
        sz: vec![2600],
        iat: Some(now.secs()),
        ..Leaf::new(LeafKind::In)
    };
    let place =
        runtime.block_on(house.ledger.record(leaf.clone().into())).map_err(|fault| anyhow!("{fault}"))?;
    let signing = house.signing.load_full();

    let chain: Vec<_> = {
        use rustls::pki_types::{CertificateDer, pem::PemObject as _};
        CertificateDer::pem_slice_iter(&scene.tls.chain).collect::<Result<_, _>>()?
    };
    let mut rooms: Vec<Room<'_>> = vec![
        (
            "peer: a certificate is a member's 证书",
            Box::new(|| trust.directory.identify(&chain, now).map(drop).map_err(|_| wrong("the member"))),
        ),
        (
            "envelope: parsed 拆封",
            Box::new(|| {
                SignedMessage::parse(&often).map(|signed| drop(black_box(signed))).map_err(|f| anyhow!("{f}"))
            }),
        ),
        (
            "envelope: opened, signature and strict JSON 验签",
            Box::new(|| {
                open(&often).map(|opened| drop(black_box(opened))).map_err(|fault| anyhow!("{fault}"))
            }),
        ),
        (
            "json: the payload, strictly 解析",
            Box::new(|| {
                json::parse(&text).map(|value| drop(black_box(value))).map_err(|_| wrong("the JSON"))
            }),
        ),
        (
            "schema: envelope 报文",
            Box::new(|| {
                house.catalog.admit::<RequestClaims>(&payload).map(drop).map_err(|_| wrong("the envelope"))
            }),
        ),
        (
            "schema: body 正文",
            Box::new(|| {
                house
                    .catalog
                    .admit_on::<LicenseQuery>(&claims.body, day)
                    .map(drop)
                    .map_err(|_| wrong("the body"))
            }),
        ),
        (
            "envelope: first use of an id 防重放",
            Box::new(|| {
                nth.set(nth.get() + 1);
                let id = format!("{:022}", nth.get());
                let keep_until = now.secs() + 150;
                let _ = black_box(replay.claim(&claims.iss, &id, &[7; 32], keep_until, now));
                Ok(())
            }),
        ),
        (
            "policy: agreement, item, basis 协议",
            Box::new(|| {
                trust
                    .policy
                    .authorize(&claims, &asking, &me, day)
                    .map(drop)
                    .map_err(|_| wrong("the agreement"))
            }),
        ),
        (
            "policy: type, mode, fields 字段",
            Box::new(|| {
                let permit = grant.license(&query.license.kind, "read", query.fields(), &me, true);
                permit.map(|permit| drop(black_box(permit))).map_err(|_| wrong("the permit"))
            }),
        ),
        (
            "policy: quota 配额",
            // By the clock that goes on: at one moment even this quota is used up in a few rounds.
            Box::new(|| {
                let entered = house.quotas.enter(&grant, asking, house.clock.now());
                entered.map(drop).map_err(|_| wrong("the quota"))
            }),
        ),
        ("authorization: known 授权(已验)", Box::new(|| consent(&claims))),
        ("authorization: of one use, verified each time 授权(未验)", Box::new(|| consent(&single))),
        (
            "all checks of a lookup together 全部检查",
            Box::new(|| {
                let bench = house.bench(&trust, now);
                let judged = judge(&bench, &peer, &often, &FreshMemory, &mut Seen::default());
                judged.map(drop).map_err(|stopped| anyhow!("{:?}", stopped.step))
            }),
        ),
        (
            "license: cached, cut to what was asked 证照(缓存)",
            Box::new(|| {
                let lookup = house.lookup.run(&query, license_type, &permit, |_: &str, _: &str| true, now);
                runtime.block_on(lookup).map(drop).map_err(|fault| anyhow!("{fault}"))
            }),
        ),
        (
            "ledger: a leaf's bytes and hash 条目",
            Box::new(|| {
                let bytes = leaf.to_bytes().context("a leaf has bytes")?;
                let _ = black_box(leaf_hash(&bytes));
                Ok(())
            }),
        ),
        (
            "answer: built and signed 签发",
            Box::new(|| {
                let response = Response {
                    me,
                    to: asking,
                    now,
                    request_jti: Some(&claims.jti),
                    request_digest: [5; 32],
                    op: "license.query",
                    status: 200,
                    outcome: &found.result,
                    place: &place,
                };
                response
                    .sign(&signing)
                    .map(|bytes| drop(black_box(bytes)))
                    .map_err(|_| wrong("the signature"))
            }),
        ),
        (
            "envelope: signed, the payload of a request 签名",
            Box::new(|| {
                let sealed = seal(&signing, Typ::Request, black_box::<&Value>(&payload));
                sealed.map(|bytes| drop(black_box(bytes))).map_err(|_| wrong("the signature"))
            }),
        ),
    ];
    let mut rows: Vec<Row> = rooms.iter().map(|(name, _)| (*name, Vec::new())).collect();
    for round in 0..rounds {
        println!("rooms, round {} of {rounds}", round + 1);
        for ((_, work), (_, figures)) in rooms.iter_mut().zip(&mut rows) {
            figures.push(cost(long, work)?);
        }
    }
    drop(rooms);
    runtime.block_on(running.stop());
    Ok(rows)
}
