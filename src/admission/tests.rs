use std::collections::{BTreeMap, VecDeque};

use super::*;

fn region(code: &str) -> Region {
    Region::parse(code).unwrap()
}

fn yuhuan() -> Region {
    region("331083")
}

/// Joins as often as the line lets this partner.
fn fill(line: &mut Line, class: Class, partner: Region) -> usize {
    (0..).take_while(|_| line.join(class, partner).is_some()).count()
}

/// A line that moves at so many microseconds a place.
fn moving(micros: u64) -> Line {
    let mut line = Line::default();
    (0..500).for_each(|_| line.learn(200, Duration::from_micros(200 * micros)));
    line
}

/// Twelve regions: together they fill what one alone may not.
fn many() -> [Region; 12] {
    [
        "110101", "120101", "130102", "140105", "210102", "220102", "230102", "310101", "320102", "330102",
        "340102", "350102",
    ]
    .map(region)
}

/// Everybody joins until nobody may.
fn flood(line: &mut Line, class: Class) -> usize {
    many().into_iter().map(|partner| fill(line, class, partner)).sum()
}

#[test]
fn what_can_wait_is_turned_away_first_and_what_ends_a_case_last() {
    for micros in [50, 200, 5_000] {
        let mut line = moving(micros);
        for (at, class) in Class::ALL.into_iter().enumerate() {
            flood(&mut line, class);
            for (other, later) in Class::ALL.into_iter().enumerate() {
                let joined = line.join(later, yuhuan()).is_some();
                assert_eq!(joined, other > at, "{later:?} when full of {class:?}, {micros} µs a place");
                if joined {
                    line.leave(yuhuan());
                }
            }
        }
    }
}

#[test]
fn whoever_is_let_in_waits_as_long_as_its_class_bears() {
    let waits = [(Class::Lookup, 50), (Class::Status, 75), (Class::Submit, 110), (Class::Receipt, 160)];
    for micros in [130, 200, 450] {
        for (class, most) in waits {
            let mut line = moving(micros);
            flood(&mut line, class);
            let wait = line.standing().wait.as_millis();
            // The floor of a slow line lets more in than its time would.
            assert!(
                wait <= most || line.standing().line <= 304,
                "{class:?}: {wait} ms at {micros} µs a place"
            );
            assert!(wait < 1_000);
        }
    }
}

#[test]
fn the_line_is_as_long_as_it_is_fast() {
    assert_eq!(moving(100).standing().room, 500);
    assert_eq!(moving(10).standing().room, 2_048);
    assert_eq!(moving(10_000).standing().room, 256);
    assert_eq!(Line::default().standing().room, 256);
}

#[test]
fn a_flood_of_one_partner_leaves_room_for_the_others() {
    let mut line = moving(200);
    let flooded = fill(&mut line, Class::Lookup, yuhuan());
    let room = line.standing().room;
    assert!(flooded * 3 >= room * 2 - 3 && flooded * 3 <= room * 2 + 3, "{flooded} of {room}");
    // The others, one after the other, find as much as they ask for: a window asks little.
    for partner in many() {
        assert!((0..4).all(|_| line.join(Class::Lookup, partner).is_some()), "{partner}");
    }
    assert!(line.join(Class::Lookup, yuhuan()).is_none());
}

/// A gateway that does one exchange after the other, in virtual time.
struct Simulated {
    line: Line,
    /// Partner, the line's length when it came, and when that was (ticks).
    standing: VecDeque<(Region, usize, u64)>,
    now: u64,
    done: BTreeMap<Region, usize>,
    longest: Duration,
    idle: u64,
}

/// What one exchange costs.
const TICK: Duration = Duration::from_micros(200);

impl Simulated {
    fn new() -> Self {
        let (done, longest) = (BTreeMap::new(), Duration::ZERO);
        Self { line: Line::default(), standing: VecDeque::new(), now: 0, done, longest, idle: 0 }
    }

    fn asks(&mut self, partner: Region, class: Class) -> bool {
        let joined = self.line.join(class, partner);
        self.standing.extend(joined.map(|length| (partner, length, self.now)));
        joined.is_some()
    }

    /// One exchange is done.
    fn tick(&mut self) {
        self.now += 1;
        let Some((partner, length, since)) = self.standing.pop_front() else {
            self.idle += 1;
            return;
        };
        let took = TICK * u32::try_from(self.now - since).unwrap();
        self.longest = self.longest.max(took);
        self.line.leave(partner);
        self.line.learn(length, took);
        *self.done.entry(partner).or_default() += 1;
    }
}

#[test]
fn at_three_times_what_it_can_do_it_does_all_it_can_and_the_line_stays_short() {
    let (flooding, small, other) = (yuhuan(), region("110101"), region("120101"));
    let mut gateway = Simulated::new();
    for tick in 0..20_000 {
        for _ in 0..3 {
            gateway.asks(flooding, Class::Lookup);
        }
        if tick % 20 == 0 {
            assert!(gateway.asks(small, Class::Lookup), "a small asker is served, tick {tick}");
        }
        if tick % 50 == 0 {
            for class in [Class::Status, Class::Submit, Class::Receipt] {
                assert!(gateway.asks(other, class), "{class:?}, tick {tick}");
            }
        }
        gateway.tick();
    }
    assert_eq!(gateway.idle, 0);
    assert!(gateway.longest <= Duration::from_millis(60), "{:?}", gateway.longest);
    assert!(gateway.done[&small] >= 990 && gateway.done[&other] >= 1_190, "{:?}", gateway.done);
    assert!(gateway.done[&flooding] >= 17_000, "{:?}", gateway.done);
}

#[test]
fn partners_that_all_flood_get_the_same() {
    let mut gateway = Simulated::new();
    for _ in 0..20_000 {
        for partner in many() {
            gateway.asks(partner, Class::Lookup);
        }
        gateway.tick();
    }
    let (least, most) = (gateway.done.values().min().unwrap(), gateway.done.values().max().unwrap());
    assert!(most - least <= most / 10, "{:?}", gateway.done);
}

#[test]
fn a_disk_that_stops_for_a_second_turns_nobody_away_for_long() {
    let mut gateway = Simulated::new();
    let mut refused = 0;
    for tick in 0..20_000_u64 {
        // Half of what it can do; the disk stands still for a second.
        if tick % 2 == 0 && !gateway.asks(yuhuan(), Class::Lookup) {
            refused += 1;
        }
        if (5_000..10_000).contains(&tick) {
            gateway.now += 1
        } else {
            gateway.tick()
        }
        if tick == 12_000 {
            refused = 0;
        }
    }
    assert_eq!(refused, 0, "half a second later it is as before");
}

#[test]
fn partners_within_their_agreed_64_never_meet_the_line_of_a_quiet_gateway() {
    let mut line = Line::default();
    for partner in &many()[..3] {
        assert!((0..64).all(|_| line.join(Class::Lookup, *partner).is_some()), "{partner}");
    }
}

#[test]
fn memory_is_bounded_whatever_waits_for_a_register() {
    let mut line = moving(10);
    let mut held = 0;
    for partner in many().into_iter().cycle().take(600) {
        while line.join(Class::Lookup, partner).is_some() {
            line.step_aside(partner);
            held += 1;
        }
    }
    assert!((1_900..=2_048).contains(&held), "{held}");
    // Nothing of it is in the way of what can be done without a register.
    assert_eq!(line.standing().line, 0);
    assert!([Class::Status, Class::Receipt].iter().all(|class| line.join(*class, yuhuan()).is_some()));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_register_is_no_place_in_the_line() {
    let admission = Admission::default();
    let place = admission.enter(yuhuan(), || Class::Lookup).unwrap();
    let standing = || (admission.standing().line, admission.standing().held);
    assert_eq!(place.aside(async { standing() }).await, (1, 1), "nothing to wait for");
    let slow = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        standing()
    };
    assert_eq!(place.aside(slow).await, (0, 1));
    assert_eq!(standing(), (1, 1));
    // Given up in the midst of it.
    {
        let mut hung = pin!(place.aside(std::future::pending::<()>()));
        assert!(std::future::poll_fn(|cx| Poll::Ready(hung.as_mut().poll(cx).is_pending())).await);
        assert_eq!(standing(), (0, 1));
    }
    assert_eq!(standing(), (1, 1));
    drop(place);
    assert_eq!(standing(), (0, 0));
}

#[test]
fn the_class_is_asked_for_only_when_it_matters_and_retries_are_spread() {
    let admission = Admission::default();
    let _held: Vec<Place> = many()[..3]
        .iter()
        .flat_map(|partner| [*partner; 64])
        .map(|partner| admission.enter(partner, || panic!("there is room for a lookup")).unwrap())
        .collect();
    let mut more = Vec::new();
    let mut told = BTreeMap::new();
    for partner in many().into_iter().cycle().take(2_000) {
        match admission.enter(partner, || Class::Lookup) {
            Ok(place) => more.push(place),
            Err(full) => *told.entry(full.retry_after_secs).or_insert(0) += 1,
        }
    }
    assert_eq!(told.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    assert!(admission.enter(yuhuan(), || Class::Receipt).is_ok());
}

#[test]
fn every_operation_has_its_class() {
    let classes = Op::ALL.map(|op| (op.name(), Class::of(Some(op)).word()));
    assert_eq!(
        classes,
        [
            ("ping", "status"),
            ("license.query", "lookup"),
            ("application.submit", "submit"),
            ("application.event", "receipt"),
            ("application.status", "status"),
            ("verification.request", "submit"),
            ("verification.answer", "receipt"),
            ("ledger.reconcile", "receipt"),
        ]
    );
    assert_eq!(Class::of(None), Class::Lookup);
}
