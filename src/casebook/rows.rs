//! The rows of the casebook. Each is replaced whole under its id; the columns beside the
//! document are what lists and couriers look for.

use rusqlite::types::Value as Column;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A kind of row: its table, its key and its columns.
pub trait Row: Serialize + DeserializeOwned {
    const TABLE: &'static str;
    /// Names of the columns that [`Row::columns`] fills, in its order.
    const COLUMNS: &'static [&'static str];

    fn id(&self) -> String;
    fn columns(&self) -> Vec<Column>;
}

/// One change of the casebook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "lowercase")]
pub enum Write {
    Case(CaseRow),
    Event(EventRow),
    Parcel(ParcelRow),
    Notice(NoticeRow),
    Verification(VerificationRow),
    Material(MaterialRow),
    Answer(AnswerRow),
    Once(OnceRow),
    Memo(MemoRow),
}

impl Write {
    /// The bytes of a ledger entry's deed.
    pub fn deed(writes: &[Self]) -> Vec<u8> {
        // Rows are maps with text keys: they always serialise.
        serde_json::to_vec(writes).unwrap_or_default()
    }
}

/// This side's copy of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseRow {
    /// 办件编号.
    pub case: String,
    /// `collecting` or `handling`: what this side is.
    pub role: String,
    pub partner: String,
    pub item: String,
    /// Business state.
    pub state: String,
    /// Milliseconds since 1970.
    pub opened: i64,
    pub changed: i64,
    /// When the case must be looked at again (milliseconds), if nothing happens before.
    pub wake: Option<i64>,
    /// Moments up to here have been told (milliseconds).
    pub woken: i64,
    pub parent: Option<String>,
    /// `item basis purpose operator agreement case` as the submit's envelope said them.
    pub business: Map<String, Value>,
    /// The folded case, as the room `case` keeps it.
    pub doc: Value,
}

/// An applied event of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRow {
    pub case: String,
    pub seq: u64,
    pub event: String,
    /// base64url SHA-256 of JCS(body).
    pub digest: String,
    /// Seconds, as the event says.
    pub at: i64,
    /// Milliseconds, when it was applied here.
    pub applied: i64,
    /// This side's own.
    pub mine: bool,
    /// The exchange that brought it here or told the partner.
    pub exchange: Option<String>,
    pub body: Value,
    /// The receipt given for it, for the same parcel again.
    pub receipt: Value,
}

/// What a courier made of a parcel so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParcelState {
    Waiting,
    Delivered,
    /// The partner's signed refusal.
    Refused,
    /// Given up, with the reason; a person may have it sent again.
    Undeliverable,
}

impl ParcelState {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Undeliverable => "undeliverable",
        }
    }
}

/// One message to a partner that must arrive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParcelRow {
    pub id: String,
    pub partner: String,
    /// What it is ordered with: the case number or the verification's id.
    pub line: String,
    pub seq: u64,
    pub op: String,
    /// base64url SHA-256 of JCS(body).
    pub digest: String,
    /// `item basis purpose operator agreement case` of the envelope.
    pub business: Map<String, Value>,
    pub body: Value,
    pub state: ParcelState,
    /// Why it was refused or given up: a code word.
    pub reason: Option<String>,
    /// The signed request as it left last, while it lives.
    pub sent: Option<Sent>,
    pub attempts: u32,
    /// Not before (milliseconds).
    pub not_before: i64,
    /// Milliseconds.
    pub made: i64,
    pub ended: Option<i64>,
    /// The partner's signed response, as it came.
    pub receipt: Option<String>,
}

/// A signed request that may be sent again as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    pub jti: String,
    pub jws: String,
    /// Seconds.
    pub exp: i64,
}

/// Something the region's own systems should hear of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoticeRow {
    pub id: String,
    pub line: String,
    /// `case.state`, `verification.requested`, …
    pub kind: String,
    /// Milliseconds.
    pub at: i64,
    pub body: Value,
}

/// Whose answer a verification waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerificationSide {
    /// We asked.
    Asking,
    /// Somebody here answers.
    Answering,
}

impl VerificationSide {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Asking => "asking",
            Self::Answering => "answering",
        }
    }
}

/// A timed verification (部门限时核验).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerificationRow {
    pub id: String,
    pub side: VerificationSide,
    pub partner: String,
    pub case: String,
    /// `open`, `answered`, `lapsed`.
    pub state: String,
    /// Milliseconds.
    pub received: i64,
    pub due: i64,
    /// When somebody must be reminded (milliseconds).
    pub wake: Option<i64>,
    pub digest: String,
    pub business: Map<String, Value>,
    pub request: Value,
    pub answer: Option<Value>,
}

/// Which way a material's bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaterialWay {
    Coming,
    Going,
}

/// An upload that a case names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaterialRow {
    /// Lower-case hex.
    pub sha256: String,
    pub case: String,
    pub partner: String,
    pub way: MaterialWay,
    pub bytes: u64,
    pub media_type: String,
    /// The bytes are where they should be: here, or (going) at the partner's.
    pub there: bool,
    /// Why they never will be.
    pub reason: Option<String>,
}

/// The answer to a message that may come again (protocol §3.4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerRow {
    /// Hex of the used id.
    pub key: String,
    /// Seconds.
    pub expires: i64,
    pub op: String,
    pub jti: String,
    pub status: u16,
    /// Result or problem.
    pub outcome: Value,
    /// Seconds, for the header of a refusal that may be tried again.
    pub retry_after: Option<u32>,
    /// Where its leaf stands; filled in as the deed is carried from there.
    pub place: Option<PlaceRow>,
    /// The signed bytes once they were made; the first that leave are the ones that leave again.
    pub signed: Option<String>,
}

/// A place of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceRow {
    pub shard: String,
    pub index: u64,
}

/// What a local system was told under its `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnceRow {
    pub client: String,
    pub key: String,
    /// Of the request body.
    pub digest: String,
    pub status: u16,
    pub answer: Value,
    /// Seconds.
    pub expires: i64,
}

/// A named value: a webhook's cursor, a serial number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemoRow {
    pub name: String,
    pub value: Value,
}

fn text(value: &str) -> Column {
    Column::Text(value.to_owned())
}

fn optional(value: Option<i64>) -> Column {
    value.map_or(Column::Null, Column::Integer)
}

impl Row for CaseRow {
    const TABLE: &'static str = "case_";
    const COLUMNS: &'static [&'static str] = &["role", "partner", "state", "wake", "parent"];

    fn id(&self) -> String {
        self.case.clone()
    }
    fn columns(&self) -> Vec<Column> {
        vec![
            text(&self.role),
            text(&self.partner),
            text(&self.state),
            optional(self.wake),
            self.parent.as_deref().map_or(Column::Null, text),
        ]
    }
}

impl Row for EventRow {
    const TABLE: &'static str = "event";
    const COLUMNS: &'static [&'static str] = &["line", "seq"];

    fn id(&self) -> String {
        format!("{}#{}", self.case, self.seq)
    }
    fn columns(&self) -> Vec<Column> {
        vec![text(&self.case), Column::Integer(self.seq.cast_signed())]
    }
}

impl Row for ParcelRow {
    const TABLE: &'static str = "parcel";
    const COLUMNS: &'static [&'static str] = &["partner", "line", "state", "made"];

    fn id(&self) -> String {
        self.id.clone()
    }
    fn columns(&self) -> Vec<Column> {
        vec![text(&self.partner), text(&self.line), text(self.state.word()), Column::Integer(self.made)]
    }
}

impl Row for NoticeRow {
    const TABLE: &'static str = "notice";
    const COLUMNS: &'static [&'static str] = &["line"];

    fn id(&self) -> String {
        self.id.clone()
    }
    fn columns(&self) -> Vec<Column> {
        vec![text(&self.line)]
    }
}

impl Row for VerificationRow {
    const TABLE: &'static str = "verification";
    const COLUMNS: &'static [&'static str] = &["side", "partner", "line", "state", "wake"];

    /// Both ends of one verification may stand in one casebook only in a test; still apart.
    fn id(&self) -> String {
        format!("{}:{}", self.side.word(), self.id)
    }
    fn columns(&self) -> Vec<Column> {
        vec![
            text(self.side.word()),
            text(&self.partner),
            text(&self.case),
            text(&self.state),
            optional(self.wake),
        ]
    }
}

impl Row for MaterialRow {
    const TABLE: &'static str = "material";
    const COLUMNS: &'static [&'static str] = &["sha256", "line", "partner", "way", "there"];

    fn id(&self) -> String {
        format!("{}:{}", self.case, self.sha256)
    }
    fn columns(&self) -> Vec<Column> {
        let way = if self.way == MaterialWay::Coming { "coming" } else { "going" };
        vec![
            text(&self.sha256),
            text(&self.case),
            text(&self.partner),
            text(way),
            Column::Integer(i64::from(self.there || self.reason.is_some())),
        ]
    }
}

impl Row for AnswerRow {
    const TABLE: &'static str = "answer";
    const COLUMNS: &'static [&'static str] = &["expires"];

    fn id(&self) -> String {
        self.key.clone()
    }
    fn columns(&self) -> Vec<Column> {
        vec![Column::Integer(self.expires)]
    }
}

impl Row for OnceRow {
    const TABLE: &'static str = "once";
    const COLUMNS: &'static [&'static str] = &["expires"];

    fn id(&self) -> String {
        format!("{}\n{}", self.client, self.key)
    }
    fn columns(&self) -> Vec<Column> {
        vec![Column::Integer(self.expires)]
    }
}

impl Row for MemoRow {
    const TABLE: &'static str = "memo";
    const COLUMNS: &'static [&'static str] = &[];

    fn id(&self) -> String {
        self.name.clone()
    }
    fn columns(&self) -> Vec<Column> {
        Vec::new()
    }
}
