//! Sessions: who is signed in, bound to how they did it.
//!
//! Promises: a session made with a certificate needs that certificate at every request; an
//! account that was removed, suspended or lost the certificate has no session at the next
//! request; 15 minutes of silence or 8 hours end it; memory holds a bounded number, and only
//! digests of what cookies say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::account::{Account, Accounts, Pin};
use crate::clock::Now;

/// Without a request a session ends (等保 8.1.4.1; security reference §2).
pub const IDLE_MS: i64 = 15 * 60 * 1000;
/// However busy, a session ends.
pub const WHOLE_MS: i64 = 8 * 3600 * 1000;
/// Sessions at once: a county has a handful of auditors; the one silent for longest makes room.
const MOST_SESSIONS: usize = 256;

/// How somebody signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Certificate(Pin),
    Link,
}

struct Session {
    account: String,
    bound: Bound,
    csrf: String,
    began: Now,
    seen: Now,
}

/// Somebody signed in, for one request.
#[derive(Clone, Debug)]
pub struct Visit {
    pub account: Arc<Account>,
    pub bound: Bound,
    /// Stands in every form of this session.
    pub csrf: String,
    /// When the session ends at the latest.
    pub until: Now,
}

impl Visit {
    /// Is this the token that the session's forms carry?
    pub fn has_token(&self, token: &str) -> bool {
        verify_slices_are_equal(self.csrf.as_bytes(), token.as_bytes()).is_ok()
    }
}

/// All sessions, in memory: a restart ends them.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

impl Sessions {
    /// Begins a session and returns what its cookie says; `None` without random bytes.
    pub fn begin(&self, account: &Account, bound: Bound, now: Now) -> Option<String> {
        let (secret, csrf) = (token()?, token()?);
        let mut held = self.held();
        held.retain(|_, session| session.lives(now));
        if held.len() >= MOST_SESSIONS
            && let Some(oldest) = held.iter().min_by_key(|(_, session)| session.seen).map(|(id, _)| *id)
        {
            held.remove(&oldest);
        }
        let session = Session { account: account.name().to_owned(), bound, csrf, began: now, seen: now };
        held.insert(name_of(&secret), session);
        Some(secret)
    }

    /// The session of this cookie, for a connection that showed this certificate. `busy` is
    /// false for what a page asks by itself: it keeps nobody signed in.
    pub fn find(
        &self,
        cookie: &str,
        shown: Option<&Pin>,
        accounts: &Accounts,
        now: Now,
        busy: bool,
    ) -> Option<Visit> {
        let id = name_of(cookie);
        let mut held = self.held();
        let session = held.get_mut(&id)?;
        let account = accounts.named(&session.account).filter(|account| match &session.bound {
            Bound::Certificate(pin) => account.pins().contains(pin),
            Bound::Link => true,
        });
        let Some(account) = account.filter(|_| session.lives(now)).cloned() else {
            held.remove(&id);
            return None;
        };
        // Another certificate, or none: somebody else's connection. The session stays.
        if let Bound::Certificate(pin) = &session.bound
            && shown != Some(pin)
        {
            return None;
        }
        if busy {
            session.seen = now;
        }
        let until = Now::from_ms(session.began.ms().saturating_add(WHOLE_MS));
        Some(Visit { account, bound: session.bound, csrf: session.csrf.clone(), until })
    }

    pub fn end(&self, cookie: &str) {
        self.held().remove(&name_of(cookie));
    }

    /// Accounts with a session now, with how many.
    pub fn by_account(&self, now: Now) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for session in self.held().values().filter(|session| session.lives(now)) {
            *counts.entry(session.account.clone()).or_default() += 1;
        }
        counts
    }

    fn held(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn lives(&self, now: Now) -> bool {
        now.ms() < self.seen.ms().saturating_add(IDLE_MS)
            && now.ms() < self.began.ms().saturating_add(WHOLE_MS)
    }
}

/// 256 random bits, base64url.
pub fn token() -> Option<String> {
    let mut bytes = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// Under which a secret is remembered.
pub fn name_of(secret: &str) -> [u8; 32] {
    digest(&SHA256, secret.as_bytes()).as_ref().try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;

    fn account(name: &str, pins: &[Pin], status: &str) -> Arc<Account> {
        let pins: Vec<String> = pins.iter().map(|pin| URL_SAFE_NO_PAD.encode(pin)).collect();
        let value =
            json!({"name": name, "title": "李审计", "role": "audit", "spki_sha256": pins, "status": status});
        Arc::new(Account::from_value(&value).unwrap())
    }

    fn accounts(list: &[Arc<Account>]) -> Accounts {
        let files = list.iter().enumerate().map(|(i, a)| (PathBuf::from(i.to_string()), a.clone()));
        Accounts::build(&files.collect()).0
    }

    const PIN: Pin = [1; 32];

    fn at(secs: i64) -> Now {
        Now::from_secs(1_900_000_000 + secs)
    }

    #[test]
    fn a_session_needs_the_certificate_it_was_made_with() {
        let (sessions, li) = (Sessions::default(), account("li", &[PIN], "active"));
        let known = accounts(std::slice::from_ref(&li));
        let cookie = sessions.begin(&li, Bound::Certificate(PIN), at(0)).unwrap();
        assert!(sessions.find(&cookie, None, &known, at(1), true).is_none());
        assert!(sessions.find(&cookie, Some(&[2; 32]), &known, at(1), true).is_none());
        let visit = sessions.find(&cookie, Some(&PIN), &known, at(1), true).unwrap();
        assert!(visit.has_token(&visit.csrf) && !visit.has_token("") && !visit.has_token(&cookie));
    }

    #[test]
    fn silence_or_eight_hours_end_a_session() {
        let (sessions, li) = (Sessions::default(), account("li", &[], "active"));
        let known = accounts(std::slice::from_ref(&li));
        let find = |cookie: &str, secs, busy| sessions.find(cookie, None, &known, at(secs), busy).is_some();
        let cookie = sessions.begin(&li, Bound::Link, at(0)).unwrap();
        assert!(find(&cookie, 899, false), "what a page asks by itself is answered");
        assert!(!find(&cookie, 900, true), "and keeps nobody signed in");
        let cookie = sessions.begin(&li, Bound::Link, at(0)).unwrap();
        for minute in 1..480 {
            assert!(find(&cookie, minute * 60, true));
        }
        assert!(!find(&cookie, 8 * 3600, true));
    }

    #[test]
    fn an_account_that_is_gone_or_lost_its_certificate_has_no_session() {
        let li = account("li", &[PIN], "active");
        for later in [vec![], vec![account("li", &[PIN], "suspended")], vec![account("li", &[], "active")]] {
            let sessions = Sessions::default();
            let cookie = sessions.begin(&li, Bound::Certificate(PIN), at(0)).unwrap();
            assert!(sessions.find(&cookie, Some(&PIN), &accounts(&later), at(1), true).is_none());
            let back = accounts(std::slice::from_ref(&li));
            assert!(sessions.find(&cookie, Some(&PIN), &back, at(1), true).is_none(), "it is over for good");
        }
    }

    #[test]
    fn the_one_silent_for_longest_makes_room() {
        let (sessions, li) = (Sessions::default(), account("li", &[], "active"));
        let known = accounts(std::slice::from_ref(&li));
        let first = sessions.begin(&li, Bound::Link, at(0)).unwrap();
        let second = sessions.begin(&li, Bound::Link, at(1)).unwrap();
        for _ in 2..=MOST_SESSIONS {
            sessions.begin(&li, Bound::Link, at(2)).unwrap();
        }
        assert!(sessions.find(&first, None, &known, at(3), true).is_none());
        assert!(sessions.find(&second, None, &known, at(3), true).is_some());
        assert_eq!(sessions.by_account(at(3))["li"], MOST_SESSIONS);
    }
}
