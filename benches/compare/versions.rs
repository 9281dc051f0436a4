//! Everybody's version.

use std::fs;
use std::path::Path;

use crate::load::machine::{self, first_words, told};
use crate::peers::envoy;

/// Ours and the peers'.
pub fn of_all(installed: &Path) -> String {
    let mut all = machine::versions();
    all.extend(told("haproxy", &["-v"]).map(|text| first_words(&text.replace("version ", ""), 2)));
    all.extend(told("/usr/sbin/nginx", &["-v"]).map(|text| text.replace("nginx version: ", "")));
    if let Some(envoy) = envoy(installed) {
        // `PROGRAM version: COMMIT/1.40.0/Clean/…`
        let text = told(&envoy.display().to_string(), &["--version"]).unwrap_or_default();
        let version = text.rsplit_once("version: ").and_then(|(_, rest)| rest.split('/').nth(1));
        all.extend(version.map(|version| format!("Envoy {version}")));
    }
    all.extend(told("node", &["--version"]).map(|text| format!("Node {text}")));
    for name in ["fastify", "jose", "ajv"] {
        let file = installed.join(format!("node/node_modules/{name}/package.json"));
        let package =
            fs::read(file).ok().and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
        all.extend(package.and_then(|p| Some(format!("{name} {}", p.get("version")?.as_str()?))));
    }
    let pip = installed.join("python/bin/pip").display().to_string();
    if let Some(list) = told(&pip, &["list", "--format=freeze"]) {
        all.extend(told(&installed.join("python/bin/python").display().to_string(), &["--version"]));
        let ours = ["fastapi==", "uvicorn==", "joserfc==", "fastjsonschema=="];
        let of_ours = list.lines().filter(|line| ours.iter().any(|name| line.starts_with(name)));
        all.extend(of_ours.map(|line| line.replace("==", " ")));
    }
    all.extend(told("java", &["-version"]).map(|text| text.replace('"', "")));
    for name in ["tomcat10-embed-core", "jackson-databind", "bcprov"] {
        all.extend(jar(name));
    }
    all.join(", ")
}

/// `bcprov 1.72`, from the file's name.
fn jar(name: &str) -> Option<String> {
    let files = fs::read_dir("/usr/share/java").ok()?;
    files.flatten().find_map(|file| {
        let file = file.file_name().into_string().ok()?;
        let version = file.strip_prefix(name)?.strip_prefix('-')?.strip_suffix(".jar")?;
        version.starts_with(|c: char| c.is_ascii_digit()).then(|| format!("{name} {version}"))
    })
}
