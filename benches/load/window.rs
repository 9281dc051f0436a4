//! What one window brought, and whether it counts.

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::Bytes;
use tongban::clock::Clock;
use tongban::domain::Region;
use tongban::envelope::{Asked, check_response, digest};

use super::requests::Request;
use super::scene::Scene;

/// What one window brought.
#[derive(Default)]
pub struct Window {
    /// Microseconds from sending a request to its whole answer, one for each answer.
    pub latencies: Vec<u32>,
    pub request_bytes: u64,
    pub answer_bytes: u64,
    /// Requests with the answers that are checked.
    pub samples: Vec<(Request, Bytes)>,
}

/// What the checks found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checked {
    pub samples: u64,
    pub from_cache: u64,
    pub last_index: u64,
}

impl Window {
    /// Every check of the asking side on the sampled answers, and that each found its license.
    pub fn check(&self, scene: &Scene, checked: &mut Checked) -> Result<()> {
        self.check_as(scene, scene.asking, checked)
    }

    /// The same where another partner asked.
    pub fn check_as(&self, scene: &Scene, asking: Region, checked: &mut Checked) -> Result<()> {
        let (member, me) = (scene.answering.gateway_urn(), asking.gateway_urn());
        ensure!(self.samples.len() * 100 >= self.latencies.len(), "void: too few answers were sampled");
        for (request, answer) in &self.samples {
            let asked = Asked {
                member: &member,
                keys: &scene.answering_keys,
                me: &me,
                jti: &request.jti,
                op: "license.query",
                request_digest: &digest(&request.body),
            };
            let claims = check_response(answer, 200, &asked, Clock::system().now())
                .map_err(|fault| anyhow!("void: an answer fails its checks: {fault}"))?;
            let result = claims.result.context("void: an answer has no result")?;
            let says = |pointer, what: &str| result.pointer(pointer).and_then(|v| v.as_str()) == Some(what);
            ensure!(says("/licenses/0/data/registered_on", "2026-01-05"), "void: a license was not found");
            checked.samples += 1;
            checked.from_cache += u64::from(says("/source", "cache"));
            checked.last_index = checked.last_index.max(claims.log.index);
        }
        Ok(())
    }
}
