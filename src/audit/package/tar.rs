//! A tar archive with one spelling: ustar, mode 0644, owner nobody, time 0. So that the same
//! package has the same bytes wherever and whenever it is made, and any changed octet of it is
//! told, padding included.

use std::io::{self, Write};

/// Octets of a header and of what contents are padded to.
pub const BLOCK: usize = 512;
/// Octets of a name in a header.
const LONGEST_NAME: usize = 100;
/// Octets of the largest member: eleven octal digits.
pub const LARGEST_MEMBER: u64 = (1 << 33) - 1;

/// The one header for a member; `None` when name or size do not fit.
pub fn header(name: &str, size: u64) -> Option<[u8; BLOCK]> {
    if name.is_empty() || name.len() > LONGEST_NAME || !name.is_ascii() || size > LARGEST_MEMBER {
        return None;
    }
    let mut text = Vec::with_capacity(BLOCK);
    text.extend_from_slice(name.as_bytes());
    text.resize(LONGEST_NAME, 0);
    // Mode, user, group, size, time, checksum (as spaces while it is summed), a plain file.
    text.extend_from_slice(b"0000644\x000000000\x000000000\x00");
    text.extend_from_slice(format!("{size:011o}\0").as_bytes());
    text.extend_from_slice(b"00000000000\0        0");
    text.resize(257, 0);
    text.extend_from_slice(b"ustar\x0000");
    text.resize(329, 0);
    text.extend_from_slice(b"0000000\x000000000\x00");
    text.resize(BLOCK, 0);
    let sum: u32 = text.iter().map(|octet| u32::from(*octet)).sum();
    let mut block: [u8; BLOCK] = text.try_into().ok()?;
    block.get_mut(148..156)?.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Some(block)
}

/// Name and size that a header gives, if it is the header this module writes for them.
pub fn read_header(block: &[u8; BLOCK]) -> Option<(String, u64)> {
    let name = block.get(..LONGEST_NAME)?.split(|octet| *octet == 0).next()?;
    let name = std::str::from_utf8(name).ok()?;
    let digits = std::str::from_utf8(block.get(124..135)?).ok()?;
    let size = u64::from_str_radix(digits, 8).ok()?;
    (header(name, size)?.as_slice() == block).then(|| (name.to_owned(), size))
}

/// Zeros behind a member of `size` octets.
pub const fn padding(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

/// Writes an archive, member by member.
pub struct Archive<'a> {
    to: &'a mut dyn Write,
}

impl<'a> Archive<'a> {
    pub fn new(to: &'a mut dyn Write) -> Self {
        Self { to }
    }

    /// One member: `write` must give exactly `size` octets.
    pub fn member<F: From<io::Error>>(
        &mut self,
        name: &str,
        size: u64,
        write: impl FnOnce(&mut dyn Write) -> Result<(), F>,
    ) -> Result<(), F> {
        let header = header(name, size).ok_or(io::Error::from(io::ErrorKind::InvalidInput))?;
        self.to.write_all(&header)?;
        let mut counted = Counted { to: self.to, left: size };
        write(&mut counted)?;
        if counted.left != 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let zeros = [0; BLOCK];
        let padding = usize::try_from(padding(size)).unwrap_or(0);
        self.to.write_all(zeros.get(..padding).unwrap_or_default())?;
        Ok(())
    }

    pub fn end(self) -> io::Result<()> {
        self.to.write_all(&[0; 2 * BLOCK])?;
        self.to.flush()
    }
}

/// Stops a member that is longer than its header says.
struct Counted<'a> {
    to: &'a mut dyn Write,
    left: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let written = self.to.write(bytes)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        for (name, content) in members {
            archive.member::<io::Error>(name, content.len() as u64, |to| to.write_all(content)).unwrap();
        }
        archive.end().unwrap();
        bytes
    }

    #[test]
    fn the_systems_tar_lists_and_unpacks_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar");
        std::fs::write(&path, archive(&[("one.txt", b"1"), ("deep/two.txt", &[b'2'; 513])])).unwrap();
        let ran = std::process::Command::new("tar").arg("-xf").arg(&path).current_dir(dir.path()).status();
        assert!(ran.unwrap().success());
        assert_eq!(std::fs::read(dir.path().join("one.txt")).unwrap(), b"1");
        assert_eq!(std::fs::read(dir.path().join("deep/two.txt")).unwrap(), [b'2'; 513]);
    }

    #[test]
    fn a_header_reads_back_and_no_octet_of_it_may_differ() {
        let block = header("leaves.jsonl", 4711).unwrap();
        assert_eq!(read_header(&block), Some(("leaves.jsonl".to_owned(), 4711)));
        for at in 0..BLOCK {
            let mut changed = block;
            changed[at] ^= 1;
            assert_eq!(read_header(&changed), None, "{at}");
        }
        assert!(header("", 0).is_none() && header(&"n".repeat(101), 0).is_none());
        assert!(header("n", LARGEST_MEMBER + 1).is_none() && header("文", 0).is_none());
    }

    #[test]
    fn a_member_of_another_length_than_its_header_is_an_error() {
        for content in ["12", "1234"] {
            let mut bytes = Vec::new();
            let mut archive = Archive::new(&mut bytes);
            let written = archive.member::<io::Error>("n", 3, |to| to.write_all(content.as_bytes()));
            assert!(written.is_err(), "{content}");
        }
    }
}
