//! Merkle trees, notes, checkpoints and proof files, read and made without the gateway's own code.

use super::keys::{Key, ed25519_holds, key_id};
use super::{b64, sha256, unb64};

pub type Hash = [u8; 32];

pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256(&[&[0], entry].concat())
}

pub fn node(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left.as_slice(), right].concat())
}

/// The largest power of two below `size`.
fn split(size: usize) -> usize {
    size.checked_next_power_of_two().unwrap_or(size) / 2
}

pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => sha256(b""),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(split(many.len()));
            node(&root(left), &root(right))
        }
    }
}

/// RFC 6962 §2.1.2: that the first `old` leaves are the tree they were.
pub fn consistency(old: usize, leaves: &[Hash]) -> Vec<Hash> {
    fn sub(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
        if old == leaves.len() {
            return if whole { Vec::new() } else { vec![root(leaves)] };
        }
        let (left, right) = leaves.split_at(split(leaves.len()));
        if old <= left.len() {
            let mut path = sub(old, left, whole);
            path.push(root(right));
            path
        } else {
            let mut path = sub(old - left.len(), right, false);
            path.push(root(left));
            path
        }
    }
    if old == 0 || old >= leaves.len() { Vec::new() } else { sub(old, leaves, true) }
}

/// The root that an inclusion path leads to (RFC 9162 §2.1.3.2).
pub fn root_by_path(index: u64, size: u64, leaf: Hash, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for other in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            hash = node(other, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, other);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// A checkpoint whose log's signature held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: Hash,
}

/// Opens a signed checkpoint under a verifier key; why not, in words.
pub fn open_checkpoint(note: &str, vkey: &str) -> Result<Checkpoint, String> {
    let (text, lines) = note.rsplit_once("\n\n").ok_or("the note has no empty line")?;
    let text = format!("{text}\n");
    let (name, id, public) = read_vkey(vkey).ok_or("the verifier key is none")?;
    let mut signed = false;
    for line in lines.lines() {
        let (signer, blob) = line
            .strip_prefix("\u{2014} ")
            .and_then(|l| l.split_once(' '))
            .ok_or("a signature line is none")?;
        let blob = unb64(blob).ok_or("a signature is not base64")?;
        let (by, signature) = blob.split_at_checked(4).ok_or("a signature is too short")?;
        if signer == name && by == id {
            if !ed25519_holds(&public, text.as_bytes(), signature) {
                return Err("the log's signature does not hold".into());
            }
            signed = true;
        }
    }
    if !signed {
        return Err("the log's key did not sign".into());
    }
    let mut lines = text.lines();
    let origin = lines.next().unwrap_or_default().to_owned();
    let size = lines.next().and_then(|size| size.parse().ok()).ok_or("the size is none")?;
    let root =
        lines.next().and_then(unb64).and_then(|root| root.try_into().ok()).ok_or("the root is none")?;
    if lines.next().is_some() {
        return Err("there are extension lines".into());
    }
    Ok(Checkpoint { origin, size, root })
}

/// Name, key id and public key of a verifier key whose id fits.
fn read_vkey(vkey: &str) -> Option<(String, Vec<u8>, Vec<u8>)> {
    let (name, rest) = vkey.split_once('+')?;
    let (id, typed) = rest.split_once('+')?;
    let (id, typed) = (hex::decode(id).ok()?, unb64(typed)?);
    let (kind, public) = typed.split_first()?;
    (*kind == 1 && public.len() == 32 && id == key_id(name, &typed))
        .then(|| (name.to_owned(), id, public.to_vec()))
}

/// A proof file (c2sp.org/tlog-proof@v1) that leads from its entry to its checkpoint.
#[derive(Clone, Debug)]
pub struct Proof {
    pub entry: Vec<u8>,
    pub index: u64,
    pub checkpoint: Checkpoint,
}

pub fn open_proof(file: &str, vkey: &str) -> Result<Proof, String> {
    let (head, note) = file.split_once("\n\n").ok_or("the proof has no empty line")?;
    let mut lines = head.lines();
    if lines.next() != Some("c2sp.org/tlog-proof@v1") {
        return Err("the proof's first line is another".into());
    }
    let entry = lines.next().and_then(|line| line.strip_prefix("extra ")).and_then(unb64);
    let entry = entry.ok_or("the proof has no entry in extra")?;
    let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(|n| n.parse().ok());
    let index = index.ok_or("the proof has no index")?;
    let path: Option<Vec<Hash>> = lines.map(|line| unb64(line)?.try_into().ok()).collect();
    let path = path.ok_or("a hash of the proof is none")?;
    let checkpoint = open_checkpoint(note, vkey)?;
    let reached = root_by_path(index, checkpoint.size, leaf_hash(&entry), &path);
    if reached != Some(checkpoint.root) {
        return Err("the proof does not lead from the entry to the checkpoint's root".into());
    }
    Ok(Proof { entry, index, checkpoint })
}

/// Signs a checkpoint of `leaves` as the log `origin`.
pub fn sign_checkpoint(origin: &str, leaves: &[Hash], keys: &[(&str, &Key)], flip: bool) -> String {
    sign_note(&format!("{origin}\n{}\n{}\n", leaves.len(), b64(&root(leaves))), keys, flip)
}

/// The signed note of a text that ends in a newline.
pub fn sign_note(text: &str, keys: &[(&str, &Key)], flip: bool) -> String {
    let mut note = format!("{text}\n");
    for (name, key) in keys {
        let mut signature = key.sign(text.as_bytes());
        if flip && let Some(last) = signature.last_mut() {
            *last ^= 1;
        }
        let id = key_id(name, &[&[1], key.raw_public().as_slice()].concat());
        note.push_str(&format!("\u{2014} {name} {}\n", b64(&[id.as_slice(), &signature].concat())));
    }
    note
}

#[cfg(test)]
mod tests {
    use super::super::keys::Keys;
    use super::*;

    fn leaves(count: u8) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(&[n])).collect()
    }

    /// The path from a leaf up, by the book.
    fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() < 2 {
            return Vec::new();
        }
        let (left, right) = leaves.split_at(split(leaves.len()));
        if index < left.len() {
            [path(index, left), vec![root(right)]].concat()
        } else {
            [path(index - left.len(), right), vec![root(left)]].concat()
        }
    }

    #[test]
    fn every_leaf_of_small_trees_leads_to_the_root_and_no_other_does() {
        for size in 1..40 {
            let tree = leaves(size);
            for (index, leaf) in tree.iter().enumerate() {
                let proof = path(index, &tree);
                let reached = |leaf| root_by_path(index as u64, size.into(), leaf, &proof);
                assert_eq!(reached(*leaf), Some(root(&tree)));
                assert_ne!(reached(leaf_hash(b"another")), Some(root(&tree)));
            }
        }
    }

    #[test]
    fn a_checkpoint_opens_under_its_own_key_only() {
        let keys = Keys::published().unwrap();
        let (own, other) = (keys.get("asking-ledger").unwrap(), keys.get("stranger-ledger").unwrap());
        let origin = "tongban/331083/2030h1";
        let note = sign_checkpoint(origin, &leaves(7), &[(origin, own)], false);
        assert_eq!(open_checkpoint(&note, &own.vkey(origin)).unwrap().size, 7);
        assert!(open_checkpoint(&note, &other.vkey(origin)).is_err());
        assert!(open_checkpoint(&note.replacen("\n7\n", "\n8\n", 1), &own.vkey(origin)).is_err());
        let flipped = sign_checkpoint(origin, &leaves(7), &[(origin, own)], true);
        assert!(open_checkpoint(&flipped, &own.vkey(origin)).is_err());
    }
}
