//! Addresses and bodies with places for what is asked: `{type}`, `{holder_type}`,
//! `{holder_number}`, `{license_id}`.
//!
//! Promises: a value never becomes syntax (percent-encoded in addresses, inside JSON strings
//! in bodies), and no place stands in the scheme or the host.

use serde_json::Value;

use super::super::Ask;

/// What may stand in a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Type,
    HolderType,
    HolderNumber,
    LicenseId,
}

impl Place {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "type" => Self::Type,
            "holder_type" => Self::HolderType,
            "holder_number" => Self::HolderNumber,
            "license_id" => Self::LicenseId,
            _ => return None,
        })
    }

    /// Empty where the question has no such value.
    fn value(self, ask: &Ask) -> &str {
        match (self, ask) {
            (Self::Type, _) => ask.license_type(),
            (Self::HolderType, Ask::Holder { kind, .. }) => kind,
            (Self::HolderNumber, Ask::Holder { number, .. }) => number,
            (Self::LicenseId, Ask::Id { license_id, .. }) => license_id,
            _ => "",
        }
    }
}

enum Part {
    Text(String),
    Place(Place),
}

/// A text with places.
struct Template(Vec<Part>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnknownPlace;

impl Template {
    fn parse(mut text: &str) -> Result<Self, UnknownPlace> {
        let mut parts = Vec::new();
        while let Some((before, rest)) = text.split_once('{') {
            let (name, after) = rest.split_once('}').ok_or(UnknownPlace)?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Place(Place::named(name).ok_or(UnknownPlace)?));
            text = after;
        }
        parts.push(Part::Text(text.to_owned()));
        Ok(Self(parts))
    }

    fn has(&self, wanted: Place) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Place(place) if *place == wanted))
    }

    fn filled(&self, ask: &Ask, encode: impl Fn(&str, &mut String)) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Place(place) => encode(place.value(ask), &mut text),
            }
        }
        text
    }
}

/// An address with places after its host.
pub(super) struct UrlTemplate {
    template: Template,
    https: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UrlFault {
    Place,
    /// Not `http://` or `https://` with a fixed host, or with user and password in it.
    Address,
}

impl UrlTemplate {
    pub fn parse(text: &str) -> Result<Self, UrlFault> {
        let (https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(UrlFault::Address),
        };
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        if host.is_empty() || host.contains(['{', '}', '@', '#']) || text.contains('#') {
            return Err(UrlFault::Address);
        }
        let template = Template::parse(text).map_err(|UnknownPlace| UrlFault::Place)?;
        let sample = Ask::Id { license_type: "0".into(), license_id: "0".into() };
        let url = Self { template, https };
        url.filled(&sample).parse::<hyper::Uri>().map_err(|_| UrlFault::Address)?;
        Ok(url)
    }

    pub fn is_https(&self) -> bool {
        self.https
    }

    pub fn has(&self, place: Place) -> bool {
        self.template.has(place)
    }

    pub fn filled(&self, ask: &Ask) -> String {
        self.template.filled(ask, percent_encode)
    }
}

/// A JSON body whose strings have places.
pub(super) struct BodyTemplate(BodyNode);

enum BodyNode {
    Fixed(Value),
    Text(Template),
    List(Vec<BodyNode>),
    Members(Vec<(String, BodyNode)>),
}

impl BodyTemplate {
    pub fn parse(body: &Value) -> Result<Self, UnknownPlace> {
        Ok(Self(BodyNode::parse(body)?))
    }

    pub fn has(&self, place: Place) -> bool {
        self.0.has(place)
    }

    pub fn filled(&self, ask: &Ask) -> Vec<u8> {
        self.0.filled(ask).to_string().into_bytes()
    }
}

impl BodyNode {
    fn parse(value: &Value) -> Result<Self, UnknownPlace> {
        Ok(match value {
            Value::String(text) => Self::Text(Template::parse(text)?),
            Value::Array(items) => Self::List(items.iter().map(Self::parse).collect::<Result<_, _>>()?),
            Value::Object(members) => Self::Members(
                members
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), Self::parse(value)?)))
                    .collect::<Result<_, _>>()?,
            ),
            fixed => Self::Fixed(fixed.clone()),
        })
    }

    fn has(&self, place: Place) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Text(template) => template.has(place),
            Self::List(items) => items.iter().any(|item| item.has(place)),
            Self::Members(members) => members.iter().any(|(_, value)| value.has(place)),
        }
    }

    fn filled(&self, ask: &Ask) -> Value {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(template) => Value::String(template.filled(ask, |value, text| text.push_str(value))),
            Self::List(items) => Value::Array(items.iter().map(|item| item.filled(ask)).collect()),
            Self::Members(members) => {
                Value::Object(members.iter().map(|(name, value)| (name.clone(), value.filled(ask))).collect())
            }
        }
    }
}

/// RFC 3986 §2.1: everything but the unreserved characters.
fn percent_encode(value: &str, text: &mut String) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |half: u8| HEX.get(usize::from(half)).copied().unwrap_or('0');
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.extend(['%', digit(byte >> 4), digit(byte & 0x0f)]);
        }
    }
}
