//! Every use of one citizen's authorization, over-use included.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::act::Intent;
use super::find::FoundRow;
use super::subject::MOST_IN_A_REPORT;
use super::{Act, Desk, DeskFault, Mandate, Question};

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Uses {
    /// The leaf's `auth`: SHA-256(iss ‖ 0x00 ‖ jti), base64url.
    pub auth: String,
    /// Newest first.
    pub rows: Vec<FoundRow>,
    /// Answers given here under it: what the authorization's `max_uses` counts.
    pub taken: u64,
    pub more: bool,
    pub leaf: String,
}

impl Desk {
    pub async fn authorization(&self, mandate: &Mandate, iss: &str, jti: &str) -> Result<Uses, DeskFault> {
        mandate.may(Act::Authorization)?;
        let mut named = iss.as_bytes().to_vec();
        named.push(0);
        named.extend_from_slice(jti.as_bytes());
        let auth = URL_SAFE_NO_PAD.encode(digest(&SHA256, &named));
        let question = Question { auth: Some(auth.clone()), ..Question::default() };
        let asked = question.clone();
        let (rows, more) = self
            .blocking(move |desk| {
                let mut found = desk.find(&asked, None, MOST_IN_A_REPORT + 1)?;
                let more = found.len() > MOST_IN_A_REPORT;
                found.truncate(MOST_IN_A_REPORT);
                Ok((desk.rows(found)?, more))
            })
            .await?;
        let permitted = |row: &&FoundRow| row.kind == "in" && row.members.dec.as_deref() == Some("permit");
        let taken = rows.iter().filter(permitted).count() as u64;
        let intent =
            Intent { n: rows.len() as u64, what: question.told(), ..Intent::new(Act::Authorization) };
        let recorded = self.record(mandate, intent).await?;
        self.finish(&recorded).await?;
        Ok(Uses { auth, rows, taken, more, leaf: recorded.leaf })
    }
}
