//! Two gateways' directories, as `tongban init` makes them, that know each other, and an
//! agreement whose quota is far above the load.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tongban::cli::init::Doors;
use tongban::store::sqlite::open_reader;

use crate::load::county::County;

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
        let xianan = County::found(dir.path(), "421202", "咸宁市咸安区")?;
        let yuhuan = County::found(dir.path(), "331083", "台州市玉环市")?;
        xianan.befriend(&yuhuan)?;
        yuhuan.befriend(&xianan)?;
        for county in [&xianan, &yuhuan] {
            county.trust("agreements/2020.json", &agreement())?;
        }
        Ok(Self { _dir: dir, xianan: Home::of(xianan)?, yuhuan: Home::of(yuhuan)? })
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

impl Home {
    fn of(county: County) -> Result<Self> {
        let token = String::from_utf8(county.read("keys/local.token")?)?.trim().to_owned();
        Ok(Self { dir: county.home, doors: county.doors, token })
    }
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
