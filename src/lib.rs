//! Tongban (通办): a gateway through which counties serve each other's citizens.
//!
//! A request walks one corridor; each room knows only the rooms before it; only the
//! corridor ([`inbound`], [`outbound`]) knows them all. `tests/suite/architecture.rs`
//! reads every `use crate::` and fails when a room looks the wrong way.

// Ground: plain values, time, keys, shapes, disk.
pub mod clock;
pub mod domain;
pub mod fault;
pub mod folder;
pub mod json;
pub mod keys;
pub mod ledger;
pub mod schema;
pub mod store;

// Rooms, in the order a request meets them.
pub mod answer;
pub mod authorization;
pub mod envelope;
pub mod license;
pub mod peer;
pub mod policy;

// Doors.
pub mod door;
// The whole.
pub mod config;
