//! Deadlines: what the clock does to cases and verifications while nobody acts.

use serde_json::json;

use super::rows::{self, notice};
use super::{Opened, Undone};
use crate::case::{self, EventBody, Role, TimerEvent};
use crate::casebook::{CaseRow, VerificationRow, Write};
use crate::clock::Now;
use crate::house::House;
use crate::ledger::{Leaf, LeafKind};
use crate::telemetry::DeadlineLabels;

/// Cases and verifications looked at in one round.
const MOST_IN_A_ROUND: u32 = 256;

/// When a case whose moment came in vain is looked at again (milliseconds): somebody must load
/// a file first.
const LOOK_AGAIN_AFTER: i64 = 3_600_000;

/// Who the gateway's own events are by: no official decided them.
const BY_THE_CLOCK: &str = "clock";

impl House {
    /// Looks at everything whose moment has come; how much there was.
    pub async fn tend_deadlines(&self, now: Now) -> Result<usize, Undone> {
        let cases = self.casebook.cases_to_wake(now.ms(), MOST_IN_A_ROUND).await?;
        let verifications = self.casebook.verifications_to_wake(now.ms(), MOST_IN_A_ROUND).await?;
        let looked = cases.len() + verifications.len();
        for row in cases {
            if let Some(opened) = self.open_case(&row.case).await? {
                self.tend_case(opened, now).await?;
            }
        }
        for row in verifications {
            self.tend_verification(row, now).await?;
        }
        Ok(looked)
    }

    async fn tend_case(&self, opened: Opened, now: Now) -> Result<(), Undone> {
        let Ok(timers) = case::timers(&opened.case, &self.calendar.load()) else {
            tracing::warn!(target: "case", "deadlines wait for a calendar: load the year that is not published here");
            return self.look_again(opened.row, now).await;
        };
        let due = |at: &Now| at.ms() <= now.ms();
        let act = timers
            .iter()
            .find(|(at, event)| due(at) && event.event().is_some() && opened.case.role() == Role::Handling);
        if let Some((_, event)) = act {
            let (event, number) = (event.event().unwrap_or_default(), opened.row.case.clone());
            let refusal = match self.act_by_the_clock(opened, event, now).await {
                Err(Undone::Refused(refusal)) => refusal,
                other => return other,
            };
            tracing::warn!(target: "case", event, code = refusal.code.word(), "a deadline's act was not possible");
            let opened = self.open_case(&number).await?;
            return match opened {
                Some(opened) => self.look_again(opened.row, now).await,
                None => Ok(()),
            };
        }
        let told = timers.iter().filter(|(at, _)| due(at) && at.ms() > opened.row.woken);
        let mut writes = Vec::new();
        for (at, event) in told {
            let (kind, told) = of_moment(&opened, *at, event, now);
            self.count_deadline(kind);
            writes.push(told);
        }
        let root = rows::Root { woken: now.ms(), ..(&opened.row).into() };
        writes.push(rows::case(self, &opened.case, root, Now::from_ms(opened.row.changed)));
        Ok(self.casebook.write(writes).await?)
    }

    /// Nothing could be done about the case now: it must not keep the others from their turn.
    async fn look_again(&self, row: CaseRow, now: Now) -> Result<(), Undone> {
        let wake = Some(now.ms() + LOOK_AGAIN_AFTER);
        Ok(self.casebook.write(vec![Write::Case(CaseRow { wake, ..row })]).await?)
    }

    fn count_deadline(&self, kind: &'static str) {
        self.metrics.deadlines.get_or_create(&DeadlineLabels { kind }).inc();
    }

    async fn act_by_the_clock(&self, opened: Opened, event: &str, now: Now) -> Result<(), Undone> {
        let (last, digest) = opened.case.last();
        let body = json!({
            "seq": last + 1,
            "prev": digest,
            "event": event,
            "at": now.secs(),
            "by": {"org": opened.case.handling().org, "officer": BY_THE_CLOCK},
            "data": {},
        });
        let admitted = self.catalog.admit::<EventBody>(&body).map_err(crate::answer::Refusal::schema)?;
        self.apply_ours(opened, admitted.get(), body, now).await.map(drop)
    }

    async fn tend_verification(&self, row: VerificationRow, now: Now) -> Result<(), Undone> {
        let _held = self.casebook.hold(&row.id).await;
        let Some(mut row) = self.casebook.verification(row.side, &row.id).await? else { return Ok(()) };
        if row.state != "open" {
            return Ok(());
        }
        let lapsed = now.ms() > row.due;
        let kind = if lapsed { "verification.lapsed" } else { "verification.due" };
        self.count_deadline(kind);
        row.wake = (!lapsed).then_some(row.due + 1000);
        if lapsed {
            row.state = "lapsed".to_owned();
        }
        let told = notice(kind, &row.case, super::verification::told(&row), now);
        if !lapsed {
            return Ok(self.casebook.write(vec![Write::Verification(row), told]).await?);
        }
        let leaf = Leaf {
            peer: Some(row.partner.clone()),
            case: Some(self.ledger.case_tag(&row.case)),
            code: Some("verification-lapsed".to_owned()),
            ..Leaf::new(LeafKind::Event)
        };
        let mut writes = vec![told];
        let opened = self.open_case(&row.case).await?.filter(|opened| opened.row.partner == row.partner);
        if let Some(opened) = &opened {
            let next = opened.case.verification_lapsed(&row.id, now);
            writes.push(super::changed(self, &opened.row, &next, now));
        }
        writes.push(Write::Verification(row));
        self.record_act(leaf, writes).await
    }
}

/// 督办: a moment came that somebody must answer for.
fn of_moment(opened: &Opened, at: Now, event: &TimerEvent, now: Now) -> (&'static str, Write) {
    let (kind, detail) = match event {
        TimerEvent::Soon => ("deadline.soon", json!(null)),
        TimerEvent::Overdue => ("deadline.overdue", json!(null)),
        TimerEvent::LegalOverdue => ("deadline.legal_overdue", json!(null)),
        TimerEvent::CommitmentDue { material } => ("commitment.due", json!({"material": material})),
        TimerEvent::SpecialOverdue => ("special.overdue", json!(null)),
        TimerEvent::RectificationDue { role, times } => {
            ("rectification.due", json!({"role": role, "times": times}))
        }
        TimerEvent::CorrectionDue { id } => ("correction.due", json!({"id": id})),
        TimerEvent::DeemedAccepted | TimerEvent::Lapse | TimerEvent::ToleranceExpired => {
            ("deadline.overdue", json!({"event": event.event()}))
        }
    };
    let told = notice(
        kind,
        opened.case.number(),
        json!({
            "case": opened.case.number(),
            "role": opened.case.role().name(),
            "state": opened.case.state().name(),
            "moment": at.secs(),
            "detail": detail,
        }),
        now,
    );
    (kind, told)
}
