use rcgen::ExtendedKeyUsagePurpose as Purpose;

use serde_json::{Value, json};

use super::super::credentials::spki_sha256;
use super::super::testing::{Ca, Leaf, NOON, Pair};
use super::super::trust::{CaFile, CrlFile};
use super::*;
use crate::keys::{Algorithm, KeySet, SigningKey};

const ME: &str = "421202";
const YUHUAN: &str = "331083";
const DAY: i64 = 86_400;

fn region(code: &str) -> Region {
    Region::parse(code).unwrap()
}

fn trust(cas: &[&Ca], crls: &[String]) -> Trust {
    Trust::new(
        cas.iter().map(|ca| Arc::new(CaFile::from_pem(ca.pem().as_bytes()).unwrap())).collect(),
        crls.iter().map(|pem| Arc::new(CrlFile::from_pem(pem.as_bytes()).unwrap())).collect(),
    )
}

fn directory(cards: Vec<Card>, trust: Trust) -> Directory {
    let cards = cards.into_iter().map(|c| (PathBuf::from(c.region().as_str()), Arc::new(c))).collect();
    let (directory, refused) = Directory::build(region(ME), &cards, trust, None);
    assert_eq!(refused, []);
    directory
}

fn yuhuan(pins: Vec<[u8; 32]>, status: Status) -> Card {
    Card::for_test(YUHUAN, 1, pins, status)
}

fn verdict(directory: &Directory, pair: &Pair) -> Result<Region, NotAMember> {
    directory.identify(std::slice::from_ref(&pair.der), NOON).map(|p| p.region())
}

fn distrust(why: Distrust) -> Result<Region, NotAMember> {
    Err(NotAMember::Untrusted(region(YUHUAN), why))
}

#[test]
fn a_member_is_who_its_one_uri_says_under_our_ca() {
    let ca = Ca::new("ca");
    let directory = directory(vec![yuhuan(vec![], Status::Active)], trust(&[&ca], &[]));
    let names = |uris: &[&str]| {
        let uris = uris.iter().map(|u| (*u).to_owned()).collect();
        verdict(&directory, &ca.issue(&Leaf { uris, ..Leaf::of(YUHUAN) }))
    };
    assert_eq!(names(&["urn:tongban:gw:331083"]), Ok(region(YUHUAN)));
    assert_eq!(names(&["urn:tongban:gw:331083", "urn:tongban:gw:421202"]), Err(NotAMember::SeveralNames));
    assert_eq!(names(&["urn:tongban:gw:331083", "https://gw.yuhuan"]), Err(NotAMember::SeveralNames));
    assert_eq!(names(&["https://gw.yuhuan"]), Err(NotAMember::NoGatewayName));
    assert_eq!(names(&["URN:tongban:gw:331083"]), Err(NotAMember::NoGatewayName));
    assert_eq!(names(&[]), Err(NotAMember::NoGatewayName));
    assert_eq!(names(&["urn:tongban:gw:421202"]), Err(NotAMember::OwnRegion));
    assert_eq!(names(&["urn:tongban:gw:330106"]), Err(NotAMember::Stranger(region("330106"))));
    assert_eq!(directory.identify(&[], NOON).map(|_| ()), Err(NotAMember::NoCertificate));
    let junk = CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]);
    assert_eq!(directory.identify(&[junk], NOON).map(|_| ()), Err(NotAMember::Unreadable));
}

#[test]
fn a_certificate_is_trusted_for_its_time_and_use_only() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let directory = directory(vec![yuhuan(vec![], Status::Active)], trust(&[&ca], &[]));
    let leaf = || Leaf::of(YUHUAN);
    assert_eq!(verdict(&directory, &other.issue(&leaf())), distrust(Distrust::UnknownIssuer));
    assert_eq!(verdict(&directory, &leaf().self_signed()), distrust(Distrust::UnknownIssuer));
    let expired = ca.issue(&Leaf { not_after: -1, ..leaf() });
    assert_eq!(verdict(&directory, &expired), distrust(Distrust::Expired));
    let early = ca.issue(&Leaf { not_before: 1, ..leaf() });
    assert_eq!(verdict(&directory, &early), distrust(Distrust::NotYetValid));
    let server_only = ca.issue(&Leaf { purposes: vec![Purpose::ServerAuth], ..leaf() });
    assert_eq!(verdict(&directory, &server_only), distrust(Distrust::WrongPurpose));
    assert!(directory.identify_server(&[server_only.der], NOON).is_ok());
    let client_only = ca.issue(&Leaf { purposes: vec![Purpose::ClientAuth], ..leaf() });
    assert!(directory.identify_server(&[client_only.der], NOON).is_err());
    // A CA whose own time is over stands for nobody.
    let later = Now::from_secs(NOON.secs() + 190 * DAY);
    let long = ca.issue(&Leaf { not_after: 300 * DAY, ..leaf() });
    let after = directory.identify(&[long.der], later).map(|p| p.region());
    assert_eq!(after, distrust(Distrust::Expired));
}

#[test]
fn intermediates_are_presented_by_the_peer() {
    let root = Ca::new("root");
    let province = root.intermediate("province");
    let pair = province.issue(&Leaf::of(YUHUAN));
    let card = || vec![yuhuan(vec![], Status::Active)];
    let chain = [pair.der.clone(), province.der()];
    let bare = directory(card(), trust(&[&root], &[]));
    assert!(bare.identify(&chain, NOON).is_ok());
    assert!(bare.identify(&chain[..1], NOON).is_err());
    // With lists, every link needs one.
    let (of_root, of_province) = (root.crl(&[], -DAY, DAY), province.crl(&[], -DAY, DAY));
    let half = directory(card(), trust(&[&root], std::slice::from_ref(&of_province)));
    assert_eq!(half.identify(&chain, NOON).map(|p| p.region()), distrust(Distrust::RevocationUnknown));
    let whole = directory(card(), trust(&[&root], &[of_root, of_province]));
    assert!(whole.identify(&chain, NOON).is_ok());
}

#[test]
fn revocation_closes_the_door_and_so_does_not_knowing() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let pair = ca.issue(&Leaf { serial: 7, ..Leaf::of(YUHUAN) });
    let under = |crls: &[String]| {
        let pins = vec![];
        verdict(&directory(vec![yuhuan(pins, Status::Active)], trust(&[&ca], crls)), &pair)
    };
    assert_eq!(under(&[ca.crl(&[], -DAY, DAY)]), Ok(region(YUHUAN)));
    assert_eq!(under(&[ca.crl(&[8, 7], -DAY, DAY)]), distrust(Distrust::Revoked));
    assert_eq!(under(&[ca.crl(&[], -DAY, -1)]), distrust(Distrust::StaleRevocationList));
    assert_eq!(under(&[other.crl(&[], -DAY, DAY)]), distrust(Distrust::RevocationUnknown));
    // The newest list of an issuer speaks, in whatever order they stand.
    let (old, new) = (ca.crl(&[], -2 * DAY, DAY), ca.crl(&[7], -DAY, DAY));
    assert_eq!(under(&[old.clone(), new.clone()]), distrust(Distrust::Revoked));
    assert_eq!(under(&[new, old]), distrust(Distrust::Revoked));
}

#[test]
fn a_pin_stands_in_for_the_ca_and_for_nothing_else() {
    let ca = Ca::new("ca");
    let pinned = |pair: &Pair, trust| {
        let pins = vec![[0; 32], spki_sha256(&pair.der).unwrap()];
        verdict(&directory(vec![yuhuan(pins, Status::Active)], trust), pair)
    };
    let own = Leaf::of(YUHUAN).self_signed();
    assert_eq!(pinned(&own, Trust::default()), Ok(region(YUHUAN)));
    assert_eq!(
        pinned(&own, trust(&[&ca], &[ca.crl(&[], -DAY, -1)])),
        distrust(Distrust::StaleRevocationList),
        "a stale list closes the door for everybody"
    );
    // An alternative, not a restriction beside the CA.
    let of_ca = ca.issue(&Leaf::of(YUHUAN));
    let card = yuhuan(vec![[0; 32]], Status::Active);
    assert_eq!(verdict(&directory(vec![card], trust(&[&ca], &[])), &of_ca), Ok(region(YUHUAN)));

    assert_eq!(pinned(&of_ca, trust(&[&ca], &[ca.crl(&[7], -DAY, DAY)])), distrust(Distrust::Revoked));
    let stale = trust(&[&ca], &[ca.crl(&[], -DAY, -1)]);
    assert_eq!(pinned(&of_ca, stale), distrust(Distrust::StaleRevocationList));
    let expired = Leaf { not_after: -1, ..Leaf::of(YUHUAN) }.self_signed();
    assert_eq!(pinned(&expired, Trust::default()), distrust(Distrust::Expired));
    let early = Leaf { not_before: 1, ..Leaf::of(YUHUAN) }.self_signed();
    assert_eq!(pinned(&early, Trust::default()), distrust(Distrust::NotYetValid));
    let server_only = Leaf { purposes: vec![Purpose::ServerAuth], ..Leaf::of(YUHUAN) }.self_signed();
    assert_eq!(pinned(&server_only, Trust::default()), distrust(Distrust::WrongPurpose));
    let two = Leaf { uris: vec!["urn:tongban:gw:331083".into(), "urn:x:y".into()], ..Leaf::of(YUHUAN) };
    assert_eq!(pinned(&two.self_signed(), Trust::default()), Err(NotAMember::SeveralNames));
    // A pin is its member's: another region's name does not profit from it.
    let hubei = Leaf::of("420000").self_signed();
    let cards = vec![
        yuhuan(vec![spki_sha256(&hubei.der).unwrap()], Status::Active),
        Card::for_test("420000", 1, vec![], Status::Active),
    ];
    let both = directory(cards, Trust::default());
    assert_eq!(verdict(&both, &hubei), Err(NotAMember::Untrusted(region("420000"), Distrust::UnknownIssuer)));
}

#[test]
fn a_member_that_is_not_active_is_named_but_not_let_in() {
    let ca = Ca::new("ca");
    let pair = ca.issue(&Leaf::of(YUHUAN));
    let with = |status| verdict(&directory(vec![yuhuan(vec![], status)], trust(&[&ca], &[])), &pair);
    assert_eq!(with(Status::Suspended), Err(NotAMember::Suspended(region(YUHUAN))));
    assert_eq!(with(Status::Removed), Err(NotAMember::Removed(region(YUHUAN))));
    // Untrusted comes first: a stranger does not learn who is suspended.
    let suspended = directory(vec![yuhuan(vec![], Status::Suspended)], Trust::default());
    assert_eq!(verdict(&suspended, &pair), distrust(Distrust::UnknownIssuer));
}

#[test]
fn an_identity_holds_until_the_first_of_its_grounds_ends() {
    let ca = Ca::new("ca");
    let pair = ca.issue(&Leaf { not_after: 3 * DAY, ..Leaf::of(YUHUAN) });
    let until = |crls: &[String]| {
        let directory = directory(vec![yuhuan(vec![], Status::Active)], trust(&[&ca], crls));
        directory.identify_until(std::slice::from_ref(&pair.der), NOON).map(|(_, until)| until - NOON.secs())
    };
    assert_eq!(until(&[]), Ok(3 * DAY));
    assert_eq!(until(&[ca.crl(&[], -DAY, DAY)]), Ok(DAY));
}

#[test]
fn a_card_that_contradicts_a_standing_one_is_left_out() {
    let file = |name: &str, card: Card| (PathBuf::from(name), Arc::new(card));
    let standing = file("z.json", yuhuan(vec![], Status::Active));
    let cards = HashMap::from([standing.clone()]);
    let (before, _) = Directory::build(region(ME), &cards, Trust::default(), None);

    let cards = HashMap::from([
        standing.clone(),
        file("a.json", yuhuan(vec![], Status::Active)),
        file("me.json", Card::for_test(ME, 1, vec![], Status::Active)),
    ]);
    let (after, refused) = Directory::build(region(ME), &cards, Trust::default(), Some(&before));
    assert!(Arc::ptr_eq(after.card(region(YUHUAN)).unwrap(), &standing.1));
    assert_eq!(after.cards().count(), 1);
    assert_eq!(after.generation(), before.generation() + 1);
    let rules: Vec<_> =
        refused.iter().map(|f| (f.file.to_str().unwrap(), f.faults[0].rule.as_str())).collect();
    assert_eq!(rules, [("a.json", "duplicate-region"), ("me.json", "own-region")]);
}

#[test]
fn a_key_has_one_owner_and_a_mistaken_card_keeps_its_last_good_version() {
    let key = |jwk: &Value| KeySet::from_jwks(&json!({"keys": [jwk]})).ok().unwrap();
    let jwks: Vec<Value> = (0..2)
        .map(|_| SigningKey::from_jwk(&SigningKey::generate(Algorithm::Es256).unwrap()).unwrap().public_jwk())
        .collect();
    let (a, z) = (PathBuf::from("a.json"), PathBuf::from("z.json"));
    let card = |code, jwk| Arc::new(Card::for_test(code, 1, vec![], Status::Active).with_keys(key(jwk)));
    let (hubei, yuhuan) = (card("420000", &jwks[0]), card(YUHUAN, &jwks[1]));
    let mut cards = HashMap::from([(a.clone(), Arc::clone(&hubei)), (z, yuhuan)]);
    let (before, refused) = Directory::build(region(ME), &cards, Trust::default(), None);
    assert_eq!(refused, []);

    cards.insert(a, card("420000", &jwks[1]));
    let (after, refused) = Directory::build(region(ME), &cards, Trust::default(), Some(&before));
    assert_eq!(refused[0].faults[0].rule, "duplicate-kid");
    assert!(Arc::ptr_eq(after.card(region("420000")).unwrap(), &hubei));
    assert_eq!(after.cards().count(), 2);
}
