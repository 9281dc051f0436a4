//! The runs of indexes rewritten by somebody who knows their form: whatever he makes them say stands in
//! well-formed runs.

use std::path::Path;

use rusqlite::Connection;

/// Day, token, index.
pub type Row = (i64, [u8; 16], u64);

/// Octets of an entry, and of a chunk as this forger cuts them.
const ENTRY: usize = 24;
const CHUNK: usize = 100 * ENTRY;

/// Everything that the runs of an index say.
pub fn rows(path: &Path) -> Vec<Row> {
    let uri = format!("file:{}?immutable=1", path.display());
    let connection = Connection::open(uri).unwrap();
    let mut statement =
        connection.prepare("SELECT day, body FROM run JOIN chunk ON run.id=chunk.run").unwrap();
    let chunks = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?))).unwrap();
    let mut rows = Vec::new();
    for (day, body) in chunks.map(Result::unwrap) {
        for entry in body.chunks_exact(ENTRY) {
            let index = u64::from_be_bytes(entry[16..].try_into().unwrap());
            rows.push((day, entry[..16].try_into().unwrap(), index));
        }
    }
    rows.sort_unstable();
    rows
}

/// Makes the runs of an index say this and nothing else.
pub fn write(connection: &Connection, mut rows: Vec<Row>) {
    rows.sort_unstable();
    connection.execute_batch("DELETE FROM chunk; DELETE FROM run").unwrap();
    for day in rows.chunk_by(|a, b| a.0 == b.0) {
        let run = "INSERT INTO run(day, n) VALUES(?, ?)";
        connection.execute(run, (day[0].0, day.len().cast_signed() as i64)).unwrap();
        let run = connection.last_insert_rowid();
        let entries: Vec<u8> =
            day.iter().flat_map(|(_, token, index)| [&token[..], &index.to_be_bytes()].concat()).collect();
        for body in entries.chunks(CHUNK) {
            let chunk = "INSERT INTO chunk(run, first, body) VALUES(?, ?, ?)";
            connection.execute(chunk, (run, &body[..ENTRY], body)).unwrap();
        }
    }
}
