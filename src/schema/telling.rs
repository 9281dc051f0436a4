//! Turns the validator's errors into [`Fault`]s: a pointer, a rule, fixed words in both
//! languages. The validator's own texts quote values, so none of them is used.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Error;

use super::Kind;
use super::formats;
use crate::domain::IdentifierFault;
use crate::fault::{Fault, MOST_FAULTS};

/// A longer unknown member name is not repeated in a pointer, which then names its parent.
const LONGEST_NAME: usize = 64;

/// Collects faults until there are enough of them.
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn push(&mut self, fault: Fault) {
        if self.0.len() < MOST_FAULTS && !self.0.contains(&fault) {
            self.0.push(fault);
        }
    }

    pub(super) fn identifier(&mut self, pointer: impl Into<String>, format: &str, fault: IdentifierFault) {
        self.push(identifier(pointer.into(), format, fault));
    }

    pub(super) fn finish(self) -> Result<(), Vec<Fault>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }

    /// Adds what one error of the validator says; `kind` decides the rule of an unknown op.
    pub(super) fn tell(&mut self, kind: Option<Kind>, error: &ValidationError<'_>) {
        let at = error.instance_path().as_str();
        match error.kind() {
            Error::AdditionalProperties { unexpected } | Error::UnevaluatedProperties { unexpected } => {
                for name in unexpected {
                    let known_place = name.chars().count() <= LONGEST_NAME;
                    let pointer = if known_place { member(at, name) } else { at.to_owned() };
                    self.push(unknown_member(pointer));
                }
            }
            Error::FalseSchema => self.push(unknown_member(at.to_owned())),
            Error::Required { property } => {
                let pointer = property.as_str().map_or_else(|| at.to_owned(), |name| member(at, name));
                self.push(Fault::new(pointer, "required", "is missing", "缺少该项"));
            }
            Error::Format { format } => {
                let text = error.instance().as_str().unwrap_or_default();
                self.push(match formats::find(format).map(|known| (known.check)(text)) {
                    Some(Err(fault)) => identifier(at.to_owned(), format, fault),
                    _ if format == "date" => {
                        Fault::new(at, "date", "is not a day (YYYY-MM-DD)", "不是日期（YYYY-MM-DD）")
                    }
                    _ => Fault::new(
                        at,
                        format.as_str(),
                        "is not a time with its offset (RFC 3339)",
                        "不是带时区的时间（RFC 3339）",
                    ),
                });
            }
            Error::Enum { .. } if kind == Some(Kind::Request) && at == "/op" => {
                self.push(Fault::new(at, "unknown-op", "is not an operation served here", "不支持该操作"));
            }
            other => {
                let (message, message_zh) = words(other);
                self.push(Fault::new(at, other.keyword(), message, message_zh));
            }
        }
    }
}

fn unknown_member(pointer: String) -> Fault {
    Fault::new(pointer, "additionalProperties", "is not a known member here", "此处不允许该项")
}

fn identifier(pointer: String, format: &str, fault: IdentifierFault) -> Fault {
    let (en, zh) = formats::find(format).map_or(("identifier", "标识"), |known| (known.en, known.zh));
    Fault::new(
        pointer,
        format,
        format!("is not a valid {en}: {fault}"),
        format!("不是有效的{zh}：{}", fault.zh()),
    )
}

/// The pointer to member `name` of the object at `pointer` (RFC 6901 §3).
pub(super) fn member(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Limits come from the schema, never from the value.
fn words(error: &Error) -> (String, String) {
    let fixed = |en: &str, zh: &str| (en.to_owned(), zh.to_owned());
    match error {
        Error::Type { .. } => fixed("has the wrong JSON type", "JSON类型不符"),
        Error::Constant { .. } => fixed("is not the one value allowed", "不是唯一允许的取值"),
        Error::Enum { .. } => fixed("is not one of the values allowed", "不在允许的取值之内"),
        Error::Pattern { .. } => fixed("does not have the form required", "格式不符"),
        Error::PropertyNames { .. } => fixed("has a member whose name is not allowed", "含有名称不符的项"),
        Error::UniqueItems => fixed("names something twice", "含有重复项"),
        Error::OneOfNotValid { .. } | Error::OneOfMultipleValid { .. } => {
            fixed("must have exactly one of its alternatives", "必须且只能有一种可选形式")
        }
        Error::AnyOf { .. } => fixed("must have one of its alternatives", "至少须有一种可选形式"),
        Error::Not { .. } => fixed("has members that exclude each other", "含有互斥的项"),
        Error::MinLength { limit } => {
            (format!("has fewer than {limit} characters"), format!("少于{limit}个字符"))
        }
        Error::MaxLength { limit } => {
            (format!("has more than {limit} characters"), format!("超过{limit}个字符"))
        }
        Error::MinItems { limit } => (format!("has fewer than {limit} entries"), format!("少于{limit}项")),
        Error::MaxItems { limit } => (format!("has more than {limit} entries"), format!("超过{limit}项")),
        Error::MinProperties { limit } => {
            (format!("has fewer than {limit} members"), format!("少于{limit}项"))
        }
        Error::MaxProperties { limit } => {
            (format!("has more than {limit} members"), format!("超过{limit}项"))
        }
        Error::Minimum { limit } => (format!("is less than {limit}"), format!("小于{limit}")),
        Error::Maximum { limit } => (format!("is greater than {limit}"), format!("大于{limit}")),
        _ => fixed("does not meet its schema", "不符合规定"),
    }
}
