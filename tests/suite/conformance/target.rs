//! Our own gateway on a scene, as `conformance scene` and `serve` make it.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use tongban::conformance::Ground;

use crate::process::{get, run, tongban, until};

pub struct Target {
    pub scene: PathBuf,
    child: Child,
}

impl Target {
    /// Ready when this returns.
    pub fn start(dir: &Path, role: &str) -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        // A loopback address of its own, beside those of the other process tests.
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let ip = Ipv4Addr::new(127, 32 | (high & 31), low, NEXT.fetch_add(1, Ordering::Relaxed));
        let at = |port| SocketAddr::from((ip, port)).to_string();
        let scene = dir.join("scene");
        let shown = scene.to_str().unwrap();
        let places = [
            ("answering", 8443),
            ("answering-local", 8080),
            ("asking", 8444),
            ("asking-local", 8081),
            ("peer", 8445),
        ];
        let mut arguments = vec!["conformance".to_owned(), "scene".to_owned(), shown.to_owned()];
        arguments.extend(places.into_iter().flat_map(|(name, port)| [format!("--{name}"), at(port)]));
        run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).ended(0);
        let config = format!("{shown}/{role}/gateway.toml");
        run(&["license", "import", &format!("{shown}/{role}/licenses.jsonl"), "--config", &config]).ended(0);
        let log = File::create(dir.join("serve.log")).unwrap();
        let child = tongban()
            .args(["serve", "--config", &config])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let local = SocketAddr::from((ip, if role == "asking" { 8081 } else { 8080 }));
        let target = Self { scene, child };
        until("the gateway on its scene", || get(local, "/readyz").ok().filter(|(status, _)| *status == 200));
        target
    }

    pub fn ground(&self) -> Ground {
        Ground::read(&self.scene).unwrap()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
