//! Who may do what: member × op × agreement × item × basis × license type × mode, as one table
//! for a reviewer to read. Drawn by the judge itself; each request has the authorization that
//! would cover it, so that the table tells the agreements' word and nobody else's.

use std::fmt::Write as _;

use serde_json::json;

use crate::support::*;

const TYPES: [(&str, &str, &str); 5] = [
    ("marriage", MARRIAGE, "cert_no"),
    ("household", HOUSEHOLD, "address"),
    ("business", BUSINESS, "uscc"),
    ("divorce", DIVORCE, "cert_no"),
    ("unknown", NO_TYPE, "cert_no"),
];

const ITEMS: [(&str, &str); 5] = [
    ("newborn", ITEM),
    ("housing-fund", DUTY_ITEM),
    ("reissue", QUIET_ITEM),
    ("lapsed", LAPSED_ITEM),
    ("unknown", NO_ITEM),
];

const AGREEMENTS: [(&str, &str); 4] = [
    ("in-force", AGREEMENT),
    ("lapsed", "421202-331083-2010"),
    ("of-others", "421202-150421-2020"),
    ("unknown", "421202-331083-1999"),
];

/// The verdict on one lookup.
fn lookup(court: &Court, member: &Member, claims: (&str, &str, &str), what: (&str, &str, &str)) -> String {
    let scene = &court.scene;
    let ((agreement, item, basis), (kind, field, mode)) = (claims, what);
    let message =
        scene.lookup_of(member).with("/agreement", agreement).with("/item", item).with("/basis", basis);
    let asked = if mode == "read" {
        json!({"license": {"type": kind, "holder": {"type": "111", "number": JIA}}, "mode": mode, "fields": [field]})
    } else {
        json!({"license": {"type": kind, "holder": {"type": "111", "number": JIA}}, "mode": mode,
               "expect": {field: "x"}})
    };
    let message = message.with("/body", asked);
    let message = if basis == "consent" {
        let token = scene
            .authorization()
            .with("/client_id", member.urn())
            .with("/cnf/jkt", member.signing.kid())
            .with("/authorization_details/0/datatypes", vec![kind])
            .with("/authorization_details/0/fields", vec![field])
            .with("/authorization_details/0/item", item);
        message.authorized(&token)
    } else {
        message
    };
    verdict(court, member, &message)
}

fn verdict(court: &Court, member: &Member, message: &Draft) -> String {
    court
        .verdict_on(member.region, &message.bytes(), Remembered::default())
        .map_or_else(|| "YES".to_owned(), |(_, says)| says)
}

/// One word where all say the same.
fn folded(words: &[(&str, String)]) -> String {
    match words.split_first() {
        Some(((_, first), rest)) if rest.iter().all(|(_, word)| word == first) => first.clone(),
        _ => words.iter().map(|(name, word)| format!("{name} {word}")).collect::<Vec<_>>().join(" · "),
    }
}

#[test]
fn the_authority_matrix_is_this_table() {
    let court = Court::new();
    let scene = &court.scene;
    let stranger = Member::certified(STRANGER, &scene.ca, scene.clock.now());
    let mut table = String::new();
    for (who, member) in [
        ("331083 partner", &scene.asking),
        ("320922 member without agreement", &scene.binhai),
        ("421281 suspended", &scene.chibi),
        ("150421 stranger", &stranger),
        ("421202 ourselves", &scene.answering),
    ] {
        writeln!(table, "{who}").unwrap();
        writeln!(table, "  ping: {}", verdict(&court, member, &scene.ping_of(member))).unwrap();
        let mut by_agreement = Vec::new();
        for (agreement_name, agreement) in AGREEMENTS {
            let mut rows = Vec::new();
            for (item_name, item) in ITEMS {
                for basis in ["consent", "statutory_duty", "emergency"] {
                    for mode in ["read", "verify"] {
                        let words = TYPES.map(|(type_name, kind, field)| {
                            (type_name, lookup(&court, member, (agreement, item, basis), (kind, field, mode)))
                        });
                        rows.push((format!("{item_name}, {basis}, {mode}"), folded(&words)));
                    }
                }
            }
            by_agreement.push((agreement_name, rows));
        }
        let mut all = by_agreement.iter().flat_map(|(_, rows)| rows).map(|(_, words)| words);
        let first = all.next().unwrap();
        if all.all(|words| words == first) {
            writeln!(table, "  license.query, whatever agreement, item, basis, mode and type: {first}")
                .unwrap();
            continue;
        }
        for (agreement, rows) in by_agreement {
            writeln!(table, "  license.query under agreement {agreement}").unwrap();
            let first = &rows[0].1;
            if rows.iter().all(|(_, words)| words == first) {
                writeln!(table, "    whatever item, basis, mode and type: {first}").unwrap();
                continue;
            }
            for (row, words) in rows {
                writeln!(table, "    {row}: {words}").unwrap();
            }
        }
    }
    insta::assert_snapshot!("authority_matrix", table);
}
