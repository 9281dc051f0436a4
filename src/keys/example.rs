//! Keys whose private half is published (`certs-example/`): good for a demonstration, an open
//! door anywhere else.

/// One fingerprint a line, `#` begins a remark; written by `certs-example/generate.sh`.
const PUBLISHED: &str = include_str!("../../certs-example/fingerprints.txt");

/// Whether everybody knows the private half of this key. `fingerprint` is the RFC 7638
/// thumbprint of a JWK, or hex SHA-256: of a raw ledger key, of a certificate's DER SPKI.
pub fn is_published_example(fingerprint: &str) -> bool {
    PUBLISHED.lines().any(|line| !line.starts_with('#') && line.trim() == fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    #[test]
    fn every_key_of_the_example_directory_is_known() {
        let jwk = include_str!("../../certs-example/421202/sign.jwk");
        let jwk = crate::json::parse_config(jwk.as_bytes()).unwrap();
        assert!(is_published_example(SigningKey::from_jwk(&jwk).unwrap().kid()));
        let listed: Vec<_> = PUBLISHED.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(listed.len(), 4);
        assert!(listed.iter().all(|fingerprint| is_published_example(fingerprint)));
    }

    #[test]
    fn a_remark_an_empty_line_and_a_new_key_are_no_published_key() {
        assert!(PUBLISHED.starts_with('#'));
        assert!(!is_published_example("") && !is_published_example(PUBLISHED.lines().next().unwrap()));
        let fresh = SigningKey::generate(crate::keys::Algorithm::Es256).unwrap();
        assert!(!is_published_example(SigningKey::from_jwk(&fresh).unwrap().kid()));
    }
}
