//! We ask a partner whether both ledgers hold the same of a window, and look into it when they
//! do not (protocol §7.4).
//!
//! Promises: a window is decided by the partner's signed answer only: a note that both ledger
//! keys signed, or a list whose every difference from our leaves is named and kept with the
//! partner's signed words. What was only lost on the way is settled, and then signed. Anything
//! else leaves the window undecided, to be asked for again.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde_json::Map;

use super::{AskFault, LIFE, Question, Told as Telling};
use crate::clock::Now;
use crate::domain::Region;
use crate::envelope::{self, Op, digest as sha256};
use crate::house::House;
use crate::reconcile::{
    self, BookFault, Difference, Item, MOST_ITEMS, Own, PAGE, Proposal, Statement, StatementFault, Told,
    Verdict, Window,
};
use crate::telemetry::CourierLabels;

/// Pages of one list: more than a partner's whole side of a window is not listened to.
const MOST_PAGES: usize = 2 * MOST_ITEMS / PAGE;

/// What became of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// Both signed.
    Agreed,
    /// So many exchanges differ.
    Differs(usize),
}

/// Why a window is not decided.
#[derive(Debug, thiserror::Error)]
pub enum CompareFault {
    #[error(transparent)]
    Book(#[from] BookFault),
    #[error(transparent)]
    Ask(#[from] AskFault),
    #[error("the partner refused with {0}")]
    Refused(&'static str),
    #[error("the partner's answer is not of this window")]
    Answer,
    #[error("the partner's signature: {0}")]
    Signature(#[from] StatementFault),
    #[error("our note could not be signed")]
    Sign,
    #[error("the ledger does not take the outcome")]
    Unrecorded,
}

/// One look at one window.
struct Look<'a> {
    house: &'a Arc<House>,
    peer: Region,
    window: Window,
    /// Proposed in its order, rather than looked into again.
    proposed: bool,
}

/// Compares one window with the partner and keeps what came of it; the caller has the partner's turn.
pub async fn compare(
    house: &Arc<House>,
    peer: Region,
    window: Window,
    proposed: bool,
) -> Result<Decided, CompareFault> {
    let look = Look { house, peer, window, proposed };
    let outcome = look.run().await;
    if outcome.is_err() {
        house.count_window(peer, "failed");
    }
    outcome
}

impl Look<'_> {
    async fn run(&self) -> Result<Decided, CompareFault> {
        let own = self.house.own_window(self.peer, self.window).await?;
        let items = own.items();
        let (told, said) = self.ask(&items, &[], None).await?;
        if told.is_agreed() {
            return self.agreed(&items, 0, &told).await;
        }
        let (theirs, statements) = self.rest_of(&items, told, said).await?;
        let differences = reconcile::compare(&own, &theirs);
        if let Some(settlement) = reconcile::settle(&own, &differences)
            && !differences.is_empty()
        {
            let (told, _) = self.ask(&settlement.items, &settlement.answers, None).await?;
            if told.is_agreed() {
                return self.agreed(&settlement.items, differences.len(), &told).await;
            }
        }
        if differences.is_empty() {
            // The same items, and yet no signature.
            return Err(CompareFault::Answer);
        }
        self.differs(&own, differences, statements).await
    }

    /// One exchange; the second is the partner's signed answer as it came.
    async fn ask(
        &self,
        items: &[Item],
        answers: &[Item],
        after: Option<Item>,
    ) -> Result<(Told, Bytes), CompareFault> {
        let house = self.house;
        let statement = self.statement(items);
        let note = house.ledger.sign_reconciliation(statement.text()).await.ok_or(CompareFault::Sign)?;
        let body = Proposal::body(self.window, statement.count, &statement.root, &note, answers, after);
        let question = Question { to: self.peer, op: Op::LedgerReconcile, business: Map::new(), body };
        if house.trust.load().directory.active(self.peer).is_none() {
            return Err(AskFault::UnknownPartner.into());
        }
        let exchange = envelope::new_message_id();
        let (started, now) = (Instant::now(), house.clock.now());
        let telling = Telling { house, exchange: &exchange, started, now, question: &question };
        let request = telling.sign(LIFE)?;
        let digest = sha256(&request);
        telling.record(telling.first(&request, digest)).await?;
        let answered = telling.send(request, digest).await;
        telling.record(telling.last(&answered, digest)).await?;
        telling.note(answered.as_ref().map(|(answer, _)| answer));
        let (answer, said) = answered?;
        if !answer.is_success() {
            return Err(CompareFault::Refused(super::code_of(&answer.outcome).unwrap_or("unknown-code")));
        }
        // The schema has let it pass already.
        let told = house.catalog.admit::<Told>(&answer.outcome).map_err(|_| CompareFault::Answer)?;
        Ok((told.into_inner(), said))
    }

    /// All pages of the partner's list, and its signed words.
    async fn rest_of(
        &self,
        items: &[Item],
        told: Told,
        said: Bytes,
    ) -> Result<(Vec<Item>, Vec<String>), CompareFault> {
        let mut theirs = told.items(None).ok_or(CompareFault::Answer)?;
        let mut statements = vec![String::from_utf8_lossy(&said).into_owned()];
        let mut more = told.more;
        while more {
            let after = theirs.last().copied();
            if statements.len() >= MOST_PAGES {
                return Err(CompareFault::Answer);
            }
            let (told, said) = self.ask(items, &[], after).await?;
            if told.is_agreed() {
                return Err(CompareFault::Answer);
            }
            theirs.extend(told.items(after).ok_or(CompareFault::Answer)?);
            statements.push(String::from_utf8_lossy(&said).into_owned());
            more = told.more;
        }
        Ok((theirs, statements))
    }

    fn statement(&self, items: &[Item]) -> Statement {
        Statement::of(self.house.me, self.peer, self.window, items.len() as u64, reconcile::root(items))
    }

    fn verdict(&self, items: &[Item], lost: usize) -> Verdict {
        let Statement { window, count, root, .. } = self.statement(items);
        Verdict { window, count, root, lost, proposed: self.proposed }
    }

    /// Believes the note when both keys signed exactly this.
    async fn agreed(&self, items: &[Item], lost: usize, told: &Told) -> Result<Decided, CompareFault> {
        let (house, statement) = (self.house, self.statement(items));
        let note = told.note().unwrap_or_default();
        {
            let trust = house.trust.load();
            let card = trust.directory.active(self.peer);
            let vkey = card.and_then(|card| card.ledger()).map(|ledger| ledger.vkey.as_str());
            statement.check(&note, self.peer, vkey)?;
        }
        let own = house.ledger.vkey(&house.ledger.origin()).map(|vkey| vkey.to_string());
        statement.check(&note, house.me, own.as_deref())?;
        let verdict = self.verdict(items, lost);
        match house.window_agreed(self.peer, verdict, &note, house.clock.now()).await {
            Ok(()) => Ok(Decided::Agreed),
            Err(fault) => Err(fault.map_or(CompareFault::Unrecorded, CompareFault::Book)),
        }
    }

    async fn differs(
        &self,
        own: &Own,
        differences: Vec<Difference>,
        statements: Vec<String>,
    ) -> Result<Decided, CompareFault> {
        let (house, peer, window) = (self.house, self.peer, self.window);
        let now = house.clock.now();
        let items = own.items();
        let lost = differences.iter().filter(|difference| !difference.kind.is_serious()).count();
        let (verdict, count) = (self.verdict(&items, lost), differences.len());
        let said = self.statement(&items).text();
        self.tell(&differences, now);
        house
            .record_window(peer, "differs", verdict.count, said.as_bytes())
            .await
            .map_err(|_| CompareFault::Unrecorded)?;
        house
            .book(move |book, ledger| {
                let prove = |difference: Difference| {
                    let proof = reconcile::proof::of(book, ledger, peer, window, &difference)?;
                    Ok((difference, proof))
                };
                let proven = differences.into_iter().map(prove).collect::<Result<Vec<_>, BookFault>>()?;
                book.differs(peer, &verdict, &proven, &statements, now)
            })
            .await?;
        house.count_window(peer, "differs");
        Ok(Decided::Differs(count))
    }

    /// One structured event and one count a difference.
    fn tell(&self, differences: &[Difference], now: Now) {
        for difference in differences {
            let kind = difference.kind.word();
            let labels = CourierLabels { partner: self.peer.to_string(), outcome: kind };
            self.house.metrics.window_differences.get_or_create(&labels).inc();
            tracing::error!(
                target: "reconcile",
                peer = self.peer.as_str(),
                from = self.window.from,
                to = self.window.to,
                kind,
                x = hex::encode(difference.x),
                index = difference.mine.map(|mine| mine.at.index),
                at = now.secs(),
                "an exchange is not the same on both sides"
            );
        }
    }
}
