//! What the benchmarks share: two counties' directories, requests signed ahead, connections that
//! send them, the processes that are measured, and the primitives that figures are held against.
//!
//! Everything is loopback, bounded, and gone when its value goes.

pub mod county;
pub mod cpu;
pub mod document;
pub mod inside;
pub mod line;
pub mod machine;
pub mod many;
pub mod primitives;
pub mod process;
pub mod requests;
pub mod scene;
pub mod spread;
pub mod window;
