//! Generated parts of a document: what stands between two marks is written by a benchmark.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// What stands between the marks `<!-- NAME begin … -->` and `<!-- NAME end -->`.
pub fn between(document: &Path, name: &str) -> Result<String> {
    let whole = read(document)?;
    let (_, text, _) = parts(&whole, document, name)?;
    Ok(text.to_owned())
}

/// Replaces what stands between them.
pub fn put(document: &Path, name: &str, text: &str) -> Result<()> {
    let whole = read(document)?;
    let (before, _, after) = parts(&whole, document, name)?;
    Ok(fs::write(document, format!("{before}{}\n{after}", text.trim_end()))?)
}

fn read(document: &Path) -> Result<String> {
    fs::read_to_string(document).with_context(|| document.display().to_string())
}

/// Up to the first mark's line with it, between the marks, and from the second mark on.
fn parts<'a>(whole: &'a str, document: &Path, name: &str) -> Result<(&'a str, &'a str, &'a str)> {
    let marks = || format!("{}: the marks of {name} are missing", document.display());
    let begin = whole.find(&format!("<!-- {name} begin")).with_context(marks)?;
    let (line, _) = whole.split_at(begin).1.split_once('\n').with_context(marks)?;
    let (before, rest) = whole.split_at(begin + line.len() + 1);
    let end = rest.find(&format!("<!-- {name} end")).with_context(marks)?;
    let (text, after) = rest.split_at(end);
    Ok((before, text, after))
}
