//! Ledgers are compared with every partner: the smaller region code proposes window after
//! window, either side looks into what differed, and a pair that signs nothing is alarmed.
//!
//! Promises: one window with one partner at a time, a bounded number in a round and of rounds at
//! once, and growing waits after a failure, so that a day's backlog is caught up without a storm.
//! Partners with whom nothing is due cost a few questions to the book, all in one visit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::clock::Now;
use crate::domain::Region;
use crate::house::House;
use crate::outbound::reconcile::{CompareFault, Decided, compare};
use crate::reconcile::{Book, BookFault, PairState, Window};
use crate::relay::backoff::{self, Backoff};
use crate::telemetry::PartnerLabels;

/// How often windows are looked for: a window is a minute at least.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Windows with one partner in one round: a day of hours is caught up in two rounds, a day of
/// busy minutes in a quarter of an hour.
const MOST_IN_A_ROUND: usize = 16;
/// Partners compared with at once: one that never answers holds its place for a message's deadline.
const MOST_AT_ONCE: usize = 64;
/// A partner that fails is left alone for up to ten minutes.
const BACKOFF: Backoff = Backoff { base: Duration::from_secs(10), cap: Duration::from_secs(600) };
/// Without a signed window for this long a pair is alarmed (seconds).
pub const OVERDUE: i64 = 86_400;
/// A window that the partner found to differ is looked into after this (milliseconds): it may
/// first settle what was only lost on the way.
const LOOK_INTO_AFTER: i64 = 60_000;
/// A window that differed is compared again after this (milliseconds): a cause may be mended.
const AGAIN_AFTER: i64 = 86_400_000;
/// Old places are forgotten this often.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);

/// Compares with all partners, until `stopped`.
pub async fn pairs(house: Arc<House>, mut stopped: watch::Receiver<bool>) {
    let mut pauses: HashMap<Region, (u32, Instant)> = HashMap::new();
    let mut alarmed = HashSet::new();
    let mut pruned = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stopped.changed() => return,
        }
        let partners = partners(&house);
        let rested = |peer: &Region| pauses.get(peer).is_none_or(|(_, until)| Instant::now() >= *until);
        let asked: Vec<Region> = partners.iter().copied().filter(rested).collect();
        let mut due = due(&house, asked).await.into_iter();
        let mut rounds = JoinSet::new();
        loop {
            for peer in due.by_ref().take(MOST_AT_ONCE - rounds.len()) {
                let house = house.clone();
                rounds.spawn(async move { (peer, round(&house, peer).await) });
            }
            let Some(ended) = rounds.join_next().await else { break };
            let Ok((peer, outcome)) = ended else { continue };
            match outcome {
                Ok(_) => drop(pauses.remove(&peer)),
                Err(fault) => {
                    tracing::warn!(target: "reconcile", peer = peer.as_str(), %fault, "a window is not decided");
                    let tries = pauses.get(&peer).map_or(0, |(tries, _)| tries.saturating_add(1));
                    let pause = BACKOFF.wait_at_least_half(tries, backoff::draw());
                    pauses.insert(peer, (tries, Instant::now() + pause));
                }
            }
        }
        alarms(&house, partners, &mut alarmed).await;
        let _ = house.book(|book, _| book.rest()).await;
        if pruned.elapsed() > PRUNE_EVERY {
            pruned = Instant::now();
            let now = house.clock.now();
            let _ = house.book(move |book, _| book.prune(now)).await;
        }
    }
}

/// Active partners.
fn partners(house: &House) -> Vec<Region> {
    let trust = house.trust.load();
    let cards = trust.directory.cards().map(|card| card.region());
    cards.filter(|region| trust.directory.active(*region).is_some() && *region != house.me).collect()
}

/// Of these partners, those with whom something is due; new pairs begin here. Nobody where the book
/// cannot be read, which the log is told.
pub async fn due(house: &Arc<House>, partners: Vec<Region>) -> Vec<Region> {
    let trust = house.trust.load_full();
    let (me, now) = (house.me, house.clock.now());
    let asked = house.book(move |book, ledger| {
        book.follow(ledger)?;
        book.begin_pairs(&partners, now)?;
        let mut due = Vec::new();
        for peer in partners {
            let has_key = trust.directory.active(peer).is_some_and(|card| card.ledger().is_some());
            if has_key && next(book, me, peer, now)?.is_some() {
                due.push(peer);
            }
        }
        Ok(due)
    });
    asked.await.unwrap_or_else(|fault| {
        tracing::error!(target: "reconcile", %fault, "the book of windows cannot be read");
        Vec::new()
    })
}

/// The window that is due with this partner, and whether it is proposed for the first time.
fn next(book: &Book, me: Region, peer: Region, now: Now) -> Result<Option<(Window, bool)>, BookFault> {
    let before = |ms: i64| Now::from_ms(now.ms() - ms);
    let proposes = me < peer;
    if proposes && let Some(window) = book.next(peer, now)? {
        return Ok(Some((window, true)));
    }
    let mut again = book.to_look_into(peer, before(LOOK_INTO_AFTER))?;
    if again.is_none() && proposes {
        again = book.to_compare_again(peer, before(AGAIN_AFTER))?;
    }
    Ok(again.map(|window| (window, false)))
}

/// What is due with one partner now: its next windows, and what differed.
pub async fn round(house: &Arc<House>, peer: Region) -> Result<Vec<Decided>, CompareFault> {
    let mut decided = Vec::new();
    let has_key = house.trust.load().directory.active(peer).is_some_and(|card| card.ledger().is_some());
    if !has_key {
        return Ok(decided);
    }
    let turn = house.windows.turn(peer);
    let _turn = turn.lock().await;
    house.book(|book, ledger| book.follow(ledger)).await?;
    while decided.len() < MOST_IN_A_ROUND {
        let (me, now) = (house.me, house.clock.now());
        let next = house.book(move |book, _| next(book, me, peer, now)).await?;
        let Some((window, proposed)) = next else { break };
        decided.push(compare(house, peer, window, proposed).await?);
    }
    Ok(decided)
}

/// For how long a pair has signed nothing: shown, and told once when it is too long.
pub async fn alarm(house: &House, peer: Region, alarmed: &mut HashSet<Region>) {
    alarms(house, vec![peer], alarmed).await;
}

/// The same of many, in one visit to the book.
async fn alarms(house: &House, partners: Vec<Region>, alarmed: &mut HashSet<Region>) {
    let now = house.clock.now();
    let read = house.book(move |book, _| {
        Ok(partners.into_iter().map(|peer| (peer, book.pair(peer, now))).collect::<Vec<_>>())
    });
    match read.await {
        Ok(pairs) => {
            for (peer, pair) in pairs {
                match pair {
                    Ok(pair) => alarm_of(house, peer, pair, now, alarmed),
                    Err(fault) => unread(peer, &fault),
                }
            }
        }
        Err(fault) => tracing::error!(target: "reconcile", %fault, "how far the pairs are cannot be read"),
    }
}

fn alarm_of(house: &House, peer: Region, pair: PairState, now: Now, alarmed: &mut HashSet<Region>) {
    let labels = PartnerLabels { partner: peer.to_string() };
    let unsigned = pair.unsigned_for(now);
    house.metrics.unsigned_seconds.get_or_create(&labels).set(unsigned);
    let overdue = unsigned > OVERDUE;
    house.metrics.windows_overdue.get_or_create(&labels).set(i64::from(overdue));
    if !overdue {
        alarmed.remove(&peer);
    } else if alarmed.insert(peer) {
        tracing::error!(
            target: "reconcile",
            peer = peer.as_str(),
            hours = unsigned / 3600,
            "no window was signed with this partner for more than a day"
        );
    }
}

fn unread(peer: Region, fault: &BookFault) {
    tracing::error!(target: "reconcile", peer = peer.as_str(), %fault, "how far the pair is cannot be read");
}
