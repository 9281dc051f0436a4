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
    /// Older than the checkpoint that the log has signed since.
    CheckpointBehind,
    /// A leaf names evidence that is not there, and no order in the tree says why.
    EvidenceMissing,
    /// Marked as erased by an order that is not in the tree or does not list the leaf.
    ErasureUnproven,
    /// Still there although an order in the tree says erase.
    EvidenceNotErased,
    /// Sealed bytes other than the leaf names.
    EvidenceChanged,
    /// A secret other than the leaf commits to.
    SecretChanged,
    /// Token, epoch or sum of a row were changed.
    VaultRowChanged,
    /// A row of a leaf that has no evidence, or a second one.
    VaultRowExtra,
    /// The wrapped key of an epoch is none.
    EpochChanged,
    EpochMissing,
    /// The wrapped key of an epoch is not the one that its leaves commit to.
    EpochDiffers,
    /// A leaf with evidence that commits to no epoch's key, after one that does.
    EpochUnnamed,
    /// Held by no order in force.
    HoldChanged,
    /// An order in force holds it, the vault does not.
    HoldMissing,
    /// The search index says something else than the vault.
    SearchIndexChanged,
    /// The search index says something else than the leaves.
    FacetIndexChanged,
    /// A package that is not written as packages are.
    PackageMalformed,
    ManifestInvalid,
    MemberChanged,
    MemberMissing,
    MemberExtra,
    ProofInvalid,
    LeafExtra,
    /// What was selected is not all there.
    SelectionIncomplete,
    OrderUnproven,
    EvidenceExtra,
    SecretMissing,
    /// Fewer witnesses cosigned than the policy asks for.
    QuorumMissing,
    /// Another leaf stands where a signed answer promised one, or none.
    PromiseBroken,
    /// A leaf that the warrant finds was left out.
    TagHidden,
    /// A leaf that the warrant does not find was put in.
    TagContradicts,
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
            Self::CheckpointBehind => {
                ("is older than a checkpoint that this log has signed", "早于本账本已签的检查点")
            }
            Self::EvidenceMissing => (
                "names evidence that is missing, and no order in the tree says why",
                "的证据缺失，且无在账指令说明",
            ),
            Self::ErasureUnproven => {
                ("is marked as erased by an order that does not say so", "标记为已删除，但所引指令并无此内容")
            }
            Self::EvidenceNotErased => {
                ("has evidence that an order told to erase", "的证据应依令删除而仍存在")
            }
            Self::EvidenceChanged => ("has evidence that is not what it names", "的密封证据与所载散列不符"),
            Self::SecretChanged => ("has a secret that is not what it commits to", "的随机数与所载承诺不符"),
            Self::VaultRowChanged => ("has a vault row that is not as it was written", "的证据库行被改动"),
            Self::VaultRowExtra => ("has a vault row that no leaf names", "的证据库行无对应记录"),
            Self::EpochChanged => ("holds an epoch key that is not one", "所存时段密钥被改动"),
            Self::EpochMissing => ("is sealed in an epoch whose key is missing", "所属时段的密钥缺失"),
            Self::EpochDiffers => (
                "is sealed in an epoch whose wrapped key is not the one it commits to",
                "所属时段的封装密钥与所载承诺不符",
            ),
            Self::EpochUnnamed => (
                "names evidence and no epoch's key, after leaves that do",
                "有证据而未载时段密钥承诺，而此前的记录已载",
            ),
            Self::HoldChanged => ("is held by no order in force", "被保全，但无有效指令"),
            Self::HoldMissing => ("should be held by an order in force and is not", "应依令保全而未保全"),
            Self::SearchIndexChanged => {
                ("stands in the search index otherwise than in the vault", "的检索索引与证据库不符")
            }
            Self::FacetIndexChanged => {
                ("says something else in the search index than in the log", "的检索索引与账本不符")
            }
            Self::PackageMalformed => ("is not written as a package is", "不符合导出包格式"),
            Self::ManifestInvalid => {
                ("is not a manifest signed by this log's key", "不是本账本密钥签名的清单")
            }
            Self::MemberChanged => ("is not what the manifest says", "与清单所载不符"),
            Self::MemberMissing => ("stands in the manifest and is missing", "清单所列文件缺失"),
            Self::MemberExtra => ("is not in the manifest, or nothing needs it", "不在清单之列"),
            Self::ProofInvalid => ("does not prove its leaf", "证明不成立"),
            Self::LeafExtra => ("was not selected", "不在所选范围"),
            Self::SelectionIncomplete => ("is not all that was selected", "所选内容不完整"),
            Self::OrderUnproven => {
                ("is said to be subject to an order that is not proven", "所引指令未获证明")
            }
            Self::EvidenceExtra => ("has evidence here that does not belong", "附有不应存在的证据"),
            Self::SecretMissing => {
                ("has no secret here, and no order in the tree says why", "缺少随机数，且无在账指令说明")
            }
            Self::QuorumMissing => {
                ("is not cosigned by enough of the policy's witnesses", "见证不足，未达策略要求")
            }
            Self::PromiseBroken => {
                ("is not the one that a signed answer promised", "与签名应答所承诺的记录不符")
            }
            Self::TagHidden => ("is found by the warrant and was left out", "依检索令应在结果中而被遗漏"),
            Self::TagContradicts => ("is not found by the warrant", "不符合检索令"),
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
