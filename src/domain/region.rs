//! Administrative divisions (GB/T 2260).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A current six-digit GB/T 2260 code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region([u8; 6]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegionFault {
    #[error("a region is six ASCII digits")]
    Format,
    #[error("no such region is in force")]
    Unknown,
}

impl Region {
    pub fn parse(text: &str) -> Result<Self, RegionFault> {
        let digits: [u8; 6] = text.as_bytes().try_into().map_err(|_| RegionFault::Format)?;
        if digits.iter().all(u8::is_ascii_digit) { Ok(Self(digits)) } else { Err(RegionFault::Format) }
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("000000")
    }

    /// `urn:tongban:gw:<region>` (protocol §1).
    pub fn gateway_urn(&self) -> String {
        format!("urn:tongban:gw:{}", self.as_str())
    }

    pub fn from_gateway_urn(urn: &str) -> Option<Self> {
        Self::parse(urn.strip_prefix("urn:tongban:gw:")?).ok()
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({})", self.as_str())
    }
}

impl Serialize for Region {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(d)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
