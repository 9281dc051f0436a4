//! Packages: leaves with their proofs and evidence in one archive that anybody can check,
//! offline, with tools that are not ours.
//!
//! ```text
//! manifest.json               JWS of the ledger key over the SHA-256 of every member
//! README.md, verify.py        how to check it, and a checker that shares no code with us
//! policy, checkpoint          whom to believe (compare it!), and the signed tree head
//! leaves.jsonl                {"i":index,"l":"<base64 of the exact bytes>"}
//! facts.jsonl                 {"i":index,"is":"erased|held|dropped","order":"2026h2/4711"}
//! secrets.jsonl               {"i":index,"r":"<base64>"} of a period, for completeness
//! proofs/<index>.tlog-proof   of the first and last leaf of every run of consecutive ones
//! orders/<log>-<index>.tlog-proof
//! evidence/<index>.json       sealed evidence, its secret, its epoch's wrapped key
//! ```
//!
//! Promises: the same selection under the same checkpoint has the same bytes; what a package
//! leaves out of its selection shows. Partners' receipts stand inside the evidence, in the
//! response JWS. Leaves it to the desk to ask for a purpose and to record the `export` leaf.

pub mod check;
mod draw;
mod manifest;
mod members;
mod tar;

use std::io::{self, Write};
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};

use crate::ledger::evidence::{Field, SubjectKey};
use crate::ledger::extract::{Extract, ExtractFault};
use crate::ledger::{LedgerKey, Shard};

pub use manifest::{Manifest, ManifestFault, Member, PACKAGE_VERSION, Selected};
pub use members::{Warrant, WarrantFault};

/// The independent verifier, as it stands in `conformance/verifier/`.
pub const VERIFIER: &str = include_str!("../../../conformance/verifier/tongban_verify.py");
const README: &str = include_str!("README.md");

/// Leaves, exchanges and evidence of one package: what an auditor can still look through.
pub const MOST_SELECTED: usize = 100_000;

/// What to take out of the log.
#[derive(Clone)]
pub enum Selection {
    /// Leaves from `from` up to, not including, `to`; `None`: to the checkpoint.
    Range {
        from: u64,
        to: Option<u64>,
    },
    Leaves(Vec<u64>),
    /// Every leaf of these exchange ids.
    Exchanges(Vec<String>),
    /// A period in milliseconds, with everything that shows that the search in it was complete.
    Window {
        field: Field,
        subject: Box<SubjectKey>,
        from: i64,
        to: i64,
    },
}

/// What [`export`] is asked.
pub struct Export<'a> {
    pub data: &'a Path,
    /// Signs the manifest.
    pub key: &'a LedgerKey,
    /// The half-year; the newest when `None`.
    pub shard: Option<Shard>,
    pub selection: Selection,
    /// A c2sp.org/tlog-policy to put into the package; without it, the log and no quorum.
    pub policy: Option<String>,
}

/// What was written: for the `export` leaf and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    pub origin: String,
    pub shard: Shard,
    /// Of the whole archive.
    pub sha256: [u8; 32],
    pub bytes: u64,
    pub leaves: u64,
    /// Leaves whose evidence is in the package.
    pub evidence: Vec<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum ExportFault {
    #[error("{0}")]
    Extract(#[from] ExtractFault),
    #[error("the package cannot be written: {0}")]
    Io(#[from] io::Error),
    #[error("nothing is selected")]
    Nothing,
    #[error("more than {MOST_SELECTED} leaves or exchanges are named one by one")]
    TooMany,
    #[error("no leaf of exchange {at} of the selection is in this log")]
    NoSuchExchange { at: usize },
    #[error("the ledger key is not the one that signed this log")]
    OtherKey,
    #[error("evidence was erased while the package was made: make it again")]
    Changed,
}

/// Writes the package of a selection to `out`: under the last checkpoint that witnesses cosigned
/// where it covers all of it, else under the newest.
pub fn export(request: &Export<'_>, out: &mut dyn Write) -> Result<Exported, ExportFault> {
    if let Some(log) = Extract::open_cosigned(request.data, request.shard)? {
        match export_under(&log, request, out) {
            // Nothing has been written then.
            Err(ExportFault::Extract(ExtractFault::NotSealed)) => {}
            made => return made,
        }
    }
    export_under(&Extract::open(request.data, request.shard)?, request, out)
}

fn export_under(log: &Extract, request: &Export<'_>, out: &mut dyn Write) -> Result<Exported, ExportFault> {
    let vkey = request.key.vkey(log.origin()).ok_or(ExportFault::OtherKey)?;
    let signed = crate::ledger::checkpoint::Checkpoint::open(log.checkpoint(), &vkey);
    signed.map_err(|_| ExportFault::OtherKey)?;
    let draw = draw::Draw::plan(log, &request.selection)?;
    let policy = request.policy.clone().unwrap_or_else(|| format!("log {vkey}\nquorum none\n"));
    let fixed = [("README.md", README), ("verify.py", VERIFIER), ("policy", policy.as_str())];
    let mut members: Vec<(String, draw::Content)> = Vec::new();
    for (name, text) in fixed {
        members.push((name.to_owned(), draw::Content::Bytes(text.as_bytes().to_vec())));
    }
    members.extend(draw.members());
    // First for the sums, then into the archive: nothing large is held in memory.
    let mut listed = Vec::new();
    for (name, content) in &members {
        let mut sum = Summed::new(io::sink());
        draw.write(content, &mut sum)?;
        let (sha256, size, _) = sum.end();
        listed.push(Member { name: name.clone(), sha256: hex::encode(sha256), size });
    }
    let manifest = Manifest {
        log: log.origin().to_owned(),
        members: listed,
        selection: draw.selected().clone(),
        size: log.size(),
        v: PACKAGE_VERSION,
    };
    let signed = manifest.sign(request.key).ok_or(ExportFault::OtherKey)?;
    let mut summed = Summed::new(out);
    let mut archive = tar::Archive::new(&mut summed);
    archive.member::<ExportFault>("manifest.json", signed.len() as u64, |to| Ok(to.write_all(&signed)?))?;
    for (member, (name, content)) in manifest.members.iter().zip(&members) {
        let mut again = None;
        archive.member::<ExportFault>(name, member.size, |to| {
            let mut sum = Summed::new(to);
            draw.write(content, &mut sum)?;
            again = Some(sum.end().0);
            Ok(())
        })?;
        if again.map(hex::encode).as_deref() != Some(&member.sha256) {
            return Err(ExportFault::Changed);
        }
    }
    archive.end()?;
    let (sha256, bytes, _) = summed.end();
    Ok(Exported {
        origin: log.origin().to_owned(),
        shard: log.shard(),
        sha256,
        bytes,
        leaves: draw.leaves(),
        evidence: draw.evidence().to_vec(),
    })
}

/// Counts and sums what goes through.
struct Summed<W> {
    to: W,
    context: Context,
    size: u64,
}

impl<W: Write> Summed<W> {
    fn new(to: W) -> Self {
        Self { to, context: Context::new(&SHA256), size: 0 }
    }

    fn end(self) -> ([u8; 32], u64, W) {
        let digest = self.context.finish();
        (digest.as_ref().try_into().unwrap_or([0; 32]), self.size, self.to)
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.context.update(bytes.get(..written).unwrap_or_default());
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
