//! The rows of vaults rewritten by somebody who knows their form.

use std::fs;
use std::path::Path;

/// As it stands in the file.
#[derive(Clone)]
pub struct Row {
    pub index: u64,
    pub epoch: i64,
    pub sum: i64,
    pub r: [u8; 32],
    pub tokens: Vec<u8>,
    pub sealed: Vec<u8>,
}

const MARK: &[u8; 8] = b"evidence";
const HEAD: usize = 72;
const BLOCK: usize = 4096;
const GROWTH: usize = 1 << 20;

/// Every row, those that were erased among them.
pub fn rows(path: &Path) -> Vec<Row> {
    let bytes = fs::read(path).unwrap();
    let (mut rows, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let Some(head) = bytes.get(at..at + HEAD).filter(|head| head.starts_with(MARK)) else {
            at = (at / BLOCK + 1) * BLOCK;
            continue;
        };
        let long = |from: usize| u64::from_be_bytes(head[from..from + 8].try_into().unwrap());
        let length = |from: usize| u32::from_be_bytes(head[from..from + 4].try_into().unwrap()) as usize;
        let tokens = at + HEAD..at + HEAD + length(24);
        let sealed = tokens.end..tokens.end + length(28);
        at = sealed.end;
        rows.push(Row {
            index: long(8),
            epoch: long(16).cast_signed(),
            sum: long(32).cast_signed(),
            r: head[40..].try_into().unwrap(),
            tokens: bytes[tokens].to_vec(),
            sealed: bytes[sealed].to_vec(),
        });
    }
    rows
}

/// Makes the file hold these rows and nothing else, each a commit of its own.
pub fn write(path: &Path, rows: &[Row]) {
    let mut bytes = Vec::new();
    for row in rows {
        bytes.extend_from_slice(MARK);
        bytes.extend_from_slice(&row.index.to_be_bytes());
        bytes.extend_from_slice(&row.epoch.to_be_bytes());
        bytes.extend_from_slice(&(row.tokens.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&(row.sealed.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&row.sum.to_be_bytes());
        bytes.extend_from_slice(&row.r);
        bytes.extend_from_slice(&row.tokens);
        bytes.extend_from_slice(&row.sealed);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.resize(bytes.len().next_multiple_of(GROWTH), 0);
    fs::write(path, bytes).unwrap();
}

/// Changes the rows of a file.
pub fn edit(path: &Path, edit: impl FnOnce(&mut Vec<Row>)) {
    let mut all = rows(path);
    edit(&mut all);
    write(path, &all);
}
