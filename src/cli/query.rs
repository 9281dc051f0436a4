//! `query`: asks another region for a license through the region's own door.

use std::path::Path;

use clap::{ArgGroup, Args};
use serde_json::{Map, Value, json};

use super::local_door::{LocalDoor, Token, refused};
use super::out::{in_shanghai, shown};
use super::{Common, Exit, Outcome, Stop, out};
use crate::domain::Region;

/// Look up or verify a license in another region.
#[derive(Args)]
#[command(group(ArgGroup::new("which").required(true).args(["license_id", "holder_number"])))]
#[command(group(ArgGroup::new("what").required(true).args(["read", "verify"])))]
pub struct Query {
    /// The region that is asked 应答地区
    #[arg(long, value_name = "CODE", value_parser = super::region)]
    to: Region,
    /// License type 证照类型代码
    #[arg(long = "type", value_name = "CODE")]
    license_type: String,
    #[arg(long, value_name = "CODE", default_value = "111")]
    holder_type: String,
    /// Document number of the holder 持证主体证件号码
    #[arg(long, value_name = "NUMBER")]
    holder_number: Option<String>,
    /// The holder's name; must match when given 姓名
    #[arg(long, value_name = "NAME", requires = "holder_number")]
    holder_name: Option<String>,
    /// The license itself, instead of its holder 证照标识
    #[arg(long, value_name = "ID")]
    license_id: Option<String>,
    /// Fields to read 读取字段
    #[arg(long, value_name = "F1,F2", value_delimiter = ',')]
    read: Vec<String>,
    /// A field and the value it is expected to have; may be given again 比对字段
    #[arg(long, value_name = "FIELD=VALUE", value_parser = expectation)]
    verify: Vec<(String, String)>,
    /// The item it is for 事项编码
    #[arg(long, value_name = "CODE")]
    item: String,
    /// The agreement; may be left out where only one names the item 协议编号
    #[arg(long, value_name = "ID")]
    agreement: Option<String>,
    /// What it is needed for, 1 to 200 characters 用途
    #[arg(long, value_name = "TEXT")]
    purpose: String,
    /// The official's staff number 经办人工号
    #[arg(long, value_name = "ID")]
    operator: String,
    /// Case number 办件编号
    #[arg(long, value_name = "NUMBER")]
    case: Option<String>,
    /// consent 本人授权, statutory_duty 法定职责 or emergency 紧急情形
    #[arg(long, default_value = "consent", value_parser = ["consent", "statutory_duty", "emergency"])]
    basis: String,
    /// The citizen's authorization, or @ and a file with it (@- standard input) 授权书
    #[arg(long, value_name = "JWS|@FILE")]
    authorization: Option<String>,
    /// How old, in seconds, an answer from the cache may be; 0 asks the register 缓存时限
    #[arg(long, value_name = "SECONDS")]
    max_age: Option<u32>,
    #[command(flatten)]
    token: Token,
}

impl Query {
    pub fn run(self, common: &Common) -> Outcome {
        let door = LocalDoor::of(common, &self.token)?;
        let answer = door.post("/local/v1/licenses/query", &self.question()?)?;
        if answer.status != 200 {
            return refused(&answer, common.json);
        }
        if common.json {
            out::json(&answer.value);
        } else {
            print(&answer.value);
        }
        Ok(Exit::Well)
    }

    /// The body for the local door.
    fn question(&self) -> Result<Value, Stop> {
        let mut question = json!({
            "to": self.to,
            "item": self.item,
            "basis": self.basis,
            "purpose": self.purpose,
            "operator": self.operator,
            "body": self.body(),
        });
        let authorization = self.authorization.as_deref().map(text_or_file).transpose()?;
        let optional = [
            ("case", self.case.clone()),
            ("agreement", self.agreement.clone()),
            ("authorization", authorization),
        ];
        if let Some(members) = question.as_object_mut() {
            for (name, value) in optional {
                if let Some(value) = value {
                    members.insert(name.to_owned(), value.into());
                }
            }
        }
        Ok(question)
    }

    /// Protocol §4.
    fn body(&self) -> Value {
        let mut license = Map::new();
        license.insert("type".into(), self.license_type.as_str().into());
        if let Some(id) = &self.license_id {
            license.insert("license_id".into(), id.as_str().into());
        }
        if let Some(number) = &self.holder_number {
            let mut holder = json!({ "type": self.holder_type, "number": number });
            if let (Some(name), Some(members)) = (&self.holder_name, holder.as_object_mut()) {
                members.insert("name".into(), name.as_str().into());
            }
            license.insert("holder".into(), holder);
        }
        let mut body = Map::new();
        body.insert("license".into(), license.into());
        if self.verify.is_empty() {
            body.insert("mode".into(), "read".into());
            body.insert("fields".into(), self.read.clone().into());
        } else {
            let expected: Map<_, _> =
                self.verify.iter().map(|(f, v)| (f.clone(), v.clone().into())).collect();
            body.insert("mode".into(), "verify".into());
            body.insert("expect".into(), expected.into());
        }
        if let Some(age) = self.max_age {
            body.insert("max_age".into(), age.into());
        }
        Value::Object(body)
    }
}

/// `FIELD=VALUE`; the value may hold further `=`.
fn expectation(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((field, value)) if !field.is_empty() => Ok((field.to_owned(), value.to_owned())),
        _ => Err("is FIELD=VALUE".to_owned()),
    }
}

/// The text itself, or what stands in the file after `@`.
pub(super) fn text_or_file(text: &str) -> Result<String, Stop> {
    let Some(path) = text.strip_prefix('@') else { return Ok(text.to_owned()) };
    let read = match path {
        "-" => std::io::read_to_string(std::io::stdin()),
        _ => std::fs::read_to_string(Path::new(path)),
    };
    read.map(|text| text.trim().to_owned())
        .map_err(|e| Stop::usage(format_args!("{path}: cannot be read ({})", e.kind())))
}

fn print(answer: &Value) {
    let result = answer.get("result").unwrap_or(&Value::Null);
    let text = |value: &Value, name: &str| shown(value.get(name).unwrap_or(&Value::Null));
    out::line(format_args!(
        "exchange 交换编号 {} · partner 应答方 {} · source 来源 {} · as of 数据时间 {}{}",
        text(answer, "exchange"),
        text(answer, "partner"),
        text(result, "source"),
        result.get("as_of").and_then(Value::as_i64).map_or_else(String::new, in_shanghai),
        if result.get("stale") == Some(&Value::Bool(true)) { " · stale 可能过时" } else { "" },
    ));
    let licenses = result.get("licenses").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for license in licenses {
        let status = text(license, "status");
        out::line(format_args!("{} {}", text(license, "name"), text(license, "license_id")));
        out::line(format_args!(
            "  status 状态 {status} {} · issuer 颁发机构 {} · {} – {}",
            status_zh(&status),
            license.get("issuer").map_or_else(String::new, |issuer| text(issuer, "name")),
            text(license, "valid_from"),
            if license.get("long_term") == Some(&Value::Bool(true)) {
                "长期".to_owned()
            } else {
                text(license, "valid_to")
            },
        ));
        for (member, heading) in [("data", "value 值"), ("match", "matches 是否一致")] {
            if let Some(fields) = license.get(member).and_then(Value::as_object) {
                let rows = fields.iter().map(|(field, value)| [field.clone(), shown(value)]);
                out::line(out::table(["field 字段", heading], rows));
            }
        }
    }
    if licenses.is_empty() {
        let ways: Vec<_> =
            result.get("ways").and_then(Value::as_array).into_iter().flatten().map(way_zh).collect();
        out::line(format_args!("not found 未查到 · other ways 其他途径: {}", ways.join("、")));
    }
}

/// Status codes of a license (GB/T 36903).
fn status_zh(code: &str) -> &'static str {
    match code {
        "01" => "有效 valid",
        "02" => "暂扣 withheld",
        "03" => "撤销 withdrawn",
        "04" => "注销 cancelled",
        "05" => "失效 expired",
        "06" => "转出 moved away",
        "07" => "吊销 revoked",
        _ => "其他 other",
    }
}

fn way_zh(way: &Value) -> String {
    match way.as_str() {
        Some("timed_verification") => "部门限时核验 timed verification".to_owned(),
        Some("commitment") => "告知承诺 commitment".to_owned(),
        Some("upload") => "上传材料 upload".to_owned(),
        _ => shown(way),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        query: Query,
    }

    const ALWAYS: &str = "query --to 421202 --type 111000000000131433001 \
        --item 11421202TECT0001914000709001000 --purpose p --operator YH0123";

    fn parse(rest: &str) -> Result<Query, clap::Error> {
        Line::try_parse_from(format!("{ALWAYS} {rest}").split_whitespace()).map(|line| line.query)
    }

    #[test]
    fn the_body_is_one_the_schema_admits() {
        let catalog = crate::schema::Catalog::embedded();
        for rest in [
            "--holder-number 42120219000101001X --holder-name 测试甲 --read cert_no,registered_on --max-age 0",
            "--holder-number 42120219000101001X --verify cert_no=J331083-2026-000001 --verify authority=a=b",
            "--license-id 1.2.156.3005.2.111000000000131433001.11331083TECT000279.J33108320260000001.001.N --read cert_no",
        ] {
            let body = parse(rest).unwrap().body();
            catalog.admit::<crate::license::LicenseQuery>(&body).unwrap();
        }
    }

    #[test]
    fn one_license_or_holder_and_one_mode_are_asked_for() {
        assert!(parse("--read a").is_err());
        assert!(parse("--holder-number 1 --license-id 2 --read a").is_err());
        assert!(parse("--holder-number 1").is_err());
        assert!(parse("--holder-number 1 --read a --verify b=c").is_err());
    }
}
