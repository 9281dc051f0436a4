//! The steps of a lookup after the agreement's claims: body schema → agreement, from the
//! body → authorization.

use crate::answer::Code;
use crate::authorization::{Action, Ask, Consent};
use crate::envelope::{Basis, Opened, RequestClaims};
use crate::license::{LicenseQuery, Mode};
use crate::peer::PeerIdentity;
use crate::policy::Grant;
use crate::schema::LicenseType;

use super::super::steps::Step;
use super::{Asked, At, Bench, LicenseAsked, Memory, Seen, Stopped, body_faults, stop};

pub(super) fn license(
    bench: &Bench<'_>,
    peer: &PeerIdentity,
    claims: &RequestClaims,
    opened: &Opened,
    grant: &Grant,
    memory: &impl Memory,
    seen: &mut Seen,
) -> Result<Asked, Stopped> {
    let query: LicenseQuery = bench
        .catalog
        .admit_on(&claims.body, bench.now.shanghai_day())
        .map_err(body_faults)
        .at(Step::Body)?
        .into_inner();
    let license_type = bench.catalog.license_type(&query.license.kind);
    seen.license_type = license_type.map(|t| t.code().to_owned());
    let mode = match query.mode {
        Mode::Read => "read",
        Mode::Verify => "verify",
    };
    let permit = grant
        .license(&query.license.kind, mode, query.fields(), &bench.me, license_type.is_some())
        .at(Step::License)?;
    // An agreement may list a type that has no schema here; nothing can be answered for it.
    let Some(license_type) = license_type else {
        return stop(Step::License, Code::UnknownLicenseType);
    };
    if !query.fields().all(|field| license_type.shareable(field)) {
        return stop(Step::License, Code::FieldNotAgreed);
    }
    let consent = consent(bench, peer, claims, opened, &query, license_type, memory, seen)?;
    Ok(Asked::License(Box::new(LicenseAsked { query, license_type, permit, consent })))
}

#[expect(clippy::too_many_arguments, reason = "the authorization is judged against everything before it")]
fn consent(
    bench: &Bench<'_>,
    peer: &PeerIdentity,
    claims: &RequestClaims,
    opened: &Opened,
    query: &LicenseQuery,
    license_type: &LicenseType,
    memory: &impl Memory,
    seen: &mut Seen,
) -> Result<Option<Consent>, Stopped> {
    let Some(token) = &claims.authorization else {
        return match claims.basis {
            Some(Basis::Consent) | None => stop(Step::Authorization, Code::AuthorizationMissing),
            Some(Basis::StatutoryDuty | Basis::Emergency) => Ok(None),
        };
    };
    let holder = query.license.holder.as_ref();
    let ask = Ask {
        me: bench.me,
        client: peer.region(),
        signer_kid: &opened.kid,
        license_type: &query.license.kind,
        sensitive_type: license_type.sensitive(),
        action: if query.mode == Mode::Read { Action::Read } else { Action::Verify },
        fields: query.fields().collect(),
        item: claims.item.as_deref().unwrap_or_default(),
        case: claims.case.as_deref(),
        holder: holder.map(|h| (h.kind.as_str(), h.number.as_str())),
    };
    let consent = bench
        .authorizer
        .check(token, &ask, bench.authorities, bench.status_lists, bench.now)
        .at(Step::Authorization)?;
    seen.authorization = Some(consent.token_id);
    if memory.uses(&consent.token_id) >= consent.max_uses {
        return stop(Step::Authorization, Code::AuthorizationUsedUp);
    }
    Ok(Some(consent))
}
