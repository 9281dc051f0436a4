//! An agreement as a table that a lawyer can read: `tongban agreement check`.

use serde::Serialize;

use super::agreement::Agreement;
use super::terms::{
    Evidence, HandlingMode, Item, LicenseTerms, LookupMode, Material, Necessity, ReceiptClock, TimeLimit,
    TimeUnit,
};
use crate::domain::Region;
use crate::envelope::Basis;

/// What stands in an agreement, in Chinese words; shared by print and `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgreementTable {
    /// Label and value, for the head of the page.
    pub head: Vec<(&'static str, String)>,
    /// [`AgreementTable::COLUMNS`] name the cells of a row.
    pub items: Vec<ItemRow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ItemRow {
    pub item: String,
    pub code: String,
    pub who: String,
    pub bases: String,
    pub ops: String,
    pub licenses: String,
    pub materials: String,
    pub limits: String,
}

impl AgreementTable {
    pub const COLUMNS: [&'static str; 7] =
        ["事项", "办理与收件", "依据", "可用操作", "可查证照", "材料与取证方式", "时限"];
}

impl ItemRow {
    /// The cells under [`AgreementTable::COLUMNS`].
    pub fn cells(&self) -> [String; 7] {
        [
            format!("{}\n{}", self.item, self.code),
            self.who.clone(),
            self.bases.clone(),
            self.ops.clone(),
            self.licenses.clone(),
            self.materials.clone(),
            self.limits.clone(),
        ]
    }
}

impl Agreement {
    pub fn table(&self) -> AgreementTable {
        let (from, to) = self.valid();
        let limits = self.limits();
        AgreementTable {
            head: vec![
                ("协议编号", self.id().to_owned()),
                ("名称", self.name().to_owned()),
                ("各方", regions(self.parties())),
                ("有效期", format!("{from} 至 {to}（含当日，北京时间）")),
                (
                    "用量上限",
                    format!(
                        "每秒 {} 次，突发 {} 次，并发 {} 个，每日 {} 次",
                        limits.requests_per_second, limits.burst, limits.concurrent, limits.per_day
                    ),
                ),
                ("协议摘要 SHA-256", hex::encode(self.digest())),
            ],
            items: self.items().map(|item| row(item)).collect(),
        }
    }
}

fn row(item: &Item) -> ItemRow {
    let mut who = format!("{}\n办理：{}", mode_zh(item.mode), item.handling);
    if !item.collecting.is_empty() {
        who.push_str(&format!("\n收件：{}", regions(&item.collecting)));
    }
    ItemRow {
        item: item.name.clone(),
        code: item.code.clone(),
        who,
        bases: joined(item.bases.iter().map(|b| basis_zh(*b)), "\n"),
        ops: joined(item.ops.iter().map(|op| op_zh(op)), "\n"),
        licenses: joined(item.licenses.iter().map(license), "\n"),
        materials: joined(item.materials.iter().map(material), "\n"),
        limits: limits(item),
    }
}

fn license(terms: &LicenseTerms) -> String {
    format!(
        "{}（{}；答复方 {}）：{}",
        terms.kind,
        joined(terms.modes.iter().map(|m| lookup_zh(*m)), "、"),
        regions(&terms.holder_region),
        terms.fields.join("、")
    )
}

fn material(material: &Material) -> String {
    let necessity = match material.necessity {
        Necessity::Required => "（必要）",
        Necessity::Optional => "（非必要）",
        Necessity::Tolerant => "（容缺后补）",
    };
    let ways = joined(material.evidence.iter().map(|e| evidence_zh(*e)), " → ");
    format!("{} {}{necessity}：{ways}", material.code, material.name)
}

fn limits(item: &Item) -> String {
    let mut lines = Vec::new();
    let mut line = |label: &str, limit: Option<TimeLimit>| {
        if let Some(TimeLimit { value, unit }) = limit {
            lines.push(format!("{label} {value} {}", unit_zh(unit)));
        }
    };
    line("法定", item.legal_limit);
    line("承诺", item.promise_limit);
    line("核验", item.verification_limit);
    match item.receipt_clock {
        Some(ReceiptClock::Handling) => lines.push("自办理地收到起算".to_owned()),
        Some(ReceiptClock::Collecting) => lines.push("自收件地收到起算".to_owned()),
        None => {}
    }
    lines.join("\n")
}

fn regions(regions: &[Region]) -> String {
    joined(regions.iter(), "、")
}

fn joined<T: ToString>(parts: impl Iterator<Item = T>, between: &str) -> String {
    parts.map(|p| p.to_string()).collect::<Vec<_>>().join(between)
}

const fn mode_zh(mode: HandlingMode) -> &'static str {
    match mode {
        HandlingMode::Online => "全程网办",
        HandlingMode::ProxyCollect => "异地代收代办",
        HandlingMode::MultiJoint => "多地联办",
    }
}

const fn basis_zh(basis: Basis) -> &'static str {
    match basis {
        Basis::Consent => "本人授权",
        Basis::StatutoryDuty => "法定职责",
        Basis::Emergency => "紧急情形",
    }
}

fn op_zh(op: &str) -> &str {
    match op {
        "license.query" => "证照查询核验",
        "application.submit" => "申请提交",
        "application.event" => "办理环节推送",
        "application.status" => "进度查询",
        "verification.request" => "部门限时核验（发起）",
        "verification.answer" => "部门限时核验（答复）",
        other => other,
    }
}

const fn lookup_zh(mode: LookupMode) -> &'static str {
    match mode {
        LookupMode::Read => "读取",
        LookupMode::Verify => "比对",
    }
}

const fn evidence_zh(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::SharedData => "数据共享",
        Evidence::TimedVerification => "部门限时核验",
        Evidence::Commitment => "告知承诺",
        Evidence::Upload => "上传材料",
    }
}

const fn unit_zh(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::WorkingDay => "个工作日",
        TimeUnit::CalendarDay => "个自然日",
        TimeUnit::Hour => "小时",
    }
}
