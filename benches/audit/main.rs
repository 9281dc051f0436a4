//! `audit verify` and search over a log of many exchanges: how long, and in how much memory.
//!
//! ```sh
//! cargo bench --bench audit                       # 20 000 exchanges, made and verified
//! cargo bench --bench audit -- make DIR 1000000   # a log to keep
//! cargo bench --bench audit -- verify DIR         # and to verify, in a process of its own
//! cargo bench --bench audit -- search DIR         # first and later pages, by person and by facet
//! cargo bench --bench audit -- seal               # CPU of recording, with evidence and without
//! cargo bench --bench audit -- export DIR pkg.tar
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring program that goes wrong shall stop at once; it reports to a person"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use josekit::jwk::alg::ec::{EcCurve, EcKeyPair};
use tongban::audit::package::{Export, Selection, export};
use tongban::clock::{Clock, Now};
use tongban::domain::Region;
use tongban::ledger::evidence::{AuditorKey, Evidence, Field, Subject};
use tongban::ledger::search::{About, Finder, Wanted, WantedFacets};
use tongban::ledger::tree::sha256;
use tongban::ledger::verify::{Asked, verify_as};
use tongban::ledger::{
    Decision, Entry, Leaf, LeafHash, LeafKind, Ledger, LedgerKey, LedgerSettings, RetentionClass,
};

/// 2026-11-01T00:00:00+08:00.
const START: i64 = 1_793_462_400;
/// Octets of a request and of a result as lookups have them.
const REQUEST: usize = 1500;
const RESULT: usize = 700;
/// Exchanges in flight.
const AT_ONCE: usize = 1024;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["make", dir, n] => make(Path::new(dir), n.parse().unwrap()),
        ["verify", dir] => verify(Path::new(dir)),
        ["search", dir] => search(Path::new(dir)),
        ["seal"] => seal(),
        ["export", dir, out] => take_out(Path::new(dir), Path::new(out)),
        _ => {
            let dir = tempfile::tempdir().unwrap();
            make(dir.path(), 20_000);
            verify(dir.path());
            search(dir.path());
            seal();
        }
    }
}

fn make(dir: &Path, exchanges: u64) {
    let started = Instant::now();
    std::fs::create_dir_all(dir).unwrap();
    let pem = LedgerKey::generate_pem().unwrap();
    std::fs::write(dir.join("ledger.key"), pem.as_bytes()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(fill(dir, &pem, exchanges, true));
    println!("made {exchanges} exchanges in {:.1} s", started.elapsed().as_secs_f64());
}

async fn fill(dir: &Path, pem: &str, exchanges: u64, evidence: bool) {
    let pair = EcKeyPair::generate(EcCurve::P256).unwrap();
    let mut public = pair.to_jwk_public_key();
    public.set_key_use("enc");
    public.set_algorithm("ECDH-ES+A256KW");
    let auditor = AuditorKey::read(&serde_json::Value::Object(public.as_ref().clone())).unwrap();
    let clock = Clock::by_hand(Now::from_secs(START));
    let settings = LedgerSettings {
        data_dir: dir.to_owned(),
        region: Region::parse("421202").unwrap(),
        key: LedgerKey::from_pem(pem.as_bytes()).unwrap(),
        auditors: vec![Arc::new(auditor)],
        clock: clock.clone(),
        workers: None,
    };
    let (ledger, _) = Ledger::open(settings).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..exchanges {
        // A month's worth, evenly.
        if n.is_multiple_of(AT_ONCE as u64) {
            let ms = 29 * 86_400_000 * n / exchanges;
            clock.advance((START * 1000 + ms.cast_signed()) - clock.now().ms());
        }
        if tasks.len() == AT_ONCE {
            tasks.join_next().await.unwrap().unwrap();
        }
        let ledger = ledger.clone();
        tasks.spawn(async move {
            let mut entry = exchange(n);
            if !evidence {
                entry.evidence = None;
            }
            ledger.record(entry).await.unwrap();
        });
    }
    tasks.join_all().await;
    assert!(ledger.flush().await && ledger.index().await);
}

fn exchange(n: u64) -> Entry {
    let text = |octets: usize| format!("{n:0octets$}").into_bytes();
    let (request, result) = (text(REQUEST), text(RESULT));
    let leaf = Leaf {
        x: Some(format!("0190f3a2-7c1e-7d4b-9a51-{n:012}")),
        op: Some("license.query".into()),
        item: Some("11421202TECT0001914000709001000".into()),
        lt: Some("111000000000131433001".into()),
        peer: Some(if n.is_multiple_of(3) { "331083" } else { "320922" }.into()),
        dec: Some(Decision::Permit),
        status: Some(200),
        rq: Some(LeafHash(sha256(&request))),
        rd: Some(LeafHash(sha256(&result))),
        agr: Some(LeafHash([7; 32])),
        auth: Some(LeafHash(sha256(&n.to_be_bytes()))),
        ms: vec![3, 12],
        sz: vec![1500],
        iat: Some(START),
        ..Leaf::new(LeafKind::In)
    };
    let evidence = Evidence {
        request: Some(request.into()),
        result: Some(result),
        subjects: vec![
            Subject::new(Field::Citizen, format!("citizen {}", n % 50_000)),
            Subject::new(Field::Case, format!("K{}", n / 3)),
            Subject::new(Field::Operator, format!("331083:YH{}", n % 500)),
        ],
        ..Evidence::new(RetentionClass::Provision)
    };
    Entry { evidence: Some(evidence), ..leaf.into() }
}

fn verify(dir: &Path) {
    let started = Instant::now();
    let verdict = verify_as(dir, &Asked::default()).unwrap();
    let log = verdict.logs.first().unwrap();
    println!(
        "verified {} leaves, {} with evidence, {} tiles in {:.1} s: {}; most memory {} MiB",
        log.leaves,
        log.evidence.present,
        log.tiles,
        started.elapsed().as_secs_f64(),
        if verdict.sound { "sound" } else { "NOT SOUND" },
        most_memory()
    );
    verdict.findings.iter().take(5).for_each(|finding| println!("{finding}"));
}

/// Times a question is asked.
const ASKED: usize = 20;

fn search(dir: &Path) {
    let finder = Finder::of_data_dir(dir);
    let about = |field, value: &str| Wanted {
        about: Some(About::Value(Subject::new(field, value.to_owned()))),
        ..Wanted::default()
    };
    let facets = |facets: WantedFacets| Wanted { facets, ..Wanted::default() };
    let word = |text: &str| Some(text.to_owned());
    let day = 86_400_000;
    let questions = [
        ("a citizen", about(Field::Citizen, "citizen 77")),
        ("an operator (one leaf of 500)", about(Field::Operator, "331083:YH77")),
        ("a case", about(Field::Case, "K77")),
        ("nobody known", about(Field::Citizen, "citizen X")),
        ("a partner", facets(WantedFacets { peer: word("331083"), ..WantedFacets::default() })),
        (
            "a partner and an outcome nobody had",
            facets(WantedFacets { peer: word("331083"), dec: word("deny"), ..WantedFacets::default() }),
        ),
        (
            "a partner on one day",
            Wanted {
                from: Some(START * 1000 + 10 * day),
                to: Some(START * 1000 + 11 * day),
                ..facets(WantedFacets { peer: word("320922"), ..WantedFacets::default() })
            },
        ),
        (
            "one authorization",
            facets(WantedFacets { auth: Some(sha256(&77_u64.to_be_bytes())), ..WantedFacets::default() }),
        ),
    ];
    for (name, wanted) in questions {
        let (mut first, mut later) = (Vec::new(), Vec::new());
        let mut leaves = 0;
        for _ in 0..ASKED {
            let started = Instant::now();
            let page = finder.find(&Wanted { most: 50, ..wanted.clone() }).unwrap();
            first.push(started.elapsed().as_secs_f64() * 1000.0);
            leaves = page.leaves.len();
            if let Some(next) = page.next {
                let started = Instant::now();
                finder.find(&Wanted { most: 50, before: Some(next), ..wanted.clone() }).unwrap();
                later.push(started.elapsed().as_secs_f64() * 1000.0);
            }
        }
        let told = |mut ms: Vec<f64>| {
            ms.sort_by(f64::total_cmp);
            match (ms.get(ms.len() / 2), ms.last()) {
                (Some(median), Some(slowest)) => format!("{median:.1} ms, slowest {slowest:.1} ms"),
                _ => "none".to_owned(),
            }
        };
        println!("search for {name}: {leaves} leaves in {}; next page {}", told(first), told(later));
    }
}

/// CPU of the whole process for recording an exchange, with its evidence and without, alternating.
fn seal() {
    const EXCHANGES: u64 = 40_000;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let pem = LedgerKey::generate_pem().unwrap();
    let cost = |evidence: bool| {
        let dir = tempfile::tempdir().unwrap();
        let before = process_cpu();
        runtime.block_on(fill(dir.path(), &pem, EXCHANGES, evidence));
        (process_cpu() - before) * 1e6 / EXCHANGES as f64
    };
    let mut each: Vec<(f64, f64)> = (0..5).map(|_| (cost(false), cost(true))).collect();
    each.sort_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0)));
    let (bare, full) = each.get(each.len() / 2).copied().unwrap();
    println!(
        "recorded: {bare:.1} µs CPU an exchange without evidence, {full:.1} with it and its index: {:.1} more",
        full - bare
    );
}

/// User and system time of all threads, seconds.
fn process_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after) = stat.rsplit_once(") ").unwrap();
    let ticks: f64 = after.split(' ').skip(11).take(2).map(|t| t.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

fn take_out(dir: &Path, out: &Path) {
    let started = Instant::now();
    let key = LedgerKey::from_pem(&std::fs::read(dir.join("ledger.key")).unwrap()).unwrap();
    let selection = Selection::Range { from: 0, to: Some(10_000) };
    let request = Export { data: dir, key: &key, shard: None, selection, policy: None };
    let mut file = std::io::BufWriter::new(std::fs::File::create(out).unwrap());
    let made = export(&request, &mut file).unwrap();
    println!(
        "exported {} leaves, {} bytes in {:.1} s",
        made.leaves,
        made.bytes,
        started.elapsed().as_secs_f64()
    );
}

/// `VmHWM` of this process, MiB.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).map_or(0, |kib| kib / 1024)
}
