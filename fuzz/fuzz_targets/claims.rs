//! Claims after the signature: any strict JSON against every message schema and its Rust twin.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tongban::envelope::{RequestClaims, ResponseClaims};
use tongban::license::LicenseQuery;
use tongban::schema::Catalog;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = tongban::json::parse(bytes) {
        let catalog = Catalog::embedded();
        let _ = catalog.admit::<RequestClaims>(&value);
        let _ = catalog.admit::<ResponseClaims>(&value);
        let _ = catalog.admit::<LicenseQuery>(&value);
        let _ = tongban::authorization::check_claims(catalog, &value);
    }
});
