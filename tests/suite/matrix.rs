//! Who may do what: the whole authority matrix in one document that a reviewer can read,
//! `snapshots/suite__matrix__authority.snap`. A check that goes away or moves changes it.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tongban::domain::Region;

use crate::support::*;

/// The verdict on a message that came over `peer`'s connection.
fn says(court: &Court, peer: Region, message: &Draft) -> String {
    let verdict = court.verdict_on(peer, &message.bytes(), Remembered::default());
    verdict.map_or_else(|| "yes".to_owned(), |(_, word)| word)
}

/// Rows of words under a heading, each column as wide as its widest word.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|&word| word.to_owned()).collect()] }
    }

    fn row(&mut self, words: impl IntoIterator<Item = String>) {
        self.rows.push(words.into_iter().collect());
    }

    /// What stands above is not said again.
    fn text(mut self) -> String {
        let columns = self.rows[0].len();
        // A word that stands for the rest of its row may run on.
        let fits = |row: &&Vec<String>, at: usize| row.len() == columns || at + 1 < row.len();
        let width =
            |at: usize| self.rows.iter().filter(|row| fits(row, at)).map(|row| row[at].len()).max().unwrap();
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        let mut above: Vec<String> = Vec::new();
        for (number, row) in self.rows.drain(..).enumerate() {
            for (at, word) in row.iter().enumerate() {
                let same = number > 1 && at < 3 && above[..=at] == row[..=at];
                let word = if same { "\"" } else { word };
                write!(text, "{word:<width$}  ", width = widths[at]).unwrap();
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
            if number == 0 {
                text.push_str(&"-".repeat(widths.iter().map(|width| width + 2).sum::<usize>() - 2));
                text.push('\n');
            }
            above = row;
        }
        text
    }
}

#[test]
fn the_authority_matrix() {
    let court = Court::of(&WorldPlan::of_cases());
    let text = format!(
        "Gateway 421202 judges. \"yes\": every check of protocol 3.4 passed; else the code of the refusal.\n\n\
         1. Who: member x agreement named x item x op (\"(always)\": whatever the op)\n\n{}\n\
         2. What: item x basis x license x mode x field x the citizen's authorization\n\
         (... stands for authorization-; * for everything that may stand there; \"(always)\": whatever the citizen said)\n\n{}\n\
         3. Whose: the authorization against the one who asks\n\n{}",
        who(&court),
        what(&court),
        whose(&court)
    );
    insta::with_settings!({prepend_module_to_snapshot => true, omit_expression => true}, {
        insta::assert_snapshot!("authority", text);
    });
}

fn who(court: &Court) -> String {
    let members = [
        ("331083 party", &court.scene.asking),
        ("320922 member", &court.scene.binhai),
        ("421202 ourselves", &court.scene.answering),
        ("150421 stranger", &stranger(court)),
    ]
    .map(|(name, member)| (name, member.clone()));
    let agreements =
        [("in force", AGREEMENT), ("lapsed", "421202-331083-2010"), ("not here", "421202-331083-1999")];
    let items = [("newborn", ITEM), ("reissue", QUIET_ITEM)];
    let mut table = Table::new(&[&["member", "agreement", "item"], &OPS[..]].concat());
    for (name, member) in members {
        let rows: Vec<(String, String, Vec<String>)> = agreements
            .iter()
            .flat_map(|agreement| items.iter().map(move |item| (agreement, item)))
            .map(|((state, agreement), (item_name, item))| {
                let says = OPS.map(|op| {
                    let message = message_of(court, &member, op);
                    let message = if op == "ping" || op == "ledger.reconcile" {
                        message
                    } else {
                        let message = message.with("/agreement", *agreement).with("/item", *item);
                        // That item wants no material.
                        let bare = *item == QUIET_ITEM && op == "application.submit";
                        if bare { message.with("/body/materials", json!([])) } else { message }
                    };
                    says(court, member.region, &message)
                });
                ((*state).to_owned(), (*item_name).to_owned(), says.to_vec())
            })
            .collect();
        for same in rows.chunk_by(|(_, _, a), (_, _, b)| a == b) {
            let mut states: Vec<&str> = same.iter().map(|(state, ..)| state.as_str()).collect();
            states.dedup();
            let items = if same.len() > 1 { "*" } else { same[0].1.as_str() };
            let place = [name.to_owned(), states.join(", "), items.to_owned()].into_iter();
            table.row(place.chain(once_if_same(same[0].2.clone())));
        }
    }
    table.text()
}

const OPS: [&str; 9] = [
    "ping",
    "license.query",
    "application.submit",
    "application.event",
    "application.status",
    "verification.request",
    "verification.answer",
    "ledger.reconcile",
    "nonsense",
];

/// A true message of this member, under [`ITEM`]; what it says of the case is for the case.
fn message_of(court: &Court, member: &Member, op: &str) -> Draft {
    let scene = &court.scene;
    let by = json!({"org": WINDOW, "officer": "YH0123"});
    let body = match op {
        "ping" => return scene.ping_of(member),
        "ledger.reconcile" => {
            let from = scene.now() - scene.now() % 60 - 3_600;
            let body = json!({"window": {"from": from, "to": from + 60}, "count": 0,
                "root": "r".repeat(43), "note": "n".repeat(300)});
            return scene.ping_of(member).with("/op", op).with("/body", body);
        }
        "license.query" => {
            let token = scene.authorization().with("/client_id", member.urn());
            return scene.lookup_of(member).authorized(&token.with("/cnf/jkt", member.signing.kid()));
        }
        "application.submit" => submit_body_at(scene.now()),
        "application.event" => json!({"seq": 1, "prev": "d".repeat(43), "event": "withdraw",
            "at": scene.now(), "by": by, "data": {}}),
        "application.status" => json!({"case": CASE}),
        "verification.request" => json!({"id": "V".repeat(22), "material": "M2",
            "license": {"type": MARRIAGE, "holder": {"type": "111", "number": JIA}},
            "claims": {}, "question": "?", "due": "2030-03-20T23:59:59+08:00"}),
        "verification.answer" => json!({"id": "V".repeat(22), "outcome": "confirmed", "note": "",
            "at": scene.now(), "by": by}),
        _ => json!({}),
    };
    scene.lookup_of(member).with("/op", op).with("/body", body)
}

fn stranger(court: &Court) -> Member {
    Member::pinned("150421", court.scene.clock.now())
}

/// The columns of the second table: what the citizen has said.
const SAID: [&str; 6] =
    ["nothing", "yes to this", "yes to other fields", "yes, not sensitive", "withdrawn", "past its exp"];

/// A license type with its field that is agreed, and one that is not.
const LICENSES: [(&str, &str, &str, &str); 5] = [
    ("marriage", MARRIAGE, "cert_no", "man"),
    ("household", HOUSEHOLD, "address", "registrar"),
    ("business", BUSINESS, "name", "legal_person"),
    ("divorce", DIVORCE, "cert_no", "photo"),
    ("unheard of", NO_TYPE, "cert_no", "x"),
];

const ITEMS: [(&str, &str); 5] = [
    ("newborn", ITEM),
    ("housing fund", DUTY_ITEM),
    ("reissue", QUIET_ITEM),
    ("lapsed", LAPSED_ITEM),
    ("in no agreement", NO_ITEM),
];

fn what(court: &Court) -> String {
    let mut table = Table::new(&[&["item", "basis", "license", "mode", "field"], &SAID[..]].concat());
    for (item_name, item) in ITEMS {
        let by_basis: Vec<(&str, Vec<Row>)> =
            ["consent", "statutory_duty", "emergency"].map(|basis| (basis, rows(court, item, basis))).into();
        // Where nothing that follows matters, one row says it.
        let first = by_basis[0].1[0].1.clone();
        if by_basis.iter().flat_map(|(_, rows)| rows).all(|(_, says)| *says == first) {
            let place = [item_name, "*", "*", "*", "*"].map(str::to_owned).into_iter();
            table.row(place.chain(once_if_same(first)));
            continue;
        }
        // Bases with the same verdicts stand together.
        for same in by_basis.chunk_by(|(_, a), (_, b)| a == b) {
            let bases: Vec<&str> = same.iter().map(|(basis, _)| *basis).collect();
            for (place, says) in folded(&same[0].1) {
                let place = [item_name.to_owned(), bases.join(", ")].into_iter().chain(place);
                table.row(place.chain(once_if_same(says)));
            }
        }
    }
    table.text()
}

/// One word for a row of equal words.
fn once_if_same(says: Vec<String>) -> Vec<String> {
    if says.iter().all(|word| *word == says[0]) { vec![format!("{} (always)", says[0])] } else { says }
}

/// Where (license, mode, field) and what is said to each authorization.
type Row = ([String; 3], Vec<String>);

/// License types with one verdict on everything make one row, and all of them together too.
fn folded(rows: &[Row]) -> Vec<Row> {
    let any = |_: &str| "*".to_owned();
    if rows.iter().all(|(_, says)| *says == rows[0].1) {
        return vec![(["", "", ""].map(any), rows[0].1.clone())];
    }
    let mut folded = Vec::new();
    for of_license in rows.chunk_by(|(a, _), (b, _)| a[0] == b[0]) {
        if of_license.iter().all(|(_, says)| *says == of_license[0].1) {
            folded.push(([of_license[0].0[0].clone(), any(""), any("")], of_license[0].1.clone()));
            continue;
        }
        for of_mode in of_license.chunk_by(|(a, _), (b, _)| a[1] == b[1]) {
            if of_mode.iter().all(|(_, says)| *says == of_mode[0].1) {
                let [license, mode, _] = of_mode[0].0.clone();
                folded.push(([license, mode, any("")], of_mode[0].1.clone()));
            } else {
                folded.extend_from_slice(of_mode);
            }
        }
    }
    folded
}

fn rows(court: &Court, item: &str, basis: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, kind, agreed, other) in LICENSES {
        for mode in ["read", "verify"] {
            for (what, field) in [("agreed", agreed), ("other", other)] {
                let says = SAID.map(|said| {
                    let message = question(court, item, basis, kind, mode, field, said);
                    let says = says(court, court.scene.asking.region, &message);
                    says.replace("authorization-", "...")
                });
                rows.push(([name, mode, what].map(str::to_owned), says.to_vec()));
            }
        }
    }
    rows
}

fn question(
    court: &Court,
    item: &str,
    basis: &str,
    kind: &str,
    mode: &str,
    field: &str,
    said: &str,
) -> Draft {
    let scene = &court.scene;
    let number = if kind == BUSINESS { ("001", COMPANY) } else { ("111", JIA) };
    let mut body =
        json!({"license": {"type": kind, "holder": {"type": number.0, "number": number.1}}, "mode": mode});
    match mode {
        "read" => body["fields"] = json!([field]),
        _ => body["expect"] = json!({field: "x"}),
    }
    let message =
        scene.lookup_of(&scene.asking).with("/item", item).with("/basis", basis).with("/body", body);
    let token = scene
        .authorization_of(number.0, number.1)
        .with("/authorization_details/0/item", item)
        .with("/authorization_details/0/datatypes", vec![kind])
        .with("/authorization_details/0/fields", vec![field]);
    let now = scene.now();
    match said {
        "nothing" => message,
        "yes to this" => message.authorized(&token),
        "yes to other fields" => {
            message.authorized(&token.with("/authorization_details/0/fields", vec!["op_type"]))
        }
        "yes, not sensitive" => message.authorized(&token.with("/sensitive", false)),
        "withdrawn" => message.authorized(&token.with("/status/status_list/idx", REVOKED_INDEX)),
        _ => {
            message.authorized(&token.with("/iat", now - 700).with("/nbf", now - 700).with("/exp", now - 600))
        }
    }
}

fn whose(court: &Court) -> String {
    let scene = &court.scene;
    let other = scene.binhai.signing.kid();
    let ward = |token: Draft, number: &str| {
        let digest = holder(token.jti(), "111", number);
        token.with("/guardian", json!({"holder": digest, "relation": "51"}))
    };
    let about = |number: &str| scene.lookup_of(&scene.asking).with("/body/license/holder/number", number);
    let asked: [(&str, Draft, Draft); 13] = [
        ("the holder, to us, for the asker", about(JIA), scene.authorization()),
        ("another person", about(JIA), scene.authorization_of("111", YI)),
        ("the holder, by another document", about(JIA), scene.authorization_of("112", JIA)),
        ("a guardian, for the ward", about(WARD), ward(scene.authorization(), WARD)),
        ("a guardian, for themselves", about(JIA), ward(scene.authorization(), WARD)),
        ("a guardian, for another child", about(WARD), ward(scene.authorization(), DING)),
        ("to another gateway", about(JIA), scene.authorization().with("/aud", scene.binhai.urn())),
        ("for another asker", about(JIA), scene.authorization().with("/client_id", scene.binhai.urn())),
        ("bound to another key", about(JIA), scene.authorization().with("/cnf/jkt", other)),
        ("bound to no key", about(JIA), scene.authorization().without("/cnf")),
        ("for another case", about(JIA), entry(scene, "case", json!("K42010042120220261012000000257"))),
        ("for another item", about(JIA), entry(scene, "item", json!(DUTY_ITEM))),
        ("signed by the asker itself", about(JIA), scene.authorization().signed_by(&scene.asking.signing)),
    ];
    let mut table = Table::new(&["the authorization is of or", "says"]);
    for (whose, message, token) in asked {
        table.row([whose.to_owned(), says(court, scene.asking.region, &message.authorized(&token))]);
    }
    table.text()
}

fn entry(scene: &Scene, member: &str, value: Value) -> Draft {
    scene.authorization().with(&format!("/authorization_details/0/{member}"), value)
}
