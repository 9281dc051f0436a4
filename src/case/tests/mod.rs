//! A case told from its messages.

mod messages;
mod scene;
