//! The forms of items (`schemas/forms/`): what an applicant fills in, checked before it
//! travels and again where it arrives.
//!
//! Promises: a form is closed, all its faults are told at once, and the conditions that a
//! schema cannot say (who is eligible, what must agree) are judged with it. Which materials an
//! item asks for in the end, and whether they prove what the form declares, is the agreement's
//! word and the deciding office's.

mod care;
mod fund;
mod newborn;
mod social_card;
mod spouse;

use jiff::civil::Date;
use jsonschema::Validator;
use serde::Deserialize;
use serde_json::Value;

use super::rules;
use super::telling::Faults;
use crate::domain::{Evidence, HandlingMode, Necessity};
use crate::fault::Fault;

/// One form of the catalog.
pub struct FormType {
    settings: Settings,
    validator: Validator,
    conditions: Conditions,
}

/// A material that the form's item usually asks for. An agreement may ask otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormMaterial {
    pub code: String,
    /// In Chinese.
    pub name: String,
    pub name_en: String,
    pub necessity: Necessity,
    /// The license type that stands for it, if one does.
    pub license: Option<String>,
    /// In order of preference.
    pub evidence: Vec<Evidence>,
}

/// The form's `x-tongban`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    name: String,
    title_en: String,
    title_zh: String,
    department_zh: String,
    project_type: String,
    mode: HandlingMode,
    materials: Vec<FormMaterial>,
}

/// What a schema cannot say of a form; `Date` is today in Asia/Shanghai.
type Conditions = fn(&Value, Date, &mut Faults);

impl FormType {
    pub(super) fn of(schema: &Value, validator: Validator) -> Option<Self> {
        let settings = Settings::deserialize(schema.get("x-tongban")?).ok()?;
        let conditions = conditions(&settings.name)?;
        Some(Self { settings, validator, conditions })
    }

    /// As an agreement's `form` names it: `newborn-registration`.
    pub fn name(&self) -> &str {
        &self.settings.name
    }
    pub fn title_zh(&self) -> &str {
        &self.settings.title_zh
    }
    pub fn title_en(&self) -> &str {
        &self.settings.title_en
    }
    /// The branch of government that decides, in Chinese.
    pub fn department(&self) -> &str {
        &self.settings.department_zh
    }
    /// 办件类型 usual for it: 1 即办件, 2 承诺件, 9 其他.
    pub fn project_type(&self) -> &str {
        &self.settings.project_type
    }
    /// How the two regions usually share the work.
    pub fn mode(&self) -> HandlingMode {
        self.settings.mode
    }
    /// What is usually asked for beside the form.
    pub fn materials(&self) -> &[FormMaterial] {
        &self.settings.materials
    }

    /// Checks a filled-in form; pointers are seen from the form. `today` is the day in Asia/Shanghai.
    pub fn check(&self, form: &Value, today: Date) -> Result<(), Vec<Fault>> {
        let mut faults = Faults::new();
        if !self.validator.is_valid(form) {
            self.validator.iter_errors(form).for_each(|error| faults.tell(None, &error));
        }
        rules::people(form, "", today, &mut faults);
        (self.conditions)(form, today, &mut faults);
        faults.finish()
    }
}

/// A form without a line here does not compile into the catalog: its conditions would be forgotten.
fn conditions(form: &str) -> Option<Conditions> {
    Some(match form {
        "newborn-registration" => newborn::check,
        "out-of-town-loan-certificate" => fund::certificate,
        "housing-fund-loan" => fund::loan,
        "spouse-migration" => spouse::check,
        "social-card-replacement" => social_card::check,
        "medical-care-filing" => care::check,
        _ => return None,
    })
}

/// A condition that is not met: its rule, and the words in both languages.
fn unmet(faults: &mut Faults, pointer: &str, rule: &str, en: &str, zh: &str) {
    faults.push(Fault::new(pointer, rule, en, zh));
}

/// Two regions that must not be the same one, else nothing is done across regions.
fn apart(form: &Value, one: &str, other: &str, faults: &mut Faults) {
    let region = |pointer| form.pointer(pointer).and_then(Value::as_str);
    if let (Some(a), Some(b)) = (region(one), region(other))
        && a == b
    {
        let (en, zh) = ("is the same region as the other one", "与另一地相同，不属于异地办理");
        unmet(faults, other, "same-region", en, zh);
    }
}

/// The applicant is not their own spouse.
fn two_people(form: &Value, faults: &mut Faults) {
    let number = |pointer| form.pointer(pointer).and_then(Value::as_str);
    if let (Some(own), Some(spouse)) = (number("/id_number"), number("/spouse/id_number"))
        && own.eq_ignore_ascii_case(spouse)
    {
        let (en, zh) = ("is the applicant's own number", "与申请人证件号码相同");
        unmet(faults, "/spouse/id_number", "same-person", en, zh);
    }
}

#[cfg(test)]
mod tests;
