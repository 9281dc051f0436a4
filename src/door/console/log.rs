//! The log for auditors (protocol §7, §12): checkpoint, tiles, whole entry bundles and single
//! entries with their proofs, to whoever is signed in or shows an account's certificate.
//!
//! Entry bundles are for auditors; the other roles get what their browser needs to verify.

use hyper::StatusCode;

use crate::account::Role;
use crate::ledger::ReadFault;

use super::super::answer::{self, HttpAnswer};
use super::super::partner::LogPath;
use super::{Asker, Console};

/// `rest` is what follows `/log/`.
pub async fn serve(console: &Console, asker: &Asker, rest: &str) -> HttpAnswer {
    let Some(role) = role(console, asker) else { return answer::empty(StatusCode::FORBIDDEN) };
    let Some((origin, what)) = LogPath::split(rest) else { return answer::empty(StatusCode::NOT_FOUND) };
    let (ledger, origin) = (console.house.ledger.clone(), origin.to_owned());
    let text = |body| answer::bytes(StatusCode::OK, "text/plain; charset=utf-8", body);
    let read = tokio::task::spawn_blocking(move || {
        Ok::<_, ReadFault>(match what {
            LogPath::Checkpoint => ledger.checkpoint(&origin).map(text),
            LogPath::Tile(path) if path.starts_with("tile/entries/") && role != Role::Audit => {
                Some(answer::empty(StatusCode::FORBIDDEN))
            }
            LogPath::Tile(path) => ledger
                .tile(&origin, &path)?
                .map(|tile| answer::bytes(StatusCode::OK, "application/octet-stream", tile)),
            LogPath::Entry(index) => ledger.entry(&origin, index)?.map(|entry| text(entry.proof)),
        })
    });
    match read.await {
        Ok(Ok(found)) => found.unwrap_or_else(|| answer::empty(StatusCode::NOT_FOUND)),
        Ok(Err(_)) | Err(_) => answer::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// The session's role, or for a tool without one that of the certificate.
fn role(console: &Console, asker: &Asker) -> Option<Role> {
    if let Some(visit) = &asker.visit {
        return Some(visit.account.role());
    }
    let trust = console.house.trust.load();
    asker.shown.and_then(|pin| trust.accounts.of_pin(&pin)).map(|account| account.role())
}
