//! To whoever was answered: a gateway that is killed at any moment has lost no exchange it
//! answered, counted no use twice and forgotten none, and goes on by itself at the next
//! start.

mod disk;
mod steps;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tongban::cli::authorize::Issued;

use crate::process::{Message, Pair, until};
use crate::support::{Line, Verdict, b64, sha256};

/// Kills at random moments under load.
const KILLS: usize = 24;
/// Connections that ask at once.
const CALLERS: usize = 4;

/// A message and what came back, if anything did before the connection broke.
pub struct Asked {
    message: Message,
    verdict: Option<Verdict>,
}

impl Asked {
    /// The promise of the answer: where the exchange stands, and its leaf's hash.
    fn promise(&self) -> Option<(usize, String)> {
        let log = &self.verdict.as_ref()?.claims.as_ref()?["log"];
        Some((log["index"].as_u64()?.try_into().unwrap(), log["leaf"].as_str()?.to_owned()))
    }
}

/// Callers that ask until their connections break. Every fourth message is a lookup under
/// the token.
pub struct Load {
    callers: Vec<tokio::task::JoinHandle<Vec<Asked>>>,
    answered: Arc<AtomicUsize>,
}

impl Load {
    pub async fn begin(pair: &Arc<Pair>, token: &Issued) -> Self {
        let answered = Arc::new(AtomicUsize::new(0));
        let mut callers = Vec::new();
        for caller in 0..CALLERS {
            let line = pair.dial().await;
            let (pair, jws, answered) = (Arc::clone(pair), token.jws.clone(), Arc::clone(&answered));
            callers.push(tokio::spawn(ask_until_broken(pair, line, jws, caller, answered)));
        }
        Self { callers, answered }
    }

    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Everything that was asked, after the connections broke.
    pub async fn end(self) -> Vec<Asked> {
        let mut asked = Vec::new();
        for caller in self.callers {
            asked.extend(caller.await.unwrap());
        }
        asked
    }
}

async fn ask_until_broken(
    pair: Arc<Pair>,
    line: Line,
    jws: String,
    start: usize,
    answered: Arc<AtomicUsize>,
) -> Vec<Asked> {
    let mut asked = Vec::new();
    for turn in start.. {
        let message = if turn % 4 == 0 { pair.lookup(&jws) } else { pair.ping() };
        match line.try_exchange(message.bytes.clone()).await {
            Ok(told) => {
                let verdict = Some(pair.read(told, &message));
                asked.push(Asked { message, verdict });
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {
                asked.push(Asked { message, verdict: None });
                break;
            }
        }
    }
    asked
}

/// Every answered exchange stands where its answer says, and the ledger is sound.
pub fn every_promise_is_kept(pair: &Pair, asked: &[Asked]) {
    let leaves = pair.xianan.leaves();
    for exchange in asked {
        let Some((index, hash)) = exchange.promise() else { continue };
        let (stored, leaf) = &leaves[index];
        assert_eq!((stored.index, b64(stored.hash)), (index as u64, hash), "{leaf}");
        let verdict = exchange.verdict.as_ref().unwrap();
        assert_eq!(
            (&leaf["x"], &leaf["status"]),
            (&exchange.message.jti.as_str().into(), &verdict.status.into())
        );
        assert_eq!(leaf["rq"], b64(sha256(&exchange.message.bytes)));
    }
    let verdict = pair.xianan.verify();
    assert!(verdict.sound, "{:?}", verdict.findings);
}

/// The message again: one that is in the ledger is a replay; one that is not was never
/// judged.
pub async fn ask_again(pair: &Pair, line: &Line, exchange: &Asked) -> Verdict {
    let recorded = pair.xianan.leaves().iter().any(|(_, leaf)| leaf["x"] == exchange.message.jti.as_str());
    assert!(recorded || exchange.verdict.is_none(), "answered and not recorded");
    let verdict = pair.ask(line, &exchange.message).await;
    assert_eq!(verdict.word() == "replay", recorded, "{}", verdict.word());
    verdict
}

fn uses_recorded(pair: &Pair, token: &Issued) -> usize {
    let id = b64(sha256(format!("urn:tongban:idp:mengsuban\0{}", token.jti).as_bytes()));
    let leaves = pair.xianan.leaves();
    leaves.iter().filter(|(_, leaf)| leaf["auth"] == id.as_str() && leaf["status"] == 200).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_under_load_it_loses_no_answer_and_counts_every_use_once() {
    let pair = Arc::new(Pair::make());
    let token = pair.authorize(100);
    let mut asked = Vec::new();
    for round in 0..KILLS {
        let mut serving = pair.xianan.serve();
        let line = pair.dial().await;
        // The last ones of the round before, still alive: the memory of used ids came back.
        for exchange in asked.iter().rev().take(3) {
            ask_again(&pair, &line, exchange).await;
        }
        let load = Load::begin(&pair, &token).await;
        // Another moment each time, and none that is the gateway's own choice.
        let enough = round * 7 % 30;
        until("answers", || (load.answered() >= enough).then_some(()));
        serving.kill();
        asked.extend(load.end().await);
    }
    every_promise_is_kept(&pair, &asked);

    let serving = pair.xianan.serve();
    let line = pair.dial().await;
    let last = loop {
        let message = pair.lookup(&token.jws);
        let verdict = pair.ask(&line, &message).await;
        let code = verdict.word();
        asked.push(Asked { message, verdict: Some(verdict) });
        if code != "ok" {
            break code;
        }
    };
    assert_eq!(last, "authorization-used-up");
    assert_eq!(uses_recorded(&pair, &token), 100, "exactly as many as the citizen allowed");
    drop(line);
    assert_eq!(serving.stop(), 0);
    every_promise_is_kept(&pair, &asked);
    let answered = asked.iter().filter(|a| a.verdict.as_ref().is_some_and(|v| v.status == 200)).count();
    assert!(answered > KILLS, "{answered}");
}

#[test]
fn a_request_of_ours_that_a_crash_left_open_gets_its_end() {
    let pair = Pair::make();
    // A partner that takes the call and says nothing.
    let silent = TcpListener::bind(pair.xianan.doors.partner).unwrap();
    let mut asking = pair.yuhuan.serve();
    // It asked at its start what this partner knows of its log.
    let _watching = silent.accept().unwrap();
    let leaves = |kind: &str| -> Vec<Value> {
        pair.yuhuan.leaves().into_iter().map(|(_, leaf)| leaf).filter(|leaf| leaf["t"] == kind).collect()
    };
    std::thread::scope(|scope| {
        let caller = scope.spawn(|| pair.yuhuan.run(&["partner", "ping", "421202"]));
        let _call = silent.accept().unwrap();
        assert_eq!(leaves("out.sent").len(), 1, "durable before a byte leaves");
        asking.kill();
        caller.join().unwrap().ended(1);
    });
    assert!(leaves("out.failed").is_empty());
    for _ in 0..2 {
        let again = pair.yuhuan.serve();
        let (sent, failed) = (leaves("out.sent"), leaves("out.failed"));
        assert_eq!((sent.len(), failed.len()), (1, 1), "once, whatever the number of starts");
        assert_eq!((&failed[0]["x"], &failed[0]["code"]), (&sent[0]["x"], &Value::from("unknown-crash")));
        assert_eq!((&failed[0]["peer"], &failed[0]["rq"]), (&sent[0]["peer"], &sent[0]["rq"]));
        assert_eq!(again.stop(), 0);
    }
    assert!(pair.yuhuan.verify().sound);
}
