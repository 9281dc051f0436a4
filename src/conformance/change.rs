//! One change: what each word of the case data does to claims, to bytes that will be signed, and
//! to those that were.

use serde_json::Value;

use super::b64url;
use super::keys::{der, malleated};
use super::message::put;
use super::moment::{Filler, Unfilled};
use super::window::{Window, reconciliation, window_of};

const B64URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Status, codes and retry of every signed refusal.
pub(super) const REFUSALS: [(u16, &str, &str); 10] = [
    (401, "message-expired not-yet-valid lifetime-too-long", "yes"),
    (403, "audience-mismatch issuer-mismatch", "no"),
    (409, "replay jti-reuse illegal-transition sequence-gap duplicate-case", "no"),
    (
        403,
        "no-agreement item-not-agreed op-not-agreed license-not-agreed field-not-agreed basis-not-agreed",
        "no",
    ),
    (422, "schema-violation unknown-op unknown-license-type unknown-item", "no"),
    (
        403,
        "authorization-missing authorization-invalid authorization-expired authorization-revoked \
         authorization-used-up authorization-insufficient",
        "no",
    ),
    (404, "unknown-case", "no"),
    (503, "register-unavailable status-stale calendar-unpublished", "after"),
    (504, "register-timeout", "after"),
    (508, "relay-loop", "no"),
];

/// Puts a member or item at a pointer, or takes the member there away.
pub(super) fn placed(root: &mut Value, pointer: &str, value: Option<Value>) -> Result<(), Unfilled> {
    let unknown = || Unfilled(pointer.to_owned());
    let (holder, name) = pointer.rsplit_once('/').ok_or_else(unknown)?;
    match (root.pointer_mut(holder).ok_or_else(unknown)?, value) {
        (Value::Object(members), Some(value)) => {
            members.insert(name.to_owned(), value);
        }
        (Value::Object(members), None) => {
            members.remove(name);
        }
        (Value::Array(items), Some(value)) => {
            let slot = name.parse::<usize>().ok().and_then(|nth| items.get_mut(nth));
            *slot.ok_or_else(unknown)? = value;
        }
        _ => return Err(unknown()),
    }
    Ok(())
}

/// What is changed in header and claims.
pub(super) fn claimed(
    header: &mut Value,
    claims: &mut Value,
    filler: &mut Filler<'_>,
    at: i64,
    word: &str,
    how: &Value,
) -> Result<(), Unfilled> {
    let mut place = |pointer: &str, value: Option<Value>| {
        let unknown = || Unfilled(pointer.to_owned());
        let (root, inner) = match (pointer.strip_prefix("/header"), pointer.strip_prefix("/payload")) {
            (Some(inner), _) => (&mut *header, inner),
            (_, Some(inner)) => (&mut *claims, inner),
            _ => return Err(unknown()),
        };
        placed(root, inner, value)
    };
    match word {
        "set" => {
            for (pointer, value) in how.as_object().into_iter().flatten() {
                place(pointer, Some(filler.fill(value)?))?;
            }
        }
        "remove" => place(how.as_str().unwrap_or_default(), None)?,
        "window_of" => {
            let unknown = || Unfilled(word.to_owned());
            let window = match how.get("step").and_then(Value::as_u64) {
                // That of an exchange before, which the suite leaves out.
                Some(nth) => {
                    let window = window_of(filler.moment(), nth).ok_or_else(unknown)?;
                    for (name, time) in [("from", window), ("to", window + 60)] {
                        place(&format!("/payload/body/window/{name}"), Some(time.into()))?;
                    }
                    Window { from: window, count: 0 }
                }
                None => Window { count: 1, ..Window::long_ago(at) },
            };
            for name in ["count", "root", "note"] {
                let other = reconciliation(filler.moment(), at, name, window).ok_or_else(unknown)?;
                place(&format!("/payload/body/{name}"), Some(other))?;
            }
        }
        "window" => {
            let shift = |nth: usize| how.get(nth).and_then(Value::as_i64).unwrap_or_default();
            let times = [("iat", at + shift(0)), ("exp", at + shift(1))];
            for (name, time) in times {
                place(&format!("/payload/{name}"), Some(time.into()))?;
            }
            if claims.get("nbf").is_some() {
                put(claims, "nbf", (at + shift(0)).into());
            }
        }
        _ => {}
    }
    Ok(())
}

/// What is changed in the bytes that are signed.
pub(super) fn written(parts: &mut [Vec<u8>; 2], word: &str, how: &Value) -> Result<(), Unfilled> {
    let [header, payload] = parts;
    match word {
        "text" => {
            let part = if how.get("part").is_some_and(|part| part == "header") { header } else { payload };
            *part = edited(part, how)?;
        }
        "grow" | "grow_to" => {
            let wanted = how.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
            let fixed = b64url(header).len() + 2 + b64url(&[0; 64]).len();
            let size = |payload: &Vec<u8>| fixed + (payload.len() * 4).div_ceil(3);
            while size(payload) < wanted {
                payload.push(b' ');
            }
            if word == "grow_to" && size(payload) > wanted {
                payload.pop();
            }
        }
        _ => {}
    }
    Ok(())
}

pub(super) fn bent(mut signature: Vec<u8>, how: &str) -> Option<Vec<u8>> {
    Some(match how {
        "short" => {
            signature.pop();
            signature
        }
        "long" => [signature, vec![0]].concat(),
        "zero" => vec![0; signature.len()],
        "flip" => {
            *signature.last_mut()? ^= 1;
            signature
        }
        "swapped" => {
            let (r, s) = signature.split_at_checked(32)?;
            [s, r].concat()
        }
        "der" => der(&signature),
        "malleated" => malleated(&signature),
        _ => return None,
    })
}

pub(super) fn edited(bytes: &[u8], how: &Value) -> Result<Vec<u8>, Unfilled> {
    let text = |name: &str| how.get(name).and_then(Value::as_str);
    if let Some(whole) = text("is") {
        return Ok(whole.as_bytes().to_vec());
    }
    if let Some(find) = text("find") {
        let unknown = || Unfilled("find".into());
        let new = match text("replace_hex") {
            Some(digits) => hex::decode(digits).map_err(|_| unknown())?,
            None => text("replace").ok_or_else(unknown)?.as_bytes().to_vec(),
        };
        let at =
            bytes.windows(find.len()).position(|window| window == find.as_bytes()).ok_or_else(unknown)?;
        let (before, after) = (bytes.get(..at), bytes.get(at + find.len()..));
        return Ok([before.unwrap_or_default(), &new, after.unwrap_or_default()].concat());
    }
    let around = |name| text(name).unwrap_or_default().as_bytes();
    Ok([around("prefix"), bytes, around("suffix")].concat())
}

/// The same bytes with a bit set that stands for nothing; `None` where no bit is idle.
pub(super) fn respelled(part: &str) -> Option<String> {
    let (body, last) = part.split_at_checked(part.len().checked_sub(1)?)?;
    let next = B64URL.get(B64URL.find(last)? + 1..)?.chars().next()?;
    (!part.len().is_multiple_of(4)).then(|| format!("{body}{next}"))
}
