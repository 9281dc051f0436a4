//! Tongban (通办): a gateway through which counties serve each other's citizens.
//!
//! A request walks one corridor; each room knows only the rooms before it; only the
//! corridors ([`inbound`], [`outbound`]) know them all. `tests/suite/architecture.rs`
//! reads every `use crate::` and fails when a room looks the wrong way.

// Ground: plain values, time, shapes, keys, disk.
pub mod clock;
pub mod fault;
pub mod domain;
pub mod json;
pub mod folder;
pub mod account;
pub mod keys;
pub mod schema;
pub mod store;
pub mod ledger;
pub mod material;
pub mod casebook;
pub mod witness;
pub mod audit;

// Rooms, in the order a request meets them.
pub mod peer;
pub mod web;
pub mod envelope;
pub mod admission;
pub mod reconcile;
pub mod policy;
pub mod authorization;
pub mod license;
pub mod case;
pub mod relay;
pub mod webhook;
pub mod answer;

// What every corridor and door shares.
pub mod config;
pub mod telemetry;
pub mod house;

// Corridors: know every room, decide nothing.
pub mod casework;
pub mod inbound;
pub mod outbound;

// Beside the corridor: why it refused, for people.
pub mod diagnosis;

// Doors, and the whole.
pub mod door;
pub mod gateway;
pub mod cli;

// The suite that plays any gateway from outside: shares no room with ours.
pub mod conformance;
