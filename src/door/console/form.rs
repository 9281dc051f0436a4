//! What a browser sends with a request: the fields of a form or a query, and cookies.
//!
//! Promises: bounded; a name stands once (the first counts); what is not UTF-8 is not there.

/// Bytes of a form: a purpose, an order number and a search fit many times.
pub const LARGEST_FORM: usize = 16 * 1024;
/// Fields of a form.
const MOST_FIELDS: usize = 64;

/// Decoded fields of a form or a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads `application/x-www-form-urlencoded`.
    pub fn parse(encoded: &[u8]) -> Self {
        let pairs = encoded.split(|b| *b == b'&').take(MOST_FIELDS).filter(|pair| !pair.is_empty());
        let fields = pairs.filter_map(|pair| {
            let (name, value) = match pair.iter().position(|b| *b == b'=') {
                Some(at) => (pair.get(..at)?, pair.get(at + 1..)?),
                None => (pair, &[][..]),
            };
            Some((decode(name)?, decode(value)?))
        });
        Self(fields.collect())
    }

    /// The field's value, trimmed; absent and empty are one.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }
}

/// Percent-decoding as forms do it.
fn decode(encoded: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The decoded text of one path segment.
pub fn decode_segment(encoded: &str) -> Option<String> {
    // A plus sign in a path is itself.
    decode(encoded.replace('+', "%2B").as_bytes())
}

/// One cookie of the `Cookie` headers. A name that stands twice is not believed.
pub fn cookie<'h>(headers: &'h hyper::HeaderMap, name: &str) -> Option<&'h str> {
    let mut found = headers
        .get_all(hyper::header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(known, _)| *known == name)
        .map(|(_, value)| value);
    let only = found.next()?;
    found.next().is_none().then_some(only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_what_cannot_be_is_not_there() {
        let fields = Fields::parse("q=%E5%92%B8%E5%AE%89+1&empty=&q=other&bad=%ff&cut=%4&flag".as_bytes());
        assert_eq!(fields.get("q"), Some("咸安 1"));
        for absent in ["empty", "bad", "cut", "flag", "none"] {
            assert_eq!(fields.get(absent), None, "{absent}");
        }
        assert_eq!(Fields::parse(&b"a=1&".repeat(100)).0.len(), MOST_FIELDS);
        assert_eq!(decode_segment("a+b%2Fc").as_deref(), Some("a+b/c"));
    }

    #[test]
    fn a_cookie_is_one_cookie() {
        let mut headers = hyper::HeaderMap::new();
        headers.insert(hyper::header::COOKIE, "a=1; __Host-x=yes".parse().unwrap());
        assert_eq!(cookie(&headers, "__Host-x"), Some("yes"));
        headers.append(hyper::header::COOKIE, "__Host-x=no".parse().unwrap());
        assert_eq!(cookie(&headers, "__Host-x"), None);
    }
}
