//! A gateway's directory on ports of loopback that were free a moment ago.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use serde_json::Value;
use tongban::cli::Stop;
use tongban::cli::init::{self, Doors};
use tongban::clock::Clock;
use tongban::domain::Region;

/// A directory as `tongban init` makes it, with fresh keys. It is not removed with this value.
pub struct County {
    pub region: Region,
    pub home: PathBuf,
    pub doors: Doors,
    /// What partners are given.
    pub card: Value,
}

impl County {
    /// Makes `parent/code`.
    pub fn found(parent: &Path, code: &str, name: &str) -> Result<Self> {
        let (home, region, doors) = (parent.join(code), Region::parse(code)?, free_doors()?);
        let card = init::create(&home, region, name, doors, Clock::system().now()).map_err(told)?;
        Ok(Self { region, home, doors, card })
    }

    /// Puts a document into its `trust` folder.
    pub fn trust(&self, path: &str, document: &Value) -> Result<()> {
        Ok(fs::write(self.home.join("trust").join(path), document.to_string())?)
    }

    /// Makes `other` a partner.
    pub fn befriend(&self, other: &Self) -> Result<()> {
        self.trust(&format!("partners/{}.json", other.region), &other.card)
    }

    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        Ok(fs::read(self.home.join(path))?)
    }
}

fn told(stop: Stop) -> anyhow::Error {
    anyhow!(stop.lines().join("; "))
}

/// Three free ports of loopback. They are given back before they are used; should somebody take
/// one in between, the server says so and nothing was measured.
fn free_doors() -> Result<Doors> {
    let (partner, local, console) = (free_port()?, free_port()?, free_port()?);
    // Held until all three are known, so that they differ.
    Ok(Doors { partner: partner.local_addr()?, local: local.local_addr()?, console: console.local_addr()? })
}

fn free_port() -> Result<TcpListener> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?)
}

/// One free port of loopback, given back as the others are.
pub fn free_address() -> Result<SocketAddr> {
    Ok(free_port()?.local_addr()?)
}
