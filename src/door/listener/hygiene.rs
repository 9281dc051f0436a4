//! Requests that two HTTP readers could read differently, or that ask for what no door
//! offers. hyper lets these pass to the service (security finding 4).

use hyper::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use hyper::http::uri::Authority;
use hyper::{Method, Request, StatusCode, Version};

/// The status with which to refuse an odd request, body and connection with it.
pub fn refuse_odd<B>(request: &Request<B>) -> Option<StatusCode> {
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Some(StatusCode::METHOD_NOT_ALLOWED);
    }
    let odd = !request.uri().path().starts_with('/')
        || !one_host(request)
        || request.headers().contains_key(UPGRADE)
        || !plain_framing(request)
        // `a_b` and `a-b` are one variable to many a proxy behind.
        || request.headers().keys().any(|name| name.as_str().contains('_'));
    odd.then_some(StatusCode::BAD_REQUEST)
}

/// Exactly one host is named, however often (RFC 9112 §3.2, RFC 9113 §8.3.1).
fn one_host<B>(request: &Request<B>) -> bool {
    let of_uri = request.uri().authority();
    let mut hosts = request.headers().get_all(HOST).iter();
    let of_header = match hosts.next() {
        None => None,
        Some(host) => match Authority::try_from(host.as_bytes()) {
            Ok(host) => Some(host),
            Err(_) => return false,
        },
    };
    if hosts.next().is_some()
        || [of_uri, of_header.as_ref()].iter().flatten().any(|a| a.as_str().contains('@'))
    {
        return false;
    }
    let header_needed = request.version() < Version::HTTP_2;
    match (of_uri, of_header) {
        (Some(uri), Some(header)) => *uri == header,
        (Some(_), None) => !header_needed,
        (None, Some(_)) => true,
        (None, None) => false,
    }
}

/// One way to find the body's end (RFC 9112 §6.1).
fn plain_framing<B>(request: &Request<B>) -> bool {
    let lengths = request.headers().get_all(CONTENT_LENGTH).iter().count();
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => lengths <= 1,
        (Some(coding), None) => lengths == 0 && coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(version: Version, method: &str, uri: &str, headers: &[(&str, &str)]) -> Option<u16> {
        let mut request = Request::builder().version(version).method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        refuse_odd(&request.body(()).unwrap()).map(|s| s.as_u16())
    }

    #[test]
    fn plain_requests_pass() {
        let host = ("host", "gw:8443");
        assert_eq!(refused(Version::HTTP_11, "GET", "/v1/card", &[host]), None);
        assert_eq!(refused(Version::HTTP_11, "GET", "http://GW:8443/v1/card", &[host]), None);
        assert_eq!(refused(Version::HTTP_2, "GET", "https://gw:8443/v1/card", &[]), None);
        assert_eq!(refused(Version::HTTP_11, "POST", "/x", &[host, ("content-length", "3")]), None);
        assert_eq!(refused(Version::HTTP_11, "POST", "/x", &[host, ("transfer-encoding", "Chunked")]), None);
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let host = ("host", "gw:8443");
        let h1 = |uri: &str, headers: &[(&str, &str)]| refused(Version::HTTP_11, "POST", uri, headers);
        assert_eq!(h1("/", &[]), Some(400));
        assert_eq!(h1("/", &[host, host]), Some(400));
        assert_eq!(h1("/", &[("host", "a b")]), Some(400));
        assert_eq!(h1("/", &[("host", "u@gw:8443")]), Some(400));
        assert_eq!(h1("http://other:8443/", &[host]), Some(400));
        assert_eq!(h1("http://gw:8443/", &[]), Some(400));
        assert_eq!(h1("*", &[host]), Some(400));
        assert_eq!(h1("/", &[host, ("upgrade", "h2c")]), Some(400));
        assert_eq!(h1("/", &[host, ("x_client_cert", "1")]), Some(400));
        assert_eq!(h1("/", &[host, ("transfer-encoding", "gzip, chunked")]), Some(400));
        assert_eq!(h1("/", &[host, ("transfer-encoding", "chunked"), ("content-length", "3")]), Some(400));
        assert_eq!(h1("/", &[host, ("content-length", "3"), ("content-length", "3")]), Some(400));
        assert_eq!(refused(Version::HTTP_2, "GET", "https://gw/", &[("host", "other")]), Some(400));
        assert_eq!(refused(Version::HTTP_2, "GET", "/", &[]), Some(400));
        assert_eq!(refused(Version::HTTP_11, "TRACE", "/", &[host]), Some(405));
        assert_eq!(refused(Version::HTTP_11, "CONNECT", "gw:8443", &[host]), Some(405));
    }
}
