//! Windows: which comes next, and what became of each.

use rusqlite::{OptionalExtension as _, params};
use serde::Serialize;

use super::super::classify::Difference;
use super::super::window::{CAUGHT_UP, ENOUGH, MINUTE, Window};
use super::{Book, BookFault};
use crate::clock::Now;
use crate::domain::Region;
use crate::ledger::tree::Hash;
use crate::ledger::{Mark, Shard};

/// What became of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The partner has something else; we have not looked yet what.
    Open,
    /// Both ledger keys have signed.
    Agreed,
    /// Looked into: the differences stand beside it.
    Differs,
}

impl State {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Agreed => "agreed",
            Self::Differs => "differs",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Open, Self::Agreed, Self::Differs].into_iter().find(|state| state.word() == word)
    }
}

/// How far a pair is, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairState {
    /// The pair is compared from here.
    pub since: i64,
    /// Windows that we proposed are decided up to here.
    pub decided: i64,
    /// End of the latest window that both signed; `since` before the first.
    pub agreed: i64,
}

impl PairState {
    /// For how long nothing has been signed, seconds.
    pub fn unsigned_for(&self, now: Now) -> i64 {
        now.secs() - self.agreed
    }
}

/// What is known of a window on our side.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub window: Window,
    pub count: u64,
    pub root: Hash,
    /// Exchanges whose answer was lost on the way.
    pub lost: usize,
    /// We asked for it: the next window begins at its end.
    pub proposed: bool,
}

const PUT: &str = "INSERT INTO window(peer, start, stop, state, count, root, note, lost, at) \
    VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
    ON CONFLICT DO UPDATE SET state=?4, count=?5, root=?6, note=coalesce(?7, note), lost=?8, at=?9";

impl Book {
    /// How far the pair is; a new pair begins with its first exchange, or now.
    pub fn pair(&self, peer: Region, now: Now) -> Result<PairState, BookFault> {
        let known = "SELECT since, decided, agreed FROM pair WHERE peer=?";
        let read = |row: &rusqlite::Row<'_>| {
            Ok(PairState { since: row.get(0)?, decided: row.get(1)?, agreed: row.get(2)? })
        };
        if let Some(pair) =
            self.read(|c| c.prepare_cached(known)?.query_row([peer.as_str()], read).optional())?
        {
            return Ok(pair);
        }
        self.begin_pairs(&[peer], now)?;
        self.read(|c| c.query_row(known, [peer.as_str()], read))
    }

    /// Begins those of these pairs that are new, in one commit.
    pub fn begin_pairs(&self, peers: &[Region], now: Now) -> Result<(), BookFault> {
        let new = self.read(|c| {
            let mut known = c.prepare_cached("SELECT EXISTS(SELECT 1 FROM pair WHERE peer=?)")?;
            let mut first = c.prepare_cached("SELECT min(moment) FROM item WHERE peer=?")?;
            let mut new = Vec::new();
            for peer in peers {
                if !known.query_row([peer.as_str()], |row| row.get::<_, bool>(0))? {
                    let first: Option<i64> = first.query_row([peer.as_str()], |row| row.get(0))?;
                    new.push((peer, Window::minute(first.map_or(now.secs(), |first| first.min(now.secs())))));
                }
            }
            Ok(new)
        })?;
        if new.is_empty() {
            return Ok(());
        }
        self.write(|c| {
            // Another thread may have begun one since.
            let mut begin = c.prepare_cached("INSERT OR IGNORE INTO pair VALUES(?1, ?2, ?2, ?2)")?;
            new.iter().try_for_each(|(peer, since)| begin.execute(params![peer.as_str(), since]).map(drop))
        })
    }

    /// The next window to propose: minutes with enough in them, or the rest of an hour that is
    /// over; `None` while there is nothing to gain by asking.
    pub fn next(&self, peer: Region, now: Now) -> Result<Option<Window>, BookFault> {
        let from = self.pair(peer, now)?.decided.max(Window::minute(now.secs() - CAUGHT_UP));
        let Some(reach) = Window::reach(from, now) else { return Ok(None) };
        let sql = "SELECT moment FROM item WHERE peer=? AND moment>=? AND moment<? ORDER BY moment LIMIT 1 OFFSET ?";
        let enough: Option<i64> = self.read(|c| {
            let values = params![peer.as_str(), reach.from, reach.to, ENOUGH - 1];
            c.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()
        })?;
        Ok(match enough {
            Some(moment) => Some(Window { to: Window::minute(moment) + MINUTE, ..reach }),
            None => reach.is_full().then_some(reach),
        })
    }

    /// A window that the partner asked for, that differs and that nobody has looked into since
    /// `before`.
    pub fn to_look_into(&self, peer: Region, before: Now) -> Result<Option<Window>, BookFault> {
        self.oldest(peer, State::Open, before)
    }

    /// A window that differed when it was last compared, before `before`.
    pub fn to_compare_again(&self, peer: Region, before: Now) -> Result<Option<Window>, BookFault> {
        self.oldest(peer, State::Differs, before)
    }

    fn oldest(&self, peer: Region, state: State, before: Now) -> Result<Option<Window>, BookFault> {
        let sql = "SELECT start, stop FROM window WHERE peer=? AND state=? AND state<>'agreed' AND at<=? \
                   AND start>=? ORDER BY at LIMIT 1";
        self.read(|c| {
            let read = |row: &rusqlite::Row<'_>| Ok(Window { from: row.get(0)?, to: row.get(1)? });
            let values = params![peer.as_str(), state.word(), before.ms(), before.secs() - CAUGHT_UP];
            c.prepare_cached(sql)?.query_row(values, read).optional()
        })
    }

    /// Did both sign this window with this root?
    pub fn is_agreed(&self, peer: Region, window: Window, root: &Hash) -> Result<bool, BookFault> {
        let sql = "SELECT EXISTS(SELECT 1 FROM window WHERE peer=? AND start=? AND stop=? AND state='agreed' AND root=?)";
        let values = params![peer.as_str(), window.from, window.to, root.as_slice()];
        self.read(|c| c.query_row(sql, values, |row| row.get(0)))
    }

    /// Both signed `note`.
    pub fn agreed(&self, peer: Region, verdict: &Verdict, note: &[u8], now: Now) -> Result<(), BookFault> {
        self.pair(peer, now)?;
        let Window { from, to } = verdict.window;
        self.write(|c| {
            let (count, lost) = (number(verdict.count), number(verdict.lost as u64));
            let root = verdict.root.as_slice();
            let state = State::Agreed.word();
            c.execute(PUT, params![peer.as_str(), from, to, state, count, root, note, lost, now.ms()])?;
            c.execute("UPDATE pair SET agreed=max(agreed, ?2) WHERE peer=?1", params![peer.as_str(), to])?;
            decide(c, peer, verdict)
        })
    }

    /// The partner has something else than we; a window that was looked into and has not
    /// changed here stays as it is.
    pub fn opened(&self, peer: Region, verdict: &Verdict, now: Now) -> Result<(), BookFault> {
        self.pair(peer, now)?;
        let Window { from, to } = verdict.window;
        let sql = format!("{PUT} WHERE NOT (state='differs' AND root=?6)");
        self.write(|c| {
            let (count, lost) = (number(verdict.count), number(verdict.lost as u64));
            let (root, none) = (verdict.root.as_slice(), None::<Vec<u8>>);
            let state = State::Open.word();
            c.execute(&sql, params![peer.as_str(), from, to, state, count, root, none, lost, now.ms()])
        })
        .map(drop)
    }

    /// What differs, each with its proof, and the partner's signed words for it.
    pub fn differs(
        &self,
        peer: Region,
        verdict: &Verdict,
        differences: &[(Difference, serde_json::Value)],
        statements: &[String],
        now: Now,
    ) -> Result<(), BookFault> {
        self.pair(peer, now)?;
        let Window { from, to } = verdict.window;
        self.write(|c| {
            let (count, lost) = (number(verdict.count), number(verdict.lost as u64));
            let (root, none) = (verdict.root.as_slice(), None::<Vec<u8>>);
            let state = State::Differs.word();
            c.execute(PUT, params![peer.as_str(), from, to, state, count, root, none, lost, now.ms()])?;
            for table in ["difference", "statement"] {
                let sql = format!("DELETE FROM {table} WHERE peer=? AND start=? AND stop=?");
                c.execute(&sql, params![peer.as_str(), from, to])?;
            }
            for (found, proof) in differences {
                let mine = found.mine.map(|mine| mine.item.to_bytes().to_vec());
                let theirs = found.theirs.map(|item| item.to_bytes().to_vec());
                let (x, kind, proof) = (found.x.as_slice(), found.kind.word(), proof.to_string());
                c.execute(
                    "INSERT OR REPLACE INTO difference VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    params![peer.as_str(), from, to, x, kind, mine, theirs, proof, now.ms()],
                )?;
            }
            for (page, jws) in statements.iter().enumerate() {
                let values = params![peer.as_str(), from, to, number(page as u64), jws];
                c.execute("INSERT INTO statement VALUES(?, ?, ?, ?, ?)", values)?;
            }
            decide(c, peer, verdict)
        })
    }

    /// Where the leaf of an exchange stands, or stood.
    pub fn stood(&self, peer: Region, window: Window, x: &[u8; 16]) -> Result<Option<Mark>, BookFault> {
        let sql = "SELECT shard, idx FROM item WHERE peer=? AND moment>=? AND moment<? AND x=?";
        let found: Option<(String, i64)> = self.read(|c| {
            let values = params![peer.as_str(), window.from, window.to, x.as_slice()];
            c.query_row(sql, values, |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })?;
        Ok(found.and_then(|(shard, index)| {
            Some(Mark { shard: Shard::parse(&shard)?, index: index.unsigned_abs() })
        }))
    }
}

fn decide(c: &rusqlite::Connection, peer: Region, verdict: &Verdict) -> rusqlite::Result<()> {
    if verdict.proposed {
        let sql = "UPDATE pair SET decided=max(decided, ?2) WHERE peer=?1";
        c.execute(sql, params![peer.as_str(), verdict.window.to])?;
    }
    Ok(())
}

fn number(count: u64) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
