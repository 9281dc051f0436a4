//! One-time sign-in links, and who tried too often.
//!
//! Promises: a link opens once, within five minutes; a wrong, a used and an old one are told
//! alike, and so is a right one from an address that has guessed too often.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::Now;

use super::session::{name_of, token};

/// A link's life: printed, copied, opened.
pub const LINK_MS: i64 = 5 * 60 * 1000;
/// Links that wait to be opened; the oldest makes room.
const MOST_LINKS: usize = 64;
/// Failures of one address before it has to wait (security reference: 5 in 15 minutes).
const MOST_FAILURES: u32 = 5;
const FAILURES_MS: i64 = 15 * 60 * 1000;
/// Addresses remembered: the console listens to a county's own network.
const MOST_ADDRESSES: usize = 4096;

struct Link {
    name: [u8; 32],
    account: String,
    until: Now,
}

#[derive(Default)]
pub struct Links {
    waiting: Mutex<Vec<Link>>,
    failures: Mutex<HashMap<IpAddr, (u32, Now)>>,
}

impl Links {
    /// A new link's secret for this account; `None` without random bytes.
    pub fn mint(&self, account: &str, now: Now) -> Option<String> {
        let secret = token()?;
        let mut waiting = self.waiting();
        waiting.retain(|link| now < link.until);
        if waiting.len() >= MOST_LINKS {
            waiting.remove(0);
        }
        let until = Now::from_ms(now.ms().saturating_add(LINK_MS));
        waiting.push(Link { name: name_of(&secret), account: account.to_owned(), until });
        Some(secret)
    }

    /// The account that this secret opens, once. A failure counts against the address.
    pub fn open(&self, secret: &str, from: IpAddr, now: Now) -> Option<String> {
        if self.is_locked(from, now) {
            return None;
        }
        let name = name_of(secret);
        let mut waiting = self.waiting();
        waiting.retain(|link| now < link.until);
        let found = waiting.iter().position(|link| link.name == name);
        let opened = found.map(|at| waiting.remove(at).account);
        drop(waiting);
        if opened.is_none() {
            self.failed(from, now);
        }
        opened
    }

    fn is_locked(&self, from: IpAddr, now: Now) -> bool {
        let since = now.ms().saturating_sub(FAILURES_MS);
        self.failures().get(&from).is_some_and(|(count, last)| *count >= MOST_FAILURES && last.ms() > since)
    }

    fn failed(&self, from: IpAddr, now: Now) {
        let since = now.ms().saturating_sub(FAILURES_MS);
        let mut failures = self.failures();
        if failures.len() >= MOST_ADDRESSES {
            failures.retain(|_, (_, last)| last.ms() > since);
        }
        if failures.len() < MOST_ADDRESSES || failures.contains_key(&from) {
            let known = failures.entry(from).or_insert((0, now));
            *known = if known.1.ms() > since { (known.0.saturating_add(1), now) } else { (1, now) };
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Link>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<IpAddr, (u32, Now)>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7));

    fn at(secs: i64) -> Now {
        Now::from_secs(1_900_000_000 + secs)
    }

    #[test]
    fn a_link_opens_once_and_for_five_minutes() {
        let links = Links::default();
        let (first, second) = (links.mint("li", at(0)).unwrap(), links.mint("li", at(0)).unwrap());
        assert_eq!(links.open(&first, HERE, at(299)).as_deref(), Some("li"));
        assert_eq!(links.open(&first, HERE, at(299)), None);
        assert_eq!(links.open(&second, HERE, at(300)), None);
    }

    #[test]
    fn who_guesses_too_often_waits_and_learns_nothing() {
        let links = Links::default();
        for _ in 0..MOST_FAILURES {
            assert_eq!(links.open("wrong", THERE, at(0)), None);
        }
        let link = links.mint("li", at(600)).unwrap();
        assert_eq!(links.open(&link, THERE, at(601)), None, "a right one is told like a wrong one");
        assert_eq!(links.open(&link, HERE, at(602)).as_deref(), Some("li"), "and still opens elsewhere");
        let link = links.mint("li", at(900)).unwrap();
        assert_eq!(links.open(&link, THERE, at(900)).as_deref(), Some("li"));
    }
}
