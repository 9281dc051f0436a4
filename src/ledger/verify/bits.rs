//! A set of leaves of one month, one bit each: a million in 125 KiB.

/// One bit a leaf of a month.
#[derive(Default)]
pub(super) struct Bits {
    base: u64,
    words: Vec<u64>,
}

impl Bits {
    pub fn set(&mut self, index: u64) {
        if self.words.is_empty() {
            self.base = index & !63;
        }
        let Some(at) = index.checked_sub(self.base) else { return };
        let word = usize::try_from(at / 64).unwrap_or(usize::MAX);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        if let Some(word) = self.words.get_mut(word) {
            *word |= 1 << (at % 64);
        }
    }

    pub fn has(&self, index: u64) -> bool {
        let Some(at) = index.checked_sub(self.base) else { return false };
        let word = usize::try_from(at / 64).ok().and_then(|word| self.words.get(word));
        word.is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    pub fn last(&self) -> Option<u64> {
        let at = self.words.iter().rposition(|word| *word != 0)?;
        let word = self.words.get(at)?;
        Some(self.base + at as u64 * 64 + u64::from(63 - word.leading_zeros()))
    }

    pub fn iter(&self) -> impl Iterator<Item = u64> {
        (self.base..).step_by(64).zip(&self.words).flat_map(|(base, word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| base + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_tells_its_members_in_order() {
        let mut bits = Bits::default();
        assert!(!bits.has(7) && bits.last().is_none());
        for index in [1_000_003, 1_000_064, 1_000_300] {
            bits.set(index);
        }
        assert_eq!(bits.iter().collect::<Vec<_>>(), [1_000_003, 1_000_064, 1_000_300]);
        assert!(bits.has(1_000_064) && !bits.has(1_000_065) && !bits.has(3));
        assert_eq!(bits.last(), Some(1_000_300));
    }
}
