//! Administrative divisions (GB/T 2260): codes in force for a message's regions, codes of
//! any time for the address part of an ID number.

use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A six-digit GB/T 2260 code in force: a county, or `xxyy00` a city, or `xx0000` a province.
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
        let code = number(text).ok_or(RegionFault::Format)?;
        if CURRENT.name(code).is_none() {
            return Err(RegionFault::Unknown);
        }
        text.as_bytes().try_into().map(Self).map_err(|_| RegionFault::Format)
    }

    /// The name alone, as the standard has it: `咸安区`.
    pub fn name(&self) -> &'static str {
        number(self.as_str()).and_then(|code| CURRENT.name(code)).unwrap_or_default()
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

/// Whether an ID number may begin with these six digits: the code of a region that exists
/// or once existed, or of the residence permits of Hong Kong, Macau and Taiwan.
pub fn address_existed(prefix: &str) -> bool {
    number(prefix).is_some_and(|code| CURRENT.name(code).or_else(|| HISTORIC.name(code)).is_some())
}

/// Six ASCII digits as a number.
fn number(text: &str) -> Option<u32> {
    let six = text.len() == 6 && text.bytes().all(|c| c.is_ascii_digit());
    if six { text.parse().ok() } else { None }
}

static CURRENT: LazyLock<Table> =
    LazyLock::new(|| Table::read(include_str!("../../schemas/regions/current.tsv")));
static HISTORIC: LazyLock<Table> =
    LazyLock::new(|| Table::read(include_str!("../../schemas/regions/historic.tsv")));

/// Codes in ascending order, as the generator writes them.
struct Table(Vec<(u32, &'static str)>);

impl Table {
    fn read(text: &'static str) -> Self {
        Self(
            text.lines()
                .filter_map(|line| line.split_once('\t'))
                .filter_map(|(code, name)| Some((number(code)?, name)))
                .collect(),
        )
    }

    fn name(&self, code: u32) -> Option<&'static str> {
        let at = self.0.binary_search_by_key(&code, |row| row.0).ok()?;
        self.0.get(at).map(|row| row.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_a_code_in_force() {
        for (code, name) in [
            ("331083", "玉环市"),
            ("421202", "咸安区"),
            ("320922", "滨海县"),
            ("150421", "阿鲁科尔沁旗"),
            ("440703", "蓬江区"),
            ("420600", "襄阳市"),
            ("420000", "湖北省"),
            ("441900", "东莞市"),
            ("442000", "中山市"),
            ("460400", "儋州市"),
            ("620200", "嘉峪关市"),
        ] {
            assert_eq!(Region::parse(code).unwrap().name(), name);
        }
        for code in ["331021", "422301", "990101", "830000", "130171", "110100", "000000"] {
            assert_eq!(Region::parse(code), Err(RegionFault::Unknown), "{code}");
        }
        for code in ["", "42120", "4212020", "42120a", "４２１２０２", "+42120"] {
            assert_eq!(Region::parse(code), Err(RegionFault::Format), "{code}");
        }
    }

    #[test]
    fn an_address_counts_when_it_existed_at_any_time() {
        for code in [
            "331083", "331021", "332627", "332727", "422301", "422321", "322322", "152421", "442702",
            "810000", "820000", "830000", "420600",
        ] {
            assert!(address_existed(code), "{code}");
        }
        assert!(!address_existed("990101"));
        assert!(!address_existed("42120"));
    }

    #[test]
    fn the_tables_are_sorted_whole_and_apart() {
        for table in [&CURRENT, &HISTORIC] {
            assert!(table.0.windows(2).all(|pair| pair[0].0 < pair[1].0));
            assert!(table.0.iter().all(|(_, name)| !name.is_empty()));
        }
        assert_eq!(CURRENT.0.len(), include_str!("../../schemas/regions/current.tsv").lines().count());
        assert_eq!(HISTORIC.0.len(), include_str!("../../schemas/regions/historic.tsv").lines().count());
        assert!(CURRENT.0.len() > 3000 && HISTORIC.0.len() > 3000);
        assert!(HISTORIC.0.iter().all(|(code, _)| CURRENT.name(*code).is_none()));
    }

    #[test]
    fn a_gateway_urn_leads_back_to_its_region() {
        let region = Region::parse("421202").unwrap();
        assert_eq!(Region::from_gateway_urn(&region.gateway_urn()), Some(region));
        assert_eq!(Region::from_gateway_urn("urn:tongban:gw:331021"), None);
    }
}
