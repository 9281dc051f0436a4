//! To vendors: nobody is left alone with a refusal. Each code has its advice, the page tells what
//! the program knows, and what can be seen in a message's bytes is found there.

mod mistakes;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tongban::answer::{Advice, Cause, Code};
use tongban::diagnosis::{self, Finding, View};
use tongban::domain::Region;
use tongban::house::Trust;
use tongban::inbound::judge::{Bench, FreshMemory, Seen, Stopped, judge};
use tongban::inbound::steps::Step;
use tongban::keys::Algorithm;
use tongban::schema::Catalog;

use crate::process::run;
use crate::support::*;

/// The one who refuses, and the papers it knows.
pub struct Desk {
    pub scene: Scene,
    /// Further keys on 玉环's card.
    pub ed25519: std::sync::Arc<tongban::keys::SigningKey>,
    pub ps256: std::sync::Arc<tongban::keys::SigningKey>,
    trust: Trust,
}

/// What was said of one message.
pub struct Explained {
    pub step: Step,
    pub code: Code,
    pub found: Vec<Finding>,
    /// Everything that is told of it, as text.
    pub told: String,
}

impl Explained {
    pub fn causes(&self) -> Vec<&str> {
        self.found.iter().map(|finding| &*finding.cause.id).collect()
    }

    pub fn measured(&self, id: &str) -> &str {
        let finding = self.found.iter().find(|finding| finding.cause.id == id).unwrap();
        finding.measured.as_ref().map_or("", |said| &said.en)
    }
}

/// A member that is suspended.
pub const SUSPENDED: &str = "150421";

impl Desk {
    fn open() -> Self {
        let root = tempfile::tempdir().unwrap();
        let (scene, xianan, _) = World::plan().settle(root.path());
        let mut suspended = Member::pinned(SUSPENDED, scene.clock.now()).pinning_card("https://127.0.0.1:9");
        suspended["status"] = "suspended".into();
        xianan.trust_card(&suspended);
        let (ed25519, ps256) = (new_key(Algorithm::Ed25519), new_key(Algorithm::Ps256));
        let keys = [&scene.asking.signing, &scene.asking.retired, &ed25519, &ps256];
        let mut card = with_keys(scene.asking.card("https://127.0.0.1:9"), &keys);
        card["jwks"]["keys"][1]["exp"] = scene.now().into();
        xianan.trust_card(&card);
        let (trust, left_out) = Trust::load(&xianan.config(), scene.clock.now()).unwrap();
        assert_eq!(left_out, []);
        Self { scene, ed25519, ps256, trust }
    }

    /// What stops a message, and what its bytes show.
    pub fn explain(&self, peer: &str, body: &[u8]) -> Explained {
        let (me, now) = (self.scene.answering.region, self.scene.clock.now());
        let peer = Region::parse(peer).unwrap();
        let stopped = match self.trust.directory.assume(peer) {
            None => Stopped { step: Step::Member, refusal: Code::NotAMember.into() },
            Some(identity) => {
                let bench = Bench {
                    me,
                    policy: &self.trust.policy,
                    authorities: &self.trust.authorities,
                    status_lists: &self.trust.status_lists,
                    authorizer: &tongban::authorization::Authorizer::default(),
                    catalog: Catalog::embedded(),
                    now,
                };
                let judged = judge(&bench, &identity, body, &FreshMemory, &mut Seen::default());
                judged.err().unwrap_or_else(|| panic!("accepted: {}", String::from_utf8_lossy(body)))
            }
        };
        let view = View {
            me,
            peer: Some(peer),
            directory: &self.trust.directory,
            authorities: &self.trust.authorities,
            policy: &self.trust.policy,
            now,
        };
        let Stopped { step, refusal } = stopped;
        let found = diagnosis::diagnose(&view, body, Some(step), &refusal);
        let mut told = diagnosis::told(&refusal, Some(step), &found).to_string();
        for look in diagnosis::looks(&view, body, step) {
            told += &format!("\n{:?} {:?} {:?}", look.step, look.expected, look.found);
        }
        Explained { step, code: refusal.code, found, told }
    }
}

#[test]
fn every_cause_that_can_be_found_is_found_in_a_message_that_has_it() {
    let desk = Desk::open();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for mistakes::Mistake { cause, peer, body } in mistakes::all(&desk) {
        let explained = desk.explain(peer, &body);
        let (code, causes) = (explained.code, explained.causes());
        assert!(causes.contains(&cause), "{cause}: {code:?} at {:?}, found {causes:?}", explained.step);
        let advice = Advice::of(code).unwrap();
        for id in &causes {
            let of = advice.causes.iter().find(|known| known.id == *id);
            assert!(of.is_some_and(|known| known.found), "{id} is no cause of {code:?} that is found");
        }
        for personal in [CANARY, JIA, BING, "YH0123"] {
            assert!(!explained.told.contains(personal), "{cause}: {}", explained.told);
        }
        seen.insert(cause.to_owned());
    }
    for (types, encoded, cause) in [
        (vec!["application/json"], false, "media-json"),
        (vec!["application/tongban-request+jwt; charset=utf-8"], false, "media-parameters"),
        (vec!["application/tongban-request+jwt"], true, "media-encoded"),
        (vec![], false, "media-other"),
        (vec!["application/tongban-request+jwt"; 2], false, "media-other"),
    ] {
        let types: Vec<&[u8]> = types.iter().map(|kind: &&str| kind.as_bytes()).collect();
        let found = diagnosis::media_type(&types, encoded);
        assert_eq!(found[0].cause.id, cause);
        seen.insert(cause.to_owned());
    }
    let findable = Advice::all().iter().flat_map(|advice| &advice.causes).filter(|cause| cause.found);
    let findable: BTreeSet<String> = findable.map(|cause| cause.id.clone()).collect();
    assert_eq!(seen, findable);
}

#[test]
fn what_was_measured_is_said_with_its_direction() {
    let desk = Desk::open();
    let now = desk.scene.now();
    let timed = |iat: i64, exp: i64| desk.scene.ping().with("/iat", iat).with("/exp", exp).bytes();
    let says = |body: &[u8], cause: &str| desk.explain(YUHUAN, body).measured(cause).to_owned();
    assert_eq!(
        says(&timed(now - 300, now - 240), "clock-behind"),
        "iat is 300 s behind this gateway's clock"
    );
    assert_eq!(says(&timed(now + 47, now + 90), "clock-ahead"), "iat is 47 s ahead of this gateway's clock");
    let spelled = |text: String| mistakes::signed_for(&desk, &text, &desk.scene.lookup().claims.to_string());
    let claims = desk.scene.lookup().claims;
    let pretty = format!("{claims:#}");
    let message = mistakes::signed_for(&desk, &pretty, &claims.to_string());
    assert_eq!(says(&message, "payload-again"), "signed was: indented by 2");
    let jcs = String::from_utf8(tongban::json::jcs(&claims)).unwrap();
    let message = mistakes::signed_for(&desk, &jcs, &pretty);
    assert_eq!(says(&message, "payload-again"), "signed was: the canonical form (JCS)");
    // The signature is for other claims altogether.
    let explained = desk.explain(YUHUAN, &spelled("{}".into()));
    assert_eq!(explained.causes(), ["signature-unknown"]);
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// With `TONGBAN_UPDATE=1` the published file is written anew instead of compared.
pub fn published(path: &str, due: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("TONGBAN_UPDATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, due).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        there == due,
        "{path} is not what the program says: TONGBAN_UPDATE=1 cargo test --test suite writes it"
    );
}

#[test]
fn the_published_page_is_what_the_program_says() {
    published("docs/refusals.md", &run(&["explain", "--all", "--markdown"]).ended(0).out);
    let listed = run(&["explain", "--all", "--json"]).ended(0).json();
    assert_eq!(listed.as_array().unwrap().len(), Code::ALL.len());
    let plain = run(&["explain", "--all"]).ended(0).out;
    assert!(Code::ALL.iter().all(|code| plain.contains(code.word())));
}

#[test]
fn advice_names_clauses_and_reasons_that_the_protocol_has() {
    let protocol = read("conformance/PROTOCOL.md");
    let clause = |id: &str| assert!(protocol.contains(&format!("**{id}** ")), "{id} is no clause");
    Step::ALL.iter().for_each(|step| clause(step.clause()));
    let row = |code: Code| {
        let mut rows = protocol.lines().filter(|line| line.starts_with("| "));
        rows.find(|line| line.contains(&format!("`{}`", code.word()))).unwrap().to_owned()
    };
    let of_tokens = protocol.split("**A-2** ").nth(1).unwrap().split("\n\n").next().unwrap();
    for advice in Advice::all() {
        advice.clauses.iter().for_each(|id| clause(id));
        let row = row(advice.code);
        let named = if advice.code == Code::AuthorizationInvalid { of_tokens } else { &row };
        for Cause { id, reason, clause: of, .. } in &advice.causes {
            clause(of);
            if let Some(reason) = reason {
                assert!(named.contains(&format!("`{reason}`")), "{id}: {reason} is no reason of {row}");
            }
        }
        let reasons = row.split("with `reason` ").nth(1).map(|rest| rest.split('|').next().unwrap());
        for reason in reasons.into_iter().flat_map(|rest| rest.split('`').skip(1).step_by(2)) {
            let advised = advice.causes.iter().any(|cause| cause.reason.as_deref() == Some(reason));
            assert!(advised, "{:?}/{reason} has no cause", advice.code);
        }
    }
}

#[test]
fn a_refusal_without_a_finding_still_has_its_likely_causes() {
    for code in Code::ALL {
        assert!(diagnosis::likely(&(*code).into()).next().is_some() || !code.signed(), "{code:?}");
    }
}
