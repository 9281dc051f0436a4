//! The target asks: the runner drives its local door, answers as a case says, and reads there
//! what the target believed.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::super::cases::Case;
use super::super::message::Draft;
use super::super::tree::sign_note;
use super::super::{b64, sha256};
use super::Stopped;
use super::checks::need;
use super::door::{Door, Plan};
use super::local::{LocalDoor, Told};
use super::operator::Did;
use super::steps::{LOOK_AGAIN, Play};

/// Within which a delivery, or a second try, must be seen: back-off begins at a second.
const COURIER: Duration = Duration::from_secs(40);
/// Entries of a tree larger than any target's.
const LARGER: u64 = 1_000_000;
/// A redirect that is followed is followed at once.
const FOLLOWED: Duration = Duration::from_millis(300);
/// Where the case data point a target that follows what it should not.
const ELSEWHERE: &str = "127.0.0.1:1/";

/// Members of a question that a local system says.
const SAID: [&str; 7] = ["item", "case", "basis", "purpose", "operator", "agreement", "body"];

pub(super) async fn play(
    play: &mut Play<'_>,
    _: &Case,
    ask: &str,
    answer: &Value,
    expect: &Value,
) -> Result<(), Stopped> {
    let stage = std::sync::Arc::clone(play.stage);
    let (Some(local), Some(door)) = (&stage.local, &stage.door) else {
        return Err(Stopped::NotRun("no local door is given".into()));
    };
    play.trail.sent = Some(format!(
        "the target was made to ask ({ask}); its partner answered with 请求方发问，伙伴应答如下:\n{answer:#}"
    ));
    match ask {
        "start" => start(play, door, answer).await,
        "lookup" => lookup(play, local, door, answer, expect).await,
        "submit" => submit(play, local, door, answer, expect).await,
        _ => Err(Stopped::NotRun("the case asks in a way that this version does not know".into())),
    }
}

fn question(play: &Play<'_>, base: &str) -> Result<Value, Stopped> {
    let message = Draft::of(&play.moment, &base.into())?.build(None, None)?;
    let mut said = Map::new();
    said.insert("to".into(), play.moment.scene.region("answering").into());
    for name in SAID {
        if let Some(value) = message.claims.get(name) {
            said.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(authorization) = message.claims.get("authorization") {
        said.insert("authorization".into(), authorization.clone());
    }
    Ok(Value::Object(said))
}

async fn lookup(
    play: &mut Play<'_>,
    local: &LocalDoor,
    door: &Door,
    answer: &Value,
    expect: &Value,
) -> Result<(), Stopped> {
    let mut answer = answer.clone();
    // A listener of our own stands where the target must not go.
    let elsewhere = match expect.get("connections_elsewhere") {
        None => None,
        Some(_) => {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|e| e.to_string())?;
            let at = listener.local_addr().map_err(|e| e.to_string())?;
            let text = answer.to_string().replace(ELSEWHERE, &format!("{at}/"));
            answer = serde_json::from_str(&text).unwrap_or(answer);
            Some(listener)
        }
    };
    door.for_lookups(Plan { moment: play.moment.clone(), answer });
    let told = local.post("/local/v1/licenses/query", &question(play, "lookup")?).await;
    door.behave(None);
    let told = told?;
    play.trail.came = Some(format!("the local door said 对内接口应答 {}\n{:#}", told.status, told.body));
    play.moment.sent.push(None);
    play.heard.push(None);
    if let Some(listener) = elsewhere {
        let followed = tokio::time::timeout(FOLLOWED, listener.accept()).await.is_ok();
        need(!followed, "the target went where an answer pointed")?;
    }
    believed_as(&told, expect)?;
    for check in expect.get("check").and_then(Value::as_array).into_iter().flatten() {
        match check.as_str() {
            Some("out.sent") => recorded_before_it_left(play, door).await?,
            _ => return Err(Stopped::NotRun(format!("this version has no check {check}"))),
        }
    }
    Ok(())
}

/// Clause B-7, by the leaves of the exchange as the operator shows them.
async fn recorded_before_it_left(play: &Play<'_>, door: &Door) -> Result<(), Stopped> {
    let (exchange, came) = door.last_lookup().ok_or("the target asked nothing")?;
    let leaves = play.told(&["leaves", &exchange]).await?;
    let leaves = leaves.as_array().cloned().unwrap_or_default();
    let kind = |leaf: &&Value, kind: &str| leaf.get("t").is_some_and(|t| t == kind);
    let sent =
        leaves.iter().find(|leaf| kind(leaf, "out.sent")).ok_or("there is no out.sent of the exchange")?;
    need(leaves.iter().any(|leaf| kind(&leaf, "out.done")), "there is no out.done of the exchange")?;
    let ts = sent.get("ts").and_then(Value::as_i64).ok_or("out.sent has no ts")?;
    need(ts <= came, &format!("out.sent is of {ts}, and the request came at {came}"))
}

/// The target is started while this partner shows a larger tree that the target's own key signed.
async fn start(play: &mut Play<'_>, door: &Door, answer: &Value) -> Result<(), Stopped> {
    let larger = answer.pointer("/change/witness/size").is_some_and(|size| size == "larger");
    need(larger, "the case data hold something unknown to this version")?;
    let origin = play.moment.scene.origin(play.stage.target, play.moment.at);
    let key = play.moment.scene.keys.get(&format!("{}-ledger", play.stage.target));
    let key = key.ok_or("the scene has no ledger key of the target")?;
    let text = format!("{origin}\n{LARGER}\n{}\n", b64(&sha256(b"a tree that nobody holds")));
    let note = sign_note(&text, &[(&origin, key)], false);
    let path = format!("/v1/log/{}/checkpoint", hex::encode(sha256(origin.as_bytes())));
    door.shows_cosigned(Some((path, note)));
    let restart = ["restart".to_owned()];
    let did = play.operator()?.does(play.stage.target, &restart).await;
    door.shows_cosigned(None);
    match did? {
        Did::NotStarted => {
            play.trail.came = Some("the gateway did not start".into());
            play.undo.push(vec!["start".to_owned()]);
            Ok(())
        }
        Did::Done(_) => Err("the gateway went on with a ledger that a witness has seen larger".into()),
    }
}

/// A result, or the partner's own signed refusal.
fn believed(told: &Told) -> bool {
    let signed = told.body.get("signed") == Some(&Value::Bool(true));
    signed || (told.status == 200 && told.body.get("result").is_some())
}

fn believed_as(told: &Told, expect: &Value) -> Result<(), Stopped> {
    let wanted = expect.get("believed").and_then(Value::as_bool).unwrap_or(true);
    let word = |name: &str| told.body.get(name).and_then(Value::as_str).unwrap_or_default();
    let why = match word("code") {
        "partner-answer-invalid" => word("reason"),
        "partner-refused" => "unsigned",
        "partner-unreachable" | "partner-timeout" => "not-answered",
        other => other,
    };
    match (wanted, believed(told)) {
        (true, false) => Err(format!("a true answer was not believed ({} {why})", told.status).into()),
        (false, true) => Err(format!("a false answer was believed ({})", told.status).into()),
        (true, true) => Ok(()),
        (false, false) => {
            need(told.status >= 400, "what was not believed is told as a success")?;
            // One that could not be connected to has not answered either.
            let wanted = match expect.get("why").and_then(Value::as_str) {
                Some("not-connected") => "not-answered",
                Some(wanted) => wanted,
                None => return Ok(()),
            };
            need(why == wanted, &format!("not believed, but because of {why} instead of {wanted}"))
        }
    }
}

async fn submit(
    play: &mut Play<'_>,
    local: &LocalDoor,
    door: &Door,
    answer: &Value,
    expect: &Value,
) -> Result<(), Stopped> {
    let question = question(play, "submit")?;
    let case = question.get("case").and_then(Value::as_str).unwrap_or_default().to_owned();
    let file = play.moment.file("abc");
    let path = format!("/local/v1/materials/{}", hex::encode(sha256(file.as_bytes())));
    let digest = [("content-digest", play.moment.digest_header("{sha256:abc}"))];
    let put = local.call("PUT", &path, &digest, Bytes::from(file)).await?;
    need(put.status < 300, &format!("the local door did not take the file ({})", put.status))?;
    door.for_submit(&case, Plan { moment: play.moment.clone(), answer: answer.clone() });
    let taken = local.post("/local/v1/applications", &question).await;
    let judged = match taken {
        Ok(taken) if taken.status == 202 => delivered_as(local, door, &case, expect).await,
        Ok(taken) => {
            let code = taken.body.get("code").and_then(Value::as_str).unwrap_or("no code");
            Err(format!("the local door answered {} {code}", taken.status).into())
        }
        Err(why) => Err(why.into()),
    };
    door.behave(Some(&case));
    judged?;
    let sent = door.seen(&case).last().and_then(|asked| asked.claims.get("body").cloned());
    play.moment.bodies.insert("submit".into(), sent.unwrap_or_default());
    play.moment.sent.push(None);
    play.heard.push(None);
    Ok(())
}

/// What became of the parcel, as the target's own view of the case has it.
async fn delivered_as(local: &LocalDoor, door: &Door, case: &str, expect: &Value) -> Result<(), Stopped> {
    let wanted = expect.get("believed").and_then(Value::as_bool).unwrap_or(true);
    let again = expect.get("sent_again") == Some(&Value::Bool(true));
    let begun = Instant::now();
    let mut view = json!({});
    let mut word = String::new();
    while begun.elapsed() < COURIER {
        view = local.get(&format!("/local/v1/applications/{case}")).await?.body;
        word = view.get("transport").and_then(Value::as_str).unwrap_or_default().to_owned();
        let ended = word == "delivered" || word == "refused";
        if !wanted && ended {
            return Err(format!("a false receipt was believed: {word}").into());
        }
        if wanted && ended || !wanted && (!again || door.seen(case).len() > 1) {
            break;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    if wanted {
        need(word == "delivered" || word == "refused", &format!("the receipt was not believed: {word}"))?;
    } else {
        need(!again || door.seen(case).len() > 1, "the parcel was not sent again")?;
    }
    if let Some(state) = expect.get("state") {
        need(view.get("state") == Some(state), &format!("the case is not {state}"))?;
    }
    let events = view.get("events").and_then(Value::as_array).map(Vec::len);
    let applied = expect.get("applied").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    need(applied.is_none() || events.is_none() || events == applied, "it was applied more than once")
}
