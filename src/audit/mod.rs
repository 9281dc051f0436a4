//! What auditors do with the log: take evidence out of it in packages that anybody can check.
//!
//! Looks at the ground only; doors and the command line come here.

pub mod package;
