use proptest::prelude::*;

use super::*;

/// A past that stands in nobody's way.
const FREE: Facts = Facts {
    mode: HandlingMode::Online,
    at_once: false,
    nacks: 0,
    notice_given: false,
    silence_accepts: true,
    extended: false,
    tolerant: false,
    parts_final: true,
    parts_granted: true,
};

fn everywhere() -> impl Iterator<Item = Option<State>> {
    std::iter::once(None).chain(State::ALL.iter().copied().map(Some))
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let mode = prop_oneof![
        Just(HandlingMode::Online),
        Just(HandlingMode::ProxyCollect),
        Just(HandlingMode::MultiJoint)
    ];
    (mode, 0_u8..6, proptest::array::uniform7(any::<bool>())).prop_map(|(mode, nacks, b)| Facts {
        mode,
        nacks,
        at_once: b[0],
        notice_given: b[1],
        silence_accepts: b[2],
        extended: b[3],
        tolerant: b[4],
        parts_final: b[5],
        parts_granted: b[6],
    })
}

fn any_act() -> impl Strategy<Value = Act> {
    proptest::sample::select(Act::ALL)
}

#[test]
fn the_whole_machine_as_a_table() {
    let mut text = String::new();
    for from in everywhere() {
        text.push_str(from.map_or("—", State::name));
        text.push('\n');
        for role in Role::BOTH {
            for act in Act::ALL {
                let Ok(to) = next(from, *act, role, &FREE) else { continue };
                let to = if Some(to) == from { "·" } else { to.name() };
                text.push_str(&format!("  {:<10} {act:?} {to}\n", role.name()));
            }
        }
    }
    insta::assert_snapshot!("table", text);
}

#[test]
fn every_line_of_the_table_is_reached_and_every_act_has_one() {
    for line in TABLE {
        let roles: Vec<Role> = Role::BOTH.into_iter().filter(|role| by(line, *role)).collect();
        let from: Vec<Option<State>> = everywhere().filter(|from| starts(line.0, *from)).collect();
        assert!(!roles.is_empty() && !from.is_empty());
        for (role, from) in roles.iter().flat_map(|role| from.iter().map(move |from| (*role, *from))) {
            let facts = Facts { at_once: line.1 == Act::Deliver, ..FREE };
            let reached = next(from, line.1, role, &facts);
            assert_eq!(reached.ok(), arrive(line.3, from, &facts), "{from:?} {:?} {role:?}", line.1);
        }
    }
    for act in Act::ALL {
        assert!(TABLE.iter().any(|line| line.1 == *act), "{act:?}");
    }
    assert!(TABLE.len() >= 26);
}

fn by(line: &Line, role: Role) -> bool {
    !matches!(line.2, By::One(one) if one != role)
}

#[test]
fn each_guard_stands_where_the_table_puts_it() {
    use Role::{Collecting, Handling};
    let no = |from: State, act, role, facts| next(Some(from), act, role, &facts).unwrap_err();
    let window = Facts { mode: HandlingMode::ProxyCollect, ..FREE };
    assert_eq!(no(S::Submitted, Act::Route, Collecting, window), Illegal::Mode);
    let noticed = Facts { notice_given: true, ..FREE };
    assert_eq!(no(S::Received, Act::NeedSupplement, Handling, noticed), Illegal::NoticeGiven);
    assert_eq!(no(S::Received, Act::DeemedAccepted, Handling, noticed), Illegal::NotDeemed);
    let service = Facts { silence_accepts: false, ..FREE };
    assert_eq!(no(S::Received, Act::DeemedAccepted, Handling, service), Illegal::NotDeemed);
    let extended = Facts { extended: true, ..FREE };
    assert_eq!(no(S::Accepted, Act::Extend, Handling, extended), Illegal::Extended);
    let open = Facts { parts_final: false, parts_granted: false, ..FREE };
    assert_eq!(no(S::Accepted, Act::DecideGrant, Handling, open), Illegal::PartOpen);
    assert_eq!(no(S::Accepted, Act::DecideDeny, Handling, open), Illegal::PartOpen);
    let refused = Facts { parts_granted: false, ..FREE };
    assert_eq!(no(S::Accepted, Act::DecideGrant, Handling, refused), Illegal::PartNotGranted);
    assert_eq!(next(Some(S::Accepted), Act::DecideDeny, Handling, &refused), Ok(S::DecidedDeny));
    assert_eq!(no(S::DecidedGrant, Act::Deliver, Handling, FREE), Illegal::NotIssued);
    let at_once = Facts { at_once: true, ..FREE };
    assert_eq!(next(Some(S::DecidedGrant), Act::Deliver, Handling, &at_once), Ok(S::Delivered));
    for (nacks, possible) in [(1, true), (3, true), (4, false)] {
        let relay = next(Some(S::RelayFailed), Act::Relay, Collecting, &Facts { nacks, ..FREE });
        assert_eq!(relay.is_ok(), possible, "{nacks}");
    }
}

#[test]
fn a_special_procedure_ends_where_it_began() {
    for (tolerant, to) in [(false, S::Accepted), (true, S::AcceptedTolerant)] {
        let facts = Facts { tolerant, ..FREE };
        assert_eq!(next(Some(S::InSpecial), Act::EndSpecial, Role::Handling, &facts), Ok(to));
    }
}

proptest! {
    #[test]
    fn what_is_final_stays_so(facts in any_facts(), act in any_act(), collecting: bool) {
        let role = if collecting { Role::Collecting } else { Role::Handling };
        for state in State::ALL.iter().copied().filter(|state| state.is_final()) {
            if let Ok(to) = next(Some(state), act, role, &facts) {
                prop_assert_eq!(to, state);
            }
        }
    }

    #[test]
    fn no_side_does_the_others_acts(facts in any_facts(), act in any_act()) {
        let shared = [Act::Rectify, Act::RequestCorrection, Act::AnswerCorrection];
        let possible = Role::BOTH.map(|role| everywhere().any(|from| next(from, act, role, &facts).is_ok()));
        prop_assert!(possible != [true, true] || shared.contains(&act));
    }

    /// Whatever is tried in whatever order, the case stands in a state that some line leads to,
    /// and a decision comes only after an acceptance.
    #[test]
    fn any_walk_keeps_the_order_of_a_case(
        facts in any_facts(),
        tries in proptest::collection::vec((any_act(), any::<bool>()), 0..200),
    ) {
        let (mut state, mut accepted, mut decided) = (None, false, false);
        for (act, collecting) in tries {
            let role = if collecting { Role::Collecting } else { Role::Handling };
            let Ok(to) = next(state, act, role, &facts) else { continue };
            prop_assert!(state.is_some() || act == Act::Submit);
            prop_assert!(!state.is_some_and(State::is_final) || state == Some(to));
            accepted |= matches!(to, S::Accepted | S::AcceptedTolerant);
            let decides = matches!(to, S::DecidedGrant | S::DecidedDeny);
            prop_assert!(!decides || accepted);
            decided |= decides;
            prop_assert!(!matches!(to, S::Issued | S::Delivered | S::Closed) || decided);
            state = Some(to);
        }
    }
}
