//! How each check of protocol §3.4 ended, as far as it is known: `explain` was there and knows
//! the step; the ledger keeps the refusal's code, and a code may come from more than one step.
//!
//! Promises: a check is called passed, failed or not reached only where code, op and leaf leave
//! no other reading; what they do not tell is called open. One table says which step gives which
//! code ([`Places::of`]); a test holds it against what the judge does.

use crate::answer::Code;
use crate::envelope::Op;

use super::steps::Step;

/// How one check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Passed,
    /// Here it was refused.
    Failed,
    /// Here or at another step that is marked so.
    MayHaveFailed,
    /// Passed or not reached: the refusal came from one of two steps around it.
    Open,
    NotReached,
    /// The op asks for nothing that the step judges.
    NotAsked,
}

impl Outcome {
    /// A stable word, used in `explain --json`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::MayHaveFailed => "may-have-failed",
            Self::Open => "open",
            Self::NotReached => "not-reached",
            Self::NotAsked => "not-asked",
        }
    }
}

/// Where the corridor can stop with a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    pub steps: &'static [Step],
    /// Also behind the checks: while acting, or when the answer is recorded.
    pub acting: bool,
}

impl Places {
    /// The table. Exhaustive, so that a new code stops the build here.
    pub const fn of(code: Code) -> Self {
        use Step as S;
        let (steps, acting): (&'static [Step], bool) = match code {
            Code::NotAMember => (&[S::Member], false),
            Code::TooLarge => (&[S::Size, S::OpSize], true),
            Code::Malformed => (&[S::Characters, S::Header, S::Typ, S::Payload], false),
            Code::SignatureInvalid => (&[S::Kid, S::Alg, S::Signature], false),
            Code::UnknownOp => (&[S::Envelope], false),
            Code::IssuerMismatch => (&[S::Issuer], false),
            Code::AudienceMismatch => (&[S::Audience], false),
            Code::MessageExpired | Code::NotYetValid | Code::LifetimeTooLong => (&[S::Times], false),
            Code::Replay | Code::JtiReuse => (&[S::FirstUse], false),
            Code::NoAgreement
            | Code::UnknownItem
            | Code::ItemNotAgreed
            | Code::OpNotAgreed
            | Code::BasisNotAgreed
            | Code::RateLimited => (&[S::Agreement], false),
            Code::SchemaViolation => (&[S::Envelope, S::Body, S::License], true),
            Code::UnknownLicenseType | Code::LicenseNotAgreed | Code::FieldNotAgreed => {
                (&[S::License], false)
            }
            Code::AuthorizationMissing
            | Code::AuthorizationExpired
            | Code::AuthorizationRevoked
            | Code::AuthorizationInsufficient
            | Code::StatusStale => (&[S::Authorization], false),
            // The record found may be another holder's; another exchange may take the last use.
            Code::AuthorizationInvalid | Code::AuthorizationUsedUp => (&[S::Authorization], true),
            Code::CalendarUnpublished | Code::IllegalTransition | Code::SequenceGap => (&[S::License], true),
            Code::Overloaded => (&[S::FirstUse], true),
            Code::DuplicateCase
            | Code::UnknownCase
            | Code::RegisterUnavailable
            | Code::RegisterTimeout
            | Code::LedgerUnavailable
            | Code::RelayLoop => (&[], true),
            // Refused by the door itself, before or beside the corridor.
            Code::MediaType | Code::UnknownMaterial => (&[], false),
        };
        Self { steps, acting }
    }
}

/// Each check, when the judge itself said where it stopped.
pub fn stopped_at(stopped: Option<Step>) -> impl Iterator<Item = (Step, Outcome)> {
    Step::ALL.into_iter().map(move |step| {
        let outcome = match stopped {
            Some(at) if step == at => Outcome::Failed,
            Some(at) if step > at => Outcome::NotReached,
            _ => Outcome::Passed,
        };
        (step, outcome)
    })
}

/// What a leaf keeps of a request that was answered with a signature.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kept {
    /// The refusal; `None` of a result.
    pub code: Option<Code>,
    pub op: Option<Op>,
    /// It names the agreement that was found in force.
    pub agreement: bool,
    /// It names the license type of a body that met its schema.
    pub license: bool,
    /// It names an authorization that was found valid.
    pub authorization: bool,
}

/// What a leaf tells of each check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconstructed {
    pub checks: Vec<(Step, Outcome)>,
    /// The refusal came, or may have come, after every check.
    pub after: bool,
}

impl Kept {
    /// Each check, as far as the leaf tells.
    pub fn reconstruct(self) -> Reconstructed {
        let Some(code) = self.code else {
            let passed = |step| if self.asks_for(step) { Outcome::Passed } else { Outcome::NotAsked };
            let checks = Step::ALL.into_iter().map(|step| (step, passed(step))).collect();
            return Reconstructed { checks, after: false };
        };
        let places = Places::of(code);
        let steps: Vec<Step> = places.steps.iter().copied().filter(|step| self.may_stop_at(*step)).collect();
        let after = (places.acting && self.may_act(code)) || steps.is_empty();
        let checks = Step::ALL.into_iter().map(|step| (step, self.outcome(step, &steps, after))).collect();
        Reconstructed { checks, after }
    }

    fn outcome(self, step: Step, steps: &[Step], after: bool) -> Outcome {
        if !self.asks_for(step) {
            return Outcome::NotAsked;
        }
        match (steps.first(), steps.last()) {
            (Some(first), _) if step < *first => Outcome::Passed,
            _ if steps.contains(&step) => {
                if steps.len() == 1 && !after {
                    Outcome::Failed
                } else {
                    Outcome::MayHaveFailed
                }
            }
            (_, Some(last)) if step > *last && !after => Outcome::NotReached,
            (Some(_), _) => Outcome::Open,
            (None, _) => Outcome::Passed,
        }
    }

    /// Could this request have been stopped at `step`, and its leaf be as it is?
    fn may_stop_at(self, step: Step) -> bool {
        // Refusals up to the strict payload are unsigned and have no leaf.
        let recorded = step > Step::Payload;
        // Each names itself in the leaf once it has been found good.
        let of_agreement = if self.agreement { step > Step::Agreement } else { step <= Step::Agreement };
        let of_agreement = of_agreement || !self.needs_agreement();
        let of_license = !self.license || step >= Step::License;
        let of_authorization = !self.authorization || step >= Step::Authorization;
        let lookup = self.op == Some(Op::LicenseQuery);
        // A lookup's body is in order or not; nothing in it can disagree with the agreement's words.
        let of_lookup = !(lookup && self.code == Some(Code::SchemaViolation) && step == Step::License);
        // Only what the authorization found valid can be used up, only before it can be invalid.
        let of_use = match self.code {
            Some(Code::AuthorizationUsedUp) => self.authorization,
            Some(Code::AuthorizationInvalid) => !self.authorization,
            _ => true,
        };
        recorded
            && of_agreement
            && of_license
            && of_authorization
            && of_lookup
            && of_use
            && self.asks_for(step)
    }

    /// Could the refusal have come after every check?
    fn may_act(self, code: Code) -> bool {
        let agreed = self.agreement || !self.needs_agreement();
        let lookup = self.op == Some(Op::LicenseQuery);
        agreed
            && match code {
                Code::AuthorizationInvalid | Code::AuthorizationUsedUp => self.authorization,
                Code::SchemaViolation => !lookup && self.op != Some(Op::Ping),
                Code::TooLarge => self.op == Some(Op::LedgerReconcile),
                _ => true,
            }
    }

    fn needs_agreement(self) -> bool {
        !matches!(self.op, Some(Op::Ping | Op::LedgerReconcile))
    }

    /// Does this op ask for what the step judges?
    fn asks_for(self, step: Step) -> bool {
        let Some(op) = self.op else { return true };
        match step {
            Step::Agreement => self.needs_agreement(),
            Step::License => matches!(
                op,
                Op::LicenseQuery | Op::ApplicationSubmit | Op::ApplicationStatus | Op::VerificationRequest
            ),
            // With a legal basis other than consent there may be none.
            Step::Authorization => op == Op::LicenseQuery && (self.code.is_some() || self.authorization),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(op: Op, code: Code) -> Kept {
        Kept { code: Some(code), op: Some(op), ..Kept::default() }
    }

    /// The steps that are not simply passed, in words.
    fn told(kept: Kept) -> (Vec<String>, bool) {
        let told = kept.reconstruct();
        let not_passed = told.checks.into_iter().filter(|(_, outcome)| *outcome != Outcome::Passed);
        (
            not_passed.map(|(step, outcome)| format!("{}: {}", step.word(), outcome.word())).collect(),
            told.after,
        )
    }

    #[test]
    fn a_result_passed_everything_that_its_op_asks_for() {
        let of = |op| told(Kept { op: Some(op), agreement: true, ..Kept::default() });
        let none = |step: &str| format!("{step}: not-asked");
        assert_eq!(of(Op::Ping).0, [none("agreement"), none("license"), none("authorization")]);
        assert_eq!(of(Op::LicenseQuery).0, [none("authorization")]);
        let consented = Kept { op: Some(Op::LicenseQuery), authorization: true, ..Kept::default() };
        assert_eq!(told(consented), (vec![], false));
        assert_eq!(of(Op::ApplicationEvent).0, [none("license"), none("authorization")]);
    }

    #[test]
    fn a_code_of_one_step_stops_there() {
        let of = |code| told(kept(Op::LicenseQuery, code)).0;
        assert_eq!(
            of(Code::NoAgreement),
            ["agreement: failed", "body: not-reached", "license: not-reached", "authorization: not-reached"]
        );
        assert_eq!(of(Code::IssuerMismatch)[..2], ["issuer: failed", "audience: not-reached"]);
        let found =
            Kept { agreement: true, license: true, ..kept(Op::LicenseQuery, Code::AuthorizationExpired) };
        assert_eq!(told(found), (vec!["authorization: failed".to_owned()], false));
    }

    #[test]
    fn a_code_of_several_steps_is_placed_by_what_the_leaf_names_and_no_further() {
        let schema = kept(Op::LicenseQuery, Code::SchemaViolation);
        assert_eq!(told(schema).0[0], "envelope: failed");
        let agreed = Kept { agreement: true, ..schema };
        assert_eq!(
            told(agreed),
            (
                ["body: failed", "license: not-reached", "authorization: not-reached"]
                    .map(String::from)
                    .to_vec(),
                false
            )
        );
        // A submit's body may break its schema or the agreement, or the case as it stands.
        let submit = Kept { agreement: true, ..kept(Op::ApplicationSubmit, Code::SchemaViolation) };
        let (not_passed, after) = told(submit);
        assert_eq!(not_passed[..2], ["body: may-have-failed", "license: may-have-failed"]);
        assert!(after);
        // A ping has no agreement that could tell envelope and body apart.
        let ping = told(kept(Op::Ping, Code::SchemaViolation)).0;
        assert_eq!(ping[..3], ["envelope: may-have-failed", "issuer: open", "audience: open"]);
        assert!(ping.contains(&"body: may-have-failed".to_owned()));
    }

    #[test]
    fn what_the_record_or_the_register_refused_passed_every_check() {
        let found = Kept { agreement: true, license: true, ..kept(Op::LicenseQuery, Code::RegisterTimeout) };
        assert_eq!(told(found), (vec![], true));
        let held = Kept { authorization: true, ..found };
        assert_eq!(told(Kept { code: Some(Code::AuthorizationInvalid), ..held }), (vec![], true));
        let used = told(Kept { code: Some(Code::AuthorizationUsedUp), ..held });
        assert_eq!(
            used,
            (vec!["authorization: may-have-failed".to_owned()], true),
            "before or by another one"
        );
        let gap = Kept { agreement: true, ..kept(Op::ApplicationEvent, Code::SequenceGap) };
        let (not_passed, after) = told(gap);
        assert_eq!(
            (not_passed, after),
            (vec!["license: not-asked".into(), "authorization: not-asked".into()], true)
        );
    }

    #[test]
    fn the_judges_own_word_needs_no_table() {
        let words: Vec<_> = stopped_at(Some(Step::Kid)).map(|(_, outcome)| outcome).collect();
        assert_eq!(words.iter().filter(|o| **o == Outcome::Passed).count(), 5);
        assert_eq!(words.iter().filter(|o| **o == Outcome::Failed).count(), 1);
        assert!(stopped_at(None).all(|(_, outcome)| outcome == Outcome::Passed));
    }
}
