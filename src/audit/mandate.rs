//! Who acts at the desk, and why: without a [`Mandate`] nothing is done.
//!
//! Promises: a purpose and an order number of sensible length, and a role that may do what is
//! asked. Leaves who an account is to [`crate::account`], and the record to the registers.

use super::DeskFault;
use super::entry::Act;
use crate::account::{Account, Role};
use crate::domain::check_resident_id;

/// Characters of a purpose: a sentence, not an essay (protocol §12 has the same for requests).
pub const LONGEST_PURPOSE: usize = 200;
/// Characters of an order or case number.
pub const LONGEST_ORDER: usize = 64;
/// Characters of a resident's number, which stands in no free text of ours.
const RESIDENT_ID: usize = 18;

/// May this role do `act`? Finding and destroying are never in one hand, and who runs the
/// machine sees no exchange.
const fn may(role: Role, act: Act) -> bool {
    match act {
        Act::Search | Act::Subject | Act::Authorization | Act::Export | Act::Warrant => {
            matches!(role, Role::Audit)
        }
        Act::Completeness | Act::Sample | Act::Open | Act::Hold => {
            matches!(role, Role::Audit | Role::Security)
        }
        Act::Erase | Act::Restrict | Act::Release => matches!(role, Role::Security),
        Act::Drop => matches!(role, Role::System | Role::Security),
    }
}

/// An account at work, or the gateway itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    name: String,
    role: Role,
}

impl Actor {
    /// An account that is in force.
    pub fn of(account: &Account) -> Self {
        Self::new(account.name().to_owned(), account.role())
    }

    pub(super) fn new(name: String, role: Role) -> Self {
        Self { name, role }
    }

    pub(super) fn may(&self, act: Act) -> bool {
        may(self.role, act)
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
        if self.by.may(act) { Ok(()) } else { Err(DeskFault::NotAllowed) }
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
        assert!(Mandate::new(auditor(), "核查", "421202202611220002").is_ok());
    }

    #[test]
    fn who_finds_does_not_destroy_and_who_runs_the_machine_sees_nothing() {
        for act in [Act::Search, Act::Subject, Act::Authorization, Act::Export, Act::Warrant, Act::Open] {
            assert!(may(Role::Audit, act) && !may(Role::System, act), "{act:?}");
        }
        for act in [Act::Erase, Act::Restrict, Act::Release] {
            assert!(may(Role::Security, act) && !may(Role::Audit, act) && !may(Role::System, act), "{act:?}");
        }
        assert!(!may(Role::Security, Act::Search) && may(Role::Security, Act::Open));
    }
}
