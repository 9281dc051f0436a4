//! Two counties that know each other, an agreement, an authority, licenses; and 玉环's
//! messages to 咸安, made by hand.

use serde_json::{Value, json};
use tempfile::TempDir;
use tongban::cli::authorize::{Asked, DevAuthority, Issued, Person};
use tongban::clock::Clock;
use tongban::envelope::{Typ, new_message_id, seal};

use super::Home;
use crate::support::{
    AGREEMENT, Due, Http, ITEM, JIA, Line, MARRIAGE, Member, Told, Verdict, agreement, dial, licenses,
};

pub struct Pair {
    /// Answers.
    pub xianan: Home,
    /// Asks.
    pub yuhuan: Home,
    pub authority: DevAuthority,
    pub asker: Member,
    pub answerer: Member,
    pub root: TempDir,
}

/// A signed request and how long it lives.
#[derive(Clone)]
pub struct Message {
    pub jti: String,
    pub bytes: Vec<u8>,
}

/// The suite's agreement, in force on any day on which a test may run.
pub fn day_plan() -> Value {
    let mut agreement = agreement();
    agreement["valid_to"] = "2099-12-31".into();
    agreement
}

impl Pair {
    pub fn make() -> Self {
        let root = tempfile::tempdir().unwrap();
        let (xianan, yuhuan) = (Home::make(root.path(), "421202"), Home::make(root.path(), "331083"));
        xianan.trust(&yuhuan);
        yuhuan.trust(&xianan);
        for home in [&xianan, &yuhuan] {
            home.trust_agreement(&day_plan());
        }
        let now = Clock::system().now();
        let authority = DevAuthority::create(&root.path().join("mengsuban"), "mengsuban", now, 24).unwrap();
        std::fs::copy(authority.trust_file(), xianan.file("trust/authorities/mengsuban.json")).unwrap();
        let lines: String = licenses().iter().map(|license| format!("{license}\n")).collect();
        let register = xianan.file("data/register.db");
        let report =
            tongban::license::import(&register, lines.as_bytes(), now.shanghai_day(), |_| ()).unwrap();
        assert!(report.refused.is_empty(), "{:?}", report.refused);
        let (asker, answerer) = (yuhuan.member(), xianan.member());
        Self { xianan, yuhuan, authority, asker, answerer, root }
    }

    /// 测试·甲 says yes to two fields of the marriage certificate.
    pub fn authorize(&self, max_uses: u32) -> Issued {
        let asked = Asked {
            me: self.xianan.region,
            client: self.yuhuan.region,
            jkt: Some(self.asker.signing.kid().to_owned()),
            holder: Person { kind: "111".into(), number: JIA.into() },
            ward: None,
            license_types: vec![MARRIAGE.into()],
            fields: vec!["cert_no".into(), "registered_on".into()],
            actions: vec!["read".into()],
            item: ITEM.into(),
            case: None,
            purpose: None,
            max_uses,
            minutes: 10,
            sensitive: false,
            with_status: true,
        };
        self.authority.issue(&asked, Clock::system().now()).unwrap()
    }

    pub fn ping(&self) -> Message {
        self.sealed(|_| ())
    }

    /// A lookup under this authorization.
    pub fn lookup(&self, token: &str) -> Message {
        self.sealed(|claims| {
            claims["op"] = "license.query".into();
            claims["item"] = ITEM.into();
            claims["basis"] = "consent".into();
            claims["purpose"] = "新生儿户口登记核验父母婚姻状况".into();
            claims["operator"] = "YH0123".into();
            claims["agreement"] = AGREEMENT.into();
            claims["authorization"] = token.into();
            claims["body"] = json!({"license": {"type": MARRIAGE, "holder": {"type": "111", "number": JIA}},
                "mode": "read", "fields": ["cert_no", "registered_on"]});
        })
    }

    fn sealed(&self, bend: impl FnOnce(&mut Value)) -> Message {
        let (now, jti) = (Clock::system().now().secs(), new_message_id());
        let mut claims = json!({"ver": 1, "iss": self.asker.urn(), "aud": self.answerer.urn(), "iat": now,
            "exp": now + 120, "jti": jti, "op": "ping", "body": {}});
        bend(&mut claims);
        let bytes = seal(&self.asker.signing, Typ::Request, &claims).unwrap();
        Message { jti, bytes }
    }

    /// A connection of 玉环's to 咸安.
    pub async fn dial(&self) -> Line {
        dial(self.xianan.doors.partner, Some(&self.asker), Http::Two).await.unwrap()
    }

    pub async fn ask(&self, line: &Line, message: &Message) -> Verdict {
        self.read(line.exchange(message.bytes.clone()).await, message)
    }

    /// The answer with every check of a partner's.
    pub fn read(&self, told: Told, message: &Message) -> Verdict {
        Verdict::read(
            told,
            &Due {
                key: &self.answerer.signing,
                iss: &self.answerer.urn(),
                aud: &self.asker.urn(),
                now: Clock::system().now().secs(),
                request: &message.bytes,
            },
        )
    }
}
