//! What a check of a log can find, in words that name the file and the leaf.

use serde::Serialize;

/// One fault found, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub kind: FindingKind,
    /// Path below the data directory.
    pub file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// First leaf concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    pub message: String,
    pub message_zh: String,
}

/// Stable words for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// The bytes are not those that were hashed.
    LeafChanged,
    /// Leaf and hash agree with each other but not with what was signed.
    LeafRewritten,
    LeafMissing,
    /// The leaf's hash in the file is not the leaf's.
    HashChanged,
    /// Not one line of canonical JSON, or not a leaf of this log.
    LeafMalformed,
    /// A column for searching differs from the leaf.
    IndexChanged,
    /// A remembered id or use was changed.
    MemoryChanged,
    /// SQLite finds the file damaged.
    FileDamaged,
    /// Not the bytes the gateway left it with, though nothing else shows it.
    FileTouched,
    FileMissing,
    TileChanged,
    TileMissing,
    /// Not a checkpoint signed by the log's key.
    CheckpointInvalid,
    CheckpointMissing,
    /// Signed for another tree than the leaves form.
    CheckpointContradicted,
    /// The first leaf names another key than the one given.
    KeyDiffers,
    /// A log's first leaf does not name the end of the log before.
    ChainBroken,
}

impl FindingKind {
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::LeafChanged => {
                ("is not what was recorded: its bytes were changed", "与入账时不同：字节被改动")
            }
            Self::LeafRewritten => (
                "was rewritten together with its hash: the signed checkpoint and the tiles know another",
                "连同散列一并被改写：与已签名的检查点不符",
            ),
            Self::LeafMissing => ("is missing", "缺失"),
            Self::HashChanged => ("has a stored hash that is not its own", "所存散列与记录不符"),
            Self::LeafMalformed => ("is not a canonical leaf of this log", "不是本账本的规范记录"),
            Self::IndexChanged => ("stands under other search columns than it says", "检索列与记录内容不符"),
            Self::MemoryChanged => {
                ("came with a message id or a use that was changed", "随附的报文编号或授权次数被改动")
            }
            Self::FileDamaged => ("is damaged", "文件损坏"),
            Self::FileTouched => (
                "does not have the bytes it was left with (its .sha256): a byte was changed where nothing is kept",
                "与静止时的 .sha256 不符：未用字节被改动",
            ),
            Self::FileMissing => ("is missing", "文件缺失"),
            Self::TileChanged => ("is not the tile that the leaves form", "与记录算出的哈希片不符"),
            Self::TileMissing => ("is missing although a checkpoint covers it", "哈希片缺失"),
            Self::CheckpointInvalid => {
                ("is not a checkpoint signed by this log's key", "不是本账本密钥签名的检查点")
            }
            Self::CheckpointMissing => ("is missing", "检查点缺失"),
            Self::CheckpointContradicted => {
                ("is signed for another tree than the leaves form", "所签的树与现有记录不一致")
            }
            Self::KeyDiffers => ("names another ledger key than the one given", "所载账本密钥与给定的不同"),
            Self::ChainBroken => ("does not name the end of the log before it", "未正确衔接上一账本"),
        }
    }
}

impl Finding {
    pub fn new(kind: FindingKind, file: impl Into<String>) -> Self {
        let (en, zh) = kind.words();
        let file = file.into();
        Self {
            kind,
            message: format!("{file} {en}"),
            message_zh: format!("{file} {zh}"),
            file,
            origin: None,
            index: None,
        }
    }

    /// The same finding about one leaf.
    #[must_use]
    pub fn at(mut self, origin: &str, index: u64) -> Self {
        let (en, zh) = self.kind.words();
        self.message = format!("{}: leaf {index} of {origin} {en}", self.file);
        self.message_zh = format!("{}：{origin} 第 {index} 条记录{zh}", self.file);
        self.origin = Some(origin.to_owned());
        self.index = Some(index);
        self
    }

    /// The same finding about a whole log.
    #[must_use]
    pub fn of(mut self, origin: &str) -> Self {
        self.origin = Some(origin.to_owned());
        self
    }

    /// Adds what a person needs to know besides.
    #[must_use]
    pub fn saying(mut self, en: &str, zh: &str) -> Self {
        self.message.push_str(en);
        self.message_zh.push_str(zh);
        self
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.message, self.message_zh)
    }
}
