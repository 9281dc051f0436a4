//! Every room, built once: what the corridors and the doors share.
//!
//! What can be withdrawn (cards, agreements, authorities, CRLs, status lists, keys) stands
//! in immutable snapshots that the watch swaps; a request takes one look and keeps it.

mod background;
mod materials;
mod ready;
pub mod subjects;
mod trust;
mod view;
mod windows;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::Value;

use crate::admission::Admission;
use crate::answer::Code;
use crate::audit::Desk;
use crate::authorization::Authorizer;
use crate::casebook::Casebook;
use crate::casework::Serials;
use crate::clock::{Clock, Now};
use crate::config::Config;
use crate::domain::{Calendar, Region};
use crate::envelope::Replay;
use crate::inbound::judge::Bench;
use crate::keys::SigningKey;
use crate::ledger::{Decision, Leaf, LeafKind, Ledger};
use crate::license::{LicenseAnswer, Lookup};
use crate::material::Shelf;
use crate::peer::PartnerClients;
use crate::policy::{Limited, QuotaPermit, Quotas};
use crate::reconcile::Book;
use crate::schema::Catalog;
use crate::telemetry::{AnswerLabels, Metrics};
use crate::web::WebClient;
use crate::witness::{QUORUM_OVERDUE, Witness};

pub use background::{Background, Interrupted};
pub use ready::Part;
pub use trust::{Trust, TrustWatch, pulled_path};

pub use crate::envelope::new_trace;

/// The rooms of one running gateway.
pub struct House {
    pub config: Config,
    pub me: Region,
    pub clock: Clock,
    pub catalog: &'static Catalog,
    /// The working days in force.
    pub calendar: ArcSwap<Calendar>,
    pub signing: Arc<ArcSwap<SigningKey>>,
    pub trust: Arc<ArcSwap<Trust>>,
    pub authorizer: Authorizer,
    pub replay: Replay,
    pub quotas: Quotas,
    /// The line of exchanges that are worked on.
    pub admission: Admission,
    pub lookup: Lookup,
    pub ledger: Ledger,
    pub casebook: Casebook,
    /// Our eye on partners' logs, and theirs on ours.
    pub witness: Witness,
    /// Where auditors' acts are done.
    pub desk: Desk,
    /// Ledgers compared with partners.
    pub windows: Arc<Book>,
    /// Where work is done that gives way to answering.
    pub background: Background,
    pub clients: Arc<PartnerClients>,
    pub materials: Shelf,
    /// For configured addresses that are no partner's.
    pub web: WebClient,
    pub metrics: Metrics,
    /// A request body must be there in this time (protocol §2).
    pub body_deadline: Duration,
    /// A sandbox: refusals go out with what their bytes show (PROTOCOL, X). Never in production.
    pub sandbox: bool,
    /// This gateway's card as last computed.
    pub card: ArcSwap<Value>,
    /// Refusals before the signature step, by partner and code, since the last count leaf.
    unsigned: Mutex<HashMap<(Region, Code), u64>>,
    /// The latest moment the clock has shown (ms), to notice when it steps back.
    latest: AtomicI64,
    clock_sane: AtomicBool,
    draining: AtomicBool,
    /// Serial numbers of the day's cases.
    pub(crate) serials: Mutex<Serials>,
    /// Read at each scrape: what other parts measure.
    gauges: Mutex<Vec<Gauges>>,
}

/// Writes what some part measures into the metrics.
type Gauges = Box<dyn Fn(&Metrics) + Send>;

/// What [`House::new`] needs: the rooms that were built before it.
pub struct Rooms {
    pub config: Config,
    pub calendar: Calendar,
    pub clock: Clock,
    pub signing: Arc<ArcSwap<SigningKey>>,
    pub trust: Arc<ArcSwap<Trust>>,
    pub replay: Replay,
    pub lookup: Lookup,
    pub ledger: Ledger,
    pub casebook: Casebook,
    pub witness: Witness,
    pub desk: Desk,
    pub windows: Book,
    pub background: Background,
    pub clients: Arc<PartnerClients>,
    pub materials: Shelf,
    pub web: WebClient,
    pub card: Value,
    pub sandbox: bool,
}

/// How far the clock may step back (NTP slews; it does not jump) before we stop serving:
/// leaves and lifetimes would be wrong.
const CLOCK_STEP_MS: i64 = 2_000;

/// The body deadline of protocol §2.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

impl House {
    pub fn new(rooms: Rooms) -> Self {
        Self {
            me: rooms.config.region.code,
            catalog: Catalog::embedded(),
            calendar: ArcSwap::from_pointee(rooms.calendar),
            authorizer: Authorizer::default(),
            quotas: Quotas::default(),
            admission: Admission::default(),
            metrics: Metrics::default(),
            body_deadline: BODY_DEADLINE,
            card: ArcSwap::from_pointee(rooms.card),
            unsigned: Mutex::default(),
            latest: AtomicI64::new(rooms.clock.now().ms()),
            clock_sane: AtomicBool::new(true),
            draining: AtomicBool::new(false),
            serials: Mutex::default(),
            gauges: Mutex::default(),
            config: rooms.config,
            sandbox: rooms.sandbox,
            clock: rooms.clock,
            signing: rooms.signing,
            trust: rooms.trust,
            replay: rooms.replay,
            lookup: rooms.lookup,
            ledger: rooms.ledger,
            casebook: rooms.casebook,
            witness: rooms.witness,
            desk: rooms.desk,
            windows: Arc::new(rooms.windows),
            background: rooms.background,
            clients: rooms.clients,
            materials: rooms.materials,
            web: rooms.web,
        }
    }

    /// The judge's view of this moment.
    pub fn bench<'a>(&'a self, trust: &'a Trust, now: Now) -> Bench<'a> {
        Bench {
            me: self.me,
            policy: &trust.policy,
            authorities: &trust.authorities,
            status_lists: &trust.status_lists,
            authorizer: &self.authorizer,
            catalog: self.catalog,
            now,
        }
    }

    pub fn own_card(&self) -> Arc<Value> {
        self.card.load_full()
    }

    /// Our keys were renewed: the card says so.
    pub fn renew_card(&self, card: Value) {
        self.card.store(Arc::new(card));
    }

    /// The partner's place before any cryptography: rate and concurrency of its most
    /// generous agreement.
    pub fn partner_budget(&self, peer: Region, now: Now) -> Result<QuotaPermit, Limited> {
        self.quotas.enter_partner(&self.trust.load().policy, peer, self.me, now)
    }

    /// May an exchange begin? Not with a clock that stepped back, nor while nobody has
    /// witnessed our log for longer than the policy bears.
    pub fn may_serve(&self) -> bool {
        self.clock_is_sane() && !self.witnessed_for_too_long(QUORUM_OVERDUE)
    }

    /// More than so many seconds since enough witnesses cosigned our log.
    fn witnessed_for_too_long(&self, most: i64) -> bool {
        self.witness.quorum_age(self.clock.now()).is_some_and(|age| age > most)
    }

    /// Has the clock not stepped back?
    pub fn clock_is_sane(&self) -> bool {
        let now = self.clock.now().ms();
        let latest = self.latest.fetch_max(now, Ordering::Relaxed).max(now);
        let sane = now >= latest - CLOCK_STEP_MS;
        self.clock_sane.store(sane, Ordering::Relaxed);
        sane
    }

    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// `read` is called whenever the metrics are asked for.
    pub fn on_scrape(&self, read: impl Fn(&Metrics) + Send + 'static) {
        if let Ok(mut gauges) = self.gauges.lock() {
            gauges.push(Box::new(read));
        }
    }

    pub fn count_license_answer(&self, answer: &LicenseAnswer) {
        let source = match answer {
            LicenseAnswer { licenses: 0, .. } => "not-found",
            LicenseAnswer { stale: true, .. } => "stale",
            LicenseAnswer { source, .. } => source.word(),
        };
        self.metrics.licenses.get_or_create(&AnswerLabels { source }).inc();
    }

    /// Refusals before the signature step are counted per partner and minute (protocol §7.2).
    pub fn count_unsigned(&self, peer: Region, code: Code) {
        if let Ok(mut counts) = self.unsigned.lock() {
            *counts.entry((peer, code)).or_default() += 1;
        }
    }

    /// Writes the counts since the last call as one leaf per partner and code. What cannot
    /// be written is counted on.
    pub async fn record_unsigned_counts(&self) {
        let counts = match self.unsigned.lock() {
            Ok(mut counts) => std::mem::take(&mut *counts),
            Err(_) => return,
        };
        for ((peer, code), count) in counts {
            let leaf = Leaf {
                peer: Some(peer.to_string()),
                dec: Some(Decision::Deny),
                code: Some(code.word().to_owned()),
                status: Some(code.status()),
                n: Some(count),
                ..Leaf::new(LeafKind::Incident)
            };
            if self.ledger.record(leaf.into()).await.is_err()
                && let Ok(mut counts) = self.unsigned.lock()
            {
                *counts.entry((peer, code)).or_default() += count;
            }
        }
    }
}
