//! The console's script, style and mark, embedded in the program: there is no file serving
//! that a path could climb out of.
//!
//! Promises: an asset's name holds its content's digest, so a browser may keep it for ever.

use std::sync::LazyLock;

use crate::envelope::digest;

pub struct Asset {
    /// `/assets/console-<digest>.css`.
    pub path: String,
    pub media_type: &'static str,
    pub bytes: &'static [u8],
}

pub struct Assets {
    pub style: Asset,
    pub script: Asset,
    /// Opens released evidence with the auditor's key.
    pub evidence: Asset,
    pub mark: Asset,
}

pub fn assets() -> &'static Assets {
    static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
        style: asset("console", "css", "text/css; charset=utf-8", include_str!("assets/console.css")),
        script: asset(
            "integrity",
            "js",
            "text/javascript; charset=utf-8",
            include_str!("assets/integrity.js"),
        ),
        evidence: asset(
            "evidence",
            "js",
            "text/javascript; charset=utf-8",
            include_str!("assets/evidence.js"),
        ),
        mark: asset("mark", "svg", "image/svg+xml", include_str!("assets/mark.svg")),
    });
    &ASSETS
}

impl Assets {
    pub fn find(&self, path: &str) -> Option<&Asset> {
        [&self.style, &self.script, &self.evidence, &self.mark].into_iter().find(|asset| asset.path == path)
    }
}

fn asset(name: &str, extension: &str, media_type: &'static str, text: &'static str) -> Asset {
    let digest = hex::encode(digest(text.as_bytes()).get(..8).unwrap_or_default());
    Asset { path: format!("/assets/{name}-{digest}.{extension}"), media_type, bytes: text.as_bytes() }
}
