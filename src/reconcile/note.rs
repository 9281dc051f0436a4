//! The note that both sides sign: what they agree to have exchanged in a window.
//!
//! ```text
//! exchange-recon/v1
//! 331083 421202                  both regions, the smaller code first
//! 1900000020 1900000080          [from, to)
//! 1042                           answered exchanges
//! <base64 of the root>
//!
//! — tongban/331083/2030h1 …      the one who asked, then the one who answered
//! — tongban/421202/2030h1 …
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::window::Window;
use crate::domain::Region;
use crate::ledger::note::{Note, NoteFault, Vkey};
use crate::ledger::tree::Hash;
use crate::ledger::{RECONCILIATION, Shard, origin};

/// What a note says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    pub regions: (Region, Region),
    pub window: Window,
    pub count: u64,
    pub root: Hash,
}

/// Why a signed note is not what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementFault {
    #[error("the note {0}")]
    Note(#[from] NoteFault),
    #[error("the note says something else")]
    Text,
    #[error("the card has no ledger key")]
    NoKey,
}

impl Statement {
    pub fn of(me: Region, peer: Region, window: Window, count: u64, root: Hash) -> Self {
        let regions = if me.as_str() <= peer.as_str() { (me, peer) } else { (peer, me) };
        Self { regions, window, count, root }
    }

    pub fn text(&self) -> String {
        let (first, second) = &self.regions;
        let Window { from, to } = self.window;
        let root = STANDARD.encode(self.root);
        format!("{RECONCILIATION}\n{first} {second}\n{from} {to}\n{}\n{root}\n", self.count)
    }

    /// Says the note this, signed by `region` with the ledger key of its card?
    ///
    /// A signature's name is the log that its owner writes when it signs; a card may still name
    /// the log before.
    pub fn check(&self, note: &[u8], region: Region, vkey: Option<&str>) -> Result<(), StatementFault> {
        let card = vkey.and_then(|text| Vkey::parse(text).ok()).ok_or(StatementFault::NoKey)?;
        let note = Note::parse(note)?;
        if note.text() != self.text() {
            return Err(StatementFault::Text);
        }
        let of_region = |name: &str| {
            let shard = name.rsplit('/').next().and_then(Shard::parse)?;
            (origin(region, shard) == name).then(|| Vkey::new(name, *card.public())).flatten()
        };
        let known: Vec<Vkey> = note.signatures().iter().filter_map(|line| of_region(&line.name)).collect();
        note.verify(&known.iter().collect::<Vec<_>>())?;
        Ok(())
    }
}

/// One note with the signatures of two that say the same.
pub fn joined(first: &[u8], second: &[u8]) -> Option<Vec<u8>> {
    let at = second.windows(2).rposition(|pair| pair == b"\n\n")? + 2;
    let mut bytes = first.to_vec();
    bytes.extend_from_slice(second.get(at..)?);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::LedgerKey;
    use crate::reconcile::{Item, Outcome, root};

    fn region(code: &str) -> Region {
        Region::parse(code).unwrap()
    }

    fn statement() -> Statement {
        let items =
            [7_u8, 9].map(|n| Item { x: [n; 16], rq: [n + 1; 32], rd: [n + 2; 32], outcome: Outcome::Done });
        let window = Window { from: 1_900_000_020, to: 1_900_000_080 };
        Statement::of(region("421202"), region("331083"), window, 2, root(&items))
    }

    #[test]
    fn root_and_note_of_fixed_items_are_these_bytes() {
        // Computed elsewhere (hashlib, cryptography): SHA-256(0x01 ‖ SHA-256(0x00 ‖ item 7) ‖ SHA-256(0x00 ‖ item 9)).
        assert_eq!(
            statement().text(),
            "exchange-recon/v1\n331083 421202\n1900000020 1900000080\n2\niYd4ZlKHHhxJGjzYk8M208lJ92OWvaKn4njI7vEJHj8=\n"
        );
        let key = LedgerKey::from_seed(&[1; 32]).unwrap();
        let note = key.sign_note(&statement().text(), "tongban/331083/2030h1").unwrap();
        assert_eq!(
            String::from_utf8(note).unwrap().lines().last().unwrap(),
            "— tongban/331083/2030h1 b243MzzPcG/PGoRxYw2DOxCaNw6nH6o4urhgLGRuidSmK0B7745se1ypYg4k1t1Ra96CZMNvgmKxk2mmcK0tJz/H6AI="
        );
        // Nothing exchanged: the root of the empty tree.
        assert_eq!(
            hex::encode(root(&[])),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn both_signatures_stand_under_one_text() {
        let (a, b) = (LedgerKey::from_seed(&[1; 32]).unwrap(), LedgerKey::from_seed(&[2; 32]).unwrap());
        let text = statement().text();
        let first = a.sign_note(&text, "tongban/331083/2030h1").unwrap();
        let second = b.sign_note(&text, "tongban/421202/2030h1").unwrap();
        let both = joined(&first, &second).unwrap();
        // The card may still name the half-year before.
        let (a, b) = (a.vkey("tongban/331083/2029h2").unwrap(), b.vkey("tongban/421202/2030h1").unwrap());
        let (a, b) = (a.to_string(), b.to_string());
        assert_eq!(statement().check(&both, region("331083"), Some(&a)), Ok(()));
        assert_eq!(statement().check(&both, region("421202"), Some(&b)), Ok(()));
        let unsigned = StatementFault::Note(NoteFault::Unsigned);
        assert_eq!(statement().check(&first, region("421202"), Some(&b)), Err(unsigned));
        let bad = StatementFault::Note(NoteFault::Unsigned);
        assert_eq!(statement().check(&both, region("331083"), Some(&b)), Err(bad));
        assert_eq!(statement().check(&both, region("331083"), None), Err(StatementFault::NoKey));
        let other = Statement { count: 3, ..statement() };
        assert_eq!(other.check(&both, region("331083"), Some(&a)), Err(StatementFault::Text));
    }
}
