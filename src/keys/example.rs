//! Keys whose private half is published (`certs-example/`): good for a demonstration, an open
//! door anywhere else.

/// Thumbprints of every key under `certs-example/`, one a line.
const PUBLISHED: &[&str] = &[];

/// Whether everybody knows the private half of this key.
pub fn is_published_example(kid: &str) -> bool {
    PUBLISHED.contains(&kid)
}
