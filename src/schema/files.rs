//! The schema files that are compiled into the binary.

/// A schema: its name under `schemas/`, without `.json`, and its text.
pub(super) struct File {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

impl File {
    /// The name by which its id and references call it: `request`, `license:marriage-certificate`,
    /// `form:newborn-registration`.
    pub(super) fn short(&self) -> String {
        self.name.replacen("licenses/", "license:", 1).replacen("forms/", "form:", 1)
    }
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(File { name: $name, text: include_str!(concat!("../../schemas/", $name, ".json")) }),*]
    };
}

/// Everything but the license types and the forms.
pub(super) static DOCUMENTS: [File; 24] = files![
    "types",
    "codes",
    "request",
    "response",
    "problem",
    "authorization",
    "ping",
    "license-query",
    "license-result",
    "application-submit",
    "application-event",
    "application-receipt",
    "application-status",
    "application-status-result",
    "verification-request",
    "verification-answer",
    "verification-receipt",
    "reconcile",
    "reconcile-result",
    "card",
    "authority",
    "agreement",
    "license-header",
    "calendar-year",
];

/// One file per license type; `x-tongban` in it says what the gateway must know.
pub(super) static LICENSES: [File; 17] = files![
    "licenses/resident-id-card",
    "licenses/household-register",
    "licenses/residence-permit",
    "licenses/marriage-certificate",
    "licenses/divorce-certificate",
    "licenses/birth-certificate",
    "licenses/business-license",
    "licenses/property-certificate",
    "licenses/property-registration-proof",
    "licenses/driving-license",
    "licenses/vehicle-license",
    "licenses/social-security-card",
    "licenses/disability-certificate",
    "licenses/housing-fund-proof",
    "licenses/food-business-license",
    "licenses/higher-education-certificate",
    "licenses/social-insurance-proof",
];

/// One file per form; `x-tongban` in it says for what, and with which materials.
pub(super) static FORMS: [File; 6] = files![
    "forms/newborn-registration",
    "forms/out-of-town-loan-certificate",
    "forms/housing-fund-loan",
    "forms/spouse-migration",
    "forms/social-card-replacement",
    "forms/medical-care-filing",
];

pub(super) fn all() -> impl Iterator<Item = &'static File> {
    DOCUMENTS.iter().chain(&LICENSES).chain(&FORMS)
}
