//! `partner add`: a partner's card into the trust folder, with what to compare by phone before
//! anything is trusted. Nothing is replaced silently.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use serde_json::{Value, json};

use super::{cards, status};
use crate::cli::document::{faults_found, read_document};
use crate::cli::durable::replace_file;
use crate::cli::{Common, Exit, Outcome, Stop, out};
use crate::fault::Fault;
use crate::keys::example;
use crate::peer::{Card, Directory, Trust};

#[derive(Args)]
pub struct Add {
    /// The partner's card; - is standard input 对方名片
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// Put it in the place of the card this region has now 替换现有名片
    #[arg(long)]
    replace: bool,
}

impl Add {
    pub fn run(self, common: &Common) -> Outcome {
        let config = common.load()?;
        let (document, card) = match read_document(&self.file)?.and_then(|document| {
            let card = Arc::new(Card::from_value(&document)?);
            refuse_published(&card)?;
            Ok((document, card))
        }) {
            Ok(read) => read,
            Err(faults) => return Ok(faults_found(&self.file, &faults, common.json)),
        };
        let folder = config.path(&config.trust.partners);
        let (mut cards, _) = cards(&config);
        let place = cards
            .iter()
            .find(|(_, known)| known.region() == card.region())
            .map_or_else(|| folder.join(format!("{}.json", card.region())), |(place, _)| place.clone());
        let before = cards.insert(place.clone(), Arc::clone(&card));
        // The rules between cards are the directory's; the new card must not break any.
        let (_, contradictions) =
            Directory::build(config.region.code, &cards, Trust::new(vec![], vec![]), None);
        if !contradictions.is_empty() {
            let faults: Vec<Fault> = contradictions.into_iter().flat_map(|found| found.faults).collect();
            return Ok(faults_found(&self.file, &faults, common.json));
        }
        let known = match &before {
            Some(before) if before.public_json() == card.public_json() => Known::Unchanged,
            Some(_) if self.replace => Known::Replaced,
            Some(_) => {
                return Err(Stop::failed(format_args!(
                    "{}: has another card already; compare the fingerprints, then say --replace \
                     该地区已有不同名片，请核对指纹后使用 --replace",
                    card.region()
                )));
            }
            None => Known::Added,
        };
        if known != Known::Unchanged {
            replace_file(&place, format!("{document:#}\n").as_bytes(), 0o644)?;
        }
        let shown = Shown { card: &card, place: &place, known };
        if common.json {
            out::json(&shown.json())
        } else {
            shown.print()
        }
        Ok(Exit::Well)
    }
}

/// A key whose private half is published signs for anybody.
fn refuse_published(card: &Card) -> Result<(), Vec<Fault>> {
    let pinned = card.pins().iter().any(|pin| example::is_published_example(&hex::encode(pin)));
    if pinned || card.keys().kids().any(example::is_published_example) {
        let words = "holds a published example key: anybody could speak for this partner";
        return Err(vec![Fault::new("", "example-key", words, "含公开的示例密钥，任何人均可冒充")]);
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Added,
    Replaced,
    Unchanged,
}

/// What to compare by phone before anything is trusted.
struct Shown<'a> {
    card: &'a Card,
    place: &'a Path,
    known: Known,
}

impl Shown<'_> {
    fn pins(&self) -> Vec<String> {
        self.card.pins().iter().map(|pin| URL_SAFE_NO_PAD.encode(pin)).collect()
    }

    fn json(&self) -> Value {
        json!({
            "region": self.card.region(),
            "name": self.card.name(),
            "endpoint": format!("https://{}", self.card.endpoint().authority()),
            "keys": self.card.keys().kids().collect::<Vec<_>>(),
            "spki_sha256": self.pins(),
            "file": self.place,
            "changed": self.known != Known::Unchanged,
        })
    }

    fn print(&self) {
        let card = self.card;
        let (done, zh) = match self.known {
            Known::Added => ("added", "已添加"),
            Known::Replaced => ("replaced", "已替换"),
            Known::Unchanged => ("was there already", "名片未变"),
        };
        out::line(format_args!("{} {}: {done} {zh} ({})", card.region(), card.name(), self.place.display()));
        let mut rows = vec![
            ["endpoint 地址".to_owned(), format!("https://{}", card.endpoint().authority())],
            ["status 状态".to_owned(), status(card.status()).to_owned()],
            [
                "contact 联系方式".to_owned(),
                card.contact().filter(|c| !c.is_empty()).unwrap_or("–").to_owned(),
            ],
        ];
        rows.extend(
            card.keys()
                .keys()
                .map(|key| [format!("signing key 签名公钥 {}", key.alg().name()), spaced(key.kid())]),
        );
        rows.extend(self.pins().iter().map(|pin| ["TLS key 传输公钥".to_owned(), spaced(pin)]));
        if self.card.pins().is_empty() {
            rows.push(["TLS key 传输公钥".to_owned(), "by CA 由 CA 签发".to_owned()]);
        }
        out::line(out::table(["card 名片", ""], rows));
        out::line(
            "Read the keys to each other by phone before you rely on them 启用前请与对方电话逐组核对以上指纹",
        );
    }
}

/// In groups of four, to be read aloud.
fn spaced(fingerprint: &str) -> String {
    let characters: Vec<char> = fingerprint.chars().collect();
    characters.chunks(4).map(String::from_iter).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::list::list;
    use super::*;
    use crate::cli::init::{Doors, create};
    use crate::clock::Now;
    use crate::domain::Region;

    struct Pair {
        _dir: tempfile::TempDir,
        common: Common,
        card: PathBuf,
        theirs: Value,
        partners: PathBuf,
    }

    fn pair() -> Pair {
        let dir = tempfile::tempdir().unwrap();
        let doors = Doors {
            partner: "127.0.0.1:8443".parse().unwrap(),
            local: "127.0.0.1:8080".parse().unwrap(),
            console: "127.0.0.1:8081".parse().unwrap(),
        };
        let now = Now::from_secs(1_900_000_000);
        let (mine, theirs) = (dir.path().join("421202"), dir.path().join("331083"));
        create(&mine, Region::parse("421202").unwrap(), "咸安", doors, now).unwrap();
        let theirs_card = create(&theirs, Region::parse("331083").unwrap(), "玉环", doors, now).unwrap();
        Pair {
            common: Common { config: mine.join("gateway.toml"), json: true, offline: false },
            card: theirs.join("card.json"),
            theirs: theirs_card,
            partners: mine.join("trust/partners"),
            _dir: dir,
        }
    }

    impl Pair {
        fn add(&self, replace: bool) -> Outcome {
            Add { file: self.card.clone(), replace }.run(&self.common)
        }
        fn stored(&self) -> usize {
            std::fs::read_dir(&self.partners).unwrap().count()
        }
        fn change(&self, pointer: &str, value: Value) {
            let mut card = self.theirs.clone();
            *card.pointer_mut(pointer).unwrap() = value;
            std::fs::write(&self.card, card.to_string()).unwrap();
        }
    }

    #[test]
    fn a_partner_is_taken_up_by_its_card_and_adding_it_again_changes_nothing() {
        let pair = pair();
        assert_eq!(pair.add(false).unwrap(), Exit::Well);
        assert_eq!(pair.add(false).unwrap(), Exit::Well);
        assert!(pair.partners.join("331083.json").is_file() && pair.stored() == 1);
        assert_eq!(list(&pair.common).unwrap(), Exit::Well);
    }

    #[test]
    fn another_card_of_a_known_partner_is_not_taken_silently() {
        let pair = pair();
        pair.add(false).unwrap();
        pair.change("/endpoint", "https://elsewhere.example:8443".into());
        assert_eq!(pair.add(false).unwrap_err().exit(), Exit::Failed);
        let before = std::fs::read_to_string(pair.partners.join("331083.json")).unwrap();
        assert!(!before.contains("elsewhere"));
        assert_eq!(pair.add(true).unwrap(), Exit::Well);
        let after = std::fs::read_to_string(pair.partners.join("331083.json")).unwrap();
        assert!(after.contains("elsewhere") && pair.stored() == 1);
    }

    #[test]
    fn our_own_card_and_faulty_cards_are_found_and_leave_no_file() {
        let pair = pair();
        let own = std::fs::read(pair.common.config.with_file_name("card.json")).unwrap();
        std::fs::write(&pair.card, own).unwrap();
        assert_eq!(pair.add(false).unwrap(), Exit::Found);
        pair.change("/endpoint", "http://gw.example".into());
        assert_eq!(pair.add(false).unwrap(), Exit::Found);
        assert_eq!(pair.stored(), 0);
    }

    #[test]
    fn a_key_of_another_partner_is_found() {
        let pair = pair();
        pair.add(false).unwrap();
        let mut other = pair.theirs.clone();
        other["region"] = "320922".into();
        other["id"] = "urn:tongban:gw:320922".into();
        other["ledger"]["origin"] =
            other["ledger"]["origin"].as_str().unwrap().replace("331083", "320922").into();
        other["ledger"]["vkey"] =
            other["ledger"]["vkey"].as_str().unwrap().replace("331083", "320922").into();
        std::fs::write(&pair.card, other.to_string()).unwrap();
        assert_eq!(pair.add(false).unwrap(), Exit::Found);
        assert_eq!(pair.stored(), 1);
    }

    #[test]
    fn fingerprints_are_read_aloud_in_groups_of_four() {
        assert_eq!(spaced("abcdefghij"), "abcd efgh ij");
    }
}
