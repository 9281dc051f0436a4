//! What the region's own systems hear of: notices, pushed to webhooks and pulled as a list.
//!
//! Promises: every notice reaches every webhook that asked for its kind at least once, those of
//! one subject in their order, signed so that the receiver can know where it came from; one
//! that cannot be told for three days is given up, and the list says so. The list has no gaps
//! and its cursors stay good. Calls go to configured addresses only, and end in time.
//! Leaves to others: what a notice says, and the routes.

mod call;
mod notice;
mod sender;
mod settings;
mod signature;
mod window;
#[cfg(test)]
mod tests;

pub use call::{Caller, CallerFault};
pub use notice::{Feed, LONGEST_PAGE, ListFault, list};
pub use sender::{Board, Shown, run};
pub use settings::{SettingsFault, WebhookSettings};
