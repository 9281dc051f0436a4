//! A small world for tests: two counties' gateways, an authority, a register, and partners
//! that say anything they like.

mod authority;
mod corpus;
mod court;
mod library;
mod local;
mod member;
mod message;
mod papers;
mod partner;
mod scene;
mod stub;
mod verdict;
mod world;

pub use authority::{IDP, LIST, LIST_INDEX, LIST_LIFE};
pub use corpus::{CANARY, REVOKED_INDEX, bent_messages};
pub use court::{Court, Remembered, Used};
pub use library::{Library, Says};
pub use local::Local;
pub use member::{COMING, Member, new_key};
pub use message::{Draft, b64, sha256};
pub use papers::*;
pub use partner::{Http, dial};
pub use scene::{Scene, holder, stage};
pub use stub::{Asked, Said, Stub};
pub use verdict::{Verdict, open};
pub use world::{NOW, World, crl, put};
