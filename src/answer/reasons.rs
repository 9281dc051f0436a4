//! From what a room knows to what the peer may know: exhaustive matches, so that a new
//! variant stops the build here.

use crate::authorization::AuthorizationFault;
use crate::case::CaseFault;
use crate::envelope::{EnvelopeFault, TimeFault};
use crate::license::LookupFault;
use crate::policy::{Limited, PolicyFault};

use super::{Code, Refusal};

impl From<EnvelopeFault> for Refusal {
    fn from(fault: EnvelopeFault) -> Self {
        match fault {
            EnvelopeFault::TooLarge => Code::TooLarge.into(),
            EnvelopeFault::Malformed(reason) => Self::with_reason(Code::Malformed, reason.word()),
            EnvelopeFault::Signature(reason) => Self::with_reason(Code::SignatureInvalid, reason.word()),
        }
    }
}

impl From<TimeFault> for Refusal {
    fn from(fault: TimeFault) -> Self {
        match fault {
            TimeFault::NotYetValid => Code::NotYetValid,
            TimeFault::Expired => Code::MessageExpired,
            TimeFault::LifetimeTooLong => Code::LifetimeTooLong,
        }
        .into()
    }
}

impl From<PolicyFault> for Refusal {
    fn from(fault: PolicyFault) -> Self {
        match fault {
            PolicyFault::NoAgreement => Code::NoAgreement,
            PolicyFault::UnknownItem => Code::UnknownItem,
            PolicyFault::ItemNotAgreed => Code::ItemNotAgreed,
            PolicyFault::OpNotAgreed => Code::OpNotAgreed,
            PolicyFault::BasisNotAgreed => Code::BasisNotAgreed,
            PolicyFault::UnknownLicenseType => Code::UnknownLicenseType,
            PolicyFault::LicenseNotAgreed => Code::LicenseNotAgreed,
            PolicyFault::FieldNotAgreed => Code::FieldNotAgreed,
        }
        .into()
    }
}

impl From<Limited> for Refusal {
    fn from(limited: Limited) -> Self {
        Self::retry_after(Code::RateLimited, limited.retry_after_secs)
    }
}

impl From<AuthorizationFault> for Refusal {
    fn from(fault: AuthorizationFault) -> Self {
        match fault {
            AuthorizationFault::Invalid(reason) => {
                Self::with_reason(Code::AuthorizationInvalid, reason.word())
            }
            AuthorizationFault::Expired => Code::AuthorizationExpired.into(),
            AuthorizationFault::Revoked => Code::AuthorizationRevoked.into(),
            AuthorizationFault::UsedUp => Code::AuthorizationUsedUp.into(),
            AuthorizationFault::Insufficient => Code::AuthorizationInsufficient.into(),
            AuthorizationFault::StatusStale => Self::retry_after(Code::StatusStale, 60),
        }
    }
}

impl From<CaseFault> for Refusal {
    fn from(fault: CaseFault) -> Self {
        match fault {
            CaseFault::IllegalTransition(_) => Code::IllegalTransition.into(),
            CaseFault::SequenceGap => Code::SequenceGap.into(),
            CaseFault::Schema(faults) => {
                Self::schema(faults.into_iter().map(|fault| fault.under("/body")).collect())
            }
            CaseFault::CalendarUnpublished(_) => Self::retry_after(Code::CalendarUnpublished, 3600),
            // The receipt of another event: ours to mend, and nothing was changed.
            CaseFault::ForeignReceipt => Code::SequenceGap.into(),
        }
    }
}

impl From<LookupFault> for Refusal {
    fn from(fault: LookupFault) -> Self {
        match fault {
            LookupFault::RegisterUnavailable | LookupFault::RegisterRecord => {
                Self::retry_after(Code::RegisterUnavailable, 5)
            }
            LookupFault::RegisterTimeout => Self::retry_after(Code::RegisterTimeout, 5),
            LookupFault::HolderMismatch => Self::with_reason(Code::AuthorizationInvalid, "holder"),
        }
    }
}
