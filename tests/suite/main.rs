//! The promises of the gateway, each to somebody: one file a promise, names are sentences.
//!
//! `support/` starts real gateways in this process: fresh keys and certificates, doors on
//! loopback, a clock that a test moves by hand. No test sleeps, and none needs another.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that goes wrong shall stop at once and say where"
)]
#![allow(
    dead_code,
    unused_imports,
    clippy::allow_attributes,
    reason = "the support is one box of tools for all files; each takes what it needs"
)]

mod process;
mod support;

mod advised;
mod applications;
mod applications_again;
mod applications_local;
mod applications_proposed;
mod applications_lives;
mod applications_refused;
mod architecture;
mod asking;
mod audit_desk;
mod backlog;
mod both_sides;
mod built;
mod checks;
mod concurrency;
mod conformance;
mod console;
mod conformance_catalogue;
mod cli;
mod crash;
mod deadlines;
mod demo;
mod described;
mod explain;
mod faults;
mod foreign_vectors;
mod history;
mod kills;
mod lookup;
mod material;
mod matrix;
mod order;
mod overload;
mod own_keys;
mod power;
mod proof;
mod redeem;
mod published;
mod reconciling;
mod refusals;
mod relaying;
mod restart;
mod vectors;
mod vectors_ledger;
mod vectors_values;
mod sandbox;
mod tamper;
mod verifications;
mod withdrawal;
mod witness;
