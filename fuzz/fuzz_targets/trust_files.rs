//! Files that an operator drops into a trust folder: cards, agreements, authorities, CAs, CRLs.
//! Every one is either taken or told what is wrong with it, and what was taken can be used.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tongban::authorization::{Authorities, Authority, StatusListWhere};
use tongban::peer::{CaFile, Card, CrlFile, Endpoint, Validity};
use tongban::policy::Agreement;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(ca) = CaFile::from_pem(bytes) {
        let _ = ca.not_after();
    }
    if let Ok(crl) = CrlFile::from_pem(bytes) {
        let _ = crl.next_update();
    }
    let _ = Validity::of(&bytes.to_vec().into());
    let Ok(value) = tongban::json::parse_config(bytes) else { return };
    match Card::from_value(&value) {
        Ok(card) => {
            let again = Endpoint::parse(&format!("https://{}", card.endpoint().authority()));
            assert_eq!(again.as_ref(), Some(card.endpoint()), "an endpoint has one spelling");
            assert!(Card::from_value(card.public_json()).is_ok());
        }
        Err(faults) => assert!(!faults.is_empty()),
    }
    match Agreement::from_value(&value) {
        Ok(agreement) => {
            let (from, to) = agreement.valid();
            assert!(from <= to && agreement.parties().len() >= 2);
            let _ = agreement.table();
        }
        Err(faults) => assert!(!faults.is_empty()),
    }
    match Authority::from_value(&value) {
        Ok(authority) => {
            for list in authority.status_lists() {
                if let StatusListWhere::Https(url) = &list.source {
                    assert!(url.starts_with("https://"));
                }
            }
            assert!(Authorities::new([authority]).is_ok());
        }
        Err(faults) => assert!(!faults.is_empty()),
    }
});
