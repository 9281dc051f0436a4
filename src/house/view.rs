//! What the local door shows of the house, and the checks it makes before a partner would.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::domain::Region;
use crate::envelope::{Op, RequestClaims};
use crate::fault::{Fault, MOST_FAULTS};
use crate::license::LicenseQuery;
use crate::outbound::Question;
use crate::schema::{Admissible, Catalog};

use super::House;

impl House {
    /// Who the partners are, up or down since when, and what is agreed with each.
    pub fn partners_view(&self) -> Value {
        let trust = self.trust.load();
        let today = self.clock.now().shanghai_day();
        let partners: Vec<Value> = trust
            .directory
            .cards()
            .map(|card| {
                let last = self.clients.last_attempt(card.region());
                let mut agreements: Vec<_> = trust.policy.between(self.me, card.region()).collect();
                agreements.sort_by(|a, b| a.id().cmp(b.id()));
                let agreements: Vec<Value> = agreements
                    .into_iter()
                    .map(|agreement| {
                        json!({
                            "id": agreement.id(),
                            "name": agreement.name(),
                            "in_force": agreement.in_force(today),
                            "items": agreement.item_codes().collect::<Vec<_>>(),
                        })
                    })
                    .collect();
                json!({
                    "region": card.region(),
                    "name": card.name(),
                    "endpoint": card.endpoint().to_string(),
                    "status": card.status().word(),
                    "up": last.map(|l| l.up),
                    "since": last.map(|l| l.since.secs()),
                    "agreements": agreements,
                })
            })
            .collect();
        json!({"partners": partners})
    }

    /// The one agreement in force with `to` that lists `item`; `None` for none or several.
    pub fn only_agreement(&self, to: Region, item: &str) -> Option<String> {
        let trust = self.trust.load();
        let today = self.clock.now().shanghai_day();
        let mut naming = trust
            .policy
            .between(self.me, to)
            .filter(|agreement| agreement.in_force(today) && agreement.item_codes().any(|code| code == item));
        let only = naming.next()?;
        naming.next().is_none().then(|| only.id().to_owned())
    }

    /// The question that a local query asks, or everything that is wrong with it: its members
    /// and, as far as they are there, what they mean.
    pub fn local_query(&self, body: &Value) -> Result<Question, Vec<Fault>> {
        let mut faults = local_query_faults(body);
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let mut business = Map::new();
        for (name, _) in MEMBERS.iter().filter(|(name, _)| *name != "to" && *name != "body") {
            if let Some(value) = text(name) {
                business.insert((*name).to_owned(), value.into());
            }
        }
        let to = text("to").and_then(|to| Region::parse(to).ok());
        if body.get("agreement").is_none_or(Value::is_null)
            && let Some((to, item)) = to.zip(text("item"))
        {
            match self.only_agreement(to, item) {
                Some(agreement) => drop(business.insert("agreement".into(), agreement.into())),
                None => faults.push(Fault::new(
                    "/agreement",
                    "required",
                    "name the agreement: none or several in force list this item with this partner",
                    "请指明协议:与该伙伴就该事项生效的协议不存在或不止一份",
                )),
            }
        }
        let mut told: HashSet<String> = faults.iter().map(|fault| fault.pointer.clone()).collect();
        if !business.contains_key("agreement") {
            told.insert("/agreement".into());
        }
        let question = Question {
            // Where it is missing, that is told; the other faults do not depend on it.
            to: to.unwrap_or(self.me),
            op: Op::LicenseQuery,
            business,
            body: body.get("body").cloned().unwrap_or_default(),
        };
        let more = self.question_faults(&question);
        faults.extend(more.into_iter().filter(|fault| !told.contains(&fault.pointer)));
        faults.truncate(MOST_FAULTS);
        if faults.is_empty() { Ok(question) } else { Err(faults) }
    }

    /// Pointers are those of the local request, whose members have the envelope's names.
    fn question_faults(&self, question: &Question) -> Vec<Fault> {
        let mut claims = Map::new();
        claims.insert("ver".into(), 1.into());
        claims.insert("iss".into(), self.me.gateway_urn().into());
        claims.insert("aud".into(), question.to.gateway_urn().into());
        claims.insert("iat".into(), 0.into());
        claims.insert("exp".into(), 1.into());
        claims.insert("jti".into(), "0000000000000000000000".into());
        claims.insert("op".into(), question.op.name().into());
        for (name, value) in &question.business {
            claims.insert(name.clone(), value.clone());
        }
        claims.insert("body".into(), question.body.clone());
        let mut faults = faults_of::<RequestClaims>(self.catalog, &Value::Object(claims));
        if question.op == Op::LicenseQuery {
            let body = faults_of::<LicenseQuery>(self.catalog, &question.body);
            faults.extend(body.into_iter().map(|fault| fault.under("/body")));
        }
        faults.truncate(MOST_FAULTS);
        faults
    }
}

fn faults_of<T: Admissible>(catalog: &Catalog, value: &Value) -> Vec<Fault> {
    catalog.admit::<T>(value).err().unwrap_or_default()
}

/// The members of a local query, and whether they must be there.
const MEMBERS: [(&str, bool); 9] = [
    ("to", true),
    ("item", true),
    ("case", false),
    ("basis", true),
    ("purpose", true),
    ("operator", true),
    ("agreement", false),
    ("authorization", false),
    ("body", true),
];

/// Every fault in the members of a local query itself (not yet in what they mean).
fn local_query_faults(body: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    let Some(object) = body.as_object() else {
        return vec![Fault::new("", "type", "must be an object", "必须是对象")];
    };
    for (name, required) in MEMBERS {
        match object.get(name) {
            None if required => {
                faults.push(Fault::new(format!("/{name}"), "required", "is missing", "缺少该成员"));
            }
            Some(Value::Null) if !required => {}
            Some(value) if name != "body" && !value.is_string() => {
                faults.push(Fault::new(format!("/{name}"), "type", "must be a string", "必须是字符串"));
            }
            _ => {}
        }
    }
    let to_is_region = object.get("to").and_then(Value::as_str).is_none_or(|to| Region::parse(to).is_ok());
    if !to_is_region {
        faults.push(Fault::new("/to", "region", "is not a current region code", "不是现行行政区划代码"));
    }
    if object.keys().any(|name| !MEMBERS.iter().any(|(known, _)| known == name)) {
        // The name is the caller's own text; only that there is one is told.
        faults.push(Fault::new(
            "",
            "additionalProperties",
            "has a member that is not known here",
            "含有未知成员",
        ));
    }
    faults.truncate(MOST_FAULTS);
    faults
}
