//! The Merkle tree of RFC 6962 / RFC 9162 with SHA-256: hashes, proofs and their checks.
//!
//! Promises: proofs are checked with the iterative algorithms of RFC 9162 §2.1.3.2 and
//! §2.1.4.2, for any size up to 2^63. Leaves it to others where subtree hashes are kept
//! ([`Subtrees`]).

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, SHA256, digest};

/// A SHA-256 hash: of a leaf, a node, or a whole tree.
pub type Hash = [u8; 32];

/// Longest proof for a tree of 2^63 leaves.
pub const MOST_PROOF_HASHES: usize = 63;

/// The SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> Hash {
    fixed(digest(&SHA256, bytes).as_ref())
}

/// MTH of no leaves (RFC 9162 §2.1.1).
pub fn empty_root() -> Hash {
    sha256(b"")
}

/// `SHA256(0x00 ‖ entry)`.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[0]);
    context.update(entry);
    fixed(context.finish().as_ref())
}

/// `SHA256(0x01 ‖ left ‖ right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[1]);
    context.update(left);
    context.update(right);
    fixed(context.finish().as_ref())
}

fn fixed(digest: &[u8]) -> Hash {
    let mut hash = Hash::default();
    for (to, from) in hash.iter_mut().zip(digest) {
        *to = *from;
    }
    hash
}

/// The root over `items`, each the root of an equally large perfect subtree; only the last
/// may be smaller. Empty gives [`empty_root`].
pub fn root_of(items: &[Hash]) -> Hash {
    match items {
        [] => empty_root(),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(largest_power_below(many.len()));
            node_hash(&root_of(left), &root_of(right))
        }
    }
}

/// The largest power of two smaller than `n` (`n` ≥ 2).
fn largest_power_below(n: usize) -> usize {
    1_usize << (usize::BITS - 1 - (n - 1).leading_zeros())
}

/// Where perfect subtrees are kept: `subtree(level, index)` is
/// `MTH(D[index·2^level : (index+1)·2^level])`.
pub trait Subtrees {
    type Fault;
    fn subtree(&self, level: u32, index: u64) -> Result<Hash, Self::Fault>;
}

/// The root of the leaves `start..end`; `start` must be a multiple of the largest power of
/// two that fits (as every split of RFC 9162 gives).
fn range_root<S: Subtrees + ?Sized>(source: &S, start: u64, end: u64) -> Result<Hash, S::Fault> {
    let mut parts: Vec<(u32, u64)> = Vec::new();
    let mut at = start;
    while at < end {
        let level = (end - at).ilog2();
        parts.push((level, at >> level));
        at += 1 << level;
    }
    let mut root: Option<Hash> = None;
    for (level, index) in parts.into_iter().rev() {
        let left = source.subtree(level, index)?;
        root = Some(root.map_or(left, |right| node_hash(&left, &right)));
    }
    Ok(root.unwrap_or_else(empty_root))
}

/// The root of the first `size` leaves.
pub fn root<S: Subtrees + ?Sized>(source: &S, size: u64) -> Result<Hash, S::Fault> {
    range_root(source, 0, size)
}

/// The inclusion path of leaf `index` in the tree of `size` leaves (RFC 9162 §2.1.3.1),
/// leaf side first. `None` when there is no such leaf.
pub fn inclusion_proof<S: Subtrees + ?Sized>(
    source: &S,
    index: u64,
    size: u64,
) -> Result<Option<Vec<Hash>>, S::Fault> {
    if index >= size {
        return Ok(None);
    }
    siblings(index, size)
        .into_iter()
        .map(|(start, end)| range_root(source, start, end))
        .collect::<Result<_, _>>()
        .map(Some)
}

/// The consistency proof from `old` to `new` leaves (RFC 9162 §2.1.4.1). Empty when they are
/// equal or `old` is 0; `None` when `old > new`.
pub fn consistency_proof<S: Subtrees + ?Sized>(
    source: &S,
    old: u64,
    new: u64,
) -> Result<Option<Vec<Hash>>, S::Fault> {
    if old > new {
        return Ok(None);
    }
    if old == 0 || old == new {
        return Ok(Some(Vec::new()));
    }
    let (mut start, mut end) = (0, new);
    let mut parts = Vec::new();
    // SUBPROOF of the RFC, unrolled: descend to the node that ends exactly at `old`.
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            parts.push((middle, end));
            end = middle;
        } else {
            parts.push((start, middle));
            start = middle;
        }
    }
    if start != 0 {
        parts.push((start, end));
    }
    parts
        .into_iter()
        .rev()
        .map(|(start, end)| range_root(source, start, end))
        .collect::<Result<_, _>>()
        .map(Some)
}

/// The ranges whose roots the inclusion path of leaf `index` holds, leaf side first.
fn siblings(index: u64, size: u64) -> Vec<(u64, u64)> {
    let (mut start, mut end) = (0, size);
    let mut siblings = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            siblings.push((middle, end));
            end = middle;
        } else {
            siblings.push((start, middle));
            start = middle;
        }
    }
    siblings.reverse();
    siblings
}

/// The root of the tree of `size` leaves in which `leaves` stand from `first` through `last`:
/// everything left of them is in the first one's inclusion path, everything right of them in
/// the last one's. So two proofs prove that a run of any length is complete. `None` when
/// paths or leaves do not fit the places; whether the paths themselves hold is
/// [`verify_inclusion`]'s.
pub fn root_around(
    (first, first_path): (u64, &[Hash]),
    (last, last_path): (u64, &[Hash]),
    size: u64,
    leaves: &mut dyn Iterator<Item = Hash>,
) -> Option<Hash> {
    if first > last || last >= size {
        return None;
    }
    let left = siblings(first, size).into_iter().zip(first_path.iter().copied());
    let right = siblings(last, size).into_iter().zip(last_path.iter().copied());
    let known: BTreeMap<(u64, u64), Hash> = left
        .filter(|((_, end), _)| *end <= first)
        .chain(right.filter(|((start, _), _)| *start > last))
        .collect();
    let mut around = Around { first, last, known, leaves };
    let root = around.root(0, size)?;
    around.leaves.next().is_none().then_some(root)
}

struct Around<'a> {
    first: u64,
    last: u64,
    known: BTreeMap<(u64, u64), Hash>,
    leaves: &'a mut dyn Iterator<Item = Hash>,
}

impl Around<'_> {
    /// At most 63 deep.
    fn root(&mut self, start: u64, end: u64) -> Option<Hash> {
        if end <= self.first || start > self.last {
            return self.known.get(&(start, end)).copied();
        }
        if end - start == 1 {
            return self.leaves.next();
        }
        let middle = start + split(end - start);
        let left = self.root(start, middle)?;
        Some(node_hash(&left, &self.root(middle, end)?))
    }
}

/// The largest power of two smaller than `n` (`n` ≥ 2).
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// Does `proof` lead from `leaf` at `index` to `root` of `size` leaves? RFC 9162 §2.1.3.2.
pub fn verify_inclusion(proof: &[Hash], index: u64, size: u64, leaf: &Hash, root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut fnode, mut snode) = (index, size - 1);
    let mut reached = *leaf;
    for step in proof {
        if snode == 0 {
            return false;
        }
        if fnode & 1 == 1 || fnode == snode {
            reached = node_hash(step, &reached);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            reached = node_hash(&reached, step);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    snode == 0 && reached == *root
}

/// Is the tree `(old, old_root)` a prefix of `(new, new_root)`? RFC 9162 §2.1.4.2; an empty
/// tree is a prefix of every tree and needs an empty proof.
pub fn verify_consistency(proof: &[Hash], old: u64, old_root: &Hash, new: u64, new_root: &Hash) -> bool {
    if old > new {
        return false;
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return proof.is_empty() && *old_root == empty_root();
    }
    let mut steps = proof.iter();
    let first = if old.is_power_of_two() { Some(old_root) } else { steps.next() };
    let Some(first) = first else { return false };
    let (mut fnode, mut snode) = (old - 1, new - 1);
    while fnode & 1 == 1 {
        fnode >>= 1;
        snode >>= 1;
    }
    let (mut from_old, mut from_new) = (*first, *first);
    for step in steps {
        if snode == 0 {
            return false;
        }
        if fnode & 1 == 1 || fnode == snode {
            from_old = node_hash(step, &from_old);
            from_new = node_hash(step, &from_new);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            from_new = node_hash(&from_new, step);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    snode == 0 && from_old == *old_root && from_new == *new_root
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;
    use tlog_tiles::tlog;

    use super::*;

    /// All leaf hashes in memory; subtrees by plain recursion.
    struct Plain(Vec<Hash>);

    impl Subtrees for Plain {
        type Fault = Infallible;
        fn subtree(&self, level: u32, index: u64) -> Result<Hash, Infallible> {
            let width = 1_usize << level;
            let start = index as usize * width;
            Ok(root_of(&self.0[start..start + width]))
        }
    }

    fn leaves(n: u64) -> Plain {
        Plain((0..n).map(|i| leaf_hash(i.to_string().as_bytes())).collect())
    }

    fn oracle_root(plain: &Plain) -> Hash {
        let mut stored: Vec<tlog::Hash> = Vec::new();
        for (n, hash) in plain.0.iter().enumerate() {
            let more =
                tlog::stored_hashes_for_record_hash(n as u64, tlog::Hash(*hash), &Stored(&stored)).unwrap();
            stored.extend(more);
        }
        tlog::tree_hash(plain.0.len() as u64, &Stored(&stored)).unwrap().0
    }

    struct Stored<'a>(&'a [tlog::Hash]);
    impl tlog::HashReader for Stored<'_> {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
            Ok(indexes.iter().map(|i| self.0[*i as usize]).collect())
        }
    }

    #[test]
    fn known_vectors_hold() {
        let hash = |entry: &str| hex::encode(leaf_hash(entry.as_bytes()));
        assert_eq!(hash(""), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        let three = ["", "a", "b"].map(|e| leaf_hash(e.as_bytes()));
        assert_eq!(
            hex::encode(root_of(&three)),
            "652297b9504045a600942bcdf9ae5c2400be42d51139c7fb63ab3ee439ff110d"
        );
        assert_eq!(
            hex::encode(empty_root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn every_root_and_proof_up_to_300_leaves_is_right_and_the_foreign_crate_agrees() {
        let plain = leaves(300);
        let mut roots = vec![empty_root()];
        for size in 1..=300_u64 {
            let root_now = root(&plain, size).unwrap();
            assert_eq!(root_now, root_of(&plain.0[..size as usize]));
            roots.push(root_now);
            let foreign_root = tlog::Hash(root_now);
            for index in [0, size / 3, size / 2, size - 1] {
                let proof = inclusion_proof(&plain, index, size).unwrap().unwrap();
                let leaf = &plain.0[index as usize];
                assert!(verify_inclusion(&proof, index, size, leaf, &root_now));
                let foreign: Vec<_> = proof.iter().copied().map(tlog::Hash).collect();
                tlog::check_record(&foreign, size, foreign_root, index, tlog::Hash(*leaf)).unwrap();
            }
            for old in [0, 1, size / 4, size / 2, size - 1, size] {
                let proof = consistency_proof(&plain, old, size).unwrap().unwrap();
                let old_root = &roots[old as usize];
                assert!(verify_consistency(&proof, old, old_root, size, &root_now), "{old}→{size}");
                if old > 0 {
                    let foreign: Vec<_> = proof.iter().copied().map(tlog::Hash).collect();
                    tlog::check_tree(&foreign, size, foreign_root, old, tlog::Hash(*old_root)).unwrap();
                }
            }
        }
        assert_eq!(roots[300], oracle_root(&plain));
    }

    #[test]
    fn two_proofs_prove_a_run_and_one_leaf_more_or_less_or_changed_does_not() {
        for size in [1, 2, 7, 64, 65, 100] {
            let plain = leaves(size);
            let whole = root(&plain, size).unwrap();
            for (first, last) in
                [(0, size - 1), (size / 2, size - 1), (size / 3, size / 2), (size / 2, size / 2)]
            {
                let path = |index| inclusion_proof(&plain, index, size).unwrap().unwrap();
                let (left, right) = (path(first), path(last));
                let run = &plain.0[first as usize..=last as usize];
                let around = |run: &[Hash]| {
                    root_around((first, &left), (last, &right), size, &mut run.iter().copied())
                };
                assert_eq!(around(run), Some(whole), "{first}..={last} of {size}");
                assert_eq!(around(&run[1..]), None);
                assert_eq!(around(&[run, run].concat()), None);
                let mut changed = run.to_vec();
                changed[0][0] ^= 1;
                assert_ne!(around(&changed), Some(whole));
                changed.reverse();
                assert_ne!(around(&changed), Some(whole));
            }
        }
        assert_eq!(root_around((0, &[]), (1, &[]), 1, &mut std::iter::empty()), None);
    }

    #[test]
    fn there_is_no_proof_beyond_the_tree() {
        let plain = leaves(3);
        assert_eq!(inclusion_proof(&plain, 3, 3).unwrap(), None);
        assert_eq!(consistency_proof(&plain, 4, 3).unwrap(), None);
        assert!(!verify_inclusion(&[], 0, 0, &Hash::default(), &empty_root()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn a_proof_with_one_bit_changed_is_refused(size in 2_u64..300, pick in any::<u64>(), bit in 0_usize..256) {
            let plain = leaves(size);
            let whole = root(&plain, size).unwrap();
            let index = pick % size;
            let mut proof = inclusion_proof(&plain, index, size).unwrap().unwrap();
            let at = pick as usize % proof.len();
            proof[at][bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verify_inclusion(&proof, index, size, &plain.0[index as usize], &whole));
        }

        #[test]
        fn a_proof_for_another_place_or_length_is_refused(size in 2_u64..300, pick in any::<u64>()) {
            let plain = leaves(size);
            let whole = root(&plain, size).unwrap();
            let index = pick % size;
            let leaf = &plain.0[index as usize];
            let mut proof = inclusion_proof(&plain, index, size).unwrap().unwrap();
            prop_assert!(!verify_inclusion(&proof, (index + 1) % size, size, leaf, &whole));
            proof.push(whole);
            prop_assert!(!verify_inclusion(&proof, index, size, leaf, &whole));
            proof.truncate(proof.len() - 2);
            prop_assert!(!verify_inclusion(&proof, index, size, leaf, &whole));
        }

        #[test]
        fn a_forked_history_is_refused(size in 2_u64..200, pick in any::<u64>()) {
            let plain = leaves(size);
            let old = 1 + pick % (size - 1);
            let mut forked = leaves(old);
            let last = forked.0.len() - 1;
            forked.0[last] = leaf_hash(b"another");
            let proof = consistency_proof(&plain, old, size).unwrap().unwrap();
            let whole = root(&plain, size).unwrap();
            prop_assert!(!verify_consistency(&proof, old, &root(&forked, old).unwrap(), size, &whole));
        }
    }
}
