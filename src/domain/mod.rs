//! The field's plain values: parsed once, never validated twice.

mod region;

pub use region::{Region, RegionFault};
