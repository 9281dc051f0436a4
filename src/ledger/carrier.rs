//! Deeds: what a commit holds besides its leaf, on its way into another file.
//!
//! SQLite does not commit atomically across files, and cases outlive the month files of the
//! log. So the work of an exchange on a case is made durable *with its leaf* and carried into
//! the casebook afterwards, in the order of the log; after a crash the rest is carried again.

use crate::store::{Deed, Mark};

/// Takes deeds where they belong. Called by the ledger's writer after each commit.
pub trait Carrier: Send {
    /// Deeds that have just become durable, in the order of the log. Blocks when the carrier
    /// is behind: no queue grows without bound.
    fn carry(&mut self, deeds: Vec<Deed>);

    /// Up to where deeds stand durably in their place; the log may forget those.
    fn carried(&self) -> Option<Mark>;
}

/// A ledger of exchanges without cases.
pub(super) struct Nobody;

impl Carrier for Nobody {
    fn carry(&mut self, _: Vec<Deed>) {}

    fn carried(&self) -> Option<Mark> {
        None
    }
}
