//! The order of the checks (protocol §3.4): of two things that are wrong, the one that is
//! checked first decides. So a partner without an agreement cannot probe schemas, nothing is
//! decided from bytes whose signature does not hold, and every gateway says the same.

use std::sync::LazyLock;

use serde_json::json;
use tongban::keys::Algorithm;

use crate::support::*;

/// One court for all: it remembers nothing.
static COURT: LazyLock<Court> = LazyLock::new(Court::new);

/// A message that more than one thing is wrong with.
struct Bent {
    draft: Draft,
    token: Option<Draft>,
    /// A member twice in the payload.
    twice: bool,
    /// Blanks that make it too large for its op.
    large: bool,
    tail: String,
    remembered: Remembered,
}

/// One thing that is wrong. Two that touch the same place are not combined.
struct Wrong {
    says: &'static str,
    touches: &'static str,
    bend: fn(&Scene, &mut Bent),
}

const fn wrong(says: &'static str, touches: &'static str, bend: fn(&Scene, &mut Bent)) -> Wrong {
    Wrong { says, touches, bend }
}

/// Puts `value` at a claim.
fn claim(bent: &mut Bent, pointer: &str, value: impl Into<serde_json::Value>) {
    bent.draft = bent.draft.clone().with(pointer, value);
}

fn token(bent: &mut Bent, bend: impl FnOnce(Draft) -> Draft) {
    bent.token = bent.token.take().map(bend);
}

/// In the order of protocol §3.4: of any two the earlier one decides.
const ORDER: &[Wrong] = &[
    wrong("malformed/characters", "", |_, bent| bent.tail.push('=')),
    wrong("malformed/parts", "", |_, bent| bent.tail.insert_str(0, ".AAAA")),
    wrong("malformed/base64url", "", |_, bent| bent.tail.push_str("AAA")),
    wrong("malformed/header", "", |_, bent| bent.draft = bent.draft.clone().header("crit", json!([]))),
    wrong("malformed/typ", "", |_, bent| bent.draft = bent.draft.clone().header("typ", "JWT")),
    wrong("signature-invalid/kid-not-yours", "", |scene, bent| {
        bent.draft = bent.draft.clone().header("kid", scene.binhai.signing.kid());
    }),
    wrong("signature-invalid/alg-not-registered", "", |_, bent| {
        bent.draft = bent.draft.clone().header("alg", "none");
    }),
    wrong("signature-invalid/signature-mismatch", "", |_, bent| {
        bent.draft = bent.draft.clone().forged_by(&new_key(Algorithm::Es256));
    }),
    wrong("malformed/JSON", "", |_, bent| bent.twice = true),
    wrong("too-large", "", |_, bent| bent.large = true),
    wrong("unknown-op", "op", |_, bent| claim(bent, "/op", "nonsense")),
    wrong("schema-violation", "", |_, bent| claim(bent, "/operator", "")),
    wrong("issuer-mismatch", "", |scene, bent| claim(bent, "/iss", scene.binhai.urn())),
    wrong("audience-mismatch", "", |scene, bent| claim(bent, "/aud", scene.binhai.urn())),
    wrong("not-yet-valid", "times", |scene, bent| {
        claim(bent, "/iat", scene.now() + 100);
        claim(bent, "/exp", scene.now() + 9_000);
    }),
    wrong("message-expired", "times", |scene, bent| {
        claim(bent, "/iat", scene.now() - 9_000);
        claim(bent, "/exp", scene.now() - 100);
    }),
    wrong("lifetime-too-long", "times", |scene, bent| claim(bent, "/exp", scene.now() + 9_000)),
    wrong("jti-reuse", "", |_, bent| bent.remembered.used_id = Some(Used::OtherContent)),
    wrong("no-agreement", "", |_, bent| claim(bent, "/agreement", "none")),
    wrong("unknown-item", "item", |_, bent| claim(bent, "/item", NO_ITEM)),
    wrong("item-not-agreed", "item", |_, bent| claim(bent, "/item", LAPSED_ITEM)),
    wrong("op-not-agreed", "item", |_, bent| claim(bent, "/item", QUIET_ITEM)),
    wrong("basis-not-agreed", "", |_, bent| claim(bent, "/basis", "emergency")),
    wrong("rate-limited", "", |_, bent| bent.remembered.over_quota = true),
    wrong("schema-violation", "", |_, bent| claim(bent, "/body/max_age", -1)),
    wrong("unknown-license-type", "type", |_, bent| claim(bent, "/body/license/type", NO_TYPE)),
    wrong("license-not-agreed", "type", |_, bent| claim(bent, "/body/license/type", DIVORCE)),
    wrong("field-not-agreed", "", |_, bent| claim(bent, "/body/fields", vec!["cert_no", "man"])),
    wrong("authorization-missing", "", |_, bent| bent.token = None),
    wrong("authorization-invalid/header", "", |_, bent| token(bent, |token| token.header("crit", json!([])))),
    wrong("authorization-invalid/typ", "", |_, bent| token(bent, |token| token.header("typ", "JWT"))),
    wrong("authorization-invalid/kid-not-theirs", "", |scene, bent| {
        let kid = scene.asking.signing.kid().to_owned();
        token(bent, |token| token.header("kid", kid));
    }),
    wrong("authorization-invalid/alg-not-registered", "", |_, bent| {
        token(bent, |token| token.header("alg", "none"));
    }),
    wrong("authorization-invalid/signature-mismatch", "", |_, bent| {
        token(bent, |token| token.forged_by(&new_key(Algorithm::Es256)));
    }),
    wrong("authorization-invalid/schema", "", |_, bent| token(bent, |token| token.with("/canary", 1))),
    wrong("authorization-invalid/issuer", "", |_, bent| {
        token(bent, |token| token.with("/iss", "urn:tongban:idp:ehubei"));
    }),
    wrong("authorization-invalid/audience", "", |scene, bent| {
        token(bent, |token| token.with("/aud", scene.binhai.urn()));
    }),
    wrong("authorization-invalid/client", "", |scene, bent| {
        token(bent, |token| token.with("/client_id", scene.binhai.urn()));
    }),
    wrong("authorization-invalid/not-yet-valid", "token times", |scene, bent| {
        token(bent, |token| token.with("/nbf", scene.now() + 100).with("/exp", scene.now() + 99_000));
    }),
    wrong("authorization-expired", "token times", |scene, bent| {
        let now = scene.now();
        token(bent, |token| {
            token.with("/iat", now - 9_000).with("/nbf", now - 9_000).with("/exp", now - 100)
        });
    }),
    wrong("authorization-invalid/lifetime", "token times", |scene, bent| {
        token(bent, |token| token.with("/exp", scene.now() + 99_000));
    }),
    wrong("authorization-invalid/holder", "", |_, bent| {
        token(bent, |token| {
            let holder = holder(token.jti(), "111", BING);
            token.with("/holder", holder)
        });
    }),
    wrong("authorization-invalid/key-binding", "", |scene, bent| {
        token(bent, |token| token.with("/cnf/jkt", scene.binhai.signing.kid()));
    }),
    wrong("authorization-invalid/status-list-unknown", "status", |_, bent| {
        token(bent, |token| token.with("/status/status_list/uri", "https://elsewhere.example/1"));
    }),
    wrong("authorization-invalid/status-index", "status", |_, bent| {
        token(bent, |token| token.with("/status/status_list/idx", 1_000_000));
    }),
    wrong("authorization-revoked", "status", |_, bent| {
        token(bent, |token| token.with("/status/status_list/idx", REVOKED_INDEX));
    }),
    wrong("authorization-insufficient", "", |_, bent| {
        token(bent, |token| token.with("/authorization_details/0/item", DUTY_ITEM));
    }),
    wrong("authorization-used-up", "", |_, bent| bent.remembered.uses = 1),
];

/// What the judge says of a lookup with all these faults.
fn verdict(faults: &[&Wrong]) -> Option<String> {
    let scene = &COURT.scene;
    let mut bent = Bent {
        draft: scene.lookup(),
        token: Some(scene.authorization()),
        twice: false,
        large: false,
        tail: String::new(),
        remembered: Remembered::default(),
    };
    for fault in faults {
        (fault.bend)(scene, &mut bent);
    }
    let mut draft = match bent.token {
        Some(token) => bent.draft.authorized(&token),
        None => bent.draft.without("/authorization"),
    };
    let mut payload = draft.claims.to_string();
    if bent.twice {
        payload.insert_str(1, "\"ver\":1,");
    }
    if bent.large {
        payload.push_str(&" ".repeat(32 * 1024));
    }
    draft = draft.raw_payload(payload);
    let message = draft.text() + &bent.tail;
    COURT.verdict(message.as_bytes(), bent.remembered).map(|(_, says)| says)
}

#[test]
fn of_two_faults_the_earlier_check_decides() {
    let mut wrong = Vec::new();
    for (at, first) in ORDER.iter().enumerate() {
        if verdict(&[first]).as_deref() != Some(first.says) {
            wrong.push(format!("{} alone: {:?}", first.says, verdict(&[first])));
        }
        for later in &ORDER[at + 1..] {
            if !first.touches.is_empty() && first.touches == later.touches {
                continue;
            }
            let told = verdict(&[later, first]);
            if told.as_deref() != Some(first.says) {
                wrong.push(format!("{} and {}: {told:?}", first.says, later.says));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn with_every_fault_at_once_the_first_check_decides_each_time() {
    // Mend them one after the other, from the front: each time the next one is told.
    let mut places = std::collections::HashSet::new();
    let apart: Vec<&Wrong> =
        ORDER.iter().filter(|fault| fault.touches.is_empty() || places.insert(fault.touches)).collect();
    for at in 0..apart.len() {
        let faults: Vec<&Wrong> = apart[at..].iter().rev().copied().collect();
        assert_eq!(verdict(&faults).as_deref(), Some(apart[at].says));
    }
}
