//! The judge without a door: the same checks on the same papers, for tests about checks.

use tongban::authorization::Authorizer;
use tongban::clock::Now;
use tongban::domain::Region;
use tongban::envelope::{Claim, Replay};
use tongban::house::Trust;
use tongban::inbound::checks::Kept;
use tongban::inbound::judge::{Bench, Memory, Seen, judge};
use tongban::inbound::steps::Step;
use tongban::policy::{Exceeded, Grant, Limited, QuotaPermit};
use tongban::schema::Catalog;

use super::corpus::REVOKED_INDEX;
use super::scene::Scene;
use super::world::{World, WorldPlan, put};

pub struct Court {
    pub scene: Scene,
    trust: Trust,
    authorizer: Authorizer,
}

/// What the judge finds when it remembers; nothing at first.
#[derive(Clone, Copy, Default)]
pub struct Remembered {
    pub used_id: Option<Used>,
    pub over_quota: bool,
    pub uses: u32,
}

#[derive(Clone, Copy)]
pub enum Used {
    SameContent,
    OtherContent,
}

impl Court {
    pub fn new() -> Self {
        Self::of(&World::plan())
    }

    pub fn of(plan: &WorldPlan) -> Self {
        let root = tempfile::tempdir().unwrap();
        let (scene, xianan, _) = plan.settle(root.path());
        let list = scene.authority.status_list(&[REVOKED_INDEX], scene.now());
        put(&xianan.home.join("trust/authorities/lists/7.jwt"), list);
        let (trust, left_out) = Trust::load(&xianan.config(), scene.clock.now()).unwrap();
        assert_eq!(left_out, [], "every trust file is taken");
        Self { scene, trust, authorizer: Authorizer::default() }
    }

    /// Where a message of 玉环 stops, and what it is told; `None` if nowhere.
    pub fn verdict(&self, body: &[u8], remembered: Remembered) -> Option<(Step, String)> {
        self.verdict_on(self.scene.asking.region, body, remembered)
    }

    pub fn verdict_on(&self, peer: Region, body: &[u8], remembered: Remembered) -> Option<(Step, String)> {
        let Some(peer) = self.trust.directory.assume(peer) else {
            return Some((Step::Member, "not-a-member".to_owned()));
        };
        let stopped = judge(&self.bench(), &peer, body, &remembered, &mut Seen::default()).err()?;
        let code = stopped.refusal.code.word();
        let word = stopped.refusal.reason.map_or(code.to_owned(), |reason| format!("{code}/{reason}"));
        Some((stopped.step, word))
    }
}

impl Court {
    fn bench(&self) -> Bench<'_> {
        Bench {
            me: self.scene.answering.region,
            policy: &self.trust.policy,
            authorities: &self.trust.authorities,
            status_lists: &self.trust.status_lists,
            authorizer: &self.authorizer,
            catalog: Catalog::embedded(),
            now: self.scene.clock.now(),
        }
    }

    /// Where a message of 玉环 stops, and what its leaf would keep of that; `None` where it has no
    /// leaf.
    pub fn kept(&self, body: &[u8]) -> Option<(Option<Step>, Kept)> {
        let peer = self.trust.directory.assume(self.scene.asking.region).unwrap();
        let mut seen = Seen::default();
        let stopped = judge(&self.bench(), &peer, body, &Remembered::default(), &mut seen).err();
        let refusal = stopped.as_ref().map(|stopped| &stopped.refusal);
        if !seen.verified || refusal.is_some_and(|refusal| !refusal.is_signed()) {
            return None;
        }
        let kept = Kept {
            code: refusal.map(|refusal| refusal.code),
            op: seen.op,
            agreement: seen.agreement.is_some(),
            license: seen.license_type.is_some(),
            authorization: seen.authorization.is_some(),
        };
        Some((stopped.map(|stopped| stopped.step), kept))
    }
}

impl Memory for Remembered {
    fn first_use(&self, iss: &str, jti: &str, content: &[u8; 32], keep_until: i64, now: Now) -> Claim {
        match self.used_id {
            None => Replay::new(1).claim(iss, jti, content, keep_until, now),
            Some(Used::SameContent) => Claim::Repeat,
            Some(Used::OtherContent) => Claim::Reuse,
        }
    }

    fn quota(&self, _: &Grant, _: Region, _: Now) -> Result<QuotaPermit, Limited> {
        if self.over_quota {
            Err(Limited { exceeded: Exceeded::Rate, retry_after_secs: 1 })
        } else {
            Ok(QuotaPermit::unlimited())
        }
    }

    fn uses(&self, _: &[u8; 32]) -> u32 {
        self.uses
    }
}
