//! `apply`: hands an application in through the region's own door, with its files.

use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};

use super::case::words;
use super::document::{faults_found, read_document};
use super::local_door::{Answer, LocalDoor, Token, refused};
use super::out::shown;
use super::{Common, Exit, Outcome, Stop, out};
use crate::envelope::new_message_id;
use crate::material::{LARGEST_MATERIAL, MaterialDigest};

/// Hand in an application for another region.
#[derive(Args)]
pub struct Apply {
    /// The application, as `POST /local/v1/applications` takes it; - standard input 申请文件
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// Idempotency key: the same again is done once; a fresh one without it 幂等键
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// A file for a material that may be uploaded; may be given again 上传材料
    #[arg(long, value_name = "CODE=FILE", value_parser = attachment)]
    attach: Vec<(String, PathBuf)>,
    #[command(flatten)]
    token: Token,
}

impl Apply {
    pub fn run(self, common: &Common) -> Outcome {
        let mut application = match read_document(&self.file)? {
            Ok(application) => application,
            Err(faults) => return Ok(faults_found(&self.file, &faults, common.json)),
        };
        let door = LocalDoor::of(common, &self.token)?;
        for (code, file) in &self.attach {
            let attached = Attached::read(file)?;
            let brought = attached.bring(&door)?;
            if !(200..300).contains(&brought.status) {
                return refused(&brought, common.json);
            }
            attached.name_in(&mut application, code)?;
        }
        let key = self.key.unwrap_or_else(new_message_id);
        // Said before it leaves: whoever hears no answer sends it again with this key.
        out::note(format_args!("idempotency key 幂等键 {key}"));
        let answer = door.post_once("/local/v1/applications", &application, &key)?;
        if answer.status != 202 {
            return refused(&answer, common.json);
        }
        if common.json {
            out::json(&answer.value);
        } else {
            print(&answer.value);
        }
        Ok(Exit::Well)
    }
}

/// A file that goes with the application.
pub struct Attached {
    digest: MaterialDigest,
    media_type: &'static str,
    bytes: Bytes,
}

impl Attached {
    pub fn read(file: &std::path::Path) -> Result<Self, Stop> {
        let too_large = || Stop::usage(format_args!("{}: is larger than 50 MiB 超过 50 MiB", file.display()));
        let unreadable = |e: std::io::Error| {
            Stop::usage(format_args!("{}: cannot be read ({}) 无法读取", file.display(), e.kind()))
        };
        if std::fs::metadata(file).map_err(unreadable)?.len() > LARGEST_MATERIAL {
            return Err(too_large());
        }
        let bytes = Bytes::from(std::fs::read(file).map_err(unreadable)?);
        let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        Ok(Self { digest: MaterialDigest::of(&bytes), media_type: media_type(extension), bytes })
    }

    /// Lays it on the own gateway's shelf; what is there already is not changed.
    pub fn bring(&self, door: &LocalDoor) -> Result<Answer, Stop> {
        let path = format!("/local/v1/materials/{}", self.digest);
        door.put_file(&path, self.digest.content_digest(), self.bytes.clone())
    }

    /// How a material names it.
    pub fn upload(&self) -> Value {
        json!({
            "sha256": self.digest.to_string(),
            "bytes": self.bytes.len(),
            "media_type": self.media_type,
        })
    }

    /// The material of that code may be shown with it.
    fn name_in(&self, application: &mut Value, code: &str) -> Result<(), Stop> {
        let materials = application.pointer_mut("/body/materials").and_then(Value::as_array_mut);
        let material = materials
            .into_iter()
            .flatten()
            .find(|material| material.get("code").is_some_and(|known| known == code))
            .and_then(Value::as_object_mut)
            .ok_or_else(|| {
                Stop::usage(format_args!(
                    "--attach {code}: the application lists no such material 申请中没有该材料"
                ))
            })?;
        match material.get("evidence").and_then(Value::as_str) {
            // Already shown as an upload: its own members.
            Some("upload") => {
                if let Value::Object(upload) = self.upload() {
                    material.extend(upload);
                }
            }
            Some(_) => {
                return Err(Stop::usage(format_args!(
                    "--attach {code}: the material is shown in another way 该材料以其他方式提供"
                )));
            }
            None => {
                material.insert("upload".into(), self.upload());
            }
        }
        Ok(())
    }
}

fn attachment(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((code, file)) if !code.is_empty() && !file.is_empty() => {
            Ok((code.to_owned(), PathBuf::from(file)))
        }
        _ => Err("is CODE=FILE".to_owned()),
    }
}

/// Of the kinds windows scan to; the file itself is what is judged.
fn media_type(extension: &str) -> &'static str {
    match extension.to_ascii_lowercase().as_str() {
        "pdf" => "application/pdf",
        "ofd" => "application/ofd",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        _ => "application/octet-stream",
    }
}

fn print(answer: &Value) {
    let text = |name: &str| shown(answer.get(name).unwrap_or(&Value::Null));
    out::line(format_args!("办件编号 case {}", text("case")));
    out::line(format_args!(
        "状态 state {} · 投递 transport {} · 事件摘要 digest {}",
        words::state(&text("state")),
        words::transport(&text("transport")),
        text("digest"),
    ));
    let listed = answer.get("materials").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let rows = listed.iter().map(|material| {
        let part = |name: &str| shown(material.get(name).unwrap_or(&Value::Null));
        let reference = ["exchange", "verification"]
            .into_iter()
            .find_map(|name| material.get(name).and_then(Value::as_str));
        [part("code"), words::way(&part("evidence")), reference.unwrap_or("–").to_owned(), tried(material)]
    });
    let heads = ["材料 material", "提供方式 way", "依据 reference", "此前尝试 tried before"];
    out::line(out::whole(out::table(heads, rows), &[2]));
    let awaiting = answer.get("awaiting").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for file in awaiting {
        out::line(format_args!(
            "待上传 to be uploaded: PUT /local/v1/materials/{}",
            file.as_str().unwrap_or_default()
        ));
    }
}

fn tried(material: &Value) -> String {
    let tried = material.get("tried").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let one = |attempt: &Value| {
        let part = |name: &str| attempt.get(name).and_then(Value::as_str).unwrap_or_default();
        format!("{}: {}", words::way(part("evidence")), part("reason"))
    };
    if tried.is_empty() { "–".to_owned() } else { tried.iter().map(one).collect::<Vec<_>>().join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attached() -> Attached {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("form.PDF");
        std::fs::write(&file, b"abc").unwrap();
        Attached::read(&file).unwrap()
    }

    #[test]
    fn a_file_is_named_by_its_digest_and_length_where_the_material_may_be_uploaded() {
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let upload = json!({"sha256": digest, "bytes": 3, "media_type": "application/pdf"});
        let mut application =
            json!({"body": {"materials": [{"code": "M5"}, {"code": "M6", "evidence": "upload"}]}});
        attached().name_in(&mut application, "M5").unwrap();
        attached().name_in(&mut application, "M6").unwrap();
        assert_eq!(application["body"]["materials"][0]["upload"], upload);
        assert_eq!(application["body"]["materials"][1]["sha256"], digest);
    }

    #[test]
    fn a_file_for_no_material_or_one_shown_otherwise_is_a_wrong_usage() {
        let mut application = json!({"body": {"materials": [{"code": "M1", "evidence": "shared_data"}]}});
        for code in ["M1", "M2"] {
            assert_eq!(attached().name_in(&mut application, code).unwrap_err().exit(), Exit::Usage);
        }
        assert!(attachment("M5").is_err() && attachment("=x").is_err());
        assert_eq!(attachment("M5=a=b").unwrap(), ("M5".to_owned(), PathBuf::from("a=b")));
    }
}
