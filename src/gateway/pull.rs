//! Status lists that an authority publishes over HTTPS, fetched in the background and left
//! on disk for the watch over trust files.
//!
//! Promises: only configured addresses are asked, never from a request's path; a list is
//! believed for its authority's signature, TLS is only the way it came; whatever goes wrong
//! leaves the list in force, until its own `exp`. A publication is on disk within
//! [`PULL_EVERY`] and [`DEADLINE`], which together with the watch stays below the 60 s of
//! protocol §3.3. Leaves putting it in force to [`crate::house::TrustWatch`].

mod timetable;

#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::authorization::{Authority, MOST_LIST_FILE_BYTES, StatusList, StatusListFault};
use crate::clock::Now;
use crate::config::Config;
use crate::envelope::Typ;
use crate::house::{House, pulled_path};
use crate::web::{Bounds, WebClient, WebFault};

use timetable::Timetable;

/// How often a list is asked for: a publication is in force within 60 s (protocol §3.3) even
/// if one pull in between fails.
const PULL_EVERY: Duration = Duration::from_secs(20);

/// One pull in all: name, connection, TLS, the last byte.
const DEADLINE: Duration = Duration::from_secs(10);

/// How often the timetable is looked at, and with it the configured authorities.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a list was not taken. The one in force stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PullFault {
    #[error("its address is not a URL")]
    Address,
    #[error("the TLS roots cannot be used")]
    Roots,
    #[error("cannot be reached")]
    Unreachable,
    #[error("did not come in time")]
    Timeout,
    #[error("was answered with status {0}")]
    HttpStatus(u16),
    #[error("is larger than 2 MiB")]
    TooLarge,
    #[error("broke off")]
    BrokeOff,
    #[error("is no list of this authority's: {0}")]
    List(#[from] StatusListFault),
    #[error("cannot be written ({0})")]
    Disk(io::ErrorKind),
}

impl From<WebFault> for PullFault {
    fn from(fault: WebFault) -> Self {
        match fault {
            WebFault::Address => Self::Address,
            WebFault::Roots => Self::Roots,
            WebFault::Unreachable => Self::Unreachable,
            WebFault::Timeout => Self::Timeout,
            WebFault::TooLarge => Self::TooLarge,
            WebFault::BrokeOff => Self::BrokeOff,
        }
    }
}

/// What a pull that went well did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// The file has another content now; the watch will see it.
    Renewed,
    Unchanged,
}

/// One list to be pulled.
#[derive(Clone)]
pub struct PulledList {
    pub authority: Arc<Authority>,
    /// What tokens call it.
    pub uri: String,
    /// Where it is fetched.
    pub url: String,
}

/// Fetches lists and leaves them in the data directory. Clones share the TLS roots.
#[derive(Clone)]
pub struct Puller {
    web: WebClient,
    deadline: Duration,
    data_dir: PathBuf,
}

impl Puller {
    /// Connects to nothing yet.
    pub fn new(config: &Config) -> Self {
        Self { web: web_client(config), deadline: DEADLINE, data_dir: config.data_dir() }
    }

    /// Fetches one list; writes it where the watch looks if it is the authority's and new.
    pub async fn pull(&self, list: PulledList, now: Now) -> Result<Pulled, PullFault> {
        let bytes = self.fetch(&list.url).await?;
        let path = pulled_path(&self.data_dir, list.authority.id(), &list.uri);
        // Unpacking and flushing block.
        let kept = tokio::task::spawn_blocking(move || keep(&path, &bytes, &list, now));
        kept.await.unwrap_or(Err(PullFault::Disk(io::ErrorKind::Interrupted)))
    }
}

impl Puller {
    /// The body of a 200, within [`DEADLINE`] and [`MOST_LIST_FILE_BYTES`].
    async fn fetch(&self, url: &str) -> Result<Bytes, PullFault> {
        let bounds = Bounds { deadline: self.deadline, most: MOST_LIST_FILE_BYTES };
        let answer = self.web.get(url, Typ::StatusList.media_type(), bounds).await?;
        if answer.status == 200 { Ok(answer.body) } else { Err(PullFault::HttpStatus(answer.status)) }
    }
}

/// Our client for configured addresses: the operator's CAs count beside the system's.
pub fn web_client(config: &Config) -> WebClient {
    WebClient::new(config.partner_listener.client_ca.iter().map(|ca| config.path(ca)).collect())
}

/// Puts the list in the place of the file, if it says something new.
fn keep(path: &Path, bytes: &[u8], list: &PulledList, now: Now) -> Result<Pulled, PullFault> {
    let before = fs::read(path).ok();
    if before.as_deref() == Some(bytes) {
        return Ok(Pulled::Unchanged);
    }
    let signed_at =
        |bytes: &[u8]| StatusList::parse(bytes, list.authority.keys(), &list.uri, now).map(|list| list.iat());
    let fresh = signed_at(bytes)?;
    // After a restart the file is all we remember: an old copy from the network must not
    // bring a revoked token back then either.
    if before.and_then(|before| signed_at(&before).ok()).is_some_and(|before| before > fresh) {
        return Err(StatusListFault::Older.into());
    }
    replace(path, bytes).map_err(|error| PullFault::Disk(error.kind()))?;
    Ok(Pulled::Renewed)
}

/// By a rename, so that the watch and a crash see the old file or the new one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

/// Pulls every list of every active authority again and again until the gateway stops.
pub async fn status_lists(house: Arc<House>, puller: Puller, mut stopped: watch::Receiver<bool>) {
    let mut timetable = Timetable::default();
    let mut pulls = JoinSet::new();
    loop {
        let at = Instant::now();
        timetable.follow(&house.trust.load().authorities, at);
        for list in timetable.due(at) {
            let (puller, now) = (puller.clone(), house.clock.now());
            pulls.spawn(async move { (list.clone(), puller.pull(list, now).await) });
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            Some(Ok((list, outcome))) = pulls.join_next() => timetable.note(&list, outcome, Instant::now()),
            _ = stopped.changed() => return,
        }
    }
}
