//! What a local submit asks for, judged against the agreements as the partner will judge it.

use serde_json::{Map, Value, json};

use super::Undone;
use crate::answer::{Code, Refusal};
use crate::case::{MaterialTerms, Terms};
use crate::clock::Now;
use crate::domain::{CaseNumber, Region};
use crate::envelope::{Op, RequestClaims};
use crate::fault::{Fault, MOST_FAULTS};
use crate::house::House;

/// A submit, checked against the agreements, its materials not yet resolved.
pub(super) struct SubmitPlan {
    pub to: Region,
    pub number: CaseNumber,
    pub agreement: String,
    pub terms: Terms,
    pub business: Map<String, Value>,
    pub body: Value,
}

impl SubmitPlan {
    /// The agreement's word on a material that is still to be shown; `None` for one that is
    /// shown already or that the agreement does not know.
    pub(super) fn terms_of_hints(&self, material: &Value) -> Option<&MaterialTerms> {
        let code = material.get("code").and_then(Value::as_str)?;
        self.terms.material(code).filter(|_| material.get("evidence").is_none())
    }
}

impl House {
    pub(super) async fn submit_plan(&self, request: &Value, now: Now) -> Result<SubmitPlan, Undone> {
        let mut faults = member_faults(request, &SUBMIT_MEMBERS);
        let text = |name: &str| request.get(name).and_then(Value::as_str);
        let to = text("to").and_then(|to| Region::parse(to).ok());
        if text("to").is_some() && to.is_none() {
            faults.push(Fault::new("/to", "region", "is not a current region code", "不是现行行政区划代码"));
        }
        let agreement = match (text("agreement"), to, text("item")) {
            (Some(named), ..) => Some(named.to_owned()),
            (None, Some(to), Some(item)) => self.only_agreement(to, item),
            _ => None,
        };
        let (Some(to), Some(item), Some(agreement)) = (to, text("item"), agreement) else {
            if faults.is_empty() {
                let words = ("name the agreement: none or several in force list this item", "请指明协议");
                faults.push(Fault::new("/agreement", "required", words.0, words.1));
            }
            return Err(Refusal::schema(faults).into());
        };
        let number = match text("case").map(CaseNumber::parse) {
            Some(Ok(number)) => Some(number),
            Some(Err(_)) => {
                faults.push(Fault::new("/case", "case-number", "is not a case number", "不是有效的办件编号"));
                None
            }
            None => self.free_number(to, now).await?,
        };
        let mut business = Map::new();
        for name in ["item", "basis", "purpose", "operator"] {
            if let Some(value) = text(name) {
                business.insert(name.to_owned(), value.into());
            }
        }
        business.insert("agreement".into(), agreement.clone().into());
        let case = number.as_ref().map_or_else(String::new, |number| number.as_str().to_owned());
        business.insert("case".into(), case.into());
        let claims = self.claims(to, Op::ApplicationSubmit, &business);
        let claims = match self.catalog.admit_whole::<RequestClaims>(claims) {
            Ok(claims) if faults.is_empty() => claims.into_inner(),
            other => {
                faults.extend(other.err().unwrap_or_default());
                faults.truncate(MOST_FAULTS);
                return Err(Refusal::schema(faults).into());
            }
        };
        let number = number.ok_or_else(|| Refusal::schema(Vec::new()))?;
        // The partner judges the same agreement in the same way; told here, nothing is sent in vain.
        let policy = self.trust.load().policy.clone();
        let grant = policy.authorize(&claims, &to, &self.me, now.shanghai_day()).map_err(Refusal::from)?;
        let listed = grant.item();
        if listed.handling != to || !listed.collecting.contains(&self.me) {
            return Err(Code::ItemNotAgreed.into());
        }
        Ok(SubmitPlan {
            to,
            number,
            agreement,
            terms: Terms::of(listed),
            body: request.get("body").cloned().unwrap_or_default(),
            business: business
                .into_iter()
                .filter(|(name, _)| name != "item")
                .chain([("item".to_owned(), item.into())])
                .collect(),
        })
    }

    /// The next number of today; one that a system gave a case of its own accord is passed over.
    async fn free_number(&self, to: Region, now: Now) -> Result<Option<CaseNumber>, Undone> {
        loop {
            let serial = self.next_serial(now).await?;
            let Ok(number) = CaseNumber::compose(self.me, to, now.shanghai_day(), serial) else {
                return Ok(None);
            };
            if self.casebook.case(number.as_str()).await?.is_none() {
                return Ok(Some(number));
            }
        }
    }

    fn claims(&self, to: Region, op: Op, business: &Map<String, Value>) -> Value {
        let mut claims = business.clone();
        claims.insert("ver".into(), 1.into());
        claims.insert("iss".into(), self.me.gateway_urn().into());
        claims.insert("aud".into(), to.gateway_urn().into());
        claims.insert("iat".into(), 0.into());
        claims.insert("exp".into(), 1.into());
        claims.insert("jti".into(), "0000000000000000000000".into());
        claims.insert("op".into(), op.name().into());
        claims.insert("body".into(), json!({}));
        Value::Object(claims)
    }
}

/// The members of a local submit, and whether they must be there.
const SUBMIT_MEMBERS: [(&str, bool); 8] = [
    ("to", true),
    ("item", true),
    ("case", false),
    ("basis", true),
    ("purpose", true),
    ("operator", true),
    ("agreement", false),
    ("body", true),
];

pub(super) fn member_faults(request: &Value, members: &[(&str, bool)]) -> Vec<Fault> {
    let Some(object) = request.as_object() else {
        return vec![Fault::new("", "type", "must be an object", "必须是对象")];
    };
    let mut faults: Vec<Fault> = members
        .iter()
        .filter(|(name, required)| *required && !object.contains_key(*name))
        .map(|(name, _)| Fault::new(format!("/{name}"), "required", "is missing", "缺少该成员"))
        .collect();
    for (name, value) in object {
        if !members.iter().any(|(known, _)| known == name) {
            let words = ("has a member that is not known here", "含有未知成员");
            faults.push(Fault::new("", "additionalProperties", words.0, words.1));
        } else if !value.is_string() && !["body", "by", "data", "at"].contains(&name.as_str()) {
            faults.push(Fault::new(format!("/{name}"), "type", "must be a string", "必须是字符串"));
        }
    }
    faults
}
