//! What is done to cases, by a partner's messages, by the region's own systems and by the
//! clock: load the case, ask the room `case`, and say which rows change.
//!
//! Promises: every change is a list of rows that becomes durable in one commit with the
//! ledger's leaf of the exchange or act it came from; whoever changes a case holds its line
//! from the reading to the writing. What a case may do, the room `case` decides.

mod around;
mod attempt;
mod hints;
mod notices;
mod ours;
mod plan;
mod resolve;
mod rows;
mod submit;
mod theirs;
mod timeliness;
mod timers;
mod verification;
mod views;

use crate::answer::{Code, Refusal};
use crate::case::{Case, CaseFault};
use crate::casebook::{CaseRow, CasebookFault, Held, Write};
use crate::clock::Now;
use crate::fault::Fault;
use crate::house::House;

pub use around::Serials;
pub use attempt::Saying;
pub use ours::{LocalEvent, Taken};
pub use submit::{Act, IdempotencyKey, LocalSubmit};
pub use theirs::{Caller, CaseAsked};
pub use verification::{Answered, LocalAnswer, Question};
pub use views::PARCELS_ON_A_PAGE;

/// What came of a message or an act: the reply, and the rows that become durable with it.
pub struct Done {
    pub reply: crate::answer::Reply,
    pub writes: Vec<Write>,
    pub held: Vec<Held>,
}

/// Why nothing was done.
#[derive(Debug)]
pub enum Undone {
    /// The other side may know why.
    Refused(Refusal),
    /// Ours: what is known of the case cannot be read.
    Casebook(CasebookFault),
}

impl From<Refusal> for Undone {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Code> for Undone {
    fn from(code: Code) -> Self {
        Self::Refused(code.into())
    }
}

impl From<CasebookFault> for Undone {
    fn from(fault: CasebookFault) -> Self {
        Self::Casebook(fault)
    }
}

impl From<CaseFault> for Undone {
    fn from(fault: CaseFault) -> Self {
        Self::Refused(fault.into())
    }
}

/// Seconds after which a refusal for want of a calendar may be tried again: somebody must
/// load a file.
pub(crate) const CALENDAR_PAUSE: u32 = 3600;

/// A case under its line's lock.
pub(crate) struct Opened {
    pub held: Vec<Held>,
    pub row: CaseRow,
    pub case: Case,
}

impl House {
    /// Takes the line and reads the case; `None` when there is none.
    pub(crate) async fn open_case(&self, number: &str) -> Result<Option<Opened>, CasebookFault> {
        let held = self.hold_case(number).await?;
        let Some(row) = self.casebook.case(number).await? else { return Ok(None) };
        let case = read_case(&row)?;
        Ok(Some(Opened { held, row, case }))
    }

    /// The line of a case, and its parent's: what happens to a part changes both.
    pub(crate) async fn hold_case(&self, number: &str) -> Result<Vec<Held>, CasebookFault> {
        let held = self.casebook.hold(number).await;
        let parent = self.casebook.case(number).await?.and_then(|row| row.parent);
        let Some(parent) = parent else { return Ok(vec![held]) };
        // A case's parent is for good, so it need not be read again.
        drop(held);
        Ok(self.hold_family(number, Some(&parent)).await)
    }

    /// Lines in their own order, so that nobody waits for somebody who waits for him.
    pub(crate) async fn hold_family(&self, number: &str, parent: Option<&str>) -> Vec<Held> {
        let mut lines: Vec<&str> = std::iter::once(number).chain(parent).collect();
        lines.sort_unstable();
        lines.dedup();
        let mut held = Vec::with_capacity(lines.len());
        for line in lines {
            held.push(self.casebook.hold(line).await);
        }
        held
    }
}

/// The message names something else than the case it is about.
pub(crate) fn disagrees(pointer: &str) -> Refusal {
    let words = ("differs from the case", "与办件不符");
    Refusal::schema(vec![Fault::new(pointer, "case", words.0, words.1)])
}

pub(crate) fn read_case(row: &CaseRow) -> Result<Case, CasebookFault> {
    serde_json::from_value(row.doc.clone()).map_err(|_| CasebookFault::Row)
}

/// What has changed of a case since `row`, with when it must be looked at again.
pub(crate) fn changed(house: &House, row: &CaseRow, case: &Case, now: Now) -> Write {
    rows::case(house, case, row.into(), now)
}
