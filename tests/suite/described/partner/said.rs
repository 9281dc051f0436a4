//! What a partner might say: true messages, made ones and bent ones; checkpoints and files.

use serde_json::{Value, json};

use super::super::fuzz::{Operation, bend};
use super::super::odd::{Call, garbled};
use super::{OPS, Partner};
use crate::support::*;

impl Partner<'_> {
    /// One call of this operation, before anything is done to HTTP.
    pub(super) fn draw(&mut self, operation: &Operation) -> Call {
        let mut call = Call { method: operation.method.clone(), ..Call::default() };
        (call.path, call.placed) = self.path(&operation.path);
        match operation.path.as_str() {
            "/v1/exchange" => {
                let (op, message) = self.message();
                call.headers.push(("content-type".into(), "application/tongban-request+jwt".into()));
                (call.op, call.body) = (Some(op), message);
            }
            "/v1/log/add-checkpoint" => call.body = self.checkpoint(),
            "/v1/materials/{sha256}" => self.file(&mut call),
            _ => {}
        }
        call
    }

    fn path(&mut self, template: &str) -> (String, bool) {
        let mut placed = true;
        let parts: Vec<String> = template
            .split('/')
            .map(|part| {
                let Some((name, rest)) = part.strip_prefix('{').and_then(|part| part.split_once('}')) else {
                    return part.to_owned();
                };
                let known = match name {
                    "region" => XIANAN,
                    "half" => "2030h1",
                    "level" | "index" => *self.chance.pick(&["0", "1", "2", "7"]),
                    "n" => "000",
                    "sha256" => "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                    _ => "d622890ab3a94e7383a97ae91ff2d44b59255b24d2dabb189ef32c56f07c5857",
                };
                let odd = ["x", "%2e%2e", "00", "%00", "-1", "18446744073709551616", &"9".repeat(3000)];
                let value = match self.chance.below(6) {
                    0 => {
                        placed = false;
                        (*self.chance.pick(&odd)).to_owned()
                    }
                    _ => known.to_owned(),
                };
                let Some(rest) = rest.strip_prefix(".p/{") else { return format!("{value}{rest}") };
                assert_eq!(rest, "width}");
                format!("{value}.p/{}", self.chance.pick(&["1", "3", "255", "256", "0"]))
            })
            .collect();
        (parts.join("/"), placed)
    }

    /// A signed message: true, or made from the schemas of its op, or bent.
    fn message(&mut self) -> (String, Vec<u8>) {
        let op = (*self.chance.pick(&OPS)).to_owned();
        let schema = self.schemas[format!("request-of.{op}")]["allOf"][1]["properties"]["body"].clone();
        let made = self.made(&schema);
        let mut draft = self.true_message(&op, &made);
        if draft.claims["body"].is_null() || self.chance.one_in(2) {
            draft.claims["body"] = made;
        }
        let event = op == "application.event" && draft.claims["body"].is_object();
        if event && !self.known.is_empty() && !self.chance.one_in(3) {
            let known = self.chance.pick(&self.known).clone();
            let now = self.world.now();
            draft.claims["case"] = known.case.into();
            let body = &mut draft.claims["body"];
            (body["seq"], body["prev"], body["at"]) = (known.next.into(), known.prev.into(), now.into());
            body["by"] = json!({"org": WINDOW, "officer": "YH0123"});
        }
        for _ in 0..*self.chance.pick(&[0, 0, 1, 2]) {
            bend(&mut draft.claims["body"], &mut self.chance);
        }
        if self.chance.one_in(4) {
            self.bend_claims(&mut draft.claims);
        }
        let draft = self.signed_oddly(draft);
        (op, draft.bytes())
    }

    /// As a partner in order would say it, where one can be said without more.
    fn true_message(&mut self, op: &str, made: &Value) -> Draft {
        let world = self.world;
        match op {
            "ping" => world.ping(),
            "ledger.reconcile" => world.ping().with("/op", op).with("/body", Value::Null),
            "license.query" => match self.chance.below(3) {
                0 => world.lookup(),
                1 => world.duty(),
                _ => world.duty().with("/body/max_age", 0),
            },
            "application.submit" => {
                self.serial += 1;
                world.submit_of(&case_number(self.serial))
            }
            "verification.request" => {
                let case = self.case();
                let question = json!({
                    "id": tongban::envelope::new_message_id(), "material": "M2",
                    "license": {"type": MARRIAGE, "holder": {"type": "111", "number": JIA}},
                    "claims": {"cert_no": "J331083-2026-000001"}, "question": "登记是否有效?",
                    "due": "2030-03-20T23:59:59+08:00",
                });
                world.about(&case, op, question)
            }
            "application.event" => {
                let case = self.case();
                let withdrawn = world.window_event(1, "x", "withdraw", json!({}));
                world.about(&case, op, if self.chance.one_in(3) { withdrawn } else { made.clone() })
            }
            "application.status" => {
                let case = self.case();
                world.about(&case, op, json!({ "case": case }))
            }
            _ => {
                let case = self.case();
                world.about(&case, op, made.clone())
            }
        }
    }

    fn case(&mut self) -> String {
        if self.known.is_empty() || self.chance.one_in(5) {
            return CASE.to_owned();
        }
        self.chance.pick(&self.known).case.clone()
    }

    /// One member of the envelope goes, or becomes what its schema makes of it, or something else.
    fn bend_claims(&mut self, claims: &mut Value) {
        let members = self.schemas["request"]["properties"].as_object().unwrap().clone();
        let (name, schema) = members.iter().nth(self.chance.below(members.len())).unwrap();
        match self.chance.below(4) {
            0 => drop(claims.as_object_mut().unwrap().remove(name)),
            1 => bend(claims, &mut self.chance),
            _ => claims[name] = self.made(schema),
        }
    }

    /// What is signed is no longer JSON of these claims, or is signed otherwise.
    fn signed_oddly(&mut self, draft: Draft) -> Draft {
        match self.chance.below(60) {
            0..4 => {
                let text = draft.claims.to_string();
                draft.raw_payload(garbled(text, &mut self.chance))
            }
            4 => draft.header("crit", json!(["exp"])),
            5 => draft.header("alg", *self.chance.pick(&["none", "HS256", "es256", "EdDSA", ""])),
            6 => draft.header("kid", *self.chance.pick(&["", "x", "\u{202e}"])),
            7 => draft.forged_by(&self.world.answering.signing),
            8 => draft.signed_by(&self.world.asking.retired),
            9 => draft.raw_header(b"{\"alg\":\"ES256\",\"alg\":\"none\"}"),
            _ => draft,
        }
    }

    /// A checkpoint of 玉环's own log as a witness is brought it, true or with a line too odd.
    fn checkpoint(&mut self) -> Vec<u8> {
        let origin = *self.chance.pick(&[
            "tongban/331083/2030h1",
            "tongban/331083/2030h1",
            "tongban/320922/2030h1",
            "x",
        ]);
        let size = *self.chance.pick(&["0", "1", "1", "07", "-1", "9223372036854775808", ""]);
        let root = *self.chance.pick(&["47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "AA==", ""]);
        let text = format!("{origin}\n{size}\n{root}\n");
        let signed = self.log.sign_note(&text, origin).unwrap_or_default();
        let old = *self.chance.pick(&["old 0\n", "old 0\n", "old 1\n", "old\n", "old 00\n", ""]);
        let hash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
        let proof = hash.repeat(*self.chance.pick(&[0, 0, 1, 63, 64, 2000]));
        let mut body = [old.as_bytes(), proof.as_bytes(), b"\n", &signed].concat();
        if self.chance.one_in(6) {
            let at = self.chance.below(body.len());
            body[at] = *self.chance.pick(&[0, b'\n', b' ', 0xff]);
        }
        body
    }

    fn file(&mut self, call: &mut Call) {
        call.body =
            (*self.chance.pick(&[&b"abc"[..], b"abc", b"ab", b"", b"abcd", &[b'a'; 70_000]])).to_vec();
        let right = "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";
        let digests = [right, right, right, "sha-256=:AAAA:", "sha-512=:AAAA:", "", "sha-256=abc", "\u{e9}"];
        if !self.chance.one_in(6) {
            call.headers.push(("content-digest".into(), (*self.chance.pick(&digests)).into()));
        }
        let ranges = [
            "bytes 0-2/3",
            "bytes */3",
            "bytes 1-2/3",
            "bytes 2-1/3",
            "bytes 0-2/*",
            "bytes 0-99999999999999999999/3",
            "x",
        ];
        if self.chance.one_in(2) {
            call.headers.push(("content-range".into(), (*self.chance.pick(&ranges)).into()));
        }
    }
}
