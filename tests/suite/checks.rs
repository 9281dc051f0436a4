//! The checks of protocol §3.4: each has a test of its own. That they come in their order is
//! told in `order.rs`.
//!
//! The list of checks and their tests is [`checks!`] below: step, test, and the bent message of
//! `support/corpus.rs` that only this check stops. Take any check out of the corridor and the
//! test beside it fails. The two steps before the judge are made at the door:
//!
//! | step | tests |
//! |---|---|
//! | member | `refusals::a_stranger_gets_no_handshake`, `refusals::a_suspended_and_a_removed_member_are_told_that_they_are_none`, `withdrawal` |
//! | media type, size, budget | `refusals::only_the_request_type_without_an_encoding_is_read`, `refusals::more_than_a_message_may_be_is_refused_unread`, `refusals::a_partner_beyond_its_agreed_rate_is_told_when_to_come_again` |
//! | first use | `refusals::the_same_message_again_is_a_replay_and_another_under_its_jti_is_reuse` and here |
//! | quota | `refusals::a_partner_beyond_its_agreed_rate_is_told_when_to_come_again` and here |
//! | use count | `refusals::an_authorization_for_one_use_is_used_up_by_one_answer` and here |
//! | act, ledger, sign | `lookup`, `concurrency`, `refusals::what_cannot_be_recorded_is_not_answered` |

use std::sync::LazyLock;

use tongban::inbound::checks::{Outcome, Places};
use tongban::inbound::steps::Step;

use crate::support::*;

/// One court for all: it remembers nothing.
static COURT: LazyLock<Court> = LazyLock::new(Court::new);

macro_rules! checks {
    ($($step:ident: $test:ident = $case:literal;)*) => {
        $(
            #[test]
            fn $test() {
                let cases = bent_messages(&COURT.scene);
                let case = cases.into_iter().find(|case| case.name == $case).expect("a case of that name");
                let verdict = COURT.verdict(&case.body, Remembered::default());
                assert_eq!(verdict, Some((Step::$step, case.says.to_owned())), "{}", case.name);
            }
        )*
        const LISTED: &[(Step, &str)] = &[$((Step::$step, $case)),*];
    };
}

checks! {
    Characters: only_base64url_characters_and_dots = "padding";
    Characters: nothing_behind_the_message = "a newline behind it";
    Characters: exactly_three_parts_not_two = "two parts";
    Characters: exactly_three_parts_not_four = "four parts";
    Characters: no_part_is_empty = "a detached payload";
    Characters: base64url_is_canonical = "another spelling of the signature";
    Header: the_header_is_strict_json = "a header with a member twice, escaped";
    Header: the_header_has_nothing_but_three_members = "a header with crit";
    Header: the_header_has_all_three_members = "a header without kid";
    Header: the_header_has_strings_only = "a header whose alg is a number";
    Header: the_header_is_short = "a header over 512 characters";
    Typ: the_message_says_what_it_is = "a response's typ";
    Kid: the_key_is_registered = "a key nobody has";
    Kid: the_key_is_the_members_own = "another member's key";
    Kid: the_key_has_the_gateway_role = "an authority's key";
    Kid: the_key_is_not_past_its_exp = "a key past its exp";
    Kid: the_key_is_not_before_its_nbf = "a key before its nbf";
    Alg: the_algorithm_is_the_keys = "another key's alg";
    Alg: none_is_no_algorithm = "alg none";
    Signature: the_signature_is_the_keys = "another's signature";
    Signature: the_signature_covers_the_payload = "another payload under the signature";
    Signature: the_signature_has_its_length = "a longer signature";
    Payload: the_payload_is_an_object = "a payload that is a list";
    Payload: the_payload_is_all_there_is = "something behind the payload";
    Payload: no_member_stands_twice = "a member twice, escaped";
    Payload: numbers_are_integers = "a fraction";
    Payload: numbers_are_exact = "a number beyond 2^53";
    Payload: zero_has_no_sign = "minus zero";
    Payload: nesting_is_limited = "thirteen levels";
    Payload: values_are_limited = "more than 2 000 values";
    Payload: text_has_no_private_use = "a private-use character";
    Payload: text_has_no_controls = "a control character";
    Payload: text_does_not_turn_around = "a bidirectional override";
    Payload: names_follow_the_rules_of_text = "a forbidden character in a name";
    Payload: the_payload_is_utf8 = "bytes that are no UTF-8";
    OpSize: a_lookup_is_at_most_32_kib = "a lookup above 32 KiB";
    Envelope: the_op_is_known = "an unknown op";
    Envelope: the_version_is_1 = "another version";
    Envelope: claims_are_closed = "an unknown member";
    Envelope: exp_is_later_than_iat = "an exp that is not later than iat";
    Envelope: the_item_code_holds = "an item with a bad credit code";
    Envelope: the_case_number_holds = "a case with a bad check character";
    Envelope: a_ping_has_no_business = "a ping that names an item";
    Issuer: the_issuer_is_the_tls_member = "another member's name";
    Audience: the_message_is_for_us = "for somebody else";
    Times: the_message_is_not_of_the_future = "31 s ahead";
    Times: the_message_has_not_expired = "past exp by the skew";
    Times: the_message_does_not_live_long = "a life of 121 s";
    Agreement: the_agreement_is_here = "an agreement nobody has";
    Agreement: the_agreement_is_the_partners = "an agreement of two others";
    Agreement: the_agreement_is_in_force = "an agreement that has ended";
    Agreement: the_item_is_known = "an item nobody has agreed on";
    Agreement: the_item_is_agreed = "an item of the lapsed agreement";
    Agreement: the_op_is_agreed = "an item without lookups";
    Agreement: the_basis_is_agreed = "a basis that is not agreed";
    Body: a_pings_body_is_empty = "a ping with something in it";
    Body: the_body_meets_its_schema = "an unknown mode";
    Body: the_id_number_holds = "an ID number with a bad check character";
    Body: the_id_numbers_owner_is_born = "an ID number born tomorrow";
    Body: the_credit_code_holds = "a bad credit code";
    Body: the_license_id_holds = "a license id with a bad check character";
    Body: the_license_id_is_of_the_type = "a license id of another type";
    License: the_license_type_is_known = "a license type nobody knows";
    License: the_license_type_is_agreed = "a license type that no agreement lists";
    License: the_mode_is_agreed = "a mode that is not agreed";
    License: the_answering_region_is_agreed = "a license type whose holders are elsewhere";
    License: every_field_is_agreed = "a field that is not agreed";
    License: every_expected_field_is_agreed = "an expected field that is not agreed";
    License: every_field_is_shareable = "a field that is never shared";
    Authorization: consent_needs_an_authorization = "no authorization";
    Authorization: the_token_is_short = "an authorization above 8 KiB";
    Authorization: the_tokens_header_is_ours = "an authorization with crit";
    Authorization: the_token_says_what_it_is = "a request in place of an authorization";
    Authorization: the_tokens_key_is_an_authoritys = "an authorization by the asking gateway";
    Authorization: the_tokens_algorithm_is_the_keys = "an authorization without alg";
    Authorization: the_tokens_signature_holds = "a forged authorization";
    Authorization: the_tokens_payload_is_strict = "an authorization with a member twice";
    Authorization: the_tokens_claims_are_closed = "an authorization with an unknown member";
    Authorization: the_tokens_issuer_owns_the_key = "an authorization in another's name";
    Authorization: the_token_is_for_us = "an authorization for another gateway";
    Authorization: the_token_is_the_askers = "an authorization of another asker";
    Authorization: the_token_has_begun = "an authorization of tomorrow";
    Authorization: the_token_was_made_by_now = "an authorization made in the future";
    Authorization: the_token_has_not_expired = "an authorization of yesterday";
    Authorization: the_token_for_one_use_lives_a_quarter_of_an_hour = "one use for an hour";
    Authorization: the_token_for_many_lives_a_day = "many uses for two days";
    Authorization: the_token_is_the_holders = "another person's authorization";
    Authorization: the_tokens_holder_has_that_document = "the same number as another document";
    Authorization: a_guardian_speaks_for_the_ward_only = "a guardian's authorization for another child";
    Authorization: the_token_is_bound_to_the_signing_key = "an authorization bound to another key";
    Authorization: the_status_list_is_configured = "a status list nobody configured";
    Authorization: the_status_list_has_that_place = "outside the status list";
    Authorization: the_token_is_not_withdrawn = "a withdrawn authorization";
    Authorization: the_token_covers_every_field = "a field that is not granted";
    Authorization: the_token_covers_the_type = "another license type granted";
    Authorization: the_token_covers_the_action = "verify granted, read asked";
    Authorization: the_token_covers_the_item = "another item granted";
    Authorization: the_token_covers_the_case = "another case granted";
    Authorization: a_case_that_is_granted_must_be_named = "a case granted, none named";
    Authorization: an_entry_of_another_type_covers_nothing = "an entry of another type";
    Authorization: one_entry_covers_alone = "two entries that cover together";
    Authorization: a_sensitive_type_needs_a_special_yes = "a sensitive type without the citizen's special yes";
    Authorization: a_token_beside_a_duty_is_checked_too = "a bad authorization beside a statutory duty";
}

#[test]
fn the_true_messages_pass_every_check() {
    let scene = &COURT.scene;
    for message in [scene.ping(), scene.lookup(), scene.duty()] {
        assert_eq!(COURT.verdict(&message.bytes(), Remembered::default()), None);
    }
}

#[test]
fn the_member_is_active() {
    let ping = COURT.scene.ping().bytes();
    let stranger = Member::pinned("150421", COURT.scene.clock.now());
    let verdict = COURT.verdict_on(stranger.region, &ping, Remembered::default());
    assert_eq!(verdict, Some((Step::Member, "not-a-member".into())));
}

#[test]
fn a_jti_is_used_once() {
    for (used, says) in [(Used::SameContent, "replay"), (Used::OtherContent, "jti-reuse")] {
        let remembered = Remembered { used_id: Some(used), ..Remembered::default() };
        for message in [COURT.scene.ping(), COURT.scene.lookup()] {
            assert_eq!(COURT.verdict(&message.bytes(), remembered), Some((Step::FirstUse, says.into())));
        }
    }
}

#[test]
fn the_agreements_quota_is_kept() {
    let remembered = Remembered { over_quota: true, ..Remembered::default() };
    let lookup = COURT.scene.lookup().bytes();
    assert_eq!(COURT.verdict(&lookup, remembered), Some((Step::Agreement, "rate-limited".into())));
}

#[test]
fn uses_are_counted() {
    let remembered = Remembered { uses: 1, ..Remembered::default() };
    let lookup = COURT.scene.lookup().bytes();
    assert_eq!(
        COURT.verdict(&lookup, remembered),
        Some((Step::Authorization, "authorization-used-up".into()))
    );
}

#[test]
fn every_step_of_the_judge_is_in_the_list() {
    let elsewhere = [Step::Member, Step::Size, Step::FirstUse];
    for step in Step::ALL {
        let listed = LISTED.iter().any(|(s, _)| *s == step);
        assert_eq!(listed, !elsewhere.contains(&step), "{}", step.word());
    }
    assert!(LISTED.windows(2).all(|pair| pair[0].0 <= pair[1].0), "the list is in the order of the checks");
}

#[test]
fn what_a_page_reads_off_a_leaf_is_where_the_judge_stopped_and_never_more_than_the_leaf_tells() {
    let bodies = bent_messages(&COURT.scene).into_iter().map(|case| (case.name, case.body));
    let good =
        [("a lookup", COURT.scene.lookup()), ("a ping", COURT.scene.ping()), ("a duty", COURT.scene.duty())];
    let good = good.map(|(name, draft)| (name, Vec::from(&draft)));
    let (mut told, mut exact) = (0, 0);
    for (name, body) in bodies.chain(good) {
        let Some((stopped, kept)) = COURT.kept(&body) else { continue };
        let read = kept.reconstruct();
        let of = |wanted: Step| read.checks.iter().find(|(step, _)| *step == wanted).unwrap().1;
        told += 1;
        let Some(stopped) = stopped else {
            assert!(!read.after, "{name}");
            for (step, outcome) in &read.checks {
                assert!(
                    matches!(outcome, Outcome::Passed | Outcome::NotAsked),
                    "{name}: {step:?} {outcome:?}"
                );
            }
            continue;
        };
        assert!(Places::of(kept.code.unwrap()).steps.contains(&stopped), "{name}: {stopped:?}");
        assert!(matches!(of(stopped), Outcome::Failed | Outcome::MayHaveFailed), "{name}: {:?}", of(stopped));
        exact += usize::from(of(stopped) == Outcome::Failed);
        for (step, outcome) in &read.checks {
            let wrong = match outcome {
                Outcome::Passed => *step >= stopped,
                Outcome::Failed => *step != stopped,
                Outcome::NotReached => *step <= stopped,
                Outcome::NotAsked => *step == stopped,
                Outcome::MayHaveFailed | Outcome::Open => false,
            };
            assert!(!wrong, "{name}: {step:?} is called {outcome:?}, and it stopped at {stopped:?}");
        }
    }
    assert!(told >= 60 && exact * 10 >= told * 8, "{exact} of {told} are placed exactly");
}
