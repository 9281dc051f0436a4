//! One courier per partner for whom something waits.
//!
//! Promises: a partner's courier never waits for another's; one that fails (a fault of ours)
//! is replaced. Ends when told to, after the attempts under way have ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::board::Board;
use super::courier::Courier;
use super::{Deliver, Parcels, Ticks};
use crate::clock::Clock;
use crate::domain::Region;

/// After a look, changes are gathered for so long: at five hundred submits a second ten are
/// one look.
const GATHER: Duration = Duration::from_millis(20);
/// Looked at without a change too: for parcels whose moment has come, and for the metrics.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long a parcel may wait. Fourteen days are ten ordinary working days, and leave five
/// after the longest public holiday.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(14 * 86_400);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// An older parcel that fails ends as `undeliverable`.
    pub give_up_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { give_up_after: GIVE_UP_AFTER }
    }
}

struct Office<S, D> {
    parcels: Arc<S>,
    deliver: Arc<D>,
    settings: Settings,
    clock: Clock,
    board: Arc<Board>,
    stopped: watch::Receiver<bool>,
    couriers: HashMap<Region, (Arc<Notify>, AbortHandle)>,
    tasks: JoinSet<()>,
}

/// Delivers what waits on the shelf until `stopped`.
pub async fn run<S: Parcels, D: Deliver>(
    parcels: Arc<S>,
    deliver: Arc<D>,
    settings: Settings,
    clock: Clock,
    board: Arc<Board>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut changes = parcels.changes();
    let mut office = Office {
        parcels,
        deliver,
        settings,
        clock,
        board,
        stopped: stopped.clone(),
        couriers: HashMap::new(),
        tasks: JoinSet::new(),
    };
    let mut rounds = interval(LOOK_EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stopped.borrow() {
        office.look().await;
        let more = async {
            let more = changes.next().await;
            sleep(GATHER).await;
            more
        };
        tokio::select! {
            true = more => {}
            _ = rounds.tick() => office.count().await,
            _ = stopped.changed() => break,
        }
    }
    while office.tasks.join_next().await.is_some() {}
}

impl<S: Parcels, D: Deliver> Office<S, D> {
    /// Wakes the couriers of partners for whom something waits.
    async fn look(&mut self) {
        let partners = match self.parcels.partners().await {
            Ok(partners) => partners,
            Err(fault) => {
                tracing::error!(target: "relay", %fault, "waiting parcels cannot be read");
                return;
            }
        };
        for partner in partners {
            match self.couriers.get(&partner) {
                Some((news, task)) if !task.is_finished() => news.notify_one(),
                _ => self.employ(partner),
            }
        }
        while self.tasks.try_join_next().is_some() {}
    }

    fn employ(&mut self, partner: Region) {
        let news = Arc::new(Notify::new());
        let courier = Courier {
            partner,
            parcels: Arc::clone(&self.parcels),
            deliver: Arc::clone(&self.deliver),
            clock: self.clock.clone(),
            board: Arc::clone(&self.board),
            give_up_after: self.settings.give_up_after,
            news: Arc::clone(&news),
        };
        let task = self.tasks.spawn(courier.run(self.stopped.clone()));
        self.couriers.insert(partner, (news, task));
    }

    async fn count(&self) {
        if let Ok(backlogs) = self.parcels.backlogs().await {
            self.board.backlogs_are(backlogs);
        }
    }
}
