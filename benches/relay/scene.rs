//! Two gateways' directories, as `tongban init` makes them, that know each other, and an
//! agreement whose quota is far above the load.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::{Result, anyhow, ensure};
use serde_json::{Value, json};
use tongban::cli::Stop;
use tongban::cli::init::{self, Doors};
use tongban::clock::Clock;
use tongban::domain::Region;
use tongban::store::sqlite::open_reader;

pub const ITEM: &str = "11421202TECT0001914000709001000";
pub const AGREEMENT: &str = "421202-331083-2020";

/// Both directories; they go when this goes.
pub struct Scene {
    _dir: tempfile::TempDir,
    pub xianan: Home,
    pub yuhuan: Home,
}

pub struct Home {
    pub dir: PathBuf,
    pub doors: Doors,
    pub token: String,
}

impl Scene {
    pub fn set() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let (xianan, card_x) = home(dir.path().join("421202"), "421202", "咸宁市咸安区")?;
        let (yuhuan, card_y) = home(dir.path().join("331083"), "331083", "台州市玉环市")?;
        for (home, code, card) in [(&xianan, "331083", &card_y), (&yuhuan, "421202", &card_x)] {
            let trust = home.dir.join("trust");
            fs::write(trust.join(format!("partners/{code}.json")), card.to_string())?;
            fs::write(trust.join("agreements/2020.json"), agreement().to_string())?;
        }
        Ok(Self { _dir: dir, xianan, yuhuan })
    }

    /// 咸安's books hold so many cases, 玉环's as many delivered parcels and no other.
    pub fn check(&self, cases: u32) -> Result<()> {
        let count = |home: &Home, sql: &str| -> Result<i64> {
            let book = open_reader(&home.dir.join("data/cases.db"))?;
            Ok(book.query_row(sql, [], |row| row.get(0))?)
        };
        let arrived = count(&self.xianan, "SELECT count(*) FROM case_ WHERE state='RECEIVED'")?;
        let delivered = count(&self.yuhuan, "SELECT count(*) FROM parcel WHERE state='delivered'")?;
        let parcels = count(&self.yuhuan, "SELECT count(*) FROM parcel")?;
        let all = i64::from(cases);
        ensure!(
            (arrived, delivered, parcels) == (all, all, all),
            "void: {cases} submits, {parcels} parcels, {delivered} delivered, {arrived} cases arrived"
        );
        Ok(())
    }
}

fn home(dir: PathBuf, code: &str, name: &str) -> Result<(Home, Value)> {
    let doors = free_doors()?;
    let card = init::create(&dir, Region::parse(code)?, name, doors, Clock::system().now()).map_err(told)?;
    let token = fs::read_to_string(dir.join("keys/local.token"))?.trim().to_owned();
    Ok((Home { dir, doors, token }, card))
}

fn told(stop: Stop) -> anyhow::Error {
    anyhow!(stop.lines().join("; "))
}

/// Three free ports of loopback. They are given back before they are used; should somebody take
/// one in between, the server says so and nothing was measured.
fn free_doors() -> Result<Doors> {
    let free = || -> Result<(TcpListener, SocketAddr)> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = socket.local_addr()?;
        Ok((socket, addr))
    };
    let (partner, local, console) = (free()?, free()?, free()?);
    Ok(Doors { partner: partner.1, local: local.1, console: console.1 })
}

fn agreement() -> Value {
    json!({
        "id": AGREEMENT, "parties": ["421202", "331083"], "name": "咸安—玉环跨省联办协议",
        "valid_from": "2020-08-01", "valid_to": "2039-07-31",
        "quota": {"requests_per_second": 1_000_000, "burst": 1_000_000, "concurrent": 100_000,
                  "per_day": 10_000_000_000_i64},
        "items": [{
            "code": ITEM, "name": "新生儿户口登记", "handling": "421202", "collecting": ["331083"],
            "mode": "multi_joint", "bases": ["consent"],
            "ops": ["application.submit", "application.event", "application.status"], "licenses": [],
            "materials": [{"code": "M2", "name": "结婚证", "necessity": "required", "evidence": ["upload"]}]
        }]
    })
}
