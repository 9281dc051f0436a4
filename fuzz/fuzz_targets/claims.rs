//! Claims after the signature: any strict JSON against every message schema and its Rust twin.
//! What the schema lets pass becomes a Rust value; anything else is a fault the operator may read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tongban::authorization::AuthorizationClaims;
use tongban::case::{
    EventBody, Receipt, StatusBody, SubmitBody, VerificationAnswerBody, VerificationRequestBody,
};
use tongban::envelope::{PingBody, RequestClaims, ResponseClaims};
use tongban::fault::MOST_FAULTS;
use tongban::license::{LicenseQuery, LicenseRecord};
use tongban::schema::{Admissible, Catalog, Kind};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = tongban::json::parse(bytes) {
        for kind in Kind::ALL {
            let _ = Catalog::embedded().check(kind, &value);
        }
        admit::<RequestClaims>(&value);
        admit::<ResponseClaims>(&value);
        admit::<PingBody>(&value);
        admit::<LicenseQuery>(&value);
        admit::<SubmitBody>(&value);
        admit::<EventBody>(&value);
        admit::<StatusBody>(&value);
        admit::<Receipt>(&value);
        admit::<VerificationRequestBody>(&value);
        admit::<VerificationAnswerBody>(&value);
        if let Some(claims) = admit::<AuthorizationClaims>(&value) {
            assert!(claims.max_uses() >= 1);
            assert!(!claims.subject_digest().is_empty());
        }
    }
    if let Ok(value) = tongban::json::parse_record(bytes) {
        let day = jiff::civil::date(2030, 3, 18);
        if let Ok(record) = LicenseRecord::from_value(&value, day) {
            assert!(!record.lineage().is_empty());
        }
    }
});

/// Schema and struct agree: whatever passes the one becomes the other.
fn admit<T: Admissible>(value: &Value) -> Option<T> {
    let catalog = Catalog::embedded();
    match (catalog.check(T::KIND, value), catalog.admit::<T>(value)) {
        (Ok(()), admitted) => Some(admitted.expect("what meets the schema has a Rust twin").into_inner()),
        (Err(_), Ok(_)) => panic!("admitted against its schema"),
        (Err(_), Err(faults)) => {
            assert!(!faults.is_empty() && faults.len() <= MOST_FAULTS);
            None
        }
    }
}
