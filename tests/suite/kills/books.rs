//! What clients hold: every message they sent and every signed word that came back.

use std::collections::HashMap;
use std::fmt;

use bytes::Bytes;
use serde_json::Value;

use super::message::{Kind, Message, Mint, Token};
use crate::process::Pair;
use crate::support::{Due, Told, Verdict, b64, sha256};

/// One sending, as it came back.
pub struct Asked {
    pub message: Message,
    /// `None`: the connection broke, perhaps after the answer was made.
    pub told: Option<Told>,
}

/// A message by its id, however often it was sent.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub kind: Kind,
    /// base64url SHA-256 of its bytes.
    pub rq: String,
    pub sends: usize,
    pub answers: Vec<Answer>,
}

/// A signed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// `ok`, or the refusal's code.
    pub code: String,
    /// The promise: origin, index, leaf hash.
    pub origin: String,
    pub index: u64,
    pub leaf: String,
    /// base64url SHA-256 of JCS of the result or problem.
    pub rd: String,
    pub bytes: [u8; 32],
}

/// Everything that clients hold of a run.
#[derive(Clone, Default)]
pub struct Books {
    pub exchanges: HashMap<String, Exchange>,
    pub tokens: Vec<Token>,
    /// Checkpoints in the order in which they were served.
    pub checkpoints: Vec<Bytes>,
    /// Unsigned answers by their code.
    pub unsigned: HashMap<String, u64>,
    pub unanswered: u64,
}

impl Books {
    /// Reads answers as a partner does, signatures and all, and writes them down.
    pub fn take(&mut self, pair: &Pair, asked: Vec<Asked>) {
        for Asked { message, told } in asked {
            let exchange = self.exchanges.entry(message.x.clone()).or_insert_with(|| Exchange {
                kind: message.kind.clone(),
                rq: message.digest(),
                sends: 0,
                answers: Vec::new(),
            });
            exchange.sends += 1;
            let Some(told) = told else {
                self.unanswered += 1;
                continue;
            };
            let verdict = Verdict::read(
                told,
                &Due {
                    key: &pair.answerer.signing,
                    iss: &pair.answerer.urn(),
                    aud: &pair.asker.urn(),
                    now: Mint::now().secs(),
                    request: &message.bytes,
                },
            );
            match Answer::of(&verdict) {
                Some(answer) => exchange.answers.push(answer),
                None => *self.unsigned.entry(verdict.word()).or_default() += 1,
            }
        }
    }

    pub fn answers(&self) -> impl Iterator<Item = (&str, &Exchange, &Answer)> {
        self.exchanges.iter().flat_map(|(x, exchange)| {
            exchange.answers.iter().map(move |answer| (x.as_str(), exchange, answer))
        })
    }

    /// Signed answers of this status and code.
    pub fn count(&self, status: u16, code: &str) -> usize {
        self.answers().filter(|(_, _, answer)| answer.status == status && answer.code == code).count()
    }
}

impl Answer {
    fn of(verdict: &Verdict) -> Option<Self> {
        let claims = verdict.claims.as_ref()?;
        let log = &claims["log"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Some(Self {
            status: verdict.status,
            code: verdict.code().to_owned(),
            origin: text(&log["origin"]),
            index: log["index"].as_u64().unwrap(),
            leaf: text(&log["leaf"]),
            rd: b64(sha256(&tongban::json::jcs(&verdict.outcome))),
            bytes: sha256(&verdict.told.body),
        })
    }
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sends: usize = self.exchanges.values().map(|exchange| exchange.sends).sum();
        write!(
            f,
            "{} messages in {sends} sendings, {} signed answers held ({} lookups and pings, {} receipts, {} replays \
             refused, {} uses refused), {} without an answer, unsigned {:?}, {} authorizations, {} checkpoints",
            self.exchanges.len(),
            self.answers().count(),
            self.count(200, "ok"),
            self.count(202, "ok"),
            self.count(409, "replay"),
            self.count(403, "authorization-used-up"),
            self.unanswered,
            self.unsigned,
            self.tokens.len(),
            self.checkpoints.len(),
        )
    }
}
