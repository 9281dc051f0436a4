//! Who acts at the desk, and why: without a [`Mandate`] nothing is done.
//!
//! Promises: a purpose and an order number of sensible length, and a role that may do what is
//! asked. Leaves who an account is to [`super::Accounts`], and the record to the registers.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::DeskFault;
use super::entry::Act;
use crate::domain::check_resident_id;

/// Characters of a purpose: a sentence, not an essay (protocol §12 has the same for requests).
pub const LONGEST_PURPOSE: usize = 200;
/// Characters of an order or case number.
pub const LONGEST_ORDER: usize = 64;
/// Characters of a resident's number, which stands in no free text of ours.
const RESIDENT_ID: usize = 18;

/// What an account may do. One person holds one (等保: system, audit, security administrator).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// 系统管理员: runs the machine and sees no exchange.
    System,
    /// 审计管理员: searches, asks for evidence, exports, checks.
    Audit,
    /// 安全管理员: approves openings, erases, holds.
    Security,
}

impl Role {
    pub const fn word(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Audit => "audit",
            Self::Security => "security",
        }
    }

    /// May this role do `act`? Finding and destroying are never in one hand.
    pub const fn may(self, act: Act) -> bool {
        match act {
            Act::Search | Act::Subject | Act::Authorization | Act::Export | Act::Warrant => {
                matches!(self, Self::Audit)
            }
            Act::Completeness | Act::Sample | Act::Open | Act::Hold => {
                matches!(self, Self::Audit | Self::Security)
            }
            Act::Erase | Act::Restrict | Act::Release => matches!(self, Self::Security),
            Act::Drop => matches!(self, Self::System | Self::Security),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// An account at work: made by [`super::Accounts::actor`], or the gateway itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    name: String,
    role: Role,
}

impl Actor {
    pub(super) fn new(name: String, role: Role) -> Self {
        Self { name, role }
    }

    /// The gateway, for what the calendar asks of it. No account can have this name.
    pub fn gateway() -> Self {
        Self { name: "(gateway)".to_owned(), role: Role::System }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn role(&self) -> Role {
        self.role
    }
}

/// Somebody with a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mandate {
    by: Actor,
    purpose: String,
    order: String,
}

impl Mandate {
    /// `purpose` says what for, `order` names the paper that asks for it.
    pub fn new(by: Actor, purpose: &str, order: &str) -> Result<Self, DeskFault> {
        let (purpose, order) = (purpose.trim(), order.trim());
        let fits = |text: &str, longest: usize| {
            (1..=longest).contains(&text.chars().count()) && !text.chars().any(char::is_control)
        };
        if !fits(purpose, LONGEST_PURPOSE) {
            return Err(DeskFault::Purpose);
        }
        if !fits(order, LONGEST_ORDER) {
            return Err(DeskFault::Order);
        }
        // The registers outlive an erasure: nobody's number may stand in them.
        if names_a_resident(purpose) || names_a_resident(order) {
            return Err(DeskFault::PersonalData);
        }
        Ok(Self { by, purpose: purpose.to_owned(), order: order.to_owned() })
    }

    pub fn by(&self) -> &Actor {
        &self.by
    }

    pub fn purpose(&self) -> &str {
        &self.purpose
    }

    pub fn order(&self) -> &str {
        &self.order
    }

    pub(super) fn may(&self, act: Act) -> Result<(), DeskFault> {
        if self.by.role.may(act) { Ok(()) } else { Err(DeskFault::NotAllowed) }
    }
}

/// Somewhere in the text stands a valid resident's number.
fn names_a_resident(text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    characters.windows(RESIDENT_ID).any(|window| {
        let window: String = window.iter().collect();
        check_resident_id(&window.to_ascii_uppercase()).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auditor() -> Actor {
        Actor::new("li-auditor".into(), Role::Audit)
    }

    #[test]
    fn nothing_is_done_without_a_purpose_and_an_order() {
        assert!(Mandate::new(auditor(), "核查", "咸公开〔2026〕12号").is_ok());
        let long = "因".repeat(LONGEST_PURPOSE + 1);
        for (purpose, order, fault) in [
            ("", "1", DeskFault::Purpose),
            ("  ", "1", DeskFault::Purpose),
            (long.as_str(), "1", DeskFault::Purpose),
            ("a\nb", "1", DeskFault::Purpose),
            ("核查", "", DeskFault::Order),
            ("核查", &"1".repeat(LONGEST_ORDER + 1), DeskFault::Order),
        ] {
            assert_eq!(Mandate::new(auditor(), purpose, order), Err(fault), "{purpose} {order}");
        }
    }

    #[test]
    fn a_residents_number_is_no_purpose() {
        let number = "42120219000101001X";
        assert_eq!(check_resident_id(number), Ok(()));
        let told = format!("查{number}的记录");
        assert_eq!(Mandate::new(auditor(), &told, "1"), Err(DeskFault::PersonalData));
        assert_eq!(Mandate::new(auditor(), "核查", number), Err(DeskFault::PersonalData));
        assert!(Mandate::new(auditor(), "核查", "421202202611220001").is_ok());
    }

    #[test]
    fn who_finds_does_not_destroy_and_who_runs_the_machine_sees_nothing() {
        for act in [Act::Search, Act::Subject, Act::Authorization, Act::Export, Act::Warrant, Act::Open] {
            assert!(Role::Audit.may(act) && !Role::System.may(act), "{act:?}");
        }
        for act in [Act::Erase, Act::Restrict, Act::Release] {
            assert!(Role::Security.may(act) && !Role::Audit.may(act) && !Role::System.may(act), "{act:?}");
        }
        assert!(!Role::Security.may(Act::Search) && Role::Security.may(Act::Open));
    }
}
