//! The matrix: seven ways to tamper × six things, each in a copy of its own, by somebody who
//! covers up after himself (no sums are left beside the files).

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::json;
use tongban::ledger::tree::leaf_hash;

use super::made::{MONTH, SHARD, copy_of};
use super::rows;
use super::runs::{self, Row};
use super::{Ground, ground};

/// One way to tamper, and where it must be found: a file's end, and the leaf where one is meant.
struct Case {
    name: &'static str,
    act: fn(&Tampered),
    file: &'static str,
    index: Option<u64>,
}

/// A copy to be tampered with.
struct Tampered<'a> {
    ground: &'a Ground,
    data: PathBuf,
}

/// A leaf with evidence in the `provision` vault, and the next one; neither is held or erased.
const LEAF: u64 = 50;
const NEXT: u64 = 51;
const LEAVES: &str = "2026-11.db";
/// What is said of the vault's rows, and the rows.
const VAULT: &str = "2026-11.provision.db";
const ROWS: &str = "2026-11.provision.sealed";
const FACETS: &str = "2026-11.index.db";
/// Under which days the runs of a facet index stand.
const AUTHORIZATIONS: i64 = 0;
const EXCHANGES: i64 = 1;
const INDEX: &str = "2026-11.provision.index.db";
const TILE: &str = "tile/0/000";
const CHECKPOINT: &str = "/checkpoint";

impl Tampered<'_> {
    fn folder(data: &Path) -> PathBuf {
        data.join("ledger").join(SHARD)
    }

    fn db(&self, name: &str) -> PathBuf {
        Self::folder(&self.data).join(name)
    }

    fn sql(&self, name: &str, sql: &str) {
        let path = self.db(name);
        let connection = Connection::open(&path).unwrap();
        let other = Self::folder(&self.ground.other).join(name);
        connection.execute("ATTACH ? AS b", [format!("file:{}?immutable=1", other.display())]).unwrap();
        connection.execute_batch(sql).unwrap();
        connection.execute_batch("DETACH b; PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
        drop(connection);
        self.cover(&path);
    }

    /// Changes the vault's rows, beside another region's.
    fn rows(&self, edit: fn(&mut Vec<rows::Row>, Vec<rows::Row>)) {
        let theirs = rows::rows(&Self::folder(&self.ground.other).join(ROWS));
        rows::edit(&self.db(ROWS), |rows| edit(rows, theirs));
    }

    /// Changes one of them.
    fn row(&self, edit: fn(&mut rows::Row, rows::Row)) {
        let theirs = rows::rows(&Self::folder(&self.ground.other).join(ROWS));
        rows::edit(&self.db(ROWS), |rows| edit(of(rows, LEAF), of(&mut theirs.clone(), LEAF).clone()));
    }

    /// Makes the token index say something else than it does and than another region's does.
    fn tokens(&self, edit: fn(&mut Vec<Row>, Vec<Row>)) {
        let theirs = runs::rows(&Self::folder(&self.ground.other).join(INDEX));
        self.runs(INDEX, |rows| edit(rows, theirs));
    }

    /// The same of the facet index's authorizations or exchanges.
    fn of_facets(&self, day: i64, edit: fn(&mut Vec<Row>)) {
        self.runs(FACETS, |rows| {
            let (mut of_day, others) = rows.drain(..).partition(|row| row.0 == day);
            edit(&mut of_day);
            *rows = others;
            rows.append(&mut of_day);
        });
    }

    fn runs(&self, name: &str, edit: impl FnOnce(&mut Vec<Row>)) {
        let path = self.db(name);
        let mut rows = runs::rows(&path);
        edit(&mut rows);
        let connection = Connection::open(&path).unwrap();
        runs::write(&connection, rows);
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        drop(connection);
        self.cover(&path);
    }

    fn cover(&self, path: &Path) {
        for suffix in [".sha256", "-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            let _ = fs::remove_file(name);
        }
    }

    /// A file as it was a day before.
    fn back(&self, below: &str) {
        let (to, from) = (self.data.join(below), self.ground.yesterday.join(below));
        self.cover(&to);
        fs::copy(&from, &to).unwrap();
        let mut wal = from.into_os_string();
        wal.push("-wal");
        if let Ok(bytes) = fs::read(&wal) {
            let mut beside = to.into_os_string();
            beside.push("-wal");
            fs::write(beside, bytes).unwrap();
        }
    }

    fn bytes(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(path).unwrap();
        edit(&mut bytes);
        fs::write(path, bytes).unwrap();
    }

    fn tiles(data: &Path, region: &str) -> PathBuf {
        data.join(format!("tiles/tongban/{region}/{SHARD}"))
    }

    fn tile(&self, edit: impl FnOnce(&mut Vec<u8>)) {
        self.bytes(&Self::tiles(&self.data, "421202").join(TILE), edit);
    }

    fn checkpoint(&self, edit: impl FnOnce(&mut Vec<u8>)) {
        self.bytes(&Self::tiles(&self.data, "421202").join("checkpoint"), edit);
    }

    /// Writes a leaf with a hash and columns that fit it.
    fn forge(&self, index: u64, text: &str) {
        let connection = Connection::open(self.db(LEAVES)).unwrap();
        let hash = leaf_hash(text.as_bytes());
        connection
            .execute("UPDATE leaf SET leaf=?, hash=? WHERE idx=?", (text, hash, index.cast_signed()))
            .unwrap();
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        drop(connection);
        self.cover(&self.db(LEAVES));
    }

    fn leaf_text(&self, index: u64) -> String {
        let connection = Connection::open(self.db(LEAVES)).unwrap();
        connection
            .query_row("SELECT leaf FROM leaf WHERE idx=?", [index.cast_signed()], |row| row.get(0))
            .unwrap()
    }
}

fn of(rows: &mut [rows::Row], index: u64) -> &mut rows::Row {
    rows.iter_mut().find(|row| row.index == index).unwrap()
}

fn swap(table: &str, columns: &str) -> String {
    let set = |from: u64, to: u64| {
        let pairs: Vec<String> = columns
            .split(',')
            .map(|column| format!("{column}=(SELECT {column} FROM held WHERE idx={from})"))
            .collect();
        format!("UPDATE {table} SET {} WHERE idx={to};", pairs.join(","))
    };
    format!(
        "CREATE TEMP TABLE held AS SELECT * FROM {table} WHERE idx IN ({LEAF},{NEXT}); {} {} DROP TABLE held;",
        set(LEAF, NEXT),
        set(NEXT, LEAF)
    )
}

const CASES: &[Case] = &[
    Case {
        name: "leaf-flip",
        act: |t| t.sql(LEAVES, "UPDATE leaf SET leaf=replace(leaf, 'permit', 'permjt') WHERE idx=50"),
        file: LEAVES,
        index: Some(LEAF),
    },
    Case {
        name: "leaf-forge",
        act: |t| t.forge(LEAF, &t.leaf_text(LEAF).replace("\"permit\"", "\"deny\"")),
        file: LEAVES,
        index: Some(LEAF),
    },
    Case {
        name: "leaf-delete",
        act: |t| t.sql(LEAVES, "DELETE FROM leaf WHERE idx=50"),
        file: LEAVES,
        index: Some(LEAF),
    },
    Case {
        name: "leaf-insert",
        act: |t| {
            t.sql(
                LEAVES,
                "UPDATE leaf SET idx=-idx-1 WHERE idx>=50; UPDATE leaf SET idx=-idx WHERE idx<0; \
                 INSERT INTO leaf SELECT 50, ts, kind, exchange, hash, leaf FROM leaf WHERE idx=51",
            );
        },
        file: LEAVES,
        index: Some(NEXT),
    },
    Case {
        name: "leaf-reorder",
        act: |t| t.sql(LEAVES, &swap("leaf", "ts,kind,exchange,hash,leaf")),
        file: LEAVES,
        index: Some(LEAF),
    },
    Case {
        name: "leaf-truncate",
        act: |t| t.sql(LEAVES, "DELETE FROM leaf WHERE idx>300"),
        file: "ledger/2026h2",
        index: Some(301),
    },
    Case {
        name: "leaf-splice",
        act: |t| {
            t.sql(
                LEAVES,
                "UPDATE leaf SET (ts,kind,exchange,hash,leaf)=(SELECT ts,kind,exchange,hash,leaf FROM b.leaf \
                 WHERE idx=50) WHERE idx=50",
            );
        },
        file: LEAVES,
        index: Some(LEAF),
    },
    Case {
        name: "leaf-rollback",
        act: |t| t.back("ledger/2026h2/2026-11.db"),
        file: "ledger/2026h2",
        index: Some(283),
    },
    Case { name: "tile-flip", act: |t| t.tile(|b| b[50 * 32] ^= 1), file: TILE, index: Some(LEAF) },
    Case {
        name: "tile-delete",
        act: |t| fs::remove_file(Tampered::tiles(&t.data, "421202").join(TILE)).unwrap(),
        file: TILE,
        index: None,
    },
    Case {
        name: "tile-insert",
        act: |t| t.tile(|b| drop(b.splice(50 * 32..50 * 32, [7; 32]))),
        file: TILE,
        index: None,
    },
    Case {
        name: "tile-reorder",
        act: |t| {
            t.tile(|b| {
                let hash = b[50 * 32..51 * 32].to_vec();
                b.copy_within(51 * 32..52 * 32, 50 * 32);
                b[51 * 32..52 * 32].copy_from_slice(&hash);
            });
        },
        file: TILE,
        index: Some(LEAF),
    },
    Case { name: "tile-truncate", act: |t| t.tile(|b| b.truncate(100 * 32)), file: TILE, index: None },
    Case {
        name: "tile-splice",
        act: |t| {
            let foreign = fs::read(Tampered::tiles(&t.ground.other, "331083").join(TILE)).unwrap();
            t.tile(|b| *b = foreign);
        },
        file: TILE,
        index: Some(0),
    },
    Case {
        name: "tile-rollback",
        act: |t| {
            // Yesterday's edge in the place of today's.
            let edge = |data: &Path| {
                let folder = Tampered::tiles(data, "421202").join("tile/0/001.p");
                let widths = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
                let widest = widths.map(|name| name.to_str().unwrap().parse::<u32>().unwrap()).max();
                folder.join(widest.unwrap().to_string())
            };
            fs::copy(edge(&t.ground.yesterday), edge(&t.data)).unwrap();
        },
        file: "tile/0/001",
        index: None,
    },
    Case {
        name: "evidence-flip",
        act: |t| t.row(|row, _| row.sealed[9] ^= 1),
        file: ROWS,
        index: Some(LEAF),
    },
    Case {
        name: "evidence-delete",
        act: |t| t.rows(|rows, _| rows.retain(|row| row.index != LEAF)),
        file: ROWS,
        index: Some(LEAF),
    },
    Case {
        name: "evidence-insert",
        act: |t| {
            t.rows(|rows, _| {
                let copy = rows::Row { index: 281, ..of(rows, LEAF).clone() };
                rows.insert(rows.partition_point(|row| row.index < 281), copy);
            })
        },
        file: ROWS,
        index: Some(281),
    },
    Case {
        // One leaf, and two rows that say they are its.
        name: "evidence-twice",
        act: |t| {
            t.rows(|rows, _| {
                let at = rows.iter().position(|row| row.index == LEAF).unwrap();
                rows.insert(at, rows[at].clone());
            })
        },
        file: ROWS,
        index: Some(LEAF),
    },
    Case {
        name: "evidence-reorder",
        act: |t| {
            t.rows(|rows, _| {
                let one = std::mem::take(&mut of(rows, LEAF).sealed);
                let other = std::mem::replace(&mut of(rows, NEXT).sealed, one);
                of(rows, LEAF).sealed = other;
            })
        },
        file: ROWS,
        index: Some(LEAF),
    },
    Case {
        name: "evidence-truncate",
        act: |t| t.row(|row, _| row.sealed.truncate(40)),
        file: ROWS,
        index: Some(LEAF),
    },
    Case {
        name: "evidence-splice",
        act: |t| t.row(|row, other| (row.r, row.sealed, row.sum) = (other.r, other.sealed, other.sum)),
        file: ROWS,
        index: Some(LEAF),
    },
    Case {
        name: "evidence-rollback",
        act: |t| t.back("ledger/2026h2/2026-11.provision.sealed"),
        file: ROWS,
        index: Some(284),
    },
    Case { name: "vault-flip", act: |t| t.row(|row, _| row.r[9] ^= 1), file: ROWS, index: Some(LEAF) },
    Case { name: "vault-token", act: |t| t.row(|row, _| row.tokens[9] ^= 1), file: ROWS, index: Some(LEAF) },
    Case {
        name: "vault-delete-hold",
        act: |t| t.sql(VAULT, "DELETE FROM hold"),
        file: VAULT,
        index: Some(32),
    },
    Case {
        name: "vault-insert-hold",
        act: |t| t.sql(VAULT, "INSERT INTO hold SELECT 50, shard, leaf FROM hold"),
        file: VAULT,
        index: Some(LEAF),
    },
    Case {
        name: "vault-insert-erasure",
        act: |t| {
            t.sql(VAULT, "INSERT INTO erased SELECT 50, shard, leaf FROM erased");
            t.rows(|rows, _| rows.retain(|row| row.index != LEAF));
        },
        file: VAULT,
        index: Some(LEAF),
    },
    Case {
        // What an erasure leaves, where nobody ordered one.
        name: "vault-erase",
        act: |t| {
            t.rows(|rows, _| {
                let erased = rows.iter().find(|row| row.r == [0; 32]).unwrap().clone();
                let row = of(rows, LEAF);
                (row.r, row.tokens, row.sealed) =
                    (erased.r, vec![0; row.tokens.len()], vec![0; row.sealed.len()]);
            })
        },
        file: ROWS,
        index: Some(LEAF),
    },
    Case {
        // In what an erasure left.
        name: "vault-erased-flip",
        act: |t| t.rows(|rows, _| rows.iter_mut().find(|row| row.r == [0; 32]).unwrap().sealed[9] = 1),
        file: ROWS,
        index: Some(36),
    },
    Case {
        name: "vault-delete-erasure",
        act: |t| t.sql(VAULT, "DELETE FROM erased"),
        file: ROWS,
        index: Some(36),
    },
    Case {
        name: "vault-reorder",
        act: |t| {
            t.rows(|rows, _| {
                let (one, other) = (of(rows, LEAF).r, of(rows, NEXT).r);
                (of(rows, LEAF).r, of(rows, NEXT).r) = (other, one);
            })
        },
        file: ROWS,
        index: Some(LEAF),
    },
    Case {
        name: "vault-truncate",
        act: |t| {
            t.rows(|rows, _| {
                of(rows, LEAF).tokens.truncate(17);
                rows.retain(|row| row.index <= 300);
            })
        },
        file: ROWS,
        index: Some(302),
    },
    Case {
        name: "vault-epoch",
        act: |t| t.sql(VAULT, "UPDATE epoch SET wrapped='{}'"),
        file: VAULT,
        index: None,
    },
    Case {
        // Rows where they stood before decision 0016: a gateway's start would bring them forward.
        name: "vault-older",
        act: |t| t.sql(VAULT, "CREATE TABLE vault(idx INTEGER PRIMARY KEY) STRICT"),
        file: VAULT,
        index: None,
    },
    Case {
        name: "epoch-flip",
        act: |t| {
            t.sql(VAULT, "UPDATE epoch SET wrapped=replace(wrapped, '\"tag\":\"', '\"tag\":\"A') WHERE id=(SELECT min(id) FROM epoch)");
        },
        file: VAULT,
        index: Some(2),
    },
    Case {
        name: "epoch-delete",
        act: |t| t.sql(VAULT, "DELETE FROM epoch WHERE id=(SELECT min(id) FROM epoch)"),
        file: VAULT,
        index: Some(2),
    },
    Case {
        name: "epoch-insert",
        act: |t| {
            // Another key under a free number, and the evidence of a day put under it.
            t.sql(VAULT, "INSERT INTO epoch SELECT 9, wrapped FROM b.epoch LIMIT 1");
            t.row(|row, _| row.epoch = 9);
        },
        file: ROWS,
        index: Some(LEAF),
    },
    Case {
        name: "epoch-reorder",
        act: |t| {
            t.sql(VAULT, "CREATE TEMP TABLE w AS SELECT id, wrapped FROM main.epoch; UPDATE main.epoch SET wrapped=(SELECT wrapped FROM w WHERE w.id<>main.epoch.id)");
        },
        file: VAULT,
        index: Some(2),
    },
    Case {
        name: "epoch-splice",
        act: |t| {
            t.sql(VAULT, "UPDATE epoch SET wrapped=(SELECT wrapped FROM b.epoch LIMIT 1) WHERE id=(SELECT min(id) FROM epoch)");
        },
        file: VAULT,
        index: Some(2),
    },
    Case {
        name: "vault-splice",
        act: |t| t.row(|row, other| (row.r, row.tokens, row.sum) = (other.r, other.tokens, other.sum)),
        file: ROWS,
        index: Some(LEAF),
    },
    Case {
        name: "vault-rollback",
        act: |t| t.back("ledger/2026h2/2026-11.other.sealed"),
        file: "2026-11.other.sealed",
        index: None,
    },
    Case {
        name: "index-flip",
        act: |t| {
            t.tokens(|rows, _| {
                rows.iter_mut().filter(|row| row.2 == LEAF).for_each(|row| row.1 = [0x5a; 16]);
            });
        },
        file: INDEX,
        index: Some(LEAF),
    },
    Case {
        name: "index-delete",
        act: |t| t.tokens(|rows, _| rows.retain(|row| row.2 != LEAF)),
        file: INDEX,
        index: Some(LEAF),
    },
    Case {
        name: "index-insert",
        act: |t| {
            t.tokens(|rows, _| {
                let more: Vec<Row> = rows.iter().filter(|row| [NEXT, 56].contains(&row.2)).copied().collect();
                rows.extend(more.into_iter().map(|(day, token, _)| (day, token, LEAF)));
            });
        },
        file: INDEX,
        index: Some(LEAF),
    },
    Case {
        name: "index-insert-ahead",
        act: |t| t.tokens(|rows, _| rows.push((20_261_128, [1; 16], 90_000))),
        file: INDEX,
        index: None,
    },
    Case {
        name: "index-reorder",
        act: |t| {
            t.tokens(|rows, _| {
                for row in rows {
                    row.2 = match row.2 {
                        LEAF => 53,
                        53 => LEAF,
                        other => other,
                    };
                }
            });
        },
        file: INDEX,
        index: Some(LEAF),
    },
    Case {
        name: "index-truncate",
        act: |t| t.tokens(|rows, _| rows.retain(|row| row.2 <= 300)),
        file: INDEX,
        index: Some(302),
    },
    Case {
        name: "index-splice",
        act: |t| {
            t.tokens(|rows, theirs| {
                rows.retain(|row| row.2 != LEAF);
                rows.extend(theirs.into_iter().filter(|row| row.2 == LEAF));
            });
        },
        file: INDEX,
        index: Some(LEAF),
    },
    Case {
        name: "index-rollback",
        act: |t| t.tokens(|rows, _| rows.retain(|row| row.2 <= 282)),
        file: INDEX,
        index: Some(284),
    },
    Case {
        name: "index-day",
        act: |t| t.tokens(|rows, _| rows.iter_mut().for_each(|row| row.0 += i64::from(row.2 == LEAF))),
        file: INDEX,
        index: Some(LEAF),
    },
    Case {
        // A search looks for a token between its neighbours.
        name: "index-order",
        act: |t| {
            t.sql(INDEX, "UPDATE chunk SET body=CAST(substr(body, 25)||substr(body, 1, 24) AS BLOB), first=substr(body, 25, 24) WHERE rowid=(SELECT max(rowid) FROM chunk)");
        },
        file: INDEX,
        index: None,
    },
    Case {
        name: "index-first",
        act: |t| {
            t.sql(
                INDEX,
                "UPDATE chunk SET first=substr(body, -24) WHERE rowid=(SELECT max(rowid) FROM chunk)",
            );
        },
        file: INDEX,
        index: None,
    },
    Case {
        name: "index-chunk-flip",
        act: |t| {
            t.sql(INDEX, "UPDATE chunk SET body=CAST(substr(body, 1, 47)||x'ff'||substr(body, 49) AS BLOB) WHERE rowid=(SELECT max(rowid) FROM chunk)");
        },
        file: INDEX,
        index: None,
    },
    Case {
        name: "index-chunk-cut",
        act: |t| t.sql(INDEX, "UPDATE chunk SET body=substr(body, 1, length(body)-1)"),
        file: INDEX,
        index: None,
    },
    Case {
        name: "index-chunk-delete",
        act: |t| t.sql(INDEX, "DELETE FROM chunk WHERE rowid=(SELECT max(rowid) FROM chunk)"),
        file: INDEX,
        index: None,
    },
    Case { name: "index-run-delete", act: |t| t.sql(INDEX, "DELETE FROM run"), file: INDEX, index: None },
    Case { name: "index-run-count", act: |t| t.sql(INDEX, "UPDATE run SET n=n+1"), file: INDEX, index: None },
    Case {
        name: "index-run-twice",
        act: |t| {
            t.sql(INDEX, "INSERT INTO run SELECT id+100, day, n FROM run; INSERT INTO chunk SELECT run+100, first, body FROM chunk");
        },
        file: INDEX,
        index: Some(LEAF),
    },
    Case {
        name: "facet-flip",
        act: |t| {
            t.sql(FACETS, "UPDATE facet SET combo=(SELECT f.combo FROM facet f WHERE f.combo<>facet.combo LIMIT 1) WHERE idx=50");
        },
        file: FACETS,
        index: Some(LEAF),
    },
    Case {
        name: "facet-time",
        act: |t| t.sql(FACETS, "UPDATE facet SET ts=ts-86400000 WHERE idx=50"),
        file: FACETS,
        index: Some(LEAF),
    },
    Case {
        name: "facet-auth",
        act: |t| t.sql(FACETS, "UPDATE facet SET auth=zeroblob(32) WHERE idx=50"),
        file: FACETS,
        index: Some(LEAF),
    },
    Case {
        name: "facet-delete",
        act: |t| t.sql(FACETS, "DELETE FROM facet WHERE idx=50"),
        file: FACETS,
        index: Some(LEAF),
    },
    Case {
        name: "facet-insert",
        act: |t| t.sql(FACETS, "INSERT INTO facet SELECT 90000, ts, combo, auth FROM facet WHERE idx=50"),
        file: FACETS,
        index: Some(90_000),
    },
    Case {
        name: "facet-reorder",
        act: |t| t.sql(FACETS, &swap("facet", "ts")),
        file: FACETS,
        index: Some(LEAF),
    },
    Case {
        name: "facet-truncate",
        act: |t| t.sql(FACETS, "DELETE FROM facet WHERE idx>300"),
        file: FACETS,
        index: Some(301),
    },
    Case {
        name: "facet-splice",
        act: |t| {
            t.sql(FACETS, "DELETE FROM facet WHERE idx=50; INSERT INTO facet SELECT 50, ts+1, combo, auth FROM b.facet WHERE idx=50");
        },
        file: FACETS,
        index: Some(LEAF),
    },
    Case {
        name: "facet-ahead",
        act: |t| t.sql(FACETS, "UPDATE upto SET idx=idx+1000"),
        file: FACETS,
        index: None,
    },
    Case {
        name: "facet-behind",
        act: |t| t.sql(FACETS, "UPDATE upto SET idx=49"),
        file: FACETS,
        index: Some(LEAF),
    },
    Case {
        name: "word-flip",
        act: |t| t.sql(FACETS, "UPDATE word SET text='case.query' WHERE text='license.query'"),
        file: FACETS,
        index: Some(2),
    },
    Case {
        name: "word-insert",
        act: |t| t.sql(FACETS, "INSERT INTO word(text) VALUES('case.query')"),
        file: FACETS,
        index: None,
    },
    Case {
        name: "combination-flip",
        act: |t| t.sql(FACETS, "UPDATE combo SET lt=op WHERE id=(SELECT combo FROM facet WHERE idx=50)"),
        file: FACETS,
        index: Some(2),
    },
    Case {
        name: "combination-insert",
        act: |t| {
            t.sql(FACETS, "INSERT INTO combo(kind, peer, op, item, lt, dec, code) SELECT kind, peer, op, op, lt, dec, code FROM combo WHERE id=(SELECT combo FROM facet WHERE idx=50)");
        },
        file: FACETS,
        index: None,
    },
    Case {
        name: "combination-delete",
        act: |t| t.sql(FACETS, "DELETE FROM combo WHERE id=(SELECT combo FROM facet WHERE idx=50)"),
        file: FACETS,
        index: Some(LEAF),
    },
    Case {
        // Without it nobody is led to the leaves of that block.
        name: "place-delete",
        act: |t| t.sql(FACETS, "DELETE FROM place WHERE combo=(SELECT combo FROM facet WHERE idx=50)"),
        file: FACETS,
        index: None,
    },
    Case {
        name: "place-insert",
        act: |t| t.sql(FACETS, "INSERT INTO place SELECT combo, block+1 FROM place"),
        file: FACETS,
        index: None,
    },
    Case {
        // Who looks within a time is not led there.
        name: "block-time",
        act: |t| t.sql(FACETS, "UPDATE block SET to_ts=to_ts-1"),
        file: FACETS,
        index: None,
    },
    Case { name: "block-delete", act: |t| t.sql(FACETS, "DELETE FROM block"), file: FACETS, index: None },
    Case {
        name: "authorization-delete",
        act: |t| t.of_facets(AUTHORIZATIONS, |rows| rows.retain(|row| row.2 != LEAF)),
        file: FACETS,
        index: Some(LEAF),
    },
    Case {
        name: "authorization-flip",
        act: |t| {
            t.of_facets(AUTHORIZATIONS, |rows| {
                rows.iter_mut().filter(|row| row.2 == LEAF).for_each(|row| row.1 = [0x5a; 16]);
            });
        },
        file: FACETS,
        index: Some(LEAF),
    },
    Case {
        name: "authorization-insert",
        act: |t| t.of_facets(AUTHORIZATIONS, |rows| rows.push((AUTHORIZATIONS, [1; 16], LEAF))),
        file: FACETS,
        index: Some(LEAF),
    },
    Case {
        name: "authorization-run",
        act: |t| {
            t.of_facets(AUTHORIZATIONS, |rows| {
                rows.iter_mut().for_each(|row| row.0 += 2 * i64::from(row.2 == LEAF))
            });
        },
        file: FACETS,
        index: Some(LEAF),
    },
    Case {
        name: "exchange-delete",
        act: |t| t.of_facets(EXCHANGES, |rows| rows.retain(|row| row.2 != LEAF)),
        file: FACETS,
        index: Some(LEAF),
    },
    Case {
        name: "exchange-flip",
        act: |t| {
            t.of_facets(EXCHANGES, |rows| {
                rows.iter_mut().filter(|row| row.2 == LEAF).for_each(|row| row.1 = [0x5a; 16]);
            });
        },
        file: FACETS,
        index: Some(LEAF),
    },
    Case {
        name: "exchange-insert",
        act: |t| t.of_facets(EXCHANGES, |rows| rows.push((EXCHANGES, [1; 16], LEAF))),
        file: FACETS,
        index: Some(LEAF),
    },
    Case {
        name: "exchange-run",
        act: |t| {
            t.of_facets(EXCHANGES, |rows| {
                rows.iter_mut().for_each(|row| row.0 += 2 * i64::from(row.2 == LEAF))
            });
        },
        file: FACETS,
        index: Some(LEAF),
    },
    Case {
        name: "authorization-first",
        act: |t| {
            t.sql(
                FACETS,
                "UPDATE chunk SET first=substr(body, -24) WHERE rowid=(SELECT max(rowid) FROM chunk)",
            )
        },
        file: FACETS,
        index: None,
    },
    Case {
        name: "authorization-count",
        act: |t| t.sql(FACETS, "UPDATE run SET n=n-1"),
        file: FACETS,
        index: None,
    },
    Case {
        name: "hourly-flip",
        act: |t| t.sql(FACETS, "UPDATE hourly SET n=n-1 WHERE n=(SELECT max(n) FROM hourly)"),
        file: FACETS,
        index: None,
    },
    Case {
        name: "hourly-delete",
        act: |t| t.sql(FACETS, "DELETE FROM hourly WHERE n=(SELECT max(n) FROM hourly)"),
        file: FACETS,
        index: None,
    },
    Case {
        name: "hourly-insert",
        act: |t| {
            t.sql(
                FACETS,
                "INSERT INTO hourly SELECT hour+1, kind, peer, op, code, n, ms, slowest FROM hourly LIMIT 1",
            )
        },
        file: FACETS,
        index: None,
    },
    Case { name: "checkpoint-flip", act: |t| t.checkpoint(|b| b[30] ^= 1), file: CHECKPOINT, index: None },
    Case {
        name: "checkpoint-delete",
        act: |t| fs::remove_file(Tampered::tiles(&t.data, "421202").join("checkpoint")).unwrap(),
        file: CHECKPOINT,
        index: None,
    },
    Case {
        name: "checkpoint-insert",
        act: |t| {
            t.checkpoint(|b| {
                let at = b.windows(2).position(|w| w == b"\n\n").unwrap() + 1;
                b.splice(at..at, *b"one more line\n");
            });
        },
        file: CHECKPOINT,
        index: None,
    },
    Case {
        name: "checkpoint-reorder",
        act: |t| {
            t.checkpoint(|b| {
                let text = String::from_utf8(b.clone()).unwrap();
                let lines: Vec<&str> = text.splitn(4, '\n').collect();
                *b = format!("{}\n{}\n{}\n{}", lines[0], lines[2], lines[1], lines[3]).into_bytes();
            });
        },
        file: CHECKPOINT,
        index: None,
    },
    Case {
        name: "checkpoint-truncate",
        act: |t| t.checkpoint(|b| b.truncate(b.len() - 9)),
        file: CHECKPOINT,
        index: None,
    },
    Case {
        name: "checkpoint-splice",
        act: |t| {
            let foreign = fs::read(Tampered::tiles(&t.ground.other, "331083").join("checkpoint")).unwrap();
            t.checkpoint(|b| *b = foreign);
        },
        file: CHECKPOINT,
        index: None,
    },
    Case {
        name: "checkpoint-rollback",
        act: |t| {
            let old = fs::read(Tampered::tiles(&t.ground.yesterday, "421202").join("checkpoint")).unwrap();
            t.checkpoint(|b| *b = old);
        },
        file: CHECKPOINT,
        index: None,
    },
    Case {
        name: "checkpoint-rollback-of-the-signed-one",
        act: |t| t.back("ledger/state.db"),
        file: "ledger/state.db",
        index: None,
    },
];

#[test]
fn every_way_to_tamper_with_every_thing_is_found_and_located() {
    let ground = ground();
    assert_eq!(MONTH, "2026-11");
    let root = ground.root.join("matrix");
    let (mut missed, mut expected) = (Vec::new(), serde_json::Map::new());
    for case in CASES {
        let data = copy_of(&ground.data, &root.join(case.name));
        let tampered = Tampered { ground, data };
        for name in [LEAVES, VAULT, INDEX, FACETS, "2026-11.other.db", "../state.db"] {
            tampered.cover(&tampered.db(name));
        }
        (case.act)(&tampered);
        let verdict = ground.verdict(&tampered.data);
        let located = verdict
            .findings
            .iter()
            .any(|f| f.file.contains(case.file) && (case.index.is_none() || f.index == case.index));
        if verdict.sound || !located {
            missed.push((case.name, verdict.findings));
        }
        expected.insert(case.name.to_owned(), json!({"file": case.file, "index": case.index}));
    }
    fs::write(ground.root.join("matrix.json"), serde_json::Value::Object(expected).to_string()).unwrap();
    assert!(missed.is_empty(), "{missed:#?}");
}
