//! What the members of a leaf mean, for people.

/// A leaf's member, in Chinese and English (protocol §7.1).
pub fn member(name: &str) -> &'static str {
    match name {
        "agr" => "协议摘要 agreement digest",
        "auth" => "授权摘要 authorization digest",
        "by" => "经办账户 account",
        "case" => "办件标签 case tag",
        "ck" => "上一账本终签散列 last log's final checkpoint",
        "code" => "拒绝码 refusal code",
        "dec" => "决定 decision",
        "ev" => "证据散列 sealed evidence",
        "iat" => "请求时刻 request made at",
        "item" => "事项 item",
        "lt" => "证照类型 license type",
        "me" => "本方 this side",
        "ms" => "耗时 milliseconds",
        "n" => "次数 count",
        "of" => "所涉记录 leaves concerned",
        "op" => "操作 operation",
        "past" => "所涉（上一）账本 log concerned, or before",
        "peer" => "对方 other side",
        "pl" => "对方记录承诺 the other side's promise",
        "rd" => "结果散列 result digest",
        "ek" => "时段密钥承诺 epoch key's commitment",
        "rh" => "密钥承诺 secret's commitment",
        "rq" => "请求散列 request digest",
        "rs" => "应答散列 response digest",
        "status" => "状态 status",
        "sz" => "字节数 bytes",
        "t" => "类别 kind",
        "tags" => "检索标签 search tags",
        "ts" => "时间 time",
        "v" => "版本 version",
        "vkey" => "账本公钥 ledger key",
        "x" => "交换编号 exchange id",
        _ => "",
    }
}

/// A member's value, with words where a code has them.
pub fn value(name: &str, text: &str) -> String {
    let words = match (name, text) {
        ("t", "in") => "应答的请求 request answered here",
        ("t", "out.sent") => "发出的请求 request sent",
        ("t", "out.done") => "已收到核验过的应答 answer verified",
        ("t", "out.failed") => "未得应答 ended without an answer",
        ("t", "genesis") => "账本首条 first leaf of the log",
        ("t", "close") => "账本末条 last leaf of the log",
        ("t", "config") => "配置变更 configuration",
        ("t", "key") => "密钥变更 keys",
        ("t", "recon") => "对账 reconciliation",
        ("t", "search") => "检索 search",
        ("t", "open") => "开启证据 evidence opened",
        ("t", "export") => "导出 export",
        ("t", "erase") => "删除或保全 erasure or hold",
        ("t", "incident") => "事件 incident",
        ("code", "restored") => "自备份恢复后另起 begun after a restore",
        ("code", "log-contradiction") => "伙伴日志自相矛盾 a partner's log contradicts itself",
        ("op", "hold") => "保全",
        ("op", "release") => "解除保全",
        ("op", "restrict") => "限制处理",
        ("op", "drop") => "到期清理",
        ("dec", "permit") => "准予",
        ("dec", "deny") => "拒绝",
        ("dec", "error") => "出错",
        ("ts", ms) => return time(ms),
        _ => return text.to_owned(),
    };
    format!("{text} {words}")
}

/// Milliseconds as a moment in Asia/Shanghai, the ledger's own calendar.
fn time(ms: &str) -> String {
    let at = ms.parse().ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(
        || ms.to_owned(),
        |at| format!("{ms} {}", at.display_with_offset(jiff::tz::Offset::constant(8))),
    )
}
