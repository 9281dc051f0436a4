//! What the HTTP register promises, against a library that can be as awkward as we like.

use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::clock::Now;
use crate::license::register::Register;
use crate::license::tests::{ISSUER, MARRIAGE, marriage};

const NOW: Now = Now::from_secs(1_900_000_000);
const HUSBAND: &str = "42120219000101001X";

/// What the library got: request line, headers, body.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(String, HeaderMap, String)>>>);

#[derive(Clone)]
enum Says {
    Answer(u16, Vec<u8>),
    Redirect(String),
    Nothing,
    BreaksOff,
}

/// A license library on loopback; stops with the test's runtime.
async fn library(says: Says) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = Seen::default();
    let noted = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (says, noted) = (says.clone(), noted.clone());
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(request, says.clone(), noted.clone()));
                let connection = hyper::server::conn::http1::Builder::new();
                drop(connection.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    (address, seen)
}

async fn answer(
    request: Request<Incoming>,
    says: Says,
    seen: Seen,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    seen.0.lock().unwrap().push((format!("{} {}", parts.method, parts.uri), parts.headers, text));
    match says {
        Says::Answer(status, body) => {
            Ok(Response::builder().status(status).body(Full::new(body.into())).unwrap())
        }
        Says::Redirect(to) => {
            Ok(Response::builder().status(302).header("location", to).body(Full::default()).unwrap())
        }
        Says::Nothing => std::future::pending().await,
        Says::BreaksOff => Err(std::io::Error::other("gone")),
    }
}

/// Settings for a library in the style of the provincial interfaces: pinyin names, legacy
/// dates, joined holders, a status of its own, errors in a 200.
fn settings(address: &str) -> Value {
    json!({
        "url": format!("{address}/zz?lx={{type}}&dmlx={{holder_type}}&dm={{holder_number}}"),
        "url_by_id": format!("{address}/zz/{{license_id}}"),
        "timeout_ms": 5_000,
        "success": {"pointer": "/code", "equals": ["200"]},
        "records": "/data/list",
        "header": {
            "license_id": "/zzbs", "name": "/zzmc", "number": "/zzbh", "issuer_name": "/bfjg",
            "area_code": {"const": "331083"}, "issued_on": "/bfrq", "valid_from": "/yxqs",
            "valid_to": "/yxqz", "status": {"pointer": "/zt", "codes": {"1": "01", "2": "04"}}
        },
        "holders": {"name": "/czzt", "type_code": "/dmlx", "code": "/czztdm"},
        "data": {
            "cert_no": "/zzbh", "registered_on": {"pointer": "/djrq", "as": "date"},
            "authority": "/bfjg", "op_type": {"const": "IA"}
        },
        "data_by_type": {MARRIAGE: {"man": "/nan", "woman": "/nv"}}
    })
}

fn pinyin() -> Value {
    let document = marriage("A1", "001");
    json!({
        "zzbs": document["license_id"], "zzmc": "结婚证", "zzbh": "J331083-2026-000001", "bfjg": "测试民政局",
        "bfrq": "20260105", "yxqs": "2026-01-05 00:00:00", "yxqz": "00000000", "zt": 1,
        "czzt": "测试·甲，测试乙", "dmlx": "111", "czztdm": "42120219000101001X,150421190202029984",
        "djrq": "2026年1月5日", "nan": document["data"]["man"], "nv": document["data"]["woman"],
        "unmapped": "stays behind"
    })
}

fn listing(records: &[Value]) -> Says {
    Says::Answer(200, json!({"code": 200, "data": {"list": records}}).to_string().into_bytes())
}

fn register(settings: Value) -> Register {
    let settings: HttpRegisterSettings = serde_json::from_value(settings).unwrap();
    Register::http(&settings, std::path::Path::new(".")).unwrap_or_else(|faults| panic!("{faults}"))
}

fn by_holder() -> Ask {
    Ask::Holder { license_type: MARRIAGE.into(), kind: "111".into(), number: HUSBAND.into() }
}

async fn ask(says: Says) -> Result<Vec<LicenseRecord>, RegisterFault> {
    let (address, _) = library(says).await;
    register(settings(&address)).fetch(&by_holder(), NOW).await
}

async fn fault(says: Says) -> RegisterFault {
    ask(says).await.err().unwrap()
}

#[tokio::test]
async fn a_librarys_own_words_become_our_license_document() {
    let (address, seen) = library(listing(&[pinyin()])).await;
    let records = register(settings(&address)).fetch(&by_holder(), NOW).await.unwrap();
    assert_eq!(records.len(), 1);
    assert!(records[0] == LicenseRecord::from_value(&marriage("A1", "001"), NOW.shanghai_day()).unwrap());
    assert_eq!(&*records[0].header().issuer_code, ISSUER, "told by the license id");
    let line = &seen.0.lock().unwrap()[0].0;
    assert_eq!(line, &format!("GET /zz?lx={MARRIAGE}&dmlx=111&dm={HUSBAND}"));
}

#[tokio::test]
async fn what_is_asked_never_becomes_syntax_of_an_address() {
    let (address, seen) = library(Says::Answer(404, Vec::new())).await;
    let number = "1/../x?a=b&c#d %{type}\r\n测";
    let ask = Ask::Holder { license_type: MARRIAGE.into(), kind: "999".into(), number: number.into() };
    assert!(register(settings(&address)).fetch(&ask, NOW).await.unwrap().is_empty());
    let line = seen.0.lock().unwrap()[0].0.clone();
    assert!(line.ends_with("dm=1%2F..%2Fx%3Fa%3Db%26c%23d%20%25%7Btype%7D%0D%0A%E6%B5%8B"), "{line}");
}

#[tokio::test]
async fn by_id_there_is_an_address_of_its_own() {
    let (address, seen) = library(listing(&[pinyin()])).await;
    let document = marriage("A1", "001");
    let id = document["license_id"].as_str().unwrap();
    let ask = Ask::Id { license_type: MARRIAGE.into(), license_id: id.into() };
    assert_eq!(register(settings(&address)).fetch(&ask, NOW).await.unwrap().len(), 1);
    assert_eq!(seen.0.lock().unwrap()[0].0, format!("GET /zz/{id}"));
    let mut without = settings(&address);
    without.as_object_mut().unwrap().remove("url_by_id");
    assert_eq!(register(without).fetch(&ask, NOW).await.err(), Some(RegisterFault::Unavailable));
}

#[tokio::test]
async fn a_post_carries_its_question_inside_json_strings_and_secrets_from_files() {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("token");
    let mut file =
        std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&secret).unwrap();
    file.write_all(b"Bearer s3cret\n").unwrap();
    let (address, seen) = library(listing(&[])).await;
    let mut value = settings(&address);
    value["url"] = json!(format!("{address}/query"));
    value["method"] = json!("POST");
    value["body"] = json!({"head": {"n": 1}, "holders": ["{holder_type}:{holder_number}"]});
    value["headers"] = json!({"authorization": {"file": "token"}, "x-system": "tongban"});
    let settings: HttpRegisterSettings = serde_json::from_value(value).unwrap();
    assert!(!format!("{settings:?}").contains("tongban"), "header values are not shown");
    let register = Register::http(&settings, folder.path()).unwrap();
    let ask = Ask::Holder { license_type: MARRIAGE.into(), kind: "999".into(), number: "\"},{\"".into() };
    assert!(register.fetch(&ask, NOW).await.unwrap().is_empty());
    let (line, headers, body) = seen.0.lock().unwrap()[0].clone();
    assert_eq!(line, "POST /query");
    assert_eq!(
        (&headers["authorization"], &headers["x-system"]),
        (&"Bearer s3cret".parse().unwrap(), &"tongban".parse().unwrap())
    );
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(told, json!({"head": {"n": 1}, "holders": ["999:\"},{\""]}));
}

#[tokio::test]
async fn nothing_there_is_an_answer() {
    assert!(ask(Says::Answer(404, b"<html>".to_vec())).await.unwrap().is_empty());
    assert!(ask(listing(&[])).await.unwrap().is_empty());
    let null = json!({"code": "200", "data": {"list": null}}).to_string();
    assert!(ask(Says::Answer(200, null.into_bytes())).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_register_that_fails_is_unavailable_and_never_empty() {
    assert_eq!(fault(Says::Answer(500, Vec::new())).await, RegisterFault::Unavailable);
    assert_eq!(fault(Says::Answer(401, Vec::new())).await, RegisterFault::Unavailable);
    assert_eq!(fault(Says::BreaksOff).await, RegisterFault::Unavailable);
    let refused = json!({"code": 500, "data": {"list": []}}).to_string();
    assert_eq!(fault(Says::Answer(200, refused.into_bytes())).await, RegisterFault::Unavailable);
    // Nobody listens on port 1.
    let nobody = register(settings("http://127.0.0.1:1"));
    assert_eq!(nobody.fetch(&by_holder(), NOW).await.err(), Some(RegisterFault::Unavailable));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, seen) = library(listing(&[pinyin()])).await;
    assert_eq!(fault(Says::Redirect(elsewhere)).await, RegisterFault::Unavailable);
    assert!(seen.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_register_that_is_silent_times_out_and_its_places_are_free_again() {
    let (address, seen) = library(Says::Nothing).await;
    let mut value = settings(&address);
    value["timeout_ms"] = json!(50);
    value["concurrency"] = json!(1);
    let register = register(value);
    for _ in 0..2 {
        assert_eq!(register.fetch(&by_holder(), NOW).await.err(), Some(RegisterFault::Timeout));
    }
    assert_eq!(seen.0.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn garbage_is_not_believed() {
    for garbage in
        ["", "not json", "[]", "{\"code\":200}", "{\"code\":200,\"code\":200,\"data\":{\"list\":[]}}"]
    {
        let told = fault(Says::Answer(200, garbage.as_bytes().to_vec())).await;
        let wanted = if garbage == "[]" { RegisterFault::Unavailable } else { RegisterFault::Record };
        assert_eq!(told, wanted, "{garbage}");
    }
    let broken = [
        ("zzbs", json!("1.2.156.3005.2.111000000000131433001.11331083TECT000279.A1.001.0")),
        ("zt", json!(9)),
        ("bfrq", json!("20261305")),
        ("yxqz", json!(null)),
        ("czztdm", json!("42120219000101001X")),
        ("czzt", json!("测试\u{e000}")),
    ];
    for (member, value) in broken {
        let mut record = pinyin();
        record[member] = value;
        assert_eq!(fault(listing(&[record])).await, RegisterFault::Record, "{member}");
    }
}

#[tokio::test]
async fn somebody_elses_license_is_not_believed() {
    let mut other = pinyin();
    other["czztdm"] = json!("440703190303039973,150421190202029984");
    assert_eq!(fault(listing(&[pinyin(), other])).await, RegisterFault::Record);
}

#[tokio::test]
async fn an_answer_beyond_its_limit_is_not_read() {
    let mut big = json!({"code": 200, "data": {"list": []}});
    big["padding"] = json!("x".repeat(LARGEST_ANSWER));
    assert_eq!(fault(Says::Answer(200, big.to_string().into_bytes())).await, RegisterFault::Record);
}

#[test]
fn settings_that_cannot_work_are_told_all_at_once() {
    let value = json!({
        "url": "https://zz.example/{holder}", "url_by_id": "ftp://zz.example/{license_id}",
        "body": {"a": "{x}"}, "timeout_ms": 0, "concurrency": 0,
        "headers": {"bad name": "x", "authorization": {"file": "/nonexistent/secret"}},
        "records": "data",
        "header": {"zzbs": "/zzbs", "name": "zzmc"},
        "holders": {"name": "/a", "type_code": "/b", "code": "/c"}
    });
    let settings: HttpRegisterSettings = serde_json::from_value(value).unwrap();
    let faults = Register::http(&settings, std::path::Path::new("/")).err().unwrap();
    insta::assert_snapshot!(faults.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"), @r"
    url: knows the places {type}, {holder_type}, {holder_number} and {license_id} only
    url_by_id: must be an http or https address whose host is fixed
    body: knows the places {type}, {holder_type}, {holder_number} and {license_id} only
    timeout_ms: 1 to 30000
    concurrency: 1 to 256
    headers.authorization: /nonexistent/secret: no such file
    headers.bad name: is no header name or value that can be sent
    records: is no JSON pointer (RFC 6901)
    header.name: is no JSON pointer (RFC 6901)
    header.zzbs: is no member of a license document
    header.license_id: is needed and nothing says where it comes from
    header.number: is needed and nothing says where it comes from
    header.issuer_name: is needed and nothing says where it comes from
    header.area_code: is needed and nothing says where it comes from
    header.issued_on: is needed and nothing says where it comes from
    header.valid_from: is needed and nothing says where it comes from
    header.status: is needed and nothing says where it comes from
    ");
}

#[test]
fn a_template_must_ask_for_somebody_and_keep_its_host() {
    let faults = |url: &str| {
        let mut value = settings("http://x");
        value["url"] = json!(url);
        let settings: HttpRegisterSettings = serde_json::from_value(value).unwrap();
        Register::http(&settings, std::path::Path::new("/")).err().map(|faults| faults.0)
    };
    assert_eq!(faults("http://zz.example/{holder_number}"), None);
    assert_eq!(
        faults("http://zz.example/{type}"),
        Some(vec![SettingsFault::PlaceMissing("url", "{holder_number}")])
    );
    assert_eq!(faults("http://{holder_number}.example/"), Some(vec![SettingsFault::Address("url")]));
    assert_eq!(
        faults("http://user:pw@zz.example/{holder_number}"),
        Some(vec![SettingsFault::Address("url")])
    );
    assert_eq!(faults("https://zz.example/{holder_number}"), Some(vec![SettingsFault::CaMissing]));
}

#[test]
fn an_unknown_setting_is_a_fault() {
    let mut value = settings("http://x");
    value["timeout"] = json!(3);
    assert!(serde_json::from_value::<HttpRegisterSettings>(value).is_err());
}
