//! The doors: where bytes from outside become requests, and answers become bytes.

pub mod admin;
pub mod answer;
pub mod console;
mod explained;
pub mod listener;
pub mod local;
pub mod material;
pub mod ops;
pub mod partner;
mod unbroken;
pub mod witness;
