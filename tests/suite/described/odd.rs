//! What chance does to a call: payloads that are no longer strict JSON, and HTTP that no
//! partner would speak.

use super::shapes::Chance;
use crate::support::*;

/// One call and what it was meant to be.
#[derive(Clone, Default)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Of a message, its op.
    pub op: Option<String>,
    /// The path is one that the door knows.
    pub placed: bool,
    /// Something was done to its HTTP.
    pub odd: bool,
}

impl Call {
    /// For the message of a failure.
    pub fn shown(&self) -> String {
        use base64::Engine as _;
        let text = String::from_utf8_lossy(&self.body).into_owned();
        let payload = text.split('.').nth(1).filter(|_| self.op.is_some());
        let payload =
            payload.and_then(|part| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).ok());
        let body = payload.map_or(text, |payload| String::from_utf8_lossy(&payload).into_owned());
        let cut = |text: &str| text.chars().take(120).collect::<String>();
        let headers: Vec<String> =
            self.headers.iter().map(|(name, value)| format!("{name}: {}", cut(value))).collect();
        format!("{} {} {headers:?} {body}", self.method, self.path)
    }

    /// HTTP's own word about HTTP that no caller in order speaks: a place that is none, another
    /// method, a head too large. It has no body.
    pub fn refused_by_http(&self, told: &Told) -> bool {
        let placeless = told.status == 404 && !self.placed;
        let odd = self.odd && [400, 404, 405, 414, 431].contains(&told.status);
        told.body.is_empty() && (placeless || odd)
    }
}

/// JSON text that is not quite what it was, or not JSON at all.
pub fn garbled(text: String, chance: &mut Chance) -> Vec<u8> {
    let inside = |more: &str| format!("{}{more}}}", text.strip_suffix('}').unwrap_or(&text)).into_bytes();
    let nested = |depth: usize| inside(&format!(",\"deep\":{}1{}", "[".repeat(depth), "]".repeat(depth)));
    match chance.below(18) {
        0 => inside(",\"ver\":1"),
        1 => inside(",\"v\\u0065r\":1"),
        2 => nested(11),
        3 => nested(13),
        4 => nested(5000),
        5 => inside(&format!(",\"many\":[{}1]", "1,".repeat(2500))),
        6 => inside(",\"n\":1e5"),
        7 => inside(",\"n\":-0"),
        8 => inside(",\"n\":9007199254740993"),
        9 => inside(",\"s\":\"\\ud800\""),
        10 => inside(",\"s\":\"\\u202e\\ufeff\""),
        11 => [&b"\xef\xbb\xbf"[..], text.as_bytes()].concat(),
        12 => format!("{text} {{}}").into_bytes(),
        13 => text.as_bytes().iter().copied().take(text.len() / 2).collect(),
        14 => [text.as_bytes(), b"\xff"].concat(),
        15 => format!("{text}{}", " ".repeat(40_000)).into_bytes(),
        16 => format!("{text}{}", " ".repeat(250_000)).into_bytes(),
        _ => (*chance.pick(&["", "null", "[]", "1", "\"x\"", "{}"])).as_bytes().to_vec(),
    }
}

/// Something is done to HTTP: method, path, headers or the body's length.
pub fn distort(call: &mut Call, chance: &mut Chance) {
    call.odd = true;
    match chance.below(9) {
        0 | 1 => {
            call.method = (*chance
                .pick(&["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW"]))
            .to_owned()
        }
        2 => {
            call.placed = false;
            let more = *chance.pick(&["?x=1", "/", "//", "/..", "%2e", "?", "%00", ";a=b"]);
            call.path.push_str(more);
        }
        3 => {
            call.placed = false;
            call.path = (*chance.pick(&[
                "/",
                "/v1",
                "/v2/exchange",
                "/V1/EXCHANGE",
                "//v1/exchange",
                "/v1/%65xchange",
            ]))
            .to_owned();
        }
        4 => {
            let kinds = [
                "",
                "text/plain",
                "application/json",
                "application/tongban-request+jwt; a=b",
                "APPLICATION/TONGBAN-REQUEST+JWT",
                "*/*",
                "\u{e9}",
            ];
            call.headers.retain(|(name, _)| name != "content-type");
            call.headers.push(("content-type".into(), (*chance.pick(&kinds)).into()));
        }
        5 => call.headers.push(("content-type".into(), "application/tongban-request+jwt".into())),
        6 => {
            let odd = [
                ("content-encoding", "gzip"),
                ("content-encoding", "identity"),
                ("expect", "100-continue"),
                ("range", "bytes=0-1"),
                ("if-none-match", "*"),
                ("accept", "image/png"),
                ("accept-encoding", "br"),
                ("x-http-method-override", "DELETE"),
                ("forwarded", "for=1.2.3.4"),
            ];
            let (name, value) = *chance.pick(&odd);
            call.headers.push((name.into(), value.into()));
        }
        7 => call.headers.push(("x-long".into(), "a".repeat(*chance.pick(&[100, 4000, 30_000])))),
        _ => call.body.resize(*chance.pick(&[0, 1, 262_144, 262_145, 400_000]), b'A'),
    }
}
