//! Who the message is between, and what their agreement says of it.

use super::sight::Sight;
use super::{Findings, View};
use crate::answer::Code;
use crate::domain::Region;
use crate::envelope::Op;

pub(super) fn parties(view: &View<'_>, sight: &Sight<'_>, code: Code, found: &mut Findings) {
    let region = |name: &str| Region::from_gateway_urn(sight.text(name));
    let (iss, aud) = (region("iss"), region("aud"));
    let shown = |region: Option<Region>| region.map(|region| region.to_string()).unwrap_or_default();
    if code == Code::IssuerMismatch {
        if iss == Some(view.me) && aud == view.peer {
            return found.add("parties-swapped");
        }
        let iss = shown(iss);
        found.measured("iss-other-region", format!("iss is {iss}"), format!("iss 为 {iss}"));
    } else if aud.is_some() && aud == view.peer {
        found.add("aud-self");
    } else {
        let aud = shown(aud);
        found.measured("aud-other-region", format!("aud is {aud}"), format!("aud 为 {aud}"));
    }
}

/// The agreements between both that are in force today, by their ids.
pub(super) fn in_force<'a>(view: &View<'a>) -> Vec<&'a str> {
    let today = view.now.shanghai_day();
    let between = view.peer.into_iter().flat_map(|peer| view.policy.between(view.me, peer));
    let mut known: Vec<&str> =
        between.filter(|agreement| agreement.in_force(today)).map(|agreement| agreement.id()).collect();
    known.sort_unstable();
    known
}

pub(super) fn agreement(view: &View<'_>, sight: &Sight<'_>, code: Code, found: &mut Findings) {
    let agreement = view.policy.agreement(sight.text("agreement"));
    let item = agreement.and_then(|agreement| agreement.item(sight.text("item")));
    match code {
        Code::NoAgreement => match (agreement, view.peer) {
            (None, _) => {
                let known = in_force(view).join(", ");
                let known = if known.is_empty() { "–" } else { &known };
                let (en, zh) = (format!("between both there is: {known}"), format!("双方之间现有:{known}"));
                found.measured("agreement-unknown", en, zh);
            }
            (Some(agreement), Some(peer)) if agreement.between(&peer, &view.me) => {
                let (from, to) = agreement.valid();
                let (en, zh) = (format!("it is in force {from} to {to}"), format!("有效期 {from} 至 {to}"));
                found.measured("agreement-days", en, zh);
            }
            (Some(_), _) => found.add("agreement-parties"),
        },
        Code::UnknownItem => found.add("item-nowhere"),
        Code::ItemNotAgreed => found.add("item-elsewhere"),
        Code::OpNotAgreed => {
            let op = Op::from_name(sight.text("op")).map_or("–", Op::name);
            let listed = item.map(|item| item.ops.join(", ")).unwrap_or_default();
            found.measured("op-not-listed", format!("{op}; listed: {listed}"), format!("{op};所列:{listed}"));
        }
        Code::BasisNotAgreed => {
            let listed = item.map(|item| item.bases.iter().map(|basis| basis.name()).collect::<Vec<_>>());
            let listed = listed.unwrap_or_default().join(", ");
            found.measured("basis-not-listed", format!("listed: {listed}"), format!("所列:{listed}"));
        }
        _ => {}
    }
}
