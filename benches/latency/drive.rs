//! Sends messages at given moments whatever the answers do (open loop), or as fast as they come
//! (closed loop). What is measured begins at the moment a message was due, not when it could be
//! sent: a server that stalls is charged for everybody it kept waiting.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};

use crate::crowd::{Class, Crowd, Dice, Message};
use crate::load::line::{Line, Protocol, Sender};

/// The generator sleeps no shorter: waking costs CPU, and this much is charged to the server.
const SHORTEST_SLEEP: Duration = Duration::from_micros(100);
/// After the last message: everything the gateway holds is answered long before.
const LAST_ANSWER: Duration = Duration::from_secs(15);
/// One answer of so many is kept and checked whole.
const SAMPLE: u64 = 50;

/// Connections of all partners.
pub struct Doors {
    senders: Vec<Vec<Sender>>,
    authority: String,
}

/// What one class was told.
#[derive(Default)]
pub struct Tally {
    /// Microseconds from the due moment to the whole signed answer, for each.
    pub served: Vec<u32>,
    /// The same for `overloaded`.
    pub shed: Vec<u32>,
    /// Neither: a failure.
    pub other: u64,
}

#[derive(Default)]
pub struct Told {
    pub classes: [Tally; 4],
    /// Microseconds from the due moment to sending: the generator's own lateness, or that no
    /// connection was free.
    pub lag: Vec<u32>,
    pub samples: Vec<(Message, u16, Bytes)>,
    /// Due, and never sent: no connection was free to the end.
    pub unsent: u64,
    pub took: Duration,
    answers: u64,
    first_other: Option<String>,
}

impl Doors {
    /// So many requests in flight for each partner.
    pub async fn open(crowd: &Crowd, protocol: Protocol, each: u16) -> Result<Self> {
        let (mut senders, mut authority) = (Vec::new(), String::new());
        for partner in &crowd.partners {
            let line = Line::new(&partner.tls, crowd.scene.addr, protocol, each)?.open().await?;
            senders.push(line.senders);
            authority = line.authority;
        }
        Ok(Self { senders, authority })
    }
}

/// What the tasks of one run share.
struct Run {
    free: Vec<Vec<Sender>>,
    /// Due, and waiting for a connection of its partner.
    waiting: Vec<VecDeque<(Instant, Message)>>,
    told: Told,
    authority: String,
}

impl Run {
    fn put_off(&mut self, due: Instant, message: Message) {
        if let Some(waiting) = self.waiting.get_mut(message.partner) {
            waiting.push_back((due, message));
        }
    }

    fn next_of(&mut self, partner: usize) -> Option<(Instant, Message)> {
        self.waiting.get_mut(partner)?.pop_front()
    }

    fn give_back(&mut self, partner: usize, sender: Sender) {
        if let Some(free) = self.free.get_mut(partner) {
            free.push(sender);
        }
    }
}

type Shared = Rc<RefCell<Run>>;

fn begin(doors: Doors) -> Shared {
    let Doors { senders: free, authority } = doors;
    let waiting = free.iter().map(|_| VecDeque::new()).collect();
    Rc::new(RefCell::new(Run { free, waiting, told: Told::default(), authority }))
}

/// What was told.
fn end(run: &Shared, took: Duration) -> Result<Told> {
    let mut run = run.borrow_mut();
    let mut told = std::mem::take(&mut run.told);
    told.unsent += run.waiting.iter().map(|waiting| waiting.len() as u64).sum::<u64>();
    told.took = took;
    let other = told.first_other.as_deref().unwrap_or_default();
    ensure!(
        told.classes.iter().all(|class| class.other == 0),
        "void: an answer was neither signed nor `overloaded`: {other}"
    );
    Ok(told)
}

/// Open loop: messages become due at random, independently, `rate` a second on average.
pub async fn open_loop(
    doors: Doors,
    messages: VecDeque<Message>,
    rate: f64,
    dice: &mut Dice,
) -> Result<Told> {
    let mut at = 0.0;
    let due: Vec<Duration> = messages
        .iter()
        .map(|_| {
            at += dice.gap() / rate;
            Duration::from_secs_f64(at)
        })
        .collect();
    let (run, began) = (begin(doors), Instant::now());
    let mut ticks = paced(due.clone(), began);
    let local = LocalSet::new();
    let mut tasks = JoinSet::new();
    let mut messages = messages.into_iter().zip(due);
    local
        .run_until(async {
            while let Some(more) = ticks.recv().await {
                for (message, due) in messages.by_ref().take(more) {
                    let due = began + due;
                    let free = run.borrow_mut().free.get_mut(message.partner).and_then(Vec::pop);
                    match free {
                        Some(sender) => {
                            tasks.spawn_local(send_on(run.clone(), sender, due, message));
                        }
                        None => {
                            run.borrow_mut().put_off(due, message);
                        }
                    }
                    // Ended tasks leave; those under way are bounded by the connections.
                    while tasks.try_join_next().is_some() {}
                }
            }
        })
        .await;
    let took = began.elapsed();
    // What is still without a connection will not be sent.
    let unsent: u64 =
        run.borrow_mut().waiting.iter_mut().map(|waiting| waiting.drain(..).count() as u64).sum();
    run.borrow_mut().told.unsent += unsent;
    let all = local.run_until(async { while tasks.join_next().await.is_some() {} });
    ensure!(tokio::time::timeout(LAST_ANSWER, all).await.is_ok(), "void: an answer did not come");
    end(&run, took)
}

/// Closed loop: each connection sends its partner's next message when it has its answer.
pub async fn closed_loop(doors: Doors, messages: VecDeque<Message>, most: Duration) -> Result<Told> {
    let (run, began) = (begin(doors), Instant::now());
    let senders = {
        let mut run = run.borrow_mut();
        for message in messages {
            run.put_off(began, message);
        }
        std::mem::take(&mut run.free)
    };
    run.borrow_mut().free.resize_with(senders.len(), Vec::new);
    let local = LocalSet::new();
    let mut tasks = JoinSet::new();
    for (partner, senders) in senders.into_iter().enumerate() {
        for sender in senders {
            let run = run.clone();
            tasks.spawn_local_on(
                async move {
                    let mut sender = sender;
                    while began.elapsed() < most {
                        let next = run.borrow_mut().next_of(partner);
                        let Some((_, message)) = next else { break };
                        sender = one(&run, sender, Instant::now(), message).await;
                    }
                    run.borrow_mut().give_back(partner, sender);
                },
                &local,
            );
        }
    }
    local.run_until(async { while tasks.join_next().await.is_some() {} }).await;
    let took = began.elapsed();
    let mut told = end(&run, took)?;
    // Nothing was due in a closed loop.
    told.unsent = 0;
    Ok(told)
}

/// Sends this, then what waits for a connection of the same partner.
async fn send_on(run: Shared, sender: Sender, due: Instant, message: Message) {
    let (mut sender, partner) = (sender, message.partner);
    let mut next = Some((due, message));
    while let Some((due, message)) = next {
        sender = one(&run, sender, due, message).await;
        next = run.borrow_mut().next_of(partner);
    }
    run.borrow_mut().give_back(partner, sender);
}

async fn one(run: &Shared, mut sender: Sender, due: Instant, message: Message) -> Sender {
    let authority = {
        let mut run = run.borrow_mut();
        run.told.lag.push(micros(due.elapsed()));
        run.authority.clone()
    };
    let answer = ask(&mut sender, &authority, message.body.clone()).await;
    let took = micros(due.elapsed());
    let mut run = run.borrow_mut();
    let told = &mut run.told;
    told.answers += 1;
    let sampled = told.answers.is_multiple_of(SAMPLE);
    let Some(tally) = told.classes.get_mut(message.class as usize) else { return sender };
    match answer {
        Ok(Answer { status, signed: true, body, .. }) if status == message.class.success() => {
            tally.served.push(took);
            if sampled {
                told.samples.push((message, status, body));
            }
        }
        Ok(Answer { status: 503, signed: false, retry_after: true, body })
            if body_says(&body, "overloaded") =>
        {
            tally.shed.push(took)
        }
        Ok(Answer { status, body, .. }) => {
            tally.other += 1;
            told.first_other.get_or_insert_with(|| {
                format!("{:?} {status} {}", message.class, String::from_utf8_lossy(&body))
            });
        }
        Err(error) => {
            tally.other += 1;
            told.first_other.get_or_insert_with(|| format!("{error:#}"));
        }
    }
    sender
}

fn body_says(problem: &[u8], code: &str) -> bool {
    serde_json::from_slice::<serde_json::Value>(problem)
        .is_ok_and(|problem| problem.get("code").is_some_and(|c| c == code))
}

struct Answer {
    status: u16,
    signed: bool,
    retry_after: bool,
    body: Bytes,
}

async fn ask(sender: &mut Sender, authority: &str, body: Bytes) -> Result<Answer> {
    let request = hyper::Request::post("/v1/exchange")
        .header(CONTENT_TYPE, "application/tongban-request+jwt")
        .body(Full::new(body))?;
    let (parts, body) = sender.send(request, authority).await?.into_parts();
    let signed = parts.headers.get(CONTENT_TYPE).is_some_and(|t| t == "application/tongban-response+jwt");
    let retry_after = parts.headers.contains_key(RETRY_AFTER);
    Ok(Answer { status: parts.status.as_u16(), signed, retry_after, body: body.collect().await?.to_bytes() })
}

pub fn micros(took: Duration) -> u32 {
    u32::try_from(took.as_micros()).unwrap_or(u32::MAX)
}

/// A thread that sleeps until messages are due and says how many. Of its own: tokio's timer wakes
/// only every millisecond.
fn paced(due: Vec<Duration>, began: Instant) -> mpsc::UnboundedReceiver<usize> {
    let (say, hear) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let mut due = due.into_iter().peekable();
        while let Some(next) = due.peek() {
            let wait = next.saturating_sub(began.elapsed());
            if !wait.is_zero() {
                std::thread::sleep(wait.max(SHORTEST_SLEEP));
            }
            let now = began.elapsed();
            let more = std::iter::from_fn(|| due.next_if(|at| *at <= now)).count();
            if more > 0 && say.send(more).is_err() {
                return;
            }
        }
    });
    hear
}

/// Every check of the asking side on the answers that were kept.
pub fn check(told: &Told, crowd: &Crowd) -> Result<u64> {
    use tongban::envelope::{Asked, check_response, digest};
    let member = crowd.scene.answering.gateway_urn();
    let mut last = 0;
    for (request, status, answer) in &told.samples {
        let Some(partner) = crowd.partners.get(request.partner) else { continue };
        let asked = Asked {
            member: &member,
            keys: &crowd.scene.answering_keys,
            me: &partner.urn,
            jti: &request.jti,
            op: request.class.op(),
            request_digest: &digest(&request.body),
        };
        let claims = check_response(answer, *status, &asked, tongban::clock::Clock::system().now())
            .map_err(|fault| anyhow::anyhow!("void: an answer fails its checks: {fault}"))?;
        let result = claims.result.unwrap_or_default();
        let found = result.pointer("/licenses/0/data/registered_on").is_some_and(|day| day == "2026-01-05");
        ensure!(request.class != Class::Lookup || found, "void: a license was not found");
        last = last.max(claims.log.index);
    }
    Ok(last)
}

impl Told {
    pub fn served(&self) -> u64 {
        self.classes.iter().map(|class| class.served.len() as u64).sum()
    }

    pub fn shed(&self) -> u64 {
        self.classes.iter().map(|class| class.shed.len() as u64).sum()
    }

    pub fn served_a_second(&self) -> f64 {
        self.served() as f64 / self.took.as_secs_f64()
    }

    /// Sorted latencies of every signed answer.
    pub fn latencies(&self) -> Vec<u32> {
        sorted(self.classes.iter().flat_map(|class| class.served.iter().copied()))
    }
}

pub fn sorted(values: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut values: Vec<u32> = values.collect();
    values.sort_unstable();
    values
}

/// Milliseconds that `share` of them did not exceed.
pub fn quantile(sorted: &[u32], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    f64::from(sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()) / 1e3
}
