//! A partner's `application.*`: what it changes here, once.

use serde_json::{Map, Value};

use super::rows::{self, Applied, Root};
use super::{Done, Opened, Undone, attempt, changed, disagrees, notices};
use crate::answer::{Code, Reply};
use crate::case::{Case, EventBody, Role, digest_text};
use crate::casebook::{EventRow, Write};
use crate::clock::Now;
use crate::domain::Region;
use crate::house::House;

/// An application message that passed every check which needs no case.
pub enum CaseAsked {
    /// The case that the submit opens here, its body and the body's digest.
    Submit {
        case: Box<Case>,
        body: Value,
        business: Map<String, Value>,
    },
    Event {
        number: String,
        item: String,
        event: Box<EventBody>,
        body: Value,
    },
    Status {
        number: String,
        item: String,
    },
}

/// What came with the message.
pub struct Caller<'a> {
    pub peer: Region,
    pub exchange: &'a str,
    pub now: Now,
}

impl House {
    pub async fn take_case_message(&self, asked: CaseAsked, from: Caller<'_>) -> Result<Done, Undone> {
        match asked {
            CaseAsked::Submit { case, body, business } => {
                self.take_submit(*case, body, &business, from).await
            }
            CaseAsked::Event { number, item, event, body } => {
                self.take_event(&number, &item, &event, body, from).await
            }
            CaseAsked::Status { number, item } => self.tell_status(&number, &item, from).await,
        }
    }

    /// Event 0. The same again gets the same receipt; another one of that number is refused,
    /// whoever sends it.
    async fn take_submit(
        &self,
        case: Case,
        body: Value,
        business: &Map<String, Value>,
        from: Caller<'_>,
    ) -> Result<Done, Undone> {
        let held = self.hold_family(case.number(), case.parent()).await;
        if let Some(known) = self.casebook.case(case.number()).await? {
            let first = self.casebook.event(case.number(), 0).await?;
            let same = first.filter(|first| {
                known.partner == from.peer.as_str()
                    && known.role == Role::Handling.name()
                    && first.digest == case.last().1
            });
            let first = same.ok_or(Code::DuplicateCase)?;
            return Ok(Done { reply: Reply::Accepted(first.receipt), writes: Vec::new(), held });
        }
        let case = self.with_known_parts(case).await?;
        let case = self.with_known_answers(case, from.peer).await?;
        let here = self.files_already_here(&case, from.peer).await?;
        let case = here.iter().fold(case, |case, file| case.arrived(file, from.now));
        let receipt = rows::receipt(&case);
        let mut writes = vec![
            rows::case(self, &case, Root { opened: from.now.ms(), woken: from.now.ms(), business }, from.now),
            Applied {
                case: &case,
                body: &body,
                mine: false,
                exchange: Some(from.exchange),
                receipt: receipt.clone(),
            }
            .row(from.now),
            notices::of_case(&case, false, from.now),
        ];
        writes.extend(rows::materials(&case, &here));
        writes.extend(self.told_parent(&case, from.now).await?);
        Ok(Done { reply: Reply::Accepted(receipt), writes, held })
    }

    /// Files that this partner brought for another of its cases. What only others brought is
    /// asked for again: nobody learns what is here by guessing digests.
    async fn files_already_here(&self, case: &Case, peer: Region) -> Result<Vec<String>, Undone> {
        let mut here = Vec::new();
        for file in case.awaiting() {
            if self.has_file(&file) && self.casebook.has_file_of(&file, peer.as_str()).await? {
                here.push(file);
            }
        }
        Ok(here)
    }

    /// An event of the other side, applied once and in its order.
    async fn take_event(
        &self,
        number: &str,
        item: &str,
        event: &EventBody,
        body: Value,
        from: Caller<'_>,
    ) -> Result<Done, Undone> {
        let opened = self.open_case(number).await?;
        let mut opened = opened.filter(|o| o.row.partner == from.peer.as_str()).ok_or(Code::UnknownCase)?;
        let digest = digest_text(&body);
        if let Some(known) = self.same_event(number, event, &digest).await? {
            return Ok(Done { reply: Reply::Result(known.receipt), writes: Vec::new(), held: opened.held });
        }
        if opened.row.item != item {
            return Err(disagrees("/item").into());
        }
        // An event that continues a proposal of ours proves that the proposal was applied.
        let mut writes = self.proven_proposal(&mut opened, &event.prev, from.now).await?;
        let peer_role = opened.case.role().other();
        let calendar = self.calendar.load();
        let next = opened.case.judge(event, &digest, peer_role, from.now, &calendar)?;
        let receipt = rows::receipt(&next);
        writes.push(changed(self, &opened.row, &next, from.now));
        let applied = Applied {
            case: &next,
            body: &body,
            mine: false,
            exchange: Some(from.exchange),
            receipt: receipt.clone(),
        };
        writes.push(applied.row(from.now));
        writes.push(notices::of_case(&next, false, from.now));
        writes.extend(self.new_files(&opened.case, &next));
        writes.extend(self.told_parent(&next, from.now).await?);
        self.after_event(&next).await;
        Ok(Done { reply: Reply::Result(receipt), writes, held: opened.held })
    }

    /// The event with this number, if it is this very one.
    async fn same_event(
        &self,
        number: &str,
        event: &EventBody,
        digest: &str,
    ) -> Result<Option<EventRow>, Undone> {
        let known = self.casebook.event(number, event.seq.into()).await?;
        Ok(known.filter(|known| known.digest == digest))
    }

    /// Applies the proposal under way when `prev` names it: nobody else knows its digest before
    /// it was applied there. The courier gets its receipt later.
    async fn proven_proposal(&self, opened: &mut Opened, prev: &str, now: Now) -> Result<Vec<Write>, Undone> {
        if opened.case.role() != Role::Collecting || opened.case.last().1 == prev {
            return Ok(Vec::new());
        }
        let Some(parcel) = self.casebook.next_parcel(opened.case.number()).await? else {
            return Ok(Vec::new());
        };
        if parcel.digest != prev {
            return Ok(Vec::new());
        }
        let Some(next) = attempt::apply_proposal(self, &opened.case, &parcel, now)? else {
            return Ok(Vec::new());
        };
        let exchange = parcel.sent.as_ref().map(|sent| sent.jti.as_str());
        let applied =
            Applied { case: &next, body: &parcel.body, mine: true, exchange, receipt: rows::receipt(&next) };
        let mut writes = vec![applied.row(now), notices::of_case(&next, true, now)];
        writes.extend(self.new_files(&opened.case, &next));
        opened.case = next;
        Ok(writes)
    }

    async fn tell_status(&self, number: &str, item: &str, from: Caller<'_>) -> Result<Done, Undone> {
        let row = self.casebook.case(number).await?;
        let row = row.filter(|row| row.partner == from.peer.as_str()).ok_or(Code::UnknownCase)?;
        if row.item != item {
            return Err(disagrees("/item").into());
        }
        let view = self.status_view(&row, from.now).await?;
        Ok(Done { reply: Reply::Result(view), writes: Vec::new(), held: Vec::new() })
    }
}
