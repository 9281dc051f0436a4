//! What becomes of status lists as their files come, change, move and go.

use std::fs;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;
use crate::envelope::{Typ, seal};
use crate::keys::{Algorithm, SigningKey};

const AT: i64 = 1_900_000_000;
const NOW: Now = Now::from_secs(AT);
const IDP: &str = "urn:tongban:idp:mengsuban";
const LIST: &str = "https://status.test/7";

struct Scene {
    dir: tempfile::TempDir,
    idp: SigningKey,
    watch: TrustWatch,
    trust: Trust,
}

fn new_key() -> SigningKey {
    SigningKey::from_jwk(&SigningKey::generate(Algorithm::Es256).unwrap()).unwrap()
}

impl Scene {
    /// An authority whose list lies at `file`; `files` are there from the start.
    fn new(file: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["partners", "agreements", "idps/lists", "lists"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let text = r#"
            region = { code = "421202", name = "咸宁市咸安区" }
            partner_listener = { listen = "127.0.0.1:0", certificate = "a", private_key = "b", client_ca = [] }
            signing = { key = "c" }
            ledger = { key = "d" }
            trust = { partners = "partners", authorities = "idps", agreements = "agreements" }
        "#;
        let config = Config::parse(text, dir.path()).unwrap_or_else(|faults| panic!("{faults:?}"));
        let mut watch = TrustWatch::new(&config);
        let (trust, _) = watch.look(None, NOW);
        let mut scene = Self { dir, idp: new_key(), watch, trust };
        scene.name_list(file);
        scene
    }

    /// (Re)writes the authority's file.
    fn name_list(&mut self, file: &str) {
        self.put(
            "idps/a.json",
            json!({"id":IDP,"name":"测试授权平台","jwks":{"keys":[self.idp.public_jwk()]},
                "status_lists":[{"uri":LIST,"file":file}],"status":"active"})
            .to_string()
            .as_bytes(),
        );
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.dir.path().join(name), bytes).unwrap();
    }

    fn list(&self, bits: u8) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&[bits]).unwrap();
        let lst = URL_SAFE_NO_PAD.encode(encoder.finish().unwrap());
        let claims = json!({"sub":LIST,"iat":AT - 60,"status_list":{"bits":1,"lst":lst}});
        seal(&self.idp, Typ::StatusList, &claims).unwrap()
    }

    /// Index 0 at the next look, and how many changes that look told.
    fn look(&mut self) -> (Status, usize) {
        let (trust, changes) = self.watch.look(Some(&self.trust), NOW);
        self.trust = trust;
        (self.trust.status_lists.status(IDP, LIST, 0, NOW), changes.len())
    }

    fn status(&mut self) -> Status {
        self.look().0
    }
}

#[test]
fn a_list_file_lies_beside_the_authoritys_own_or_under_the_configurations_folder() {
    for place in ["idps/lists/7.jwt", "lists/7.jwt"] {
        let mut scene = Scene::new("lists/7.jwt");
        scene.put(place, &scene.list(1));
        assert_eq!(scene.status(), Status::Revoked, "{place}");
    }
    let mut scene = Scene::new("lists/7.jwt");
    scene.put("idps/lists/7.jwt", &scene.list(1));
    scene.put("lists/7.jwt", &scene.list(0));
    assert_eq!(scene.status(), Status::Revoked, "beside comes first");
}

#[test]
fn a_replaced_list_is_in_force_at_the_next_look_and_a_half_written_one_changes_nothing() {
    let mut scene = Scene::new("lists/7.jwt");
    assert_eq!(scene.status(), Status::Stale);
    scene.put("lists/7.jwt", &scene.list(0));
    assert_eq!(scene.status(), Status::Valid);
    let revoked = scene.list(1);
    scene.put("lists/7.jwt", &revoked[..revoked.len() / 2]);
    assert_eq!(scene.look(), (Status::Valid, 1), "refused, and told");
    assert_eq!(scene.look(), (Status::Valid, 0), "told once");
    scene.put("lists/7.jwt", &revoked);
    assert_eq!(scene.status(), Status::Revoked);
    fs::remove_file(scene.dir.path().join("lists/7.jwt")).unwrap();
    assert_eq!(scene.status(), Status::Revoked, "a missing file takes nothing back");
}

#[test]
fn a_list_that_moved_is_read_where_it_is_now() {
    let mut scene = Scene::new("lists/7.jwt");
    scene.put("lists/7.jwt", &scene.list(0));
    assert_eq!(scene.status(), Status::Valid);
    scene.put("lists/8.jwt", &scene.list(1));
    scene.name_list("lists/8.jwt");
    assert_eq!(scene.status(), Status::Revoked);
}

#[test]
fn an_authority_that_comes_back_has_its_list_again() {
    let mut scene = Scene::new("lists/7.jwt");
    scene.put("lists/7.jwt", &scene.list(0));
    assert_eq!(scene.status(), Status::Valid);
    let (here, away) = (scene.dir.path().join("idps/a.json"), scene.dir.path().join("a.json"));
    fs::rename(&here, &away).unwrap();
    assert_eq!(scene.status(), Status::UnknownList);
    fs::rename(&away, &here).unwrap();
    assert_eq!(scene.status(), Status::Valid);
}

#[test]
fn a_list_larger_than_other_trust_files_is_read() {
    let mut scene = Scene::new("lists/7.jwt");
    let mut list = scene.list(1);
    list.resize(usize::try_from(crate::folder::LARGEST_FILE).unwrap() + 1, b'\n');
    scene.put("lists/7.jwt", &list);
    assert_eq!(scene.status(), Status::Revoked);
}
