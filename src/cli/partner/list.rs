//! `partner list`: who the partners are, how long their keys last, what is agreed with each.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{cards, status};
use crate::cli::{Common, Exit, Outcome, out};
use crate::clock::{Clock, Now};
use crate::domain::Region;
use crate::folder::Folder;
use crate::peer::{Card, Directory, Trust};
use crate::policy::Agreement;

pub fn list(common: &Common) -> Outcome {
    let config = common.load()?;
    let now = Clock::system().now();
    let (cards, mut faults) = cards(&config);
    let (directory, contradictions) =
        Directory::build(config.region.code, &cards, Trust::new(vec![], vec![]), None);
    faults.extend(contradictions);
    let (agreements, more) =
        Folder::new(&config.path(&config.trust.agreements), Agreement::from_value).load();
    faults.extend(more);
    let with = |region: Region| {
        let mut ids: Vec<&Agreement> = agreements
            .values()
            .map(Arc::as_ref)
            .filter(|agreement| agreement.between(&config.region.code, &region))
            .collect();
        ids.sort_by_key(|agreement| agreement.id());
        ids
    };
    if common.json {
        let partners: Vec<Value> =
            directory.cards().map(|card| row(card, &with(card.region()), now)).collect();
        let faults: Vec<Value> =
            faults.iter().map(|f| json!({ "file": f.file, "faults": f.faults })).collect();
        out::json(&json!({ "partners": partners, "faults": faults }));
    } else {
        let rows = directory.cards().map(|card| cells(card, &with(card.region()), now));
        out::line(out::table(
            [
                "region 地区",
                "name 名称",
                "endpoint 地址",
                "status 状态",
                "keys, days left 公钥剩余天数",
                "agreements 协议",
            ],
            rows,
        ));
        for found in &faults {
            for fault in &found.faults {
                out::complain(format_args!("{}: {fault}", found.file.display()));
            }
        }
    }
    Ok(if faults.is_empty() { Exit::Well } else { Exit::Found })
}

fn row(card: &Card, agreements: &[&Agreement], now: Now) -> Value {
    let keys: Vec<Value> = lives(card, now)
        .into_iter()
        .map(|(kid, in_force, days)| json!({ "kid": kid, "in_force": in_force, "days_left": days }))
        .collect();
    let today = now.shanghai_day();
    let agreements: Vec<Value> =
        agreements.iter().map(|a| json!({ "id": a.id(), "in_force": a.in_force(today) })).collect();
    json!({
        "region": card.region(),
        "name": card.name(),
        "endpoint": format!("https://{}", card.endpoint().authority()),
        "status": status(card.status()).split(' ').next(),
        "keys": keys,
        "agreements": agreements,
    })
}

fn cells(card: &Card, agreements: &[&Agreement], now: Now) -> [String; 6] {
    let keys = lives(card, now).into_iter().map(|(kid, in_force, days)| {
        let start: String = kid.chars().take(8).collect();
        match (in_force, days) {
            (false, _) => format!("{start}… not in force 未生效"),
            (true, None) => format!("{start}… no end 长期"),
            (true, Some(days)) => format!("{start}… {days} d"),
        }
    });
    let today = now.shanghai_day();
    let agreements = agreements.iter().map(|a| {
        if a.in_force(today) { a.id().to_owned() } else { format!("{} (not in force 未生效)", a.id()) }
    });
    [
        card.region().to_string(),
        card.name().to_owned(),
        format!("https://{}", card.endpoint().authority()),
        status(card.status()).to_owned(),
        keys.collect::<Vec<_>>().join("\n"),
        agreements.collect::<Vec<_>>().join("\n"),
    ]
}

/// Each key with whether it is in force and the days until its end, if it has one.
fn lives(card: &Card, now: Now) -> Vec<(String, bool, Option<i64>)> {
    let documents = card.public_json().pointer("/jwks/keys").and_then(Value::as_array);
    let ends: HashMap<&str, i64> = documents
        .into_iter()
        .flatten()
        .filter_map(|key| Some((key.get("kid")?.as_str()?, key.get("exp")?.as_i64()?)))
        .collect();
    let days = |kid: &str| ends.get(kid).map(|end| end.saturating_sub(now.secs()).div_euclid(86_400));
    card.keys().keys().map(|key| (key.kid().to_owned(), key.in_force(now), days(key.kid()))).collect()
}
