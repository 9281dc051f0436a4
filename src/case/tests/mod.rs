//! A case told from its messages.

mod deadlines;
mod life;
mod messages;
mod scene;
