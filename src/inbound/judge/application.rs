//! The steps of an application or a verification after the agreement's claims.

use crate::answer::Code;
use crate::envelope::{Opened, RequestClaims};
use crate::peer::PeerIdentity;
use crate::policy::Grant;

use super::super::steps::Step;
use super::{Asked, Bench, Stopped, stop};

pub(super) fn application(
    _bench: &Bench<'_>,
    _peer: &PeerIdentity,
    _claims: RequestClaims,
    _opened: &Opened,
    _grant: Grant,
) -> Result<Asked, Stopped> {
    stop(Step::Envelope, Code::UnknownOp)
}
