//! The admin socket: errands of the command line for a gateway that runs, over HTTP/1.1 on
//! `<data>/admin.sock`.
//!
//! Promises: nobody but the gateway's own user (and root) gets in, by the file's mode and by
//! what the system says of the caller; one request a connection, its size and its time bounded;
//! an errand under way when the gateway stops is done. Who may do what, and the record of it,
//! are the desk's.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::answer::{self, HttpAnswer};
use super::listener::{BODY_DEADLINE, BodyFault, collect_body};
use crate::audit::{DeskFault, Sent};
use crate::house::House;

/// Octets of an errand: four thousand indices with room.
pub const MOST_ERRAND_BYTES: usize = 256 << 10;
/// Connections at once: people type, they do not swarm.
const MOST_CONNECTIONS: usize = 16;
/// A request's head, from accept.
const HEADER: Duration = Duration::from_secs(10);
/// How long errands under way may go on when the gateway stops.
const DRAIN: Duration = Duration::from_secs(25);
/// Octets of a path that `sockaddr_un` takes (108 with its end).
const LONGEST_SOCKET_PATH: usize = 100;

pub const DESK: &str = "/desk";
pub const LINK: &str = "/console/link";

/// Makes a one-time sign-in link for an account: the console's part. `None` when it cannot.
pub type MintLink = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Whom a sign-in link is for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkAsked {
    pub account: String,
}

/// The open socket; its name goes when it is dropped.
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// The socket of the gateway whose data this is, by a name that is short enough: the second
/// part must live as long as the first is used.
pub fn socket_path(data: &Path) -> io::Result<(PathBuf, Option<OwnedFd>)> {
    let path = data.join("admin.sock");
    if path.as_os_str().len() <= LONGEST_SOCKET_PATH {
        return Ok((path, None));
    }
    // A long path through a descriptor of its folder.
    let folder = rustix::fs::open(data, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}/admin.sock", folder.as_raw_fd())), Some(folder)))
}

impl AdminSocket {
    /// Makes the socket anew. Whoever calls this holds the store's lock, so one that is there
    /// is a dead gateway's.
    pub fn open(data: &Path) -> io::Result<Self> {
        let (path, _folder) = socket_path(data)?;
        // Private from its first moment: bound in a folder that nobody else enters, then moved.
        let beside = path.with_file_name(".admin");
        match fs::remove_dir_all(&beside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => DirBuilder::new().mode(0o700).create(&beside)?,
        }
        let bound = beside.join("s");
        let listener = UnixListener::bind(&bound)?;
        fs::set_permissions(&bound, Permissions::from_mode(0o600))?;
        fs::rename(&bound, &path)?;
        fs::remove_dir(&beside)?;
        Ok(Self { listener, path: data.join("admin.sock") })
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // The next start removes what stays.
        let _ = fs::remove_file(&self.path);
    }
}

/// Serves errands until `stopped`, then lets those under way end.
pub async fn serve(
    socket: AdminSocket,
    house: Arc<House>,
    links: Option<MintLink>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut under_way = JoinSet::new();
    loop {
        while under_way.try_join_next().is_some() {}
        let accepted = tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            Some(_) = under_way.join_next(), if under_way.len() >= MOST_CONNECTIONS => continue,
            accepted = socket.listener.accept(), if under_way.len() < MOST_CONNECTIONS => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(HEADER / 100).await;
            continue;
        };
        if is_ours(&stream) {
            under_way.spawn(connection(stream, house.clone(), links.clone()));
        }
    }
    drop(socket);
    let ended = tokio::time::timeout(DRAIN, async { while under_way.join_next().await.is_some() {} });
    if ended.await.is_err() {
        tracing::warn!(target: "desk", "errands were still under way when the drain ended");
    }
}

/// The caller is the gateway's own user, or root.
fn is_ours(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

async fn connection(stream: UnixStream, house: Arc<House>, links: Option<MintLink>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (house, links) = (house.clone(), links.clone());
        async move { Ok::<_, std::convert::Infallible>(one(request, house, links).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER).keep_alive(false);
    // A caller that goes away is no fault; its errand goes on.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

async fn one(request: Request<Incoming>, house: Arc<House>, links: Option<MintLink>) -> HttpAnswer {
    let path = request.uri().path().to_owned();
    if !matches!(path.as_str(), DESK | LINK) {
        return answer::empty(StatusCode::NOT_FOUND);
    }
    if request.method() != Method::POST {
        return answer::not_allowed("POST");
    }
    let body = match collect_body(request.into_body(), MOST_ERRAND_BYTES, BODY_DEADLINE).await {
        Ok(body) => body,
        Err(BodyFault::TooLarge) => return answer::empty(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => return answer::empty(StatusCode::BAD_REQUEST),
    };
    if path == LINK {
        return link(&body, &house, links);
    }
    let Ok(sent) = serde_json::from_slice::<Sent>(&body) else {
        return refused(&DeskFault::Asked("is no errand of this version"));
    };
    let accounts = house.trust.load().accounts.clone();
    match house.desk.run(accounts, sent).await {
        Ok(result) => answer::json(StatusCode::OK, &result),
        Err(fault) => refused(&fault),
    }
}

fn link(body: &[u8], house: &House, links: Option<MintLink>) -> HttpAnswer {
    let Ok(asked) = serde_json::from_slice::<LinkAsked>(body) else {
        return refused(&DeskFault::Asked("names no account"));
    };
    if house.trust.load().accounts.named(&asked.account).is_none() {
        return refused(&DeskFault::NoSuchAccount);
    }
    match links.and_then(|mint| mint(&asked.account)) {
        Some(link) => answer::json(StatusCode::OK, &json!({"link": link})),
        None => refused(&DeskFault::Asked("the console is not open")),
    }
}

fn refused(fault: &DeskFault) -> HttpAnswer {
    answer::problem(answer::status(fault.status()), &problem_of(fault))
}

/// What a refused errand is told, here and by the command line's own desk.
pub fn problem_of(fault: &DeskFault) -> Value {
    json!({
        "type": format!("urn:tongban:problem:{}", fault.code()),
        "status": fault.status(),
        "code": fault.code(),
        "title": fault.to_string(),
        "title_zh": fault.message_zh(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_its_owners_only_and_remade_at_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        fs::write(&path, "left behind").unwrap();
        for _ in 0..2 {
            let socket = AdminSocket::open(dir.path()).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
            assert!(UnixStream::connect(&path).await.is_ok());
            drop(socket);
            assert!(!path.exists());
        }
    }

    #[tokio::test]
    async fn a_long_path_is_no_hindrance() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("d".repeat(90)).join("d".repeat(90));
        fs::create_dir_all(&data).unwrap();
        let _socket = AdminSocket::open(&data).unwrap();
        let (path, _folder) = socket_path(&data).unwrap();
        assert!(UnixStream::connect(path).await.is_ok());
    }
}
