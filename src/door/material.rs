//! A file's bytes from a request's body to the shelf; both doors take files alike.
//!
//! Promises: the body is read as fast as the disk takes it and never kept; a slow sender has
//! deadlines of its own; what came before a cut stays; whoever may no longer send is stopped
//! in the middle. Leaves to others: who may bring which file.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode, Version};
use tokio::time::{Instant, timeout_at};

use super::answer::{self, HttpAnswer};
use crate::answer::{Code, Refusal};
use crate::fault::Fault;
use crate::house::House;
use crate::material::{
    Arrival, Begun, Deposit, Depositor, LARGEST_MATERIAL, MaterialDigest, MaterialFault, Piece, PieceFault,
    Received,
};

/// A file's times: the 30 s of a message (protocol §2) are too short for 50 MiB.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Between two pieces of the body: a line that is silent for so long is dead.
    pub idle: Duration,
    /// The whole body: 50 MiB at 90 kB/s, slower than any county's line; a sender that needs
    /// longer goes on in a new request.
    pub in_all: Duration,
}

pub const DEADLINES: Deadlines =
    Deadlines { idle: Duration::from_secs(30), in_all: Duration::from_secs(600) };

/// Which file is brought, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Bringing {
    pub depositor: Depositor,
    pub digest: MaterialDigest,
    /// Its length, where an application said it.
    pub bytes: Option<u64>,
}

/// Why a request is answered with something else than its file's fate.
#[derive(Debug)]
enum Unmet {
    Refused(Refusal),
    Fault(MaterialFault),
    Slow,
    Broken,
}

impl From<MaterialFault> for Unmet {
    fn from(fault: MaterialFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Code> for Unmet {
    fn from(code: Code) -> Self {
        Self::Refused(code.into())
    }
}

/// Takes the request's body as the file, or as a piece of it. `welcome` is asked again and
/// again while it comes.
pub(super) async fn receive(
    house: &Arc<House>,
    request: Request<Incoming>,
    bringing: Bringing,
    welcome: impl Fn() -> bool,
) -> HttpAnswer {
    let met = take(house, request, bringing, welcome).await;
    met.unwrap_or_else(|unmet| {
        let (code, answer) = unmet.told();
        if let (Some(code), Depositor::Partner(region)) = (code, bringing.depositor) {
            house.count_unsigned(region, code);
        }
        answer
    })
}

async fn take(
    house: &Arc<House>,
    request: Request<Incoming>,
    bringing: Bringing,
    welcome: impl Fn() -> bool,
) -> Result<HttpAnswer, Unmet> {
    let piece = announced_piece(request.headers(), &bringing.digest)?;
    let Bringing { depositor, digest, bytes } = bringing;
    let body = request.body().size_hint().exact();
    let arrival = Arrival { depositor, digest, piece, bytes, body };
    let mut deposit = match house.materials.begin(arrival, house.clock.now()).await? {
        Begun::Deposit(deposit) => deposit,
        Begun::Already => {
            let told = house.material_arrived(depositor, &digest).await;
            read_away(request).await;
            told?;
            return Ok(answer::after_body(answer::empty(StatusCode::OK)));
        }
        Begun::SoFar { have } => return Ok(so_far(StatusCode::ACCEPTED, have)),
    };
    if let Err(unmet) = pump(request.into_body(), &mut deposit, DEADLINES, welcome).await {
        // What came is kept for the next attempt, if there is still somebody to keep it for.
        let _ = deposit.write().await;
        return Err(unmet);
    }
    let house = Arc::clone(house);
    // A task of its own: a sender that hangs up after its last byte must not leave a file
    // that nobody was told of.
    let ended = tokio::spawn(async move {
        let received = deposit.end().await?;
        if let Received::Whole { .. } = received {
            house.material_arrived(depositor, &digest).await?;
        }
        Ok::<Received, Unmet>(received)
    });
    let interrupted = MaterialFault::Disk(std::io::ErrorKind::Interrupted);
    Ok(match ended.await.unwrap_or(Err(interrupted.into()))? {
        Received::Whole { .. } => answer::after_body(answer::empty(StatusCode::CREATED)),
        Received::SoFar { have } => answer::after_body(so_far(StatusCode::ACCEPTED, have)),
    })
}

/// What the headers say is coming. The digest stands there once more, so that a path mixed up
/// on the way is noticed before 50 MiB are.
fn announced_piece(headers: &HeaderMap, digest: &MaterialDigest) -> Result<Piece, Unmet> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Code::MediaType.into());
    }
    let told = MaterialDigest::from_content_digest(&joined(headers, "content-digest")?.unwrap_or_default());
    if told.map_err(|_| odd_header())? != *digest {
        return Err(MaterialFault::OtherDigest.into());
    }
    let Some(range) = joined(headers, header::CONTENT_RANGE.as_str())? else { return Ok(Piece::Whole) };
    Piece::parse(&range).map_err(|fault| match fault {
        PieceFault::Syntax => odd_header(),
        PieceFault::TooLarge => MaterialFault::TooLarge.into(),
    })
}

fn odd_header() -> Unmet {
    Unmet::Refused(Refusal::with_reason(Code::Malformed, "header"))
}

fn joined(headers: &HeaderMap, name: &str) -> Result<Option<String>, Unmet> {
    let lines: Result<Vec<_>, _> = headers.get_all(name).iter().map(HeaderValue::to_str).collect();
    let lines = lines.map_err(|_| odd_header())?;
    Ok((!lines.is_empty()).then(|| lines.join(", ")))
}

async fn pump<B>(
    mut body: B,
    deposit: &mut Deposit,
    deadlines: Deadlines,
    welcome: impl Fn() -> bool,
) -> Result<(), Unmet>
where
    B: Body<Data = Bytes> + Unpin,
{
    let end = Instant::now() + deadlines.in_all;
    loop {
        let due = end.min(Instant::now() + deadlines.idle);
        let frame = match timeout_at(due, body.frame()).await {
            Err(_) => return Err(Unmet::Slow),
            Ok(None) => return Ok(()),
            Ok(Some(frame)) => frame.map_err(|_| Unmet::Broken)?,
        };
        if !welcome() {
            return Err(Code::NotAMember.into());
        }
        if let Ok(data) = frame.into_data() {
            deposit.take(&data).await?;
        }
    }
}

/// HTTP/1.1 callers that send on while they are answered would lose the answer; on HTTP/2 the
/// stream is closed for them.
async fn read_away(request: Request<Incoming>) {
    if request.version() >= Version::HTTP_2 {
        return;
    }
    let (mut body, mut left) = (request.into_body(), LARGEST_MATERIAL);
    let end = Instant::now() + DEADLINES.in_all;
    while let Ok(Some(Ok(frame))) = timeout_at(end.min(Instant::now() + DEADLINES.idle), body.frame()).await {
        let Some(more) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len) as u64) else { return };
        left = more;
    }
}

/// How much is here: `Range: bytes=0-<last>`, and no such header while nothing is.
fn so_far(status: StatusCode, have: u64) -> HttpAnswer {
    let mut answer = answer::empty(status);
    if let Some(last) = have.checked_sub(1)
        && let Ok(range) = HeaderValue::try_from(format!("bytes=0-{last}"))
    {
        answer.headers_mut().insert(header::RANGE, range);
    }
    answer
}

impl Unmet {
    /// The answer, and its code for the minute's counts where it has one.
    fn told(self) -> (Option<Code>, HttpAnswer) {
        let refusal = match self {
            Self::Refused(refusal) => refusal,
            Self::Fault(MaterialFault::Gap { have }) => {
                return (None, so_far(StatusCode::RANGE_NOT_SATISFIABLE, have));
            }
            Self::Fault(fault) => refusal_of(fault),
            Self::Slow => return (None, answer::empty(StatusCode::REQUEST_TIMEOUT)),
            Self::Broken => return (None, answer::empty(StatusCode::BAD_REQUEST)),
        };
        (Some(refusal.code), answer::refusal(&refusal))
    }
}

/// What the sender may know.
fn refusal_of(fault: MaterialFault) -> Refusal {
    let fails =
        |rule: &str, message: &str, zh: &str| Refusal::schema(vec![Fault::new("", rule, message, zh)]);
    match fault {
        MaterialFault::TooLarge => Refusal::too_large_for_material(),
        MaterialFault::NotHere => Code::UnknownMaterial.into(),
        MaterialFault::OtherDigest => fails(
            "content-digest",
            "the bytes, Content-Digest and the path do not have one SHA-256; what came was dropped",
            "文件内容、Content-Digest 与路径的 SHA-256 不一致,已收内容作废",
        ),
        MaterialFault::OtherLength => {
            fails("bytes", "is not as long as its application says", "文件长度与申请中所述不符")
        }
        MaterialFault::OtherRange => fails(
            "content-range",
            "is not as long as its Content-Range says",
            "内容长度与 Content-Range 不符",
        ),
        // A gap is answered with the place to go on at, before this.
        MaterialFault::TakenOver | MaterialFault::TooMany | MaterialFault::Gap { .. } => {
            Code::Overloaded.into()
        }
        MaterialFault::DiskFull | MaterialFault::Disk(_) => {
            tracing::error!(target: "material", %fault, "a material was not taken");
            Code::Overloaded.into()
        }
    }
}

#[cfg(test)]
mod tests;
