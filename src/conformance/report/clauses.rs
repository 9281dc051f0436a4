//! The clauses of the published protocol, for reports that say what a failed case is about.

const PROTOCOL: &str = include_str!("../../../conformance/PROTOCOL.md");

/// A clause's text as it was published; empty for an unknown one.
pub(super) fn clause(id: &str) -> String {
    let start = format!("**{id}** ");
    let mut blocks = PROTOCOL.split("\n\n").skip_while(|block| !block.starts_with(&start));
    let mut text = blocks.next().map(|block| block.trim_start_matches(&start).to_owned()).unwrap_or_default();
    // A table, or an example, belongs to the clause above it.
    for block in blocks
        .take_while(|block| !["**", "*Cases: ", "*Inside: ", "## "].iter().any(|b| block.starts_with(b)))
    {
        text.push_str("\n\n");
        text.push_str(block);
    }
    text
}
