//! Two partners compare what each of them logged of their exchanges, window by window, so that a
//! deletion on one side is shown by the other side's data alone (protocol §7.4).
//!
//! Promises: both sides compute the same bytes from their own leaves; a window is agreed only
//! by a note that both ledger keys have signed; what differs is named by what it is and with
//! the proof that stands behind it. Knows leaves and notes, nothing of messages. Leaves
//! asking and answering to the corridors, and when to ask to the gateway.

mod book;
mod classify;
mod item;
mod note;
pub mod proof;
mod proposal;
mod window;

pub use book::{
    Book, BookFault, Day, DifferenceRow, Hour, MOST_ITEMS, Mine, Own, PairState, State, Verdict, WindowRow,
    days, hours, windows_between,
};
pub use classify::{Difference, DifferenceKind, Settlement, compare, settle};
pub use item::{Item, ItemText, Outcome, moment, root};
pub use note::{Statement, StatementFault, joined};
pub use proposal::{MOST_ANSWERS, PAGE, Proposal, Told, page};
pub use window::{ENOUGH, MOST_SECONDS, SETTLED_AFTER, Window, WindowFault};
