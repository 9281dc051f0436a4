//! A log served by somebody honest, and by liars.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ledger::LedgerKey;
use crate::ledger::note::note_of;
use crate::ledger::proof::Proof;
use crate::ledger::tiles::{Edge, Level, TileName};
use crate::ledger::tree::{Subtrees, consistency_proof, inclusion_proof, leaf_hash, root_of};

const ORIGIN: &str = "tongban/421202/2026h2";

/// Everything a region serves, by its path.
#[derive(Clone)]
struct Served {
    files: BTreeMap<String, Vec<u8>>,
    asked: RefCell<usize>,
}

impl Source for Served {
    fn fetch(&mut self, paths: &[String]) -> Result<Vec<Option<Vec<u8>>>, SourceFault> {
        assert!(paths.len() <= AT_ONCE);
        *self.asked.borrow_mut() += paths.len();
        Ok(paths.iter().map(|path| self.files.get(path).cloned()).collect())
    }
}

struct Leaves(Vec<[u8; 32]>);

impl Subtrees for Leaves {
    type Fault = std::convert::Infallible;

    fn subtree(&self, level: u32, index: u64) -> Result<[u8; 32], Self::Fault> {
        let first = usize::try_from(index << level).unwrap();
        Ok(root_of(&self.0[first..first + (1 << level)]))
    }
}

fn key() -> LedgerKey {
    LedgerKey::from_seed(&[7; 32]).unwrap()
}

fn leaf(log: &str, index: u64) -> Vec<u8> {
    format!(r#"{{"log":"{log}","n":{index}}}"#).into_bytes()
}

/// The first `size` leaves of a log, each as `log` says.
fn serve(log: &str, size: u64) -> Served {
    let mut files = BTreeMap::new();
    let vkey = key().vkey(ORIGIN).unwrap();
    let card = serde_json::json!({"ledger": {"origin": ORIGIN, "vkey": vkey.to_string()}});
    files.insert("/v1/card".to_owned(), card.to_string().into_bytes());
    let (mut edge, mut full) = (Edge::default(), Vec::new());
    let hashes: Vec<[u8; 32]> = (0..size).map(|index| leaf_hash(&leaf(log, index))).collect();
    hashes.iter().for_each(|hash| edge.push(*hash, &mut full));
    for tile in &full {
        let name = TileName { level: Level::Hashes(tile.level), index: tile.index, width: 256 };
        files.insert(format!("/v1/log/{ORIGIN}/{name}"), tile.hashes.concat());
    }
    for (name, hashes) in edge.partial_tiles() {
        files.insert(format!("/v1/log/{ORIGIN}/{name}"), hashes.concat());
    }
    let checkpoint = Checkpoint { origin: ORIGIN.into(), size, root: edge.root() };
    let note = checkpoint.sign(&key()).unwrap();
    if let Some(index) = size.checked_sub(1) {
        let path = inclusion_proof(&Leaves(hashes), index, size).unwrap().unwrap();
        let proof = Proof { leaf: Some(leaf(log, index)), index, path, checkpoint: note.clone() };
        files.insert(format!("/v1/log/{ORIGIN}/entry/{index}"), proof.to_bytes());
    }
    files.insert(format!("/v1/log/{ORIGIN}/checkpoint"), note);
    Served { files, asked: RefCell::default() }
}

fn note(served: &Served) -> Vec<u8> {
    served.files[&format!("/v1/log/{ORIGIN}/checkpoint")].clone()
}

fn asked<'a>() -> AskedOf<'a> {
    AskedOf { vkey: key().vkey(ORIGIN), ..AskedOf::default() }
}

fn kinds(verdict: &ServedVerdict) -> Vec<(FindingKind, &str)> {
    verdict.findings.iter().map(|finding| (finding.kind, finding.file.as_str())).collect()
}

/// Sizes at and around every edge of a tile, up to three levels.
const SIZES: [u64; 9] = [1, 2, 255, 256, 257, 511, 600, 66_000, 65_536];

#[test]
fn an_honest_log_of_any_size_is_sound_and_continues_each_of_its_beginnings() {
    for size in SIZES {
        let mut served = serve("a", size);
        let wanted = AskedOf { leaves: vec![size - 1, size], ..asked() };
        let verdict = check(&mut served, &wanted).unwrap();
        assert!(verdict.sound, "{size}: {:#?}", verdict.findings);
        let [log] = &verdict.logs[..] else { panic!() };
        assert_eq!((log.size, log.note.clone()), (size, note(&served)));
        let states: Vec<EntryState> = log.entries.iter().map(|told| told.state).collect();
        assert_eq!(states, [EntryState::Proven, EntryState::Withheld]);
        for kept in [1, size / 2, size - 1, size, 256.min(size)] {
            let since = Some(note(&serve("a", kept)));
            let verdict = check(&mut served, &AskedOf { since, ..asked() }).unwrap();
            assert!(verdict.sound, "{kept} of {size}: {:#?}", verdict.findings);
            assert_eq!(verdict.logs[0].since, Some(kept));
        }
    }
    assert!(check(&mut serve("a", 0), &asked()).unwrap().sound, "an empty log too");
}

#[test]
fn any_altered_tile_is_found_and_named() {
    for size in [257, 600, 66_000] {
        let honest = serve("a", size);
        let tiles: Vec<&String> = honest.files.keys().filter(|path| path.contains("/tile/")).collect();
        // Of many tiles of level 0 some; above it all.
        let (low, high): (Vec<&String>, Vec<&String>) =
            tiles.into_iter().partition(|path| path.contains("/tile/0/"));
        for path in low.iter().step_by(37).chain(low.last()).chain(&high).copied() {
            let mut lying = honest.clone();
            let bytes = lying.files.get_mut(path).unwrap();
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
            let verdict = check(&mut lying, &asked()).unwrap();
            let name = path.strip_prefix(&format!("/v1/log/{ORIGIN}/")).unwrap();
            let [found] = &verdict.findings[..] else { panic!("{path}: {:#?}", verdict.findings) };
            assert!(found.file == name || found.message.contains(name), "{path}: {found}");
        }
        let mut gone = honest.clone();
        gone.files.remove(&format!("/v1/log/{ORIGIN}/tile/0/000")).unwrap();
        assert_eq!(kinds(&check(&mut gone, &asked()).unwrap()), [(FindingKind::TileMissing, "tile/0/000")]);
        let mut short = honest;
        short.files.get_mut(&format!("/v1/log/{ORIGIN}/tile/0/000")).unwrap().truncate(8000);
        assert_eq!(kinds(&check(&mut short, &asked()).unwrap()), [(FindingKind::TileChanged, "tile/0/000")]);
    }
}

#[test]
fn an_older_a_forked_and_a_foreign_checkpoint_are_told_apart() {
    let since = |kept: &Served| AskedOf { since: Some(note(kept)), ..asked() };
    let older = check(&mut serve("a", 300), &since(&serve("a", 600))).unwrap();
    assert_eq!(kinds(&older), [(FindingKind::CheckpointBehind, "checkpoint")]);
    for (kept, now) in [(300, 600), (600, 600), (256, 600), (1, 257)] {
        // The fork is consistent in itself and signed by the key: only what was kept shows it.
        let forked = check(&mut serve("b", now), &since(&serve("a", kept))).unwrap();
        assert_eq!(kinds(&forked), [(FindingKind::CheckpointContradicted, KEPT)], "{kept} of {now}");
        assert!(check(&mut serve("b", now), &asked()).unwrap().sound);
    }
    let other = LedgerKey::from_seed(&[8; 32]).unwrap().vkey(ORIGIN);
    let foreign = check(&mut serve("a", 9), &AskedOf { vkey: other, ..AskedOf::default() }).unwrap();
    let invalid = (FindingKind::CheckpointInvalid, "checkpoint");
    assert_eq!(kinds(&foreign), [(FindingKind::KeyDiffers, "card"), invalid]);
    // The log's own tiles under a checkpoint of another tree.
    let mut torn = serve("a", 600);
    torn.files.insert(format!("/v1/log/{ORIGIN}/checkpoint"), note(&serve("b", 600)));
    assert_eq!(
        kinds(&check(&mut torn, &asked()).unwrap()),
        [(FindingKind::CheckpointContradicted, "checkpoint")]
    );
    let unknown = AskedOf { vkey: key().vkey("tongban/331083/2026h2"), ..AskedOf::default() };
    assert_eq!(check(&mut serve("a", 9), &unknown), Err(SourceFault::NoKey));
    let mut silent = serve("a", 9);
    silent.files.remove(&format!("/v1/log/{ORIGIN}/checkpoint"));
    assert_eq!(check(&mut silent, &asked()), Err(SourceFault::NoCheckpoint));
}

#[test]
fn entries_and_promises_are_held_against_the_tiles() {
    let honest = serve("a", 600);
    let promised = |index: u64, log: &str| {
        Promised::from([(
            ORIGIN.to_owned(),
            BTreeMap::from([(index, Due { leaf: leaf_hash(&leaf(log, index)), settled: true })]),
        )])
    };
    let kept = AskedOf { promised: promised(400, "a"), ..asked() };
    assert_eq!(check(&mut honest.clone(), &kept).unwrap().logs[0].promises, 1);
    assert!(check(&mut honest.clone(), &kept).unwrap().sound);
    for broken in [promised(400, "b"), promised(600, "a")] {
        let verdict = check(&mut honest.clone(), &AskedOf { promised: broken, ..asked() }).unwrap();
        assert_eq!(kinds(&verdict), [(FindingKind::PromiseBroken, "checkpoint")]);
    }
    // A promise of a moment ago may stand under the next checkpoint only.
    let mut young = promised(600, "a");
    young.get_mut(ORIGIN).unwrap().get_mut(&600).unwrap().settled = false;
    assert!(check(&mut honest.clone(), &AskedOf { promised: young, ..asked() }).unwrap().sound);
    // Another leaf than the tree has, with a proof that it made up; and the proof of another leaf.
    let wanted = || AskedOf { leaves: vec![599], ..asked() };
    for forged in [serve("b", 600), serve("a", 599)] {
        let mut lying = honest.clone();
        let last = forged.files.iter().find(|(path, _)| path.contains("/entry/")).unwrap().1.clone();
        lying.files.insert(format!("/v1/log/{ORIGIN}/entry/599"), last);
        let verdict = check(&mut lying, &wanted()).unwrap();
        assert_eq!(kinds(&verdict), [(FindingKind::ProofInvalid, "entry/599")]);
    }
}

#[test]
fn a_policy_asks_for_its_quorum() {
    use crate::clock::Now;
    use crate::witness::CosignerKey;
    let witness = CosignerKey::from_seed(&[3; 32], "tongban/331083/w1");
    let policy =
        format!("log {}\nwitness yuhuan {}\nquorum yuhuan\n", key().vkey(ORIGIN).unwrap(), witness.vkey());
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    let wanted = || AskedOf { policy: Some(&policy), ..AskedOf::default() };
    let alone = check(&mut serve("a", 9), &wanted()).unwrap();
    assert_eq!(kinds(&alone), [(FindingKind::QuorumMissing, "checkpoint")]);
    let mut cosigned = serve("a", 9);
    let signed = note(&cosigned);
    let parsed = Note::parse(&signed).unwrap();
    let line = witness.cosign(parsed.text(), Now::from_secs(5));
    let joined = note_of(parsed.text(), parsed.signatures().iter().chain([&line]));
    cosigned.files.insert(format!("/v1/log/{ORIGIN}/checkpoint"), joined);
    let verdict = check(&mut cosigned, &wanted()).unwrap();
    assert!(verdict.sound, "{:#?}", verdict.findings);
    assert_eq!(verdict.logs[0].witnesses, Some(vec!["yuhuan".to_owned()]));
}

proptest! {
    #[test]
    fn any_beginning_is_a_beginning_and_any_flip_is_found(size in 1_u64..1500, part in 0.0..1.0_f64, flip in any::<prop::sample::Index>()) {
        let served = serve("a", size);
        let kept = ((size as f64) * part) as u64;
        let since = Some(note(&serve("a", kept)));
        let verdict = check(&mut served.clone(), &AskedOf { since, ..asked() }).unwrap();
        prop_assert!(verdict.sound);
        let mut lying = served;
        let tiles: Vec<String> = lying.files.keys().filter(|path| path.contains("/tile/")).cloned().collect();
        let bytes = lying.files.get_mut(&tiles[flip.index(tiles.len())]).unwrap();
        let at = flip.index(bytes.len());
        bytes[at] ^= 0x40;
        let verdict = check(&mut lying, &asked()).unwrap();
        prop_assert!(!verdict.sound);
    }
}

/// The consistency that tiles show is the one that RFC 9162's proof shows.
#[test]
fn the_kept_root_is_the_one_of_a_consistency_proof() {
    use crate::ledger::tree::verify_consistency;
    let hashes: Vec<[u8; 32]> = (0..600).map(|index| leaf_hash(&leaf("a", index))).collect();
    let (old, new) = (root_of(&hashes[..300]), root_of(&hashes));
    let proof = consistency_proof(&Leaves(hashes), 300, 600).unwrap().unwrap();
    assert!(verify_consistency(&proof, 300, &old, 600, &new));
    let since = Some(note(&serve("a", 300)));
    assert!(check(&mut serve("a", 600), &AskedOf { since, ..asked() }).unwrap().sound);
}
