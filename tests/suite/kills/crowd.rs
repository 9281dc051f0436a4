//! Full load: so many callers, each with a connection of its own and always a request in flight.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::books::Asked;
use super::message::{Kind, LIFE, Message, Mint};
use crate::history::Chance;
use crate::process::{PATIENCE, Pair};
use crate::support::{Http, Line, dial};

/// Requests in flight.
pub const CALLERS: u64 = 32;
/// Answered messages that a caller remembers, to send them again some time.
const REMEMBERED: usize = 64;
/// How often the newest checkpoint is asked for.
const LOOK_AT_LOG: Duration = Duration::from_millis(40);

/// The callers between two rounds.
pub struct Crowd {
    callers: Vec<Caller>,
    pub answered: Arc<AtomicUsize>,
}

/// A round under way.
pub struct Round {
    callers: JoinSet<(Caller, Vec<Asked>)>,
    watcher: tokio::task::JoinHandle<Vec<Bytes>>,
    answered: Arc<AtomicUsize>,
}

struct Caller {
    pair: Arc<Pair>,
    mint: Arc<Mint>,
    chance: Chance,
    http: Http,
    /// Sent first on the next connection: the last one answered and the one that was not.
    first: Vec<Message>,
    remembered: VecDeque<Message>,
    answered: Arc<AtomicUsize>,
}

impl Crowd {
    pub fn of(pair: &Arc<Pair>, mint: &Arc<Mint>, seed: u64) -> Self {
        let answered = Arc::new(AtomicUsize::new(0));
        let callers = (0..CALLERS).map(|number| Caller {
            pair: Arc::clone(pair),
            mint: Arc::clone(mint),
            chance: Chance::seeded(seed.wrapping_mul(CALLERS).wrapping_add(number)),
            http: if number % 2 == 0 { Http::One } else { Http::Two },
            first: Vec::new(),
            remembered: VecDeque::new(),
            answered: Arc::clone(&answered),
        });
        Self { callers: callers.collect(), answered }
    }

    /// Everybody calls until their connections break.
    pub fn begin(self, pair: &Arc<Pair>) -> Round {
        let watcher = tokio::spawn(watch_the_log(Arc::clone(pair)));
        let mut callers = JoinSet::new();
        self.callers.into_iter().for_each(|caller| drop(callers.spawn(caller.call())));
        Round { callers, watcher, answered: self.answered }
    }
}

impl Round {
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Everything that was asked and the checkpoints that were seen, once the connections broke.
    pub async fn end(mut self) -> (Crowd, Vec<Asked>, Vec<Bytes>) {
        let (mut callers, mut asked) = (Vec::new(), Vec::new());
        while let Some(ended) = self.callers.join_next().await {
            let (caller, more) = ended.unwrap();
            callers.push(caller);
            asked.extend(more);
        }
        (Crowd { callers, answered: self.answered }, asked, self.watcher.await.unwrap())
    }
}

impl Caller {
    async fn call(mut self) -> (Self, Vec<Asked>) {
        let mut asked = Vec::new();
        let door = self.pair.xianan.doors.partner;
        // A gateway that is killed meanwhile has no door.
        let Ok(line) = dial(door, Some(&self.pair.asker), self.http).await else { return (self, asked) };
        // The answer that was kept for one may have expired.
        self.first.retain(is_alive);
        loop {
            let message = match self.first.pop() {
                Some(message) => message,
                None => self.next_message(),
            };
            let told =
                timeout(PATIENCE, line.try_exchange(message.bytes.clone())).await.expect("nothing hangs");
            let Ok(told) = told else {
                self.first.push(message.clone());
                asked.push(Asked { message, told: None });
                break;
            };
            self.answered.fetch_add(1, Ordering::Relaxed);
            self.remember(&message);
            asked.push(Asked { message, told: Some(told) });
        }
        // The last one that was answered is asked again behind the kill: it must be known.
        self.first.extend(self.remembered.back().filter(|last| is_alive(last)).cloned());
        (self, asked)
    }

    fn remember(&mut self, message: &Message) {
        if self.remembered.len() == REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back(message.clone());
    }

    fn next_message(&self) -> Message {
        let known = usize::try_from(self.chance.within(0..REMEMBERED as u64)).unwrap();
        let known = self.remembered.get(known).filter(|message| is_alive(message));
        match (self.chance.within(0..100), known) {
            (0..8, Some(known)) => known.clone(),
            (8..11, Some(Message { kind: Kind::Submit(submit), .. })) => self.mint.submit_again(submit),
            (11..18, _) => self.mint.ping(),
            (18..30, _) => self.mint.submit(),
            (30..50, _) => self.mint.lasting_lookup(),
            _ => self.mint.crowded_lookup(),
        }
    }
}

/// Its answer can still be read as one of now.
fn is_alive(message: &Message) -> bool {
    Mint::now().secs() - message.made < LIFE / 2
}

async fn watch_the_log(pair: Arc<Pair>) -> Vec<Bytes> {
    let mut seen: Vec<Bytes> = Vec::new();
    let Ok(line) = dial(pair.xianan.doors.partner, Some(&pair.asker), Http::Two).await else { return seen };
    while let Some(note) = newest_checkpoint(&pair, &line).await {
        if seen.last() != note.as_ref() {
            seen.extend(note);
        }
        tokio::time::sleep(LOOK_AT_LOG).await;
    }
    seen
}

/// `None` when nobody answers any more.
async fn newest_checkpoint(pair: &Pair, line: &Line) -> Option<Option<Bytes>> {
    let origin = tongban::ledger::current_origin(pair.xianan.region, Mint::now());
    let path = format!("/v1/log/{origin}/checkpoint");
    let told = line.call(hyper::Method::GET, &path, &[], Vec::new()).await.ok()?;
    Some((told.status == 200).then_some(told.body))
}
