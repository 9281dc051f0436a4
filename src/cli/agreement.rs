//! `agreement check`: all faults of an agreement at once, or the agreement as a table that a
//! lawyer can read.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::document::{faults_found, read_document};
use super::{Common, Exit, Outcome, Stop, out};
use crate::policy::{Agreement as Checked, AgreementTable};
use crate::schema::Catalog;

/// Agreements with other regions.
#[derive(Args)]
pub struct Agreement {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check one agreement and print it as a table 校验协议并以表格输出
    Check {
        /// The agreement; - is standard input
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
    },
}

impl Agreement {
    pub fn run(self, common: &Common) -> Outcome {
        let Command::Check { file } = self.command;
        let checked = read_document(&file)?.and_then(|document| Checked::from_value(&document));
        let agreement = match checked {
            Ok(agreement) => agreement,
            Err(faults) => return Ok(faults_found(&file, &faults, common.json)),
        };
        let catalog = Catalog::embedded();
        // No faults: the partner's gateway may know the type or the form. This one would refuse it.
        let mut remarks = agreement.types_without_schema(|code| catalog.license_type(code).is_some());
        remarks.extend(agreement.forms_without_schema(|name| catalog.form(name).is_some()));
        let table = agreement.table();
        if common.json {
            let shown = serde_json::to_value(&table).map_err(Stop::failed)?;
            out::json(&json!({
                "ok": true,
                "id": agreement.id(),
                "sha256": hex::encode(agreement.digest()),
                "table": shown,
                "remarks": remarks,
            }));
        } else {
            print(&table);
            for remark in &remarks {
                out::note(format_args!("remark 提示 {remark}"));
            }
        }
        Ok(Exit::Well)
    }
}

/// A row of the table under headers in both languages; an item is long, so its cells stand
/// below each other.
const HEADER: [&str; 7] = [
    "Item 事项",
    "Who 办理与收件",
    "Basis 依据",
    "Operations 可用操作",
    "Licenses 可查证照",
    "Materials 材料与取证方式",
    "Limits 时限",
];

fn print(table: &AgreementTable) {
    let head = table.head.iter().map(|(label, value)| [(*label).to_owned(), value.clone()]);
    out::line(out::table(["Agreement 协议", ""], head));
    for item in &table.items {
        let [name, cells @ ..] = item.cells();
        let [item_header, headers @ ..] = HEADER;
        let rows = headers.iter().zip(cells).map(|(header, cell)| [(*header).to_owned(), named(cell)]);
        out::line(out::table([item_header, &name], rows));
    }
}

/// A lawyer knows license types by name.
fn named(cell: String) -> String {
    Catalog::embedded().license_types().fold(cell, |cell, kind| {
        if cell.contains(kind.code()) {
            cell.replace(kind.code(), &format!("{} {}", kind.name(), kind.code()))
        } else {
            cell
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_in_both_languages_stands_over_each_column() {
        for (both, chinese) in HEADER.iter().zip(AgreementTable::COLUMNS) {
            assert!(both.ends_with(chinese), "{both}");
        }
    }

    #[test]
    fn a_file_with_faults_ends_with_2_and_a_missing_one_with_64() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("agreement.json");
        let check = |file: &std::path::Path| {
            let common = Common { config: "gateway.toml".into(), json: true, offline: false };
            Agreement { command: Command::Check { file: file.to_owned() } }.run(&common)
        };
        assert_eq!(check(&file).unwrap_err().exit(), Exit::Usage);
        for wrong in ["{}", "[1,", r#"{"id":"a","id":"b"}"#] {
            std::fs::write(&file, wrong).unwrap();
            assert_eq!(check(&file).unwrap(), Exit::Found, "{wrong}");
        }
    }

    #[test]
    fn json_of_a_table_is_an_object() {
        let table = AgreementTable { head: vec![("协议编号", "x".into())], items: vec![] };
        assert!(matches!(serde_json::to_value(&table), Ok(serde_json::Value::Object(_))));
    }
}
