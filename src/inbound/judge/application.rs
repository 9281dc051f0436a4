//! The steps of an application or a verification after the agreement's claims: body schema →
//! agreement, from the body. Everything that needs no case is judged here, so that `explain`
//! sees it too.

use serde_json::{Map, Value};

use crate::answer::{Code, Refusal};
use crate::case::{
    Case, EventBody, Opening, Role, Sides, StatusBody, SubmitBody, Terms, VerificationAnswerBody,
    VerificationRequestBody, digest_text,
};
use crate::casework::{Answered, CaseAsked, Question};
use crate::domain::{CaseNumber, Evidence, Region};
use crate::envelope::{Op, RequestClaims};
use crate::fault::Fault;
use crate::policy::Grant;
use crate::schema::Admissible;

use super::super::steps::Step;
use super::{Asked, At, Bench, Stopped, body_faults, stop};

pub(super) fn application(
    bench: &Bench<'_>,
    peer: Region,
    claims: RequestClaims,
    grant: &Grant,
) -> Result<Asked, Stopped> {
    let case = claims.case.clone().unwrap_or_default();
    let item = grant.item().code.clone();
    match claims.op {
        Op::ApplicationSubmit => submit(bench, peer, claims, grant),
        Op::ApplicationEvent => {
            let event: EventBody = admit(bench, &claims.body)?;
            let asked = CaseAsked::Event { number: case, item, event: Box::new(event), body: claims.body };
            Ok(Asked::Case(Box::new(asked)))
        }
        Op::ApplicationStatus => {
            let body: StatusBody = admit(bench, &claims.body)?;
            if body.case != case {
                return disagrees("/body/case");
            }
            Ok(Asked::Case(Box::new(CaseAsked::Status { number: case, item })))
        }
        Op::VerificationRequest => {
            let request: VerificationRequestBody = admit(bench, &claims.body)?;
            // As for a lookup: only what the item lists, and only here.
            let kind = &request.license.kind;
            let known = bench.catalog.license_type(kind).is_some();
            grant.verification(kind, &bench.me, known).at(Step::License)?;
            let faults = material_faults(grant, &request);
            if !faults.is_empty() {
                return stop(Step::License, Refusal::schema(faults));
            }
            let business = business(&claims);
            let question = Question { case, request, body: claims.body, business };
            Ok(Asked::Question(Box::new(question)))
        }
        Op::VerificationAnswer => {
            let answer: VerificationAnswerBody = admit(bench, &claims.body)?;
            Ok(Asked::Answer(Box::new(Answered { case, item, answer, body: claims.body })))
        }
        Op::Ping | Op::LicenseQuery | Op::LedgerReconcile => stop(Step::Envelope, Code::UnknownOp),
    }
}

/// The case that a submit opens here: body schema, then what the body must agree with, the
/// item's form included.
fn submit(bench: &Bench<'_>, peer: Region, claims: RequestClaims, grant: &Grant) -> Result<Asked, Stopped> {
    let terms = Terms::of(grant.item());
    let body: SubmitBody = admit(bench, &claims.body)?;
    let number = CaseNumber::parse(claims.case.as_deref().unwrap_or_default());
    let number = number.map_err(|_| Refusal::schema(vec![case_fault("/case")])).at(Step::Envelope)?;
    let item = grant.item();
    if !item.collecting.contains(&peer) || item.handling != bench.me {
        return disagrees("/body/handling/region");
    }
    let opening = Opening {
        number: &number,
        role: Role::Handling,
        sides: Sides { collecting: peer, handling: bench.me },
        agreement: grant.agreement().id(),
        terms,
    };
    let case = Case::open(opening, &body, &digest_text(&claims.body), bench.now).at(Step::License)?;
    let business = business(&claims);
    let asked = CaseAsked::Submit { case: Box::new(case), body: claims.body, business };
    Ok(Asked::Case(Box::new(asked)))
}

/// What an answer to this message will say of itself.
fn business(claims: &RequestClaims) -> Map<String, Value> {
    let basis = claims.basis.map(|basis| basis.name().to_owned());
    let members = [
        ("item", &claims.item),
        ("basis", &basis),
        ("purpose", &claims.purpose),
        ("operator", &claims.operator),
        ("agreement", &claims.agreement),
        ("case", &claims.case),
    ];
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into()))).collect()
}

fn admit<T: Admissible>(bench: &Bench<'_>, body: &Value) -> Result<T, Stopped> {
    let admitted = bench.catalog.admit_on::<T>(body, bench.now.shanghai_day());
    Ok(admitted.map_err(body_faults).at(Step::Body)?.into_inner())
}

/// A department answers for a material of the item that may be shown so, and for the license
/// that stands for it.
fn material_faults(grant: &Grant, request: &VerificationRequestBody) -> Vec<Fault> {
    let agreed = grant.item().materials.iter().find(|material| material.code == request.material);
    let Some(agreed) = agreed.filter(|agreed| agreed.evidence.contains(&Evidence::TimedVerification)) else {
        return vec![case_fault("/body/material")];
    };
    let same = agreed.license.as_ref().is_none_or(|kind| kind.eq_ignore_ascii_case(&request.license.kind));
    if same { Vec::new() } else { vec![case_fault("/body/license/type")] }
}

fn disagrees(pointer: &str) -> Result<Asked, Stopped> {
    stop(Step::License, Refusal::schema(vec![case_fault(pointer)]))
}

fn case_fault(pointer: &str) -> Fault {
    let words = ("differs from the envelope or the agreement", "与信封或协议不符");
    Fault::new(pointer, "agreement", words.0, words.1)
}
