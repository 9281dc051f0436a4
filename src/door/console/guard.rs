//! What stands around every request and every answer of the console: its own host name, its
//! own pages' forms, its headers and cookies (security reference §2).

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, StatusCode};

use crate::account::Pin;
use crate::clock::Now;
use crate::config::Config;
use crate::peer::{Validity, spki_sha256};

use super::super::answer::{self, HttpAnswer};
use super::super::listener::ConnInfo;
use super::markup::is_own_path;

/// `__Host-`: this host only, over TLS only, for the whole host (RFC 6265bis §4.1.3.2).
pub const SESSION_COOKIE: &str = "__Host-session";
pub const LANG_COOKIE: &str = "__Host-lang";

/// Nothing but our own script and style; nobody may frame us; strings never become script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'";

/// No HSTS: it would hold for every port of the host name, other people's too; the session
/// cookie is refused by browsers without TLS anyway. `same-origin` and not `no-referrer`: the
/// latter makes browsers send forms with `Origin: null`.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

pub fn secured(mut answer: HttpAnswer) -> HttpAnswer {
    for (name, value) in &HEADERS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// The authority the browser believes it speaks to, if it is one of ours: a page of
/// another name that resolves to us (DNS rebinding) gets nothing.
pub fn own_host<B>(config: &Config, request: &Request<B>) -> Option<String> {
    let of_header = || request.headers().get(header::HOST)?.to_str().ok();
    let authority = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => of_header()?,
    };
    let parsed: hyper::http::uri::Authority = authority.parse().ok()?;
    let host = parsed.host().trim_matches(['[', ']']).to_ascii_lowercase();
    let section = config.console_listener.as_ref()?;
    let ours = matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1")
        || host == section.listen.ip().to_string()
        || section.hosts.iter().any(|known| known.eq_ignore_ascii_case(&host));
    ours.then(|| authority.to_owned())
}

/// The browser says that one of our own pages sent this, in one of the two ways it can, and
/// in neither way the contrary.
pub fn of_our_own_page(headers: &HeaderMap, host: &str) -> bool {
    let one = |name: HeaderName| {
        let mut values = headers.get_all(name).iter();
        let first = values.next();
        (first, values.next().is_some())
    };
    let (site, more_sites) = one(HeaderName::from_static("sec-fetch-site"));
    let (origin, more_origins) = one(header::ORIGIN);
    let site_fits = site.map(|site| site == "same-origin");
    let origin_fits = origin.map(|origin| origin.as_bytes() == format!("https://{host}").as_bytes());
    !more_sites
        && !more_origins
        && match (site_fits, origin_fits) {
            (None, None) => false,
            (site, origin) => site.unwrap_or(true) && origin.unwrap_or(true),
        }
}

/// The key of the certificate that this connection showed, while the certificate is valid.
pub fn shown_pin(conn: &ConnInfo, now: Now) -> Option<Pin> {
    let leaf = conn.chain()?.first()?;
    let validity = Validity::of(leaf)?;
    (validity.not_before..=validity.not_after).contains(&now.secs()).then(|| spki_sha256(leaf)).flatten()
}

/// Leads the browser to another page of ours (after a POST, or home).
pub fn see_other(path: &str) -> HttpAnswer {
    let mut answer = answer::empty(StatusCode::SEE_OTHER);
    let path = if is_own_path(path) { path } else { "/" };
    let location = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    answer.headers_mut().insert(header::LOCATION, location);
    answer
}

/// Sets a cookie of ours; `None` forgets it. It lives as long as the browser runs, unless
/// told how many seconds.
pub fn set_cookie(
    mut answer: HttpAnswer,
    name: &str,
    value: Option<&str>,
    seconds: Option<u32>,
) -> HttpAnswer {
    let life = match (value, seconds) {
        (None, _) => "; Max-Age=0".to_owned(),
        (Some(_), Some(seconds)) => format!("; Max-Age={seconds}"),
        (Some(_), None) => String::new(),
    };
    let text =
        format!("{name}={}; Path=/; Secure; HttpOnly; SameSite=Strict{life}", value.unwrap_or_default());
    if let Ok(text) = HeaderValue::from_str(&text) {
        answer.headers_mut().append(header::SET_COOKIE, text);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_a_form_of_our_own_page_is_taken() {
        let own = |pairs: &[(&'static str, &'static str)]| of_our_own_page(&headers(pairs), "console:8081");
        let (site, origin) = ("sec-fetch-site", "origin");
        assert!(own(&[(site, "same-origin"), (origin, "https://console:8081")]));
        assert!(own(&[(site, "same-origin")]) && own(&[(origin, "https://console:8081")]));
        for wrong in [
            &[][..],
            &[(site, "cross-site")],
            &[(site, "same-site"), (origin, "https://console:8081")],
            &[(site, "same-origin"), (origin, "https://evil.example")],
            &[(origin, "null")],
            &[(origin, "http://console:8081")],
            &[(origin, "https://console:8081"), (origin, "https://evil.example")],
            &[(site, "none"), (origin, "https://console:8081")],
        ] {
            assert!(!own(wrong), "{wrong:?}");
        }
    }
}
