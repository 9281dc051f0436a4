//! A partner asks whether both ledgers hold the same of a window (protocol §7.4): our signature
//! under its note when they do, our items when they do not.
//!
//! Promises: nothing is signed that our own leaves do not say; what was agreed is on disk and
//! in the ledger before the signature leaves.

use serde_json::Value;

use super::{Acted, Exchange};
use crate::answer::{Code, Refusal, Reply};
use crate::clock::Now;
use crate::domain::Region;
use crate::fault::Fault;
use crate::house::House;
use crate::reconcile::{self, BookFault, Proposal, Statement, StatementFault, Told, Verdict};

/// Why a window was not compared.
enum Stopped {
    /// The partner's words do not hold; pointer below the body.
    Fault(Fault),
    Book(BookFault),
    Unrecorded,
}

impl Exchange<'_> {
    pub(super) async fn compare(&self, proposal: Proposal) -> Acted {
        match compare(self.house, self.peer, proposal, self.now).await {
            Ok(result) => Reply::Result(result).into(),
            Err(Stopped::Fault(fault)) => Refusal::schema(vec![fault.under("/body")]).into(),
            Err(Stopped::Book(BookFault::TooMany)) => Refusal::too_large_for_op().into(),
            Err(Stopped::Book(fault)) => {
                tracing::error!(target: "reconcile", %fault, peer = self.peer.as_str(), "a window cannot be read");
                Refusal::from(Code::LedgerUnavailable).into()
            }
            Err(Stopped::Unrecorded) => Refusal::from(Code::LedgerUnavailable).into(),
        }
    }
}

async fn compare(house: &House, peer: Region, proposal: Proposal, now: Now) -> Result<Value, Stopped> {
    let unreadable =
        |pointer: &str| Stopped::Fault(Fault::new(pointer, "items", "holds what is no item", "含有无效条目"));
    let answers = proposal.answers().ok_or_else(|| unreadable("/answers"))?;
    let after = proposal.after().ok_or_else(|| unreadable("/after"))?;
    let root = proposal.root().ok_or_else(|| unreadable("/root"))?;
    let window = proposal.window;
    let statement = Statement::of(house.me, peer, window, proposal.count, root);
    let note = signed_by(house, peer, &statement, &proposal)?;
    let own = house.own_window(peer, window).await.map_err(Stopped::Book)?;
    let items = own.with_answers(&answers).unwrap_or_else(|| own.items());
    let mine = Verdict {
        window,
        count: items.len() as u64,
        root: reconcile::root(&items),
        lost: answers.len(),
        proposed: false,
    };
    if (mine.count, mine.root) != (proposal.count, root) {
        let mine = Verdict { root: reconcile::root(&own.items()), count: own.answered.len() as u64, ..mine };
        house.windows_opened(peer, mine, now).await.map_err(Stopped::Book)?;
        house.count_window(peer, "asked");
        return Ok(reconcile::page(&own.list(), after));
    }
    let signature = house.ledger.sign_reconciliation(statement.text()).await.ok_or(Stopped::Unrecorded)?;
    let both = reconcile::joined(&note, &signature).ok_or(Stopped::Unrecorded)?;
    house
        .window_agreed(peer, mine, &both, now)
        .await
        .map_err(|fault| fault.map_or(Stopped::Unrecorded, Stopped::Book))?;
    Ok(Told::agreed(&both))
}

/// The bytes of the note, when the partner's ledger key signed what the body says.
fn signed_by(
    house: &House,
    peer: Region,
    statement: &Statement,
    proposal: &Proposal,
) -> Result<Vec<u8>, Stopped> {
    let trust = house.trust.load();
    let card = trust.directory.active(peer);
    let vkey = card.and_then(|card| card.ledger()).map(|ledger| ledger.vkey.as_str());
    let note = proposal.note().unwrap_or_default();
    let told = |rule: &'static str, words: (&'static str, &'static str)| {
        Stopped::Fault(Fault::new("/note", rule, words.0, words.1))
    };
    match statement.check(&note, peer, vkey) {
        Ok(()) => Ok(note),
        Err(StatementFault::NoKey) => Err(told(
            "ledger-key",
            ("cannot be checked: your card here has no ledger key", "此处登记的名片没有账本公钥"),
        )),
        Err(StatementFault::Text) => Err(told("note", ("says something else than the body", "与正文不一致"))),
        Err(StatementFault::Note(_)) => {
            Err(told("signature", ("is not signed by your ledger key", "没有贵方账本密钥的有效签名")))
        }
    }
}
