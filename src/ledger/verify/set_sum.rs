//! A sum of hashes over what an index holds: equal for equal sets, whatever their order, so that an
//! index and what it was derived from can be read once each and compared in 32 octets.

use super::super::evidence::TOKEN_BYTES;
use super::super::tree::sha256;

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SetSum([u64; 4]);

impl SetSum {
    pub fn add(&mut self, day: i64, token: &[u8; TOKEN_BYTES], index: u64) {
        let mut bytes = [0; 8 + TOKEN_BYTES + 8];
        let parts = day.to_be_bytes().into_iter().chain(*token).chain(index.to_be_bytes());
        bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        let hash = sha256(&bytes);
        for (sum, part) in self.0.iter_mut().zip(hash.as_chunks::<8>().0) {
            *sum = sum.wrapping_add(u64::from_be_bytes(*part));
        }
    }
}
