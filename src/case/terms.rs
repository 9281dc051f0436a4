//! What the agreement says about a case's item, kept with the case: a case is handled under
//! the terms it was submitted under, whatever the agreement's file says later.

use serde::{Deserialize, Serialize};

use super::state::Role;
use crate::domain::{Evidence, HandlingMode, Necessity, TimeLimit};
use crate::policy::{Item, ReceiptClock};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The item's code and name.
    pub item: String,
    pub name: String,
    pub mode: HandlingMode,
    /// 办件类型: 1 即办件.
    pub project_type: Option<String>,
    /// Name of the item's form schema.
    pub form: Option<String>,
    pub materials: Vec<MaterialTerms>,
    pub legal_limit: Option<TimeLimit>,
    pub promise_limit: Option<TimeLimit>,
    pub verification_limit: Option<TimeLimit>,
    /// Whose receipt starts the clock.
    pub receipt_clock: Role,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaterialTerms {
    pub code: String,
    pub name: String,
    pub necessity: Necessity,
    /// License type that stands for it.
    pub license: Option<String>,
    /// The ways allowed, the preferred first.
    pub evidence: Vec<Evidence>,
}

/// 行政许可 among the kinds of items (GB/T 39046 A.1).
const ADMINISTRATIVE_LICENSE: &str = "01";

impl Terms {
    pub fn of(item: &Item) -> Self {
        Self {
            item: item.code.clone(),
            name: item.name.clone(),
            mode: item.mode,
            project_type: item.project_type.clone(),
            form: item.form.clone(),
            materials: item
                .materials
                .iter()
                .map(|material| MaterialTerms {
                    code: material.code.clone(),
                    name: material.name.clone(),
                    necessity: material.necessity,
                    license: material.license.clone(),
                    evidence: material.evidence.clone(),
                })
                .collect(),
            legal_limit: item.legal_limit,
            promise_limit: item.promise_limit,
            verification_limit: item.verification_limit,
            // Domain reference §7.5: the handling side's receipt, unless the agreement says otherwise.
            receipt_clock: match item.receipt_clock {
                Some(ReceiptClock::Collecting) => Role::Collecting,
                Some(ReceiptClock::Handling) | None => Role::Handling,
            },
        }
    }

    pub fn material(&self, code: &str) -> Option<&MaterialTerms> {
        self.materials.iter().find(|material| material.code == code)
    }

    /// Whether five working days of silence accept the application (行政许可法 32(4)): for an
    /// administrative license, as the item's code says (GB/T 39554.1, digits 21–22).
    pub fn silence_accepts(&self) -> bool {
        self.item.get(21..23) == Some(ADMINISTRATIVE_LICENSE)
    }
}
