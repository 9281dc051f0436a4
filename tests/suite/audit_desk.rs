//! To auditors, and to those they look at: nothing is searched, opened, held or erased without
//! a person, a reason and a leaf that says so; what is erased is gone; nothing personal lies
//! where it can be read.

mod erasing;
mod finding;
mod opening;
mod quiet;
mod retention;
