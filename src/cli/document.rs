//! Documents given as arguments (cards, agreements): read strictly, their faults told at once.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};

use super::{Exit, Stop, out};
use crate::fault::Fault;
use crate::folder::LARGEST_FILE;

/// Reads a document, `-` from standard input. A file that cannot be read is a wrong argument; one
/// that is not strict JSON is a fault of the document.
pub fn read_document(path: &Path) -> Result<Result<Value, Vec<Fault>>, Stop> {
    let unreadable = |kind: std::io::ErrorKind| {
        Stop::usage(format_args!("{}: cannot be read ({kind}) 无法读取", path.display()))
    };
    let mut bytes = Vec::new();
    let most = LARGEST_FILE.saturating_add(1);
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    let read = read.map_err(|e| unreadable(e.kind()))?;
    if u64::try_from(read).unwrap_or(u64::MAX) > LARGEST_FILE {
        let fault = Fault::new("", "too-large", "is larger than 1 MiB", "超过 1 MiB");
        return Ok(Err(vec![fault]));
    }
    Ok(crate::json::parse_config(&bytes).map_err(|fault| vec![fault.into()]))
}

/// Prints what was found in a document.
pub fn faults_found(path: &Path, faults: &[Fault], as_json: bool) -> Exit {
    if as_json {
        out::json(&json!({ "ok": false, "file": path, "faults": faults }));
    } else {
        for fault in faults {
            out::line(format_args!("{}: {fault}", path.display()));
        }
        out::complain(format_args!(
            "{}: {} fault(s) found 发现 {} 处问题",
            path.display(),
            faults.len(),
            faults.len()
        ));
    }
    Exit::Found
}
