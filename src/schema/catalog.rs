//! Every schema of the house, compiled.

use std::collections::{BTreeMap, HashMap};

use jiff::civil::Date;
use jsonschema::{Draft, PatternOptions, Registry, Validator};
use serde::Deserializer;
use serde_json::Value;

use super::document::LicenseDocument;
use super::files::{self, File};
use super::formats::FORMATS;
use super::forms::FormType;
use super::license_type::LicenseType;
use super::rules::{self, Birthdays};
use super::telling::Faults;
use super::{Admissible, Admitted, Kind};
use crate::fault::Fault;

/// Every schema of the house, compiled.
pub struct Catalog {
    /// In the order of [`Kind::ALL`].
    kinds: Vec<Validator>,
    licenses: HashMap<String, LicenseType>,
    forms: BTreeMap<String, FormType>,
}

/// Why the catalog cannot be built; a test builds the embedded one.
#[derive(Debug, thiserror::Error)]
pub(super) enum CatalogFault {
    #[error("schema {0} is not JSON")]
    Json(&'static str),
    #[error("schema {0} does not compile: {1}")]
    Compile(String, String),
    #[error("the schemas do not fit together: {0}")]
    References(String),
    #[error("license type {0}: x-tongban is incomplete")]
    LicenseType(&'static str),
    #[error("form {0}: x-tongban is incomplete, or nothing judges its conditions")]
    Form(&'static str),
}

impl Catalog {
    /// The catalog built into the binary; compiled on first use, then shared.
    pub fn embedded() -> &'static Catalog {
        static CATALOG: std::sync::OnceLock<Catalog> = std::sync::OnceLock::new();
        #[expect(clippy::expect_used, reason = "the files are part of the binary; a test compiles them")]
        CATALOG.get_or_init(|| Catalog::compile().expect("the embedded schemas compile"))
    }

    /// Checks `value` against the schema of `T` and makes it a `T`.
    ///
    /// Birthdays inside ID numbers are not compared with today; a kind that carries ID numbers
    /// ([`Kind::LicenseQuery`], [`Kind::ApplicationSubmit`], [`Kind::VerificationRequest`]) is
    /// admitted with [`Catalog::admit_on`].
    pub fn admit<T: Admissible>(&self, value: &Value) -> Result<Admitted<T>, Vec<Fault>> {
        self.judge(T::KIND, value, Birthdays::NotCompared)?;
        twin(value)
    }

    /// [`Catalog::admit`] of a value that is not needed afterwards: its texts are moved, not
    /// copied.
    pub fn admit_whole<T: Admissible>(&self, value: Value) -> Result<Admitted<T>, Vec<Fault>> {
        self.judge(T::KIND, &value, Birthdays::NotCompared)?;
        T::of(value).map(|twin| Admitted(twin.normalised())).ok_or_else(misshapen)
    }

    /// [`Catalog::admit`], with birthdays up to `today`, the day in Asia/Shanghai.
    pub fn admit_on<T: Admissible>(&self, value: &Value, today: Date) -> Result<Admitted<T>, Vec<Fault>> {
        self.judge(T::KIND, value, Birthdays::UpTo(today))?;
        twin(value)
    }

    /// Checks `value` against the schema of `kind` without making anything of it.
    pub fn check(&self, kind: Kind, value: &Value) -> Result<(), Vec<Fault>> {
        self.judge(kind, value, Birthdays::NotCompared)
    }

    /// Checks a whole license document: its header, its data, the identifiers in both and
    /// that they agree with each other. `today` is the day in Asia/Shanghai.
    pub fn check_license(&self, document: &Value, today: Date) -> Result<LicenseDocument, Vec<Fault>> {
        let mut faults = Faults::new();
        self.judge_into(Kind::LicenseHeader, document, &mut faults);
        let code = document.get("type_code").and_then(Value::as_str);
        let license = code.and_then(|code| self.license_type(code));
        if let Some(license) = license {
            if let Some(data) = document.get("data") {
                license.tell_data(data, "/data", &mut faults);
            }
            rules::license(document, license, today, &mut faults);
        } else if code.is_some() {
            let words = ("names no license type known here", "未知的证照类型");
            faults.push(Fault::new("/type_code", "unknown-license-type", words.0, words.1));
        }
        faults.finish()?;
        license.and_then(|license| LicenseDocument::of(document, license, today)).ok_or_else(misshapen)
    }

    /// The license type with this code, if it is one of ours.
    pub fn license_type(&self, code: &str) -> Option<&LicenseType> {
        self.licenses.get(code)
    }

    /// Every license type, by code.
    pub fn license_types(&self) -> impl Iterator<Item = &LicenseType> {
        let mut types: Vec<_> = self.licenses.values().collect();
        types.sort_by(|a, b| a.code().cmp(b.code()));
        types.into_iter()
    }

    /// The form of this name, as an agreement's `form` gives it, if it is one of ours.
    pub fn form(&self, name: &str) -> Option<&FormType> {
        self.forms.get(name)
    }

    /// Every form, by name.
    pub fn forms(&self) -> impl Iterator<Item = &FormType> {
        self.forms.values()
    }

    /// A schema as it is published: `request`, `licenses/marriage-certificate`, `forms/…`.
    pub fn schema_text(name: &str) -> Option<&'static str> {
        files::all().find(|file| file.name == name).map(|file| file.text)
    }

    /// The names [`Catalog::schema_text`] knows.
    pub fn schema_names() -> impl Iterator<Item = &'static str> {
        files::all().map(|file| file.name)
    }

    fn judge(&self, kind: Kind, value: &Value, birthdays: Birthdays) -> Result<(), Vec<Fault>> {
        let mut faults = Faults::new();
        self.judge_into(kind, value, &mut faults);
        rules::check(kind, value, birthdays, &mut faults);
        faults.finish()
    }

    fn judge_into(&self, kind: Kind, value: &Value, faults: &mut Faults) {
        match Kind::ALL.iter().position(|k| *k == kind).and_then(|at| self.kinds.get(at)) {
            // The common case makes no error values.
            Some(schema) if schema.is_valid(value) => {}
            Some(schema) => schema.iter_errors(value).for_each(|error| faults.tell(Some(kind), &error)),
            None => faults.push(Fault::new("", "schema", "has no schema", "没有对应的结构定义")),
        }
    }

    pub(super) fn compile() -> Result<Self, CatalogFault> {
        let mut registry = Registry::new().draft(Draft::Draft202012);
        for file in files::all() {
            registry = registry
                .add(urn(file), parse(file)?)
                .map_err(|fault| CatalogFault::References(fault.to_string()))?;
        }
        let registry = registry.prepare().map_err(|fault| CatalogFault::References(fault.to_string()))?;
        let mut options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_registry(&registry)
            .with_pattern_options(PatternOptions::regex())
            .should_validate_formats(true)
            .should_ignore_unknown_formats(false)
            .offline();
        for format in &FORMATS {
            options = options.with_format(format.name, |text: &str| (format.check)(text).is_ok());
        }
        let build = |name: &str| {
            let reference = serde_json::json!({ "$ref": format!("urn:tongban:schema:{name}") });
            options
                .build(&reference)
                .map_err(|fault| CatalogFault::Compile(name.to_owned(), fault.to_string()))
        };
        let kinds = Kind::ALL.iter().map(|kind| build(kind.schema_name())).collect::<Result<_, _>>()?;
        let mut licenses = HashMap::new();
        for file in &files::LICENSES {
            let schema = parse(file)?;
            let validator = build(&file.short())?;
            let license = LicenseType::of(&schema, validator).ok_or(CatalogFault::LicenseType(file.name))?;
            licenses.insert(license.code().to_owned(), license);
        }
        let mut forms = BTreeMap::new();
        for file in &files::FORMS {
            let form =
                FormType::of(&parse(file)?, build(&file.short())?).ok_or(CatalogFault::Form(file.name))?;
            forms.insert(form.name().to_owned(), form);
        }
        Ok(Self { kinds, licenses, forms })
    }
}

fn twin<'v, T: Admissible>(value: impl Deserializer<'v>) -> Result<Admitted<T>, Vec<Fault>> {
    T::deserialize(value).map(|twin| Admitted(twin.normalised())).map_err(|_| misshapen())
}

/// A schema let pass what its Rust twin cannot hold: ours to mend, and a refusal meanwhile.
fn misshapen() -> Vec<Fault> {
    vec![Fault::new("", "type", "does not have the expected shape", "结构不符")]
}

fn parse(file: &File) -> Result<Value, CatalogFault> {
    serde_json::from_str(file.text).map_err(|_| CatalogFault::Json(file.name))
}

fn urn(file: &File) -> String {
    format!("urn:tongban:schema:{}", file.short())
}

#[cfg(test)]
mod tests;
