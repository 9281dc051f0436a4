use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use http_body_util::BodyExt as _;
use proptest::prelude::*;

use super::coming::{LIMITS, Limits};
use super::*;
use crate::clock::Now;

const NOON: Now = Now::from_secs(1_900_000_000);
const LIFE: i64 = 24 * 3600;

fn region(code: &str) -> Region {
    Region::parse(code).unwrap()
}

struct Home {
    root: tempfile::TempDir,
    shelf: Shelf,
}

/// Bytes that no two places of have alike.
fn file(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8 ^ (at / 251) as u8).collect()
}

fn arrival(digest: MaterialDigest, piece: Piece) -> Arrival {
    Arrival { depositor: Depositor::Local, digest, piece, bytes: None, body: None }
}

fn range(first: usize, last: usize, total: usize) -> Piece {
    Piece::Range { first: first as u64, last: last as u64, total: total as u64 }
}

impl Home {
    fn new() -> Self {
        Self::with(LIMITS)
    }

    fn with(limits: Limits) -> Self {
        let root = tempfile::tempdir().unwrap();
        let shelf = Shelf::with_limits(&root.path().join("materials"), NOON, limits).unwrap();
        Self { root, shelf }
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join("materials")
    }

    /// As after a kill: nothing but the disk is left.
    fn restart(&mut self) {
        self.shelf = Shelf::open(&self.folder(), NOON).unwrap();
    }

    /// The names of everything below the folder that is a file.
    fn files(&self) -> Vec<String> {
        fn below(folder: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    below(&path, found);
                } else {
                    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
                    found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        let mut found = Vec::new();
        below(&self.folder(), &mut found);
        found
    }

    async fn begin(&self, arrival: Arrival) -> Deposit {
        match self.shelf.begin(arrival, NOON).await {
            Ok(Begun::Deposit(deposit)) => deposit,
            Ok(Begun::Already) => panic!("already here"),
            Ok(Begun::SoFar { have }) => panic!("{have} bytes here"),
            Err(fault) => panic!("{fault}"),
        }
    }

    async fn bring(&self, arrival: Arrival, bytes: &[u8]) -> Result<Received, MaterialFault> {
        let mut deposit = self.begin(arrival).await;
        for piece in bytes.chunks(10_000) {
            deposit.take(piece).await?;
        }
        deposit.end().await
    }

    async fn refused(&self, arrival: Arrival) -> MaterialFault {
        match self.shelf.begin(arrival, NOON).await {
            Err(fault) => fault,
            Ok(_) => panic!("it was not refused"),
        }
    }

    async fn have(&self, digest: MaterialDigest, total: usize) -> u64 {
        match self.shelf.begin(arrival(digest, Piece::Ask { total: total as u64 }), NOON).await {
            Ok(Begun::SoFar { have }) => have,
            _ => panic!("neither a part nor nothing"),
        }
    }

    async fn content(&self, digest: &MaterialDigest, first: u64) -> Vec<u8> {
        let pieces = self.shelf.read(digest).await.unwrap().pieces_from(first).unwrap();
        pieces.collect().await.unwrap().to_bytes().to_vec()
    }
}

#[tokio::test]
async fn a_file_comes_and_is_read_again() {
    for length in [0, 1, 64 * 1024, 300_000] {
        let (home, bytes) = (Home::new(), file(length));
        let digest = MaterialDigest::of(&bytes);
        assert!(!home.shelf.has(&digest));
        assert_eq!(home.shelf.read(&digest).await.unwrap_err(), MaterialFault::NotHere);
        let received = home.bring(arrival(digest, Piece::Whole), &bytes).await;
        assert_eq!(received, Ok(Received::Whole { bytes: length as u64 }));
        assert_eq!(home.shelf.find(&digest), Some(length as u64));
        assert_eq!(home.files(), [digest.to_string()]);
        assert_eq!(home.content(&digest, 0).await, bytes);
        assert_eq!(home.content(&digest, length as u64 / 2).await, bytes[length / 2..]);
        assert!(matches!(home.shelf.begin(arrival(digest, Piece::Whole), NOON).await, Ok(Begun::Already)));
        assert!(home.shelf.discard(&digest).unwrap());
        assert!(!home.shelf.discard(&digest).unwrap());
        assert!(home.files().is_empty());
    }
}

#[tokio::test]
async fn folders_are_the_owners_alone() {
    let (home, bytes) = (Home::new(), file(10));
    home.bring(arrival(MaterialDigest::of(&bytes), Piece::Whole), &bytes).await.unwrap();
    let name = MaterialDigest::of(&bytes).to_string();
    for folder in ["", "coming", "coming/local", &name[..2]] {
        let mode = home.folder().join(folder).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{folder}");
    }
}

#[tokio::test]
async fn other_bytes_than_the_name_says_are_dropped() {
    let (home, bytes) = (Home::new(), file(200_000));
    let digest = MaterialDigest::of(&bytes);
    let mut other = bytes.clone();
    other[150_000] ^= 1;
    assert_eq!(home.bring(arrival(digest, Piece::Whole), &other).await, Err(MaterialFault::OtherDigest));
    assert!(home.files().is_empty());
    // And the true ones are still welcome.
    assert!(home.bring(arrival(digest, Piece::Whole), &bytes).await.is_ok());
}

#[tokio::test]
async fn a_cut_transfer_goes_on_after_a_kill() {
    let (mut home, bytes) = (Home::new(), file(400_000));
    let digest = MaterialDigest::of(&bytes);
    let mut deposit = home.begin(arrival(digest, Piece::Whole)).await;
    deposit.take(&bytes[..300_000]).await.unwrap();
    drop(deposit);
    home.restart();
    let have = home.have(digest, 400_000).await;
    assert!((1..=300_000).contains(&have), "{have}");
    let have = have as usize;
    // A gap is told with the place to go on at, and changes nothing.
    let gap = home.refused(arrival(digest, range(have + 1, 399_999, 400_000))).await;
    assert_eq!(gap, MaterialFault::Gap { have: have as u64 });
    // An overlap is passed over; a piece that is not the last says how far it is.
    let received =
        home.bring(arrival(digest, range(have - 10, have + 9, 400_000)), &bytes[have - 10..have + 10]);
    assert_eq!(received.await, Ok(Received::SoFar { have: have as u64 + 10 }));
    let rest = home.bring(arrival(digest, range(have + 10, 399_999, 400_000)), &bytes[have + 10..]);
    assert_eq!(rest.await, Ok(Received::Whole { bytes: 400_000 }));
    assert_eq!(home.content(&digest, 0).await, bytes);
}

#[tokio::test]
async fn a_kill_before_the_end_leaves_only_the_end_to_come() {
    let (mut home, bytes) = (Home::new(), file(1000));
    let digest = MaterialDigest::of(&bytes);
    let mut deposit = home.begin(arrival(digest, Piece::Whole)).await;
    deposit.take(&bytes).await.unwrap();
    deposit.write().await.unwrap();
    drop(deposit);
    home.restart();
    let asked = home.begin(arrival(digest, Piece::Ask { total: 1000 })).await;
    assert_eq!(asked.end().await, Ok(Received::Whole { bytes: 1000 }));
}

#[tokio::test]
async fn a_spoilt_part_costs_one_attempt() {
    let (mut home, bytes) = (Home::new(), file(1000));
    let digest = MaterialDigest::of(&bytes);
    let part = home.folder().join(format!("coming/local/{digest}.part"));
    for spoilt in [&[0_u8; 500][..], &[0; 2000], &[0; 1000]] {
        fs::create_dir_all(part.parent().unwrap()).unwrap();
        fs::write(&part, spoilt).unwrap();
        fs::set_permissions(&part, fs::Permissions::from_mode(0o600)).unwrap();
        home.restart();
        let first = if spoilt.len() > 1000 { 0 } else { spoilt.len().min(999) };
        let received = home.bring(arrival(digest, range(first, 999, 1000)), &bytes[first..]).await;
        if spoilt.len() <= 1000 {
            assert_eq!(received, Err(MaterialFault::OtherDigest));
            assert!(home.files().is_empty());
        } else {
            assert_eq!(received, Ok(Received::Whole { bytes: 1000 }), "more than all is none of it");
            home.shelf.discard(&digest).unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_as_early_as_it_is_known() {
    let home = Home::new();
    let digest = MaterialDigest::of(b"x");
    let whole = arrival(digest, Piece::Whole);
    let by_header = Arrival { body: Some(LARGEST_MATERIAL + 1), ..whole };
    assert_eq!(home.refused(by_header).await, MaterialFault::TooLarge);
    let announced = Arrival { bytes: Some(9), ..whole };
    assert_eq!(home.refused(Arrival { body: Some(10), ..announced }).await, MaterialFault::TooLarge);
    let piece = Arrival { piece: range(0, 4, 10), ..announced };
    assert_eq!(home.refused(piece).await, MaterialFault::TooLarge);
    assert!(home.files().is_empty(), "nothing was begun");
    // Nobody said a length: the tenth byte is one too many, and nothing stays.
    assert_eq!(home.bring(announced, &file(10)).await, Err(MaterialFault::TooLarge));
    assert!(home.files().is_empty());
}

#[tokio::test]
async fn a_length_that_the_application_does_not_say_is_refused() {
    let home = Home::new();
    let bytes = file(10);
    let digest = MaterialDigest::of(&bytes);
    let announced = Arrival { bytes: Some(11), ..arrival(digest, Piece::Whole) };
    assert_eq!(home.refused(Arrival { body: Some(10), ..announced }).await, MaterialFault::OtherLength);
    assert_eq!(home.bring(announced, &bytes).await, Err(MaterialFault::OtherLength));
    assert!(home.files().is_empty());
    let piece = Arrival { piece: range(0, 4, 11), body: Some(4), ..announced };
    assert_eq!(home.refused(piece).await, MaterialFault::OtherRange);
    let piece = Arrival { body: None, ..piece };
    assert_eq!(home.bring(piece, &bytes).await, Err(MaterialFault::OtherRange));
}

#[tokio::test]
async fn the_newest_transfer_of_a_file_writes_it_and_the_one_before_spoils_nothing() {
    let (home, bytes) = (Home::new(), file(600_000));
    let digest = MaterialDigest::of(&bytes);
    let mut old = home.begin(arrival(digest, Piece::Whole)).await;
    old.take(&bytes[..200_000]).await.unwrap();
    let mut new = home.begin(arrival(digest, Piece::Whole)).await;
    new.take(&bytes[..300_000]).await.unwrap();
    assert_eq!(old.take(&[0; 200_000]).await, Err(MaterialFault::TakenOver));
    assert_eq!(old.end().await, Err(MaterialFault::TakenOver));
    // Asking how far it is takes nothing over.
    assert!(home.have(digest, 600_000).await > 0);
    new.take(&bytes[300_000..]).await.unwrap();
    assert_eq!(new.end().await, Ok(Received::Whole { bytes: 600_000 }));
    assert_eq!(home.content(&digest, 0).await, bytes);
}

#[tokio::test]
async fn depositors_do_not_meet() {
    let (home, bytes) = (Home::new(), file(300_000));
    let digest = MaterialDigest::of(&bytes);
    let of = |code| Arrival { depositor: Depositor::Partner(region(code)), ..arrival(digest, Piece::Whole) };
    let (mut one, mut two) = (home.begin(of("331083")).await, home.begin(of("371602")).await);
    one.take(&bytes[..250_000]).await.unwrap();
    assert_eq!(home.have(digest, 300_000).await, 0, "nobody learns how far another is");
    two.take(&bytes).await.unwrap();
    one.take(&bytes[250_000..]).await.unwrap();
    assert_eq!(two.end().await, Ok(Received::Whole { bytes: 300_000 }));
    assert_eq!(one.end().await, Ok(Received::Whole { bytes: 300_000 }));
    assert_eq!(home.files(), [digest.to_string()]);
}

#[tokio::test]
async fn one_depositor_cannot_take_every_place() {
    let home = Home::with(Limits { transfers: 2, ..LIMITS });
    let [one, two, three] = [b"1", b"2", b"3"].map(|bytes| arrival(MaterialDigest::of(bytes), Piece::Whole));
    let first = home.begin(one).await;
    let _second = home.begin(two).await;
    assert_eq!(home.shelf.coming(), 2);
    assert_eq!(home.refused(three).await, MaterialFault::TooMany);
    let partner = Depositor::Partner(region("331083"));
    let _others = home.begin(Arrival { depositor: partner, ..three }).await;
    drop(first);
    home.begin(three).await;
}

#[tokio::test]
async fn what_was_begun_and_left_makes_room() {
    let home = Home::with(Limits { parts: 2, ..LIMITS });
    let names = [b"1", b"2", b"3"].map(|bytes| MaterialDigest::of(bytes));
    for (minute, name) in names.iter().enumerate() {
        let now = Now::from_secs(NOON.secs() + 60 * minute as i64);
        let Ok(Begun::Deposit(mut deposit)) = home.shelf.begin(arrival(*name, range(0, 8, 10)), now).await
        else {
            panic!("refused")
        };
        deposit.take(b"123456789").await.unwrap();
        deposit.end().await.unwrap();
    }
    let left: Vec<_> = home.files();
    assert_eq!(left.len(), 2);
    assert!(!left.contains(&format!("{}.part", names[0])), "the oldest is gone");
    // After a day the rest is gone too, but not what is under way.
    let under_way = home.begin(arrival(names[2], range(9, 9, 10))).await;
    let day_later = Now::from_secs(NOON.secs() + LIFE + 61);
    assert_eq!(home.shelf.sweep(Now::from_secs(NOON.secs() + LIFE - 1)).await, 0);
    assert_eq!(home.shelf.sweep(day_later).await, 1);
    drop(under_way);
    assert_eq!(home.shelf.sweep(day_later).await, 1);
    assert!(home.files().is_empty());
}

#[tokio::test]
async fn a_question_about_nothing_leaves_nothing() {
    let home = Home::with(Limits { parts: 1, ..LIMITS });
    let kept = MaterialDigest::of(b"kept");
    home.bring(arrival(kept, range(0, 0, 10)), b"k").await.unwrap();
    for at in 0..5_u8 {
        assert_eq!(home.have(MaterialDigest::of(&[at]), 10).await, 0);
    }
    assert_eq!(home.have(kept, 10).await, 1);
}

#[tokio::test]
async fn the_last_of_the_disk_is_kept_for_the_log() {
    let home = Home::with(Limits { free_floor: u64::MAX, ..LIMITS });
    let fault = home.refused(arrival(MaterialDigest::of(b"x"), Piece::Whole)).await;
    assert_eq!(fault, MaterialFault::DiskFull);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever pieces come, in whatever order, cut anywhere, with restarts in between: the
    /// file is here whole or not at all.
    #[test]
    fn a_file_is_whole_or_not_here(
        steps in proptest::collection::vec((0_usize..2000, 1_usize..2000, any::<bool>(), any::<bool>()), 1..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut home, bytes) = (Home::new(), file(2000));
            let digest = MaterialDigest::of(&bytes);
            for (first, length, cut, kill) in steps {
                let last = (first + length - 1).min(1999);
                let begun = home.shelf.begin(arrival(digest, range(first, last, 2000)), NOON).await;
                if let Ok(Begun::Deposit(mut deposit)) = begun {
                    let until = if cut { first + (last - first) / 2 } else { last + 1 };
                    deposit.take(&bytes[first..until]).await.unwrap();
                    if cut {
                        deposit.write().await.unwrap();
                    } else {
                        deposit.end().await.unwrap();
                    }
                }
                if kill {
                    home.restart();
                }
                if home.shelf.has(&digest) {
                    assert_eq!(home.content(&digest, 0).await, bytes);
                }
            }
            let have = match home.shelf.begin(arrival(digest, Piece::Ask { total: 2000 }), NOON).await {
                Ok(Begun::SoFar { have }) => have as usize,
                Ok(Begun::Deposit(deposit)) => { deposit.end().await.unwrap(); 2000 }
                _ => 2000,
            };
            if have < 2000 {
                home.bring(arrival(digest, range(have, 1999, 2000)), &bytes[have..]).await.unwrap();
            }
            assert_eq!(home.content(&digest, 0).await, bytes);
        });
    }
}
