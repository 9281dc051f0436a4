//! Our checkpoints on their way to the partners and others that witness them, again and again.
//!
//! Promises: a partner is sent one checkpoint at a time, within ten seconds, and less often when
//! it fails; a bounded number are sent to at once; nobody is asked while there is nothing new, but
//! for a cosignature that would grow old; what comes back is kept, and shown as soon as it is enough. A witness that proves
//! this log to be an older copy stops it ([`standing`]).
//! Leaves to others: what a cosignature is ([`crate::witness`]), what is served (the ledger).

mod send;
pub mod standing;
pub mod whom;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::house::House;
use crate::relay::backoff::{self, Backoff};
use crate::telemetry::PartnerLabels;

use send::{Checkpointed, Sent, Told, Witnessing};
use whom::Whom;

/// A log that grows is cosigned this often (`reference`: 10 cosignatures a second for a hundred
/// counties with six witnesses each).
const EVERY: Duration = Duration::from_secs(60);
/// Where a quorum decides what is shown: a promise stands under what is shown within ten
/// seconds (protocol §7), and a second of them went into signing.
const EVERY_FOR_QUORUM: Duration = Duration::from_secs(5);
/// Leaves after which nobody waits for the time.
const LEAVES: u64 = 4096;
/// A log that does not grow is cosigned anew before its cosignatures are an hour old.
const REFRESH: Duration = Duration::from_secs(1800);
/// How often it is looked whether anything is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Witnesses sent to at once: each may take ten seconds, and a thread to find its address. More
/// than all counties that work with one another now.
const MOST_AT_ONCE: usize = 128;
/// Waits after failures.
const FAILED: Backoff = Backoff { base: Duration::from_secs(10), cap: Duration::from_secs(900) };

/// What is known of one partner as our witness.
#[derive(Default)]
struct Line {
    witnessing: Witnessing,
    /// When it was last sent anything that it took.
    at: Option<Instant>,
    failures: u32,
    not_before: Option<Instant>,
    under_way: bool,
}

/// When each witness last cosigned (seconds since 1970), for the metrics.
type Board = Arc<Mutex<HashMap<String, i64>>>;

/// Sends checkpoints until `stopped`; at once when asked, answering when all have answered.
pub async fn checkpoints(
    house: Arc<House>,
    mut asked: mpsc::Receiver<oneshot::Sender<()>>,
    mut stopped: watch::Receiver<bool>,
) {
    let began = Instant::now();
    let board = Board::default();
    show(&house, board.clone());
    let mut rounds = Rounds { lines: remembered(&house).await, due: VecDeque::new(), began, board };
    let mut under_way = JoinSet::new();
    loop {
        let asker = tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => None,
            Some(sent) = under_way.join_next() => {
                if let Ok(sent) = sent {
                    rounds.take(&house, sent);
                }
                rounds.send(&house, &mut under_way);
                continue;
            }
            Some(asker) = asked.recv() => Some(asker),
            _ = stopped.changed() => return,
        };
        rounds.look(&house, asker.is_some());
        rounds.send(&house, &mut under_way);
        if let Some(asker) = asker {
            while let Some(sent) = under_way.join_next().await {
                if let Ok(sent) = sent {
                    rounds.take(&house, sent);
                }
                rounds.send(&house, &mut under_way);
            }
            // Whoever asked and went away does not mind.
            let _ = asker.send(());
        }
    }
}

struct Rounds {
    /// By the witness's name.
    lines: HashMap<String, Line>,
    /// Those whose turn has come, in its order.
    due: VecDeque<Whom>,
    began: Instant,
    board: Board,
}

impl Rounds {
    /// Puts everybody in line to whom something is due.
    fn look(&mut self, house: &House, now_please: bool) {
        let Some(newest) = newest(house) else { return };
        let policy = house.witness.policy();
        let witnesses = whom::all(&house.trust.load().directory, policy.as_deref(), house.witness.vkey());
        let quorum = policy.is_some_and(|policy| policy.needs_witnesses());
        let every = if quorum { EVERY_FOR_QUORUM } else { EVERY };
        self.line_up(witnesses, |line, began| now_please || line.is_due(&newest, every, began));
    }

    /// Those who are no witnesses any more are forgotten.
    fn line_up(&mut self, witnesses: Vec<Whom>, is_due: impl Fn(&Line, Instant) -> bool) {
        let names: HashSet<&str> = witnesses.iter().map(Whom::name).collect();
        self.lines.retain(|name, _| names.contains(name.as_str()));
        for whom in witnesses {
            let line = self.lines.entry(whom.name().to_owned()).or_default();
            if !line.under_way && is_due(line, self.began) {
                line.under_way = true;
                self.due.push_back(whom);
            }
        }
    }

    /// Starts the next in line, as far as there is room.
    fn send(&mut self, house: &Arc<House>, under_way: &mut JoinSet<Sent>) {
        let Some(newest) = newest(house) else { return };
        while let Some((whom, witnessing)) = self.next(under_way.len()) {
            under_way.spawn(send::send(house.clone(), whom, witnessing, newest.clone()));
        }
    }

    /// The next in line, unless so many are [as many as may be](MOST_AT_ONCE).
    fn next(&mut self, under_way: usize) -> Option<(Whom, Witnessing)> {
        if under_way >= MOST_AT_ONCE {
            return None;
        }
        loop {
            let whom = self.due.pop_front()?;
            // Who was a witness when it came into line may be none now.
            if let Some(line) = self.lines.get_mut(whom.name()) {
                return Some((whom, std::mem::take(&mut line.witnessing)));
            }
        }
    }

    /// Learns what came of a sending.
    fn take(&mut self, house: &House, sent: Sent) {
        let Sent { whom, witnessing, told } = sent;
        let Some(line) = self.lines.get_mut(whom.name()) else { return };
        line.under_way = false;
        line.witnessing = witnessing;
        match told {
            Told::Cosigned => {
                (line.at, line.failures, line.not_before) = (Some(Instant::now()), 0, None);
                let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
                board.insert(whom.name().to_owned(), house.clock.now().secs());
            }
            told => {
                if line.failures == 0 {
                    tracing::warn!(target: "witness", partner = whom.name(), ?told, "our checkpoint was not cosigned");
                }
                line.failures = line.failures.saturating_add(1);
                let wait = FAILED.wait_at_least_half(line.failures, backoff::draw());
                line.not_before = Some(Instant::now() + wait);
            }
        }
    }
}

fn newest(house: &House) -> Option<Checkpointed> {
    let (origin, size, note) = house.ledger.newest_checkpoint()?;
    Some(Checkpointed { origin, size, note })
}

impl Line {
    fn is_due(&self, newest: &Checkpointed, every: Duration, began: Instant) -> bool {
        if self.not_before.is_some_and(|not_before| Instant::now() < not_before) {
            return false;
        }
        // The first time too: gateways that are started together do not all call at once.
        let since = self.at.unwrap_or(began).elapsed();
        let new = match &self.witnessing.last {
            Some(last) if last.origin == newest.origin => newest.size.saturating_sub(last.size),
            _ => newest.size,
        };
        (new > 0 && since >= every) || new >= LEAVES || since >= REFRESH
    }
}

/// What each partner cosigned in earlier runs.
async fn remembered(house: &Arc<House>) -> HashMap<String, Line> {
    let witness = house.witness.clone();
    let shown = tokio::task::spawn_blocking(move || witness.shown()).await;
    let own = shown.ok().and_then(Result::ok).unwrap_or_default().own;
    let mut lines: HashMap<String, Line> = HashMap::new();
    // In the order of their origins: the newest is the last.
    for row in own {
        lines.entry(row.partner).or_default().witnessing.last = Some(Checkpointed {
            origin: row.cosigned.origin,
            size: row.cosigned.size,
            note: row.cosigned.note,
        });
    }
    lines
}

fn show(house: &Arc<House>, board: Board) {
    let clock = house.clock.clone();
    house.on_scrape(move |metrics| {
        let board = board.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, at) in board.iter() {
            let labels = PartnerLabels { partner: name.clone() };
            metrics.witnessed_age.get_or_create(&labels).set(clock.now().secs() - at);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Region;

    fn rounds() -> Rounds {
        let (lines, due) = (HashMap::new(), VecDeque::new());
        Rounds { lines, due, began: Instant::now(), board: Board::default() }
    }

    fn partner(code: &str) -> Whom {
        Whom::Partner(Region::parse(code).unwrap())
    }

    #[test]
    fn a_witness_stands_in_line_once_until_it_has_answered() {
        let mut rounds = rounds();
        let all = || vec![partner("331083"), partner("421202")];
        rounds.line_up(all(), |_, _| true);
        rounds.line_up(all(), |_, _| true);
        let in_line: Vec<Whom> = std::iter::from_fn(|| rounds.next(0)).map(|(whom, _)| whom).collect();
        assert_eq!(in_line, all());
        rounds.line_up(all(), |_, _| true);
        assert!(rounds.next(0).is_none());
    }

    #[test]
    fn no_more_witnesses_are_sent_to_at_once_than_the_bound_says_and_none_is_left_out() {
        let mut rounds = rounds();
        rounds.line_up(vec![partner("331083")], |_, _| true);
        assert!(rounds.next(MOST_AT_ONCE).is_none());
        assert!(rounds.next(MOST_AT_ONCE - 1).is_some());
    }

    #[test]
    fn who_is_no_witness_any_more_is_forgotten_in_line_too() {
        let mut rounds = rounds();
        rounds.line_up(vec![partner("331083"), partner("421202")], |_, _| true);
        rounds.line_up(vec![partner("421202")], |_, _| true);
        let in_line: Vec<Whom> = std::iter::from_fn(|| rounds.next(0)).map(|(whom, _)| whom).collect();
        assert_eq!(in_line, vec![partner("421202")]);
        assert_eq!(rounds.lines.keys().collect::<Vec<_>>(), ["421202"]);
    }
}
