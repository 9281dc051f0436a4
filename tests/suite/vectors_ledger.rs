//! Trees, proofs, notes, tiles, evidence and search tokens as the vectors of
//! `conformance/vectors/` have them.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use josekit::jwk::Jwk;
use serde_json::Value;
use tongban::domain::Region;
use tongban::ledger::checkpoint::Checkpoint;
use tongban::ledger::evidence::{Field, SearchKeys, epoch_commitment, open_sealed, tag_of};
use tongban::ledger::leaf::Leaf;
use tongban::ledger::note::Note;
use tongban::ledger::proof::Proof;
use tongban::ledger::tiles::{Edge, FullTile, Level, TileName};
use tongban::ledger::tree::{
    Hash, empty_root, leaf_hash, node_hash, root_of, sha256 as hash_of, verify_consistency, verify_inclusion,
};
use tongban::ledger::{Shard, Vkey};
use tongban::witness::{Answer, KnownLog, Witness};

use crate::support::*;
use crate::vectors::{rows, text, vectors, whole};

fn hash(value: &Value) -> Hash {
    hex::decode(value.as_str().unwrap()).unwrap().try_into().unwrap()
}

fn hashes(list: &Value) -> Vec<Hash> {
    list.as_array().unwrap().iter().map(hash).collect()
}

fn count(row: &Value, member: &str) -> u64 {
    whole(row, member).try_into().unwrap()
}

#[test]
fn trees_and_proofs_are_the_vectors() {
    let all = vectors("ledger.json");
    assert_eq!(empty_root(), hash(&all["hashes"]["empty"]));
    for row in rows(&all["hashes"]["leaves"]) {
        assert_eq!(leaf_hash(text(row, "entry").as_bytes()), hash(&row["hash"]));
    }
    let pair = &all["hashes"]["node"];
    assert_eq!(node_hash(&hash(&pair["left"]), &hash(&pair["right"])), hash(&pair["hash"]));
    for row in rows(&all["inclusion"]) {
        let (leaf, root) = (hash(&row["leaf"]), hash(&row["root"]));
        let holds =
            verify_inclusion(&hashes(&row["proof"]), count(row, "index"), count(row, "size"), &leaf, &root);
        assert_eq!(holds, row["holds"], "{row}");
    }
    for row in rows(&all["consistency"]) {
        let (old, new) = (hash(&row["old_root"]), hash(&row["new_root"]));
        let holds =
            verify_consistency(&hashes(&row["proof"]), count(row, "old"), &old, count(row, "new"), &new);
        assert_eq!(holds, row["holds"], "{row}");
    }
}

#[test]
fn a_growing_log_has_the_roots_and_tiles_of_the_vectors() {
    let all = vectors("ledger.json");
    let (mut edge, mut full) = (Edge::default(), Vec::new());
    for row in rows(&all["roots"]) {
        while edge.size() < count(row, "size") {
            edge.push(leaf_hash(edge.size().to_string().as_bytes()), &mut full);
        }
        assert_eq!(edge.root(), hash(&row["root"]), "{}", row["size"]);
        let size = edge.size().to_string();
        let tiles = all["tiles"]["of"]
            .get(&size)
            .or_else(|| (size == "70000").then(|| &all["tiles"]["of_70000"]["last"]));
        for tile in tiles.into_iter().flat_map(rows) {
            let bytes = bytes_of(text(tile, "path"), &edge, &full);
            assert_eq!(bytes.len(), usize::try_from(whole(tile, "length")).unwrap());
            assert_eq!(hex::encode(hash_of(&bytes)), text(tile, "sha256"), "{tile}");
        }
    }
    assert_eq!(edge.partial_tiles().count() + full.len(), 277, "every tile of 70 000 leaves");
    assert_eq!(whole(&all["tiles"]["of_70000"], "count"), 277);
    for row in rows(&all["tile_paths"]) {
        let name = TileName { level: Level::Hashes(0), index: count(row, "index"), width: 256 };
        assert_eq!(name.to_string(), format!("tile/0/{}", text(row, "path")));
        assert_eq!(TileName::parse(&name.to_string()), Some(name));
    }
}

fn bytes_of(path: &str, edge: &Edge, full: &[FullTile]) -> Vec<u8> {
    let name = TileName::parse(path).expect(path);
    assert!(name.stands_in(edge.size()), "{path}");
    let partial = edge.partial_tiles().find(|(partial, _)| *partial == name);
    let whole = || {
        full.iter()
            .find(|tile| Level::Hashes(tile.level) == name.level && tile.index == name.index)
            .expect(path)
    };
    partial.map_or_else(|| whole().hashes.concat(), |(_, hashes)| hashes.concat())
}

#[test]
fn notes_and_proof_files_are_judged_as_their_vectors_say() {
    let all = vectors("ledger.json");
    let (published, notes, leaves) = (&all["published"], &all["notes"], &all["leaves"]);
    let vkey = |doc: &Value, member| Vkey::parse(text(doc, member)).unwrap();
    let log = vkey(published, "log_vkey");
    assert_eq!(Checkpoint::open(text(published, "note").as_bytes(), &log).unwrap().size, 3);
    for row in rows(&notes["notes"]) {
        let opened = Checkpoint::open(text(row, "note").as_bytes(), &vkey(notes, "vkey"));
        assert_eq!(opened.is_ok(), row["holds"], "{}: {opened:?}", row["what"]);
    }
    for row in rows(&leaves["entries"]) {
        let entry = text(row, "entry").as_bytes();
        let leaf = Leaf::from_bytes(entry).expect("a leaf of ours");
        assert_eq!(leaf.to_bytes().unwrap(), entry, "written as it was read");
        assert_eq!(leaf_hash(entry), hash(&row["hash"]));
        let proof = Proof::parse(text(row, "tlog_proof").as_bytes()).unwrap();
        assert_eq!(proof.to_bytes(), text(row, "tlog_proof").as_bytes());
        assert_eq!(proof.verify(&vkey(leaves, "vkey")).unwrap().leaf, entry);
    }
}

#[test]
fn a_witness_answers_every_request_of_the_vectors_in_their_order() {
    let all = vectors("ledger.json");
    let vectors = &all["witness"];
    let vkey = Vkey::parse(text(vectors, "vkey")).unwrap();
    let (data, now) = (tempfile::tempdir().unwrap(), tongban::clock::Now::from_secs(NOW));
    let witness = Witness::open(data.path(), Region::parse(XIANAN).unwrap(), None, now).unwrap();
    let log = KnownLog { region: Region::parse(YUHUAN).unwrap(), public: *vkey.public() };
    let mut met = BTreeSet::new();
    for row in rows(&vectors["requests"]) {
        let answer = witness.add_checkpoint(Some(log), text(row, "body").as_bytes(), now).unwrap();
        let (status, told) = match &answer {
            Answer::Cosigned(line) => (200, Some(line.clone())),
            Answer::Bad => (400, None),
            Answer::NotSigned => (403, None),
            Answer::UnknownLog => (404, None),
            Answer::Conflict(size) => (409, Some(format!("{size}\n"))),
            Answer::Contradiction | Answer::NotConsistent => (422, None),
        };
        assert_eq!(status, whole(row, "status"), "{}: {answer:?}", row["what"]);
        met.insert(status);
        match (status, told) {
            // Ours, over the very text that was brought.
            (200, Some(line)) => {
                let note = [text(row, "body").split_once("\n\n").unwrap().1, &line].concat();
                let note = Note::parse(note.as_bytes()).unwrap();
                assert_eq!(witness.vkey().cosigned_at(&note).unwrap(), Some(NOW), "{}", row["what"]);
            }
            (_, told) => assert_eq!(row["answer"].as_str(), told.as_deref(), "{}", row["what"]),
        }
    }
    assert_eq!(met, BTreeSet::from([200, 400, 403, 404, 409, 422]), "all six");
    let last = witness.last_cosigned(text(vectors, "origin_sha256")).unwrap().unwrap();
    assert_eq!(Checkpoint::open(&last, &vkey).unwrap().size, 7, "what the last 200 was about");
    assert_eq!(witness.shown().unwrap().contradictions.len(), 1, "both notes of one size are kept");
}

#[test]
fn a_reconciled_window_has_the_root_and_note_of_its_vector() {
    let all = vectors("ledger.json");
    let window = &all["reconciliation"];
    let mut items: Vec<Vec<u8>> = Vec::new();
    for row in rows(&window["exchanges"]) {
        let told = row["told"].as_str().map_or([0; 32], |told| hash_of(told.as_bytes()));
        let outcome = u8::try_from(whole(row, "outcome")).unwrap();
        let id = hash_of(text(row, "jti").as_bytes());
        let request = hash_of(text(row, "request").as_bytes());
        items.push([&id[..16], &request, &told, &[outcome]].concat());
        assert_eq!(b64(items.last().unwrap()), text(row, "item"));
    }
    items.sort();
    let ordered: Vec<String> = items.iter().map(b64).collect();
    assert_eq!(serde_json::json!(ordered), window["ordered"]);
    let counted: Vec<Hash> = items.iter().filter(|item| item[80] > 0).map(|item| leaf_hash(item)).collect();
    assert_eq!(
        (counted.len() as u64, &*b64(root_of(&counted))),
        (count(window, "count"), text(window, "root"))
    );
    let note = Note::parse(text(window, "note").as_bytes()).unwrap();
    let vkeys: Vec<Vkey> =
        rows(&window["vkeys"]).iter().map(|vkey| Vkey::parse(vkey.as_str().unwrap()).unwrap()).collect();
    for vkey in &vkeys {
        assert_eq!(note.verify(&[vkey]).unwrap(), text(window, "text"));
    }
    assert_eq!(b64(text(window, "note")), text(window, "note_b64url"));
}

#[test]
fn evidence_opens_as_its_vector_says() {
    let all = vectors("evidence.json");
    let bytes = |row: &Value, member: &str| hex::decode(text(row, member)).unwrap();
    let epoch_key: [u8; 32] = bytes(&all, "epoch_key").try_into().unwrap();
    let sealed = STANDARD.decode(text(&all, "sealed")).unwrap();
    let leaf = text(&all, "leaf");
    let opened = open_sealed(&epoch_key, &bytes(&all, "r"), leaf.as_bytes(), &sealed).unwrap();
    assert_eq!(opened.as_slice(), text(&all, "plaintext").as_bytes());
    assert_eq!(leaf_hash(leaf.as_bytes()), hash(&all["leaf_hash"]));
    for row in rows(&all["refused"]) {
        let other = |member: &str| row.get(member).and_then(Value::as_str);
        let sealed = other("sealed").map_or_else(|| sealed.clone(), |text| STANDARD.decode(text).unwrap());
        let r = other("r").map_or_else(|| bytes(&all, "r"), |text| hex::decode(text).unwrap());
        // The changed leaf still names this evidence.
        let leaf = match other("associated_data") {
            Some(bound) => {
                let mut changed: Value = serde_json::from_str(bound).unwrap();
                changed["ev"] = all["ev"].clone();
                String::from_utf8(tongban::json::jcs(&changed)).unwrap()
            }
            None => leaf.to_owned(),
        };
        assert!(open_sealed(&epoch_key, &r, leaf.as_bytes(), &sealed).is_err(), "{}", row["why"]);
    }
    // The epoch, as an auditor's own library unwraps it.
    let keys = vectors("keys.json");
    let auditor = rows(&keys["keys"]).iter().find(|key| key["name"] == "auditor").unwrap();
    let mut jwk = auditor["public"].as_object().unwrap().clone();
    jwk.extend(auditor["private"].as_object().unwrap().clone());
    let decrypter = josekit::jwe::ECDH_ES_A256KW.decrypter_from_jwk(&Jwk::from_map(jwk).unwrap()).unwrap();
    let said: Value = serde_json::from_str(leaf).unwrap();
    let wrapped = text(&all, "wrapped_text");
    assert_eq!((epoch_commitment(wrapped).as_str(), text(&said, "ek")), (text(&all, "ek"), text(&all, "ek")));
    for row in rows(&all["not_committed"]) {
        assert_ne!(epoch_commitment(text(row, "wrapped_text")), text(&all, "ek"), "{}", row["why"]);
    }
    let (payload, _) = josekit::jwe::deserialize_json(wrapped, &decrypter).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!((&payload["epoch"], text(&payload, "key")), (&all["epoch"], &*b64(epoch_key)));
}

#[test]
fn search_tokens_and_tags_are_the_vectors() {
    let all = vectors("evidence.json");
    let data = tempfile::tempdir().unwrap();
    let shard = Shard::at(tongban::clock::Now::from_secs(NOW));
    let folder = data.path().join("ledger/search");
    std::fs::create_dir_all(&folder).unwrap();
    let key = hex::decode(text(&all, "shard_key")).unwrap();
    tongban::keys::write_private_file(&folder.join(format!("{shard}.key")), &key).unwrap();
    let key = SearchKeys::of_data_dir(data.path()).of_shard(shard).unwrap();
    let r = hex::decode(text(&all, "r")).unwrap();
    for row in rows(&all["tokens"]) {
        let field = Field::ALL.into_iter().find(|field| field.name() == text(row, "field")).unwrap();
        let subject = key.subject(field, text(row, "value"));
        assert_eq!(hex::encode(subject.bytes()), text(row, "token"), "{row}");
        assert_eq!(tag_of(&r, &subject), text(row, "tag"));
        for (day, token) in row["days"].as_object().unwrap() {
            assert_eq!(hex::encode(subject.token_of_day(day.parse().unwrap())), token.as_str().unwrap());
        }
    }
}
