//! What a register tells us of a change: `POST /local/v1/licenses/changed`.

use serde::Deserialize;
use serde_json::Value;

use super::record::normalised_number;
use super::register::Change;
use crate::domain::{IdentifierFault, check_holder, check_license_id, check_type_code};
use crate::fault::Fault;

/// A change notice whose identifiers hold: `{"license_id"}` or `{"type","holder":{"type","number"}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed(pub(super) Change);

#[derive(Deserialize)]
#[serde(untagged)]
enum Notice {
    License(LicenseNotice),
    Holder(HolderNotice),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LicenseNotice {
    license_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HolderNotice {
    #[serde(rename = "type")]
    license_type: String,
    holder: Holder,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Holder {
    #[serde(rename = "type")]
    kind: String,
    number: String,
}

impl Changed {
    /// Reads a notice; all faults at once.
    pub fn from_value(value: &Value) -> Result<Self, Vec<Fault>> {
        let notice = Notice::deserialize(value).map_err(|_| {
            vec![Fault::new(
                "",
                "oneOf",
                "needs license_id, or type and holder with type and number",
                "须为 license_id，或 type 与 holder（type、number）",
            )]
        })?;
        match notice {
            Notice::License(LicenseNotice { license_id }) => {
                check_license_id(&license_id).map_err(|fault| vec![told("/license_id", fault)])?;
                Ok(Self(Change::License { license_id }))
            }
            Notice::Holder(HolderNotice { license_type, holder: Holder { kind, number } }) => {
                let checks = [
                    ("/type", check_type_code(&license_type)),
                    ("/holder/number", check_holder(&kind, &number)),
                ];
                let faults = checks.map(|(at, check)| check.err().map(|fault| told(at, fault)));
                let faults: Vec<Fault> = faults.into_iter().flatten().collect();
                if !faults.is_empty() {
                    return Err(faults);
                }
                let number = normalised_number(&kind, &number).into_owned();
                Ok(Self(Change::Holder { license_type, kind, number }))
            }
        }
    }
}

fn told(pointer: &str, fault: IdentifierFault) -> Fault {
    Fault::new(pointer, "identifier", fault.to_string(), fault.zh())
}
