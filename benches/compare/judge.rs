//! Whether what a server did counts: its answers, and what it recorded of them.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest as sha};
use bytes::Bytes;
use serde_json::Value;
use tongban::clock::Clock;
use tongban::envelope::{SignedMessage, Typ, digest};
use tongban::keys::KeySet;
use tongban::ledger::checkpoint::Checkpoint;

use crate::load::requests::Request;
use crate::load::scene::Scene;
use crate::load::window::Window;

/// Of so many answers one is checked, at least.
const SAMPLED: usize = 100;

/// Ids of everything sent to one server: none twice.
#[derive(Default)]
pub struct Sent {
    ids: HashSet<String>,
}

impl Sent {
    pub fn note(&mut self, batch: &[Request]) -> Result<()> {
        for request in batch {
            ensure!(self.ids.insert(request.jti.clone()), "void: an id was made twice");
        }
        Ok(())
    }
}

/// Every sampled answer of an application is signed by it, to this request, and found the license.
pub fn application(window: &Window, answering: &KeySet) -> Result<()> {
    enough(window)?;
    for (request, answer) in &window.samples {
        let opened = SignedMessage::parse(answer)
            .and_then(|signed| signed.open(Typ::Response, answering, Clock::system().now()))
            .map_err(|fault| anyhow!("void: an application's answer: {fault}"))?;
        let says = |pointer: &str| opened.payload.pointer(pointer).and_then(Value::as_str);
        let hash = base64(&digest(&request.body));
        ensure!(says("/req/digest") == Some(&hash), "void: an application answered something else");
        ensure!(
            says("/result/licenses/0/data/registered_on") == Some("2026-01-05"),
            "void: an application did not find a license"
        );
    }
    Ok(())
}

/// Every sampled answer is the fixed text.
pub fn fixed(window: &Window, text: &Bytes) -> Result<()> {
    enough(window)?;
    ensure!(window.samples.iter().all(|(_, answer)| answer == text), "void: not the fixed answer");
    Ok(())
}

fn enough(window: &Window) -> Result<()> {
    ensure!(window.samples.len() * SAMPLED >= window.latencies.len(), "void: too few answers were sampled");
    Ok(())
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// An application's record: one line an answer, each chained to the one before.
pub fn record(path: &Path, answers: u64) -> Result<()> {
    let (mut last, mut lines) = (String::new(), 0);
    for line in BufReader::new(File::open(path)?).lines() {
        let line = line?;
        let (hash, entry) = line.split_once(' ').context("void: a line of the record has no hash")?;
        let made = hex::encode(sha(&SHA256, format!("{last}{entry}").as_bytes()));
        ensure!(made == hash, "void: the record's chain is broken");
        last = made;
        lines += 1;
    }
    ensure!(lines == answers, "void: {answers} answers, but the record has {lines} lines");
    Ok(())
}

/// The gateway's ledger: exactly the answers, in the tree that is signed, all sealed or none.
pub fn ledger(scene: &Scene, signed: &Checkpoint, answers: u64, sealed: bool) -> Result<()> {
    let leaves = scene.leaves(signed)?;
    if leaves.answers != answers {
        bail!("void: {answers} answers, but the ledger has {} leaves of answers", leaves.answers);
    }
    let must = if sealed { answers } else { 0 };
    ensure!(leaves.sealed == must, "void: {answers} answers, but evidence of {}", leaves.sealed);
    Ok(())
}
