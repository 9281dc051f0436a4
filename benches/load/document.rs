//! Generated parts of a document: what stands between two marks is written by a benchmark.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// What stands between the marks now.
pub fn between(document: &Path, name: &str) -> Result<String> {
    let whole = fs::read_to_string(document).with_context(|| document.display().to_string())?;
    let marks = || format!("{}: the marks of {name} are missing", document.display());
    let (_, rest) = whole.split_once(&format!("<!-- {name} begin")).with_context(marks)?;
    let (text, _) = rest.split_once(&format!("<!-- {name} end")).with_context(marks)?;
    Ok(text.split_once('\n').with_context(marks)?.1.to_owned())
}

/// Replaces what stands between the marks `<!-- NAME begin … -->` and `<!-- NAME end -->`.
pub fn put(document: &Path, name: &str, text: &str) -> Result<()> {
    let whole = fs::read_to_string(document).with_context(|| document.display().to_string())?;
    let (begin, end) = (format!("<!-- {name} begin"), format!("<!-- {name} end"));
    let marks = || format!("{}: the marks of {name} are missing", document.display());
    let (before, rest) = whole.split_once(&begin).with_context(marks)?;
    let (line, rest) = rest.split_once('\n').with_context(marks)?;
    let (_, after) = rest.split_once(&end).with_context(marks)?;
    Ok(fs::write(document, format!("{before}{begin}{line}\n{}\n{end}{after}", text.trim_end()))?)
}
