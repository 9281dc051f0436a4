//! A small world for tests: two counties' gateways, an authority, a register, and partners
//! that say anything they like.

mod authority;
mod library;
mod local;
mod member;
mod message;
mod papers;
mod partner;
mod verdict;
mod world;

pub use authority::{IDP, LIST, LIST_INDEX};
pub use library::Library;
pub use local::Local;
pub use member::Member;
pub use message::{Draft, b64, sha256};
pub use papers::*;
pub use partner::{Http, Line, Told, dial};
pub use verdict::{Due, Verdict};
pub use world::{Gateway, NOW, World, WorldPlan};
