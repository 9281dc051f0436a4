//! Whether an entry of the token covers what is asked: one entry alone, never several together.

use super::token::{AuthorizationClaims, LicenseDetail};
use crate::domain::Region;

/// What a request wants to do with the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Read,
    Verify,
}

impl Action {
    /// Who may read a value may also ask whether it is right.
    const fn covered_by(self) -> &'static [&'static str] {
        match self {
            Self::Read => &["read"],
            Self::Verify => &["read", "verify"],
        }
    }
}

/// What is asked, by whom, of whom: everything a token must fit.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// The answering region.
    pub me: Region,
    /// The asking region.
    pub client: Region,
    /// The key that signed the request.
    pub signer_kid: &'a str,
    pub license_type: &'a str,
    /// Whether the license type's schema says it is sensitive.
    pub sensitive_type: bool,
    pub action: Action,
    /// Every asked field, or every field whose value is expected.
    pub fields: Vec<&'a str>,
    pub item: &'a str,
    /// The request's case, if it names one.
    pub case: Option<&'a str>,
    /// Holder type code and normalised number; absent when asked by license id, where
    /// [`super::Consent::holds`] is asked once the record is found.
    pub holder: Option<(&'a str, &'a str)>,
}

/// Whether one entry of `claims` covers `ask` alone, and a sensitive type is meant to be covered.
pub(super) fn covers(claims: &AuthorizationClaims, ask: &Ask<'_>) -> bool {
    (claims.sensitive || !ask.sensitive_type)
        && claims.license_details().any(|entry| entry_covers(entry, ask))
}

fn entry_covers(entry: &LicenseDetail, ask: &Ask<'_>) -> bool {
    let has = |list: &[String], word: &str| list.iter().any(|known| known == word);
    ask.action.covered_by().iter().any(|action| has(&entry.actions, action))
        && has(&entry.datatypes, ask.license_type)
        && !ask.fields.is_empty()
        && ask.fields.iter().all(|field| has(&entry.fields, field))
        && entry.item == ask.item
        && entry.case.as_deref().is_none_or(|case| ask.case == Some(case))
}
