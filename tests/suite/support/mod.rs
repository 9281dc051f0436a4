//! A small world for tests: two counties' gateways, an authority, a register, and partners
//! that say anything they like.

mod answerer;
mod auditors;
mod authority;
mod browser;
mod cases;
mod corpus;
mod court;
mod leaves;
mod library;
mod local;
mod member;
mod message;
mod papers;
mod partner;
mod scene;
mod verdict;
mod world;

pub use answerer::{Answerer, Heard, RESPONSE_TYPE, answer_to, http};
pub use auditors::*;
pub use authority::{IDP, LIST, LIST_INDEX, LIST_LIFE};
pub use browser::{Browser, account_file, form, open_account};
pub use cases::*;
pub use corpus::{CANARY, Case, REVOKED_INDEX, bent_messages, hostile_lookup};
pub use court::{Court, Remembered, Used};
pub use library::{Library, Says};
pub use local::Local;
pub use member::{COMING, Member, new_key, with_keys};
pub use message::{Draft, b64, sha256};
pub use papers::*;
pub use partner::{Http, Line, Told, dial, shown_certificate};
pub use scene::{Scene, holder, stage};

pub use verdict::{Due, Verdict, open};
pub use world::{Gateway, NOW, World, WorldPlan, crl, put};
