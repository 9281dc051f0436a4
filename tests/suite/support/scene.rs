//! Who is on stage, and the true messages they send each other, to be bent.

use std::sync::Arc;

use serde_json::json;
use tongban::cli::pki::CertificateAuthority;
use tongban::clock::Clock;
use tongban::envelope::new_message_id;

use super::authority::{Authority, IDP, LIST, LIST_INDEX};
use super::member::Member;
use super::message::{Draft, b64, sha256};
use super::papers::*;

pub struct Scene {
    pub clock: Clock,
    pub ca: CertificateAuthority,
    pub authority: Authority,
    /// 咸安.
    pub answering: Member,
    /// 玉环.
    pub asking: Member,
    /// 滨海: a member without an agreement, known by its pin.
    pub binhai: Member,
}

impl Scene {
    pub fn now(&self) -> i64 {
        self.clock.now().secs()
    }

    /// 玉环's `ping` to 咸安.
    pub fn ping(&self) -> Draft {
        self.ping_of(&self.asking)
    }

    pub fn ping_of(&self, member: &Member) -> Draft {
        let claims = json!({"ver": 1, "iss": member.urn(), "aud": self.answering.urn(), "iat": self.now(),
            "exp": self.now() + 60, "jti": new_message_id(), "op": "ping", "body": {}});
        Draft::new("tongban-request+jwt", &member.signing, claims)
    }

    /// 玉环 asks for two fields of 测试·甲's marriage certificate, with an authorization.
    pub fn lookup(&self) -> Draft {
        self.lookup_of(&self.asking).authorized(&self.authorization())
    }

    /// The same without an authorization.
    pub fn lookup_of(&self, member: &Member) -> Draft {
        self.ping_of(member).bent(|claims| {
            claims["op"] = "license.query".into();
            claims["item"] = ITEM.into();
            claims["case"] = CASE.into();
            claims["basis"] = "consent".into();
            claims["purpose"] = "新生儿户口登记核验父母婚姻状况".into();
            claims["operator"] = "YH0123".into();
            claims["agreement"] = AGREEMENT.into();
            claims["body"] = json!({"license": {"type": MARRIAGE, "holder": {"type": "111", "number": JIA}},
                "mode": "read", "fields": ["cert_no", "registered_on"]});
        })
    }

    /// 玉环 looks up under its statutory duty: no authorization needed.
    pub fn duty(&self) -> Draft {
        let body = json!({"license": {"type": BUSINESS, "holder": {"type": "001", "number": COMPANY}},
            "mode": "read", "fields": ["uscc", "name"]});
        self.lookup_of(&self.asking)
            .without("/case")
            .with("/item", DUTY_ITEM)
            .with("/basis", "statutory_duty")
            .with("/body", body)
    }

    /// 测试·甲's authorization for [`World::lookup`]: one use, ten minutes.
    pub fn authorization(&self) -> Draft {
        self.authorization_of("111", JIA)
    }

    pub fn authorization_of(&self, holder_type: &str, number: &str) -> Draft {
        let jti = new_message_id();
        let claims = json!({
            "ver": 1, "iss": IDP, "sub": "p-3f9c2d1e8b7a4c56", "aud": self.answering.urn(),
            "client_id": self.asking.urn(), "iat": self.now(), "nbf": self.now(), "exp": self.now() + 600,
            "jti": jti, "auth_time": self.now() - 10, "acr": "face", "holder": holder(&jti, holder_type, number),
            "cnf": {"jkt": self.asking.signing.kid()},
            "authorization_details": [{"type": "urn:tongban:license", "actions": ["read"], "datatypes": [MARRIAGE],
                "fields": ["cert_no", "registered_on"], "item": ITEM, "case": CASE, "purpose": "新生儿户口登记",
                "max_uses": 1, "retention_days": 30}],
            "sensitive": true, "guardian": null, "notice": "N-2026-03",
            "status": {"status_list": {"idx": LIST_INDEX, "uri": LIST}}
        });
        Draft::new("tongban-authorization+jwt", &Arc::clone(&self.authority.key), claims)
    }
}

/// The digest of protocol §3.3, computed here by its words.
pub fn holder(jti: &str, holder_type: &str, number: &str) -> String {
    b64(sha256(format!("{jti}\0{holder_type}\0{number}").as_bytes()))
}

/// A scene without any door: keys and papers only.
pub fn stage() -> Scene {
    let root = tempfile::tempdir().unwrap();
    super::world::World::plan().settle(root.path()).0
}
