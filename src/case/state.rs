//! Where a case stands, and the two sides that move it.

use serde::{Deserialize, Serialize};

/// The two copies of a case, and who an act is allowed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// 收件地: takes the application in, speaks for the applicant.
    Collecting,
    /// 办理地 (属地): accepts, decides, delivers.
    Handling,
}

impl Role {
    pub const BOTH: [Self; 2] = [Self::Collecting, Self::Handling];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Collecting => "collecting",
            Self::Handling => "handling",
        }
    }

    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Collecting => Self::Handling,
            Self::Handling => Self::Collecting,
        }
    }
}

macro_rules! states {
    ($($variant:ident $name:literal $zh:literal),* $(,)?) => {
        /// The states of domain reference §7.5.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum State {
            $(#[serde(rename = $name)] $variant,)*
        }

        impl State {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As it stands in messages.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            pub const fn zh(self) -> &'static str {
                match self { $(Self::$variant => $zh),* }
            }
        }
    };
}

states! {
    Submitted "SUBMITTED" "已申办",
    Collected "COLLECTED" "已收件",
    Returned "RETURNED" "已退回",
    Relayed "RELAYED" "已转递",
    RelayFailed "RELAY_FAILED" "转递失败",
    Received "RECEIVED" "已接收",
    SupplementPending "SUPPLEMENT_PENDING" "待补正",
    Accepted "ACCEPTED" "已受理",
    AcceptedTolerant "ACCEPTED_TOLERANT" "容缺受理",
    InSpecial "IN_SPECIAL" "特别程序",
    NotAccepted "NOT_ACCEPTED" "不予受理",
    Terminated "TERMINATED" "已终止",
    Withdrawn "WITHDRAWN" "已撤回",
    DecidedGrant "DECIDED_GRANT" "准予",
    DecidedDeny "DECIDED_DENY" "不准予",
    Issued "ISSUED" "已制证",
    Delivered "DELIVERED" "已送达",
    Closed "CLOSED" "已归档",
}

impl State {
    /// ■: nothing moves the case any more.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::NotAccepted | Self::Terminated | Self::Withdrawn | Self::Closed)
    }

    /// The handling side has not yet said that it has the case.
    pub const fn is_before_receipt(self) -> bool {
        matches!(self, Self::Submitted | Self::Collected | Self::Returned | Self::Relayed | Self::RelayFailed)
    }

    /// Accepted and not yet decided: the legal clock runs, or is paused.
    pub const fn is_accepted(self) -> bool {
        matches!(self, Self::Accepted | Self::AcceptedTolerant | Self::InSpecial)
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.name() == name)
    }
}
