//! What later rooms need of an agreement in their own tests.

use serde_json::json;

use super::{Agreement, LicensePermit, Policy};
use crate::domain::Region;

const ITEM: &str = "11421202TECT0001914000709001000";

/// What an agreement between 咸安 and 玉环 permits for one license type.
pub(crate) fn permit(license_type: &str, fields: &[&str]) -> LicensePermit {
    let agreement = Agreement::from_value(&json!({
        "id": "421202-331083-2020", "parties": ["421202", "331083"], "name": "咸安—玉环跨省联办协议",
        "valid_from": "2020-08-01", "valid_to": "2030-07-31",
        "items": [{
            "code": ITEM, "name": "新生儿户口登记", "handling": "421202", "collecting": ["331083"],
            "mode": "multi_joint", "bases": ["consent"], "ops": ["license.query"],
            "licenses": [{
                "type": license_type, "holder_region": ["421202"], "modes": ["read", "verify"],
                "fields": fields
            }]
        }]
    }))
    .unwrap();
    let (policy, _) = Policy::build(&[("a.json".into(), agreement.into())].into());
    let claims = serde_json::from_value(json!({
        "ver": 1, "iss": "urn:tongban:gw:331083", "aud": "urn:tongban:gw:421202", "iat": 1, "exp": 2,
        "jti": "0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22", "op": "license.query", "item": ITEM,
        "basis": "consent", "purpose": "核验", "operator": "YH0123", "agreement": "421202-331083-2020",
        "body": {}
    }))
    .unwrap();
    let [peer, me] = ["331083", "421202"].map(|code| Region::parse(code).unwrap());
    let grant = policy.authorize(&claims, &peer, &me, jiff::civil::date(2026, 10, 12)).unwrap();
    grant.license(license_type, "read", [], &me, true).unwrap()
}
