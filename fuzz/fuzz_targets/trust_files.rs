//! Files that an operator drops into a trust folder: cards, agreements, authorities, CAs, CRLs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tongban::authorization::Authority;
use tongban::peer::{CaFile, Card, CrlFile};
use tongban::policy::Agreement;

fuzz_target!(|bytes: &[u8]| {
    let _ = CaFile::from_pem(bytes);
    let _ = CrlFile::from_pem(bytes);
    if let Ok(value) = tongban::json::parse_config(bytes) {
        let _ = Card::from_value(&value);
        let _ = Agreement::from_value(&value);
        let _ = Authority::from_value(&value);
    }
});
