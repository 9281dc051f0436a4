//! A browser at the auditors' console, as far as its wire goes: a certificate, cookies, forms.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hyper::Method;
use serde_json::json;

use super::member::Member;
use super::partner::{Http, Line, Told, dial};
use super::world::{Gateway, put};

/// One connection with its cookies.
pub struct Browser {
    pub line: Line,
    pub host: String,
    pub cookies: BTreeMap<String, String>,
}

pub fn account_file(gateway: &Gateway, name: &str) -> PathBuf {
    gateway.home.join(format!("trust/console/{name}.json"))
}

/// An account in force, with this certificate.
pub async fn open_account(gateway: &Gateway, name: &str, role: &str, member: Option<&Member>) {
    let pins: Vec<&str> = member.iter().map(|member| member.pin.as_str()).collect();
    let document =
        json!({"name": name, "title": "李审计", "role": role, "spki_sha256": pins, "status": "active"});
    put(&account_file(gateway, name), document.to_string());
    gateway.reload().await;
}

/// `application/x-www-form-urlencoded`.
pub fn form(fields: &[(&str, &str)]) -> Vec<u8> {
    let encode = |text: &str| -> String {
        text.bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect()
    };
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    fields.join("&").into_bytes()
}

impl Browser {
    pub async fn at(gateway: &Gateway, member: Option<&Member>) -> Self {
        let door = gateway.running().console_addr.unwrap();
        let line = dial(door, member, Http::Two).await.unwrap();
        Self { line, host: format!("localhost:{}", door.port()), cookies: BTreeMap::new() }
    }

    /// Signed in by the certificate it shows.
    pub async fn signed_in(gateway: &Gateway, member: &Member) -> Self {
        let mut browser = Self::at(gateway, Some(member)).await;
        let told = browser.post("/sign-in", &[]).await;
        assert_eq!((told.status, told.header("location")), (303, Some("/")), "{}", text(&told));
        browser
    }

    pub async fn get(&mut self, path: &str) -> Told {
        self.call(Method::GET, path, &[], Vec::new()).await
    }

    /// A page that must be there.
    pub async fn page(&mut self, path: &str) -> String {
        let told = self.get(path).await;
        assert_eq!(told.status, 200, "{path}: {}", text(&told));
        text(&told)
    }

    /// A form of one of the console's own pages.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Told {
        let origin = format!("https://{}", self.host);
        let headers = [("origin", origin.as_str()), ("sec-fetch-site", "same-origin")];
        self.post_as(path, fields, &headers).await
    }

    pub async fn post_as(&mut self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Told {
        let mut headers = headers.to_vec();
        headers.push(("content-type", "application/x-www-form-urlencoded"));
        self.call(Method::POST, path, &headers, form(fields)).await
    }

    /// The same with the session's token.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Told {
        let token = self.token().await;
        let mut fields = fields.to_vec();
        fields.push(("csrf", &token));
        self.post(path, &fields).await
    }

    /// The session's token, as its pages carry it.
    pub async fn token(&mut self) -> String {
        let page = self.page("/").await;
        let at = page.find("name=\"csrf\" value=\"").expect("a form") + "name=\"csrf\" value=\"".len();
        page[at..at + 43].to_owned()
    }

    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Told {
        let cookie: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookie = cookie.join("; ");
        let mut headers = headers.to_vec();
        if !cookie.is_empty() {
            headers.push(("cookie", cookie.as_str()));
        }
        let told = self.line.call_at(&self.host, method, path, &headers, body).await.unwrap();
        for set in told.headers.get_all("set-cookie") {
            let (pair, attributes) = set.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        told
    }
}

fn text(told: &Told) -> String {
    String::from_utf8(told.body.to_vec()).unwrap()
}
