//! Which bytes of a file a request brings (`Content-Range`, RFC 9110 §14.4–14.5).

use super::LARGEST_MATERIAL;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// All of them, from the start; what was here of it is replaced.
    Whole,
    /// None: how much is here? (`bytes */total` and an empty body)
    Ask { total: u64 },
    /// `bytes first-last/total`.
    Range { first: u64, last: u64, total: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PieceFault {
    #[error("it is not bytes first-last/total")]
    Syntax,
    #[error("the total is larger than a material may be")]
    TooLarge,
}

impl Piece {
    /// Reads a `Content-Range`. The total must be known: it says which piece is the last.
    pub fn parse(header: &str) -> Result<Self, PieceFault> {
        let (unit, rest) = header.split_once(' ').ok_or(PieceFault::Syntax)?;
        let (range, total) = rest.split_once('/').ok_or(PieceFault::Syntax)?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return Err(PieceFault::Syntax);
        }
        let total = number(total).ok_or(PieceFault::Syntax)?;
        let piece = if range == "*" {
            Self::Ask { total }
        } else {
            let (first, last) = range.split_once('-').ok_or(PieceFault::Syntax)?;
            let (first, last) = number(first).zip(number(last)).ok_or(PieceFault::Syntax)?;
            if first > last || last >= total {
                return Err(PieceFault::Syntax);
            }
            Self::Range { first, last, total }
        };
        if total > LARGEST_MATERIAL {
            return Err(PieceFault::TooLarge);
        }
        Ok(piece)
    }

    /// The whole file's length, where the piece says it.
    pub fn total(&self) -> Option<u64> {
        match self {
            Self::Whole => None,
            Self::Ask { total } | Self::Range { total, .. } => Some(*total),
        }
    }

    /// How many bytes the request brings, where the piece says it.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Self::Whole => None,
            Self::Ask { .. } => Some(0),
            Self::Range { first, last, .. } => Some(last - first + 1),
        }
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = (1..=15).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_one_piece_of_a_known_whole() {
        assert_eq!(Piece::parse("bytes 0-99/200"), Ok(Piece::Range { first: 0, last: 99, total: 200 }));
        assert_eq!(Piece::parse("Bytes 199-199/200").map(|p| p.bytes()), Ok(Some(1)));
        assert_eq!(Piece::parse("bytes */0"), Ok(Piece::Ask { total: 0 }));
        for odd in [
            "",
            "bytes",
            "bytes 0-99",
            "bytes 0-99/*",
            "bytes 9-3/10",
            "bytes 0-10/10",
            "items 0-1/2",
            "bytes -1/2",
            "bytes +0-1/2",
            "bytes 0-1/99999999999999999999",
        ] {
            assert_eq!(Piece::parse(odd), Err(PieceFault::Syntax), "{odd}");
        }
        let most = LARGEST_MATERIAL;
        assert!(Piece::parse(&format!("bytes */{most}")).is_ok());
        assert_eq!(Piece::parse(&format!("bytes */{}", most + 1)), Err(PieceFault::TooLarge));
    }
}
