//! Why the desk does not do what was asked, with a code and words for people.

use crate::ledger::RecordFault;
use crate::ledger::search::SearchFault;
use crate::store::StoreFault;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeskFault {
    #[error("say what for: a purpose of 1 to 200 characters")]
    Purpose,
    #[error("name the paper that asks for it: an order or case number of 1 to 64 characters")]
    Order,
    #[error("a purpose or order number names a resident's number: leave it out")]
    PersonalData,
    #[error("there is no such account in force")]
    NoSuchAccount,
    #[error("this account's role may not do that")]
    NotAllowed,
    #[error("a second person is needed: the account that asked cannot approve")]
    SamePerson,
    #[error("there is no such request, or it has expired")]
    NoSuchRequest,
    #[error("the request is not approved yet")]
    NotApproved,
    #[error("restricted evidence is released on a security administrator's word only")]
    Restricted,
    #[error("{0}")]
    Asked(&'static str),
    #[error("there is no such exchange or leaf")]
    NoSuchLeaf,
    #[error("leaf {0} is held by an order: release it first")]
    Held(u64),
    #[error("a class's period is not over: restrict, or name the legal basis of an earlier erasure")]
    BeforeFloor,
    /// What cannot be recorded is not done.
    #[error("the ledger cannot record this: {0}")]
    Record(#[from] RecordFault),
    #[error("{0}")]
    Store(#[from] StoreFault),
    #[error("the registers hold a row that cannot be read")]
    Registers,
    #[error("the ledger's keys of this log are not here")]
    NoKeys,
    #[error("no random bytes could be had")]
    NoRandom,
    #[error("the work was interrupted")]
    Interrupted,
}

impl DeskFault {
    /// A stable word.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Purpose => "purpose-missing",
            Self::Order => "order-missing",
            Self::PersonalData => "personal-data",
            Self::NoSuchAccount => "no-such-account",
            Self::NotAllowed => "not-allowed",
            Self::SamePerson => "same-person",
            Self::NoSuchRequest => "no-such-request",
            Self::NotApproved => "not-approved",
            Self::Restricted => "restricted",
            Self::Asked(_) => "bad-question",
            Self::NoSuchLeaf => "no-such-leaf",
            Self::Held(_) => "held",
            Self::BeforeFloor => "before-floor",
            Self::Record(_) => "not-recorded",
            Self::Store(_) | Self::Registers | Self::NoRandom | Self::Interrupted => "store",
            Self::NoKeys => "no-keys",
        }
    }

    pub const fn message_zh(&self) -> &'static str {
        match self {
            Self::Purpose => "请填写用途（1至200字）",
            Self::Order => "请填写文号或案号（1至64字）",
            Self::PersonalData => "用途与文号中不得出现身份证号",
            Self::NoSuchAccount => "没有此账户或账户已停用",
            Self::NotAllowed => "该角色无权进行此操作",
            Self::SamePerson => "须由另一人批准，申请人不得自批",
            Self::NoSuchRequest => "没有此申请或申请已过期",
            Self::NotApproved => "申请尚未获批",
            Self::Restricted => "该记录已限制处理，须由安全管理员批准",
            Self::Asked(_) => "查询条件有误",
            Self::NoSuchLeaf => "没有此交换或记录",
            Self::Held(_) => "该记录处于保全状态，须先解除",
            Self::BeforeFloor => "未到法定保存期限，只能限制处理；如需提前删除，请注明法律依据",
            Self::Record(_) => "账本无法留痕，操作未执行",
            Self::Store(_) | Self::Registers => "存储读写失败",
            Self::NoKeys => "缺少该账本的检索密钥",
            Self::NoRandom => "无法取得随机数",
            Self::Interrupted => "操作被中断",
        }
    }

    /// The status a door answers with.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Purpose | Self::Order | Self::PersonalData | Self::Asked(_) => 422,
            Self::NoSuchAccount | Self::NotAllowed | Self::SamePerson | Self::Restricted => 403,
            Self::NoSuchRequest | Self::NoSuchLeaf => 404,
            Self::NotApproved | Self::Held(_) | Self::BeforeFloor => 409,
            Self::Record(_)
            | Self::Store(_)
            | Self::Registers
            | Self::NoKeys
            | Self::NoRandom
            | Self::Interrupted => 503,
        }
    }
}

impl From<SearchFault> for DeskFault {
    fn from(fault: SearchFault) -> Self {
        match fault {
            SearchFault::Store(fault) => Self::Store(fault),
            SearchFault::Key(_) => Self::NoKeys,
        }
    }
}
