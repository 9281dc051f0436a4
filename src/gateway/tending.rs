//! What happens to cases while nobody acts: deadlines, files on their way, what may be
//! forgotten.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::casebook::{Listed, MaterialRow, Page, ParcelState};
use crate::domain::Region;
use crate::envelope::Op;
use crate::house::House;
use crate::material::MaterialDigest;
use crate::peer::Put;
use crate::relay::backoff;
use crate::telemetry::CaseLabels;

/// How often deadlines are looked at: they count in days, a second is for tests of a hand-moved
/// clock and costs one question to an index.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Stored answers and keys that have expired are dropped this often.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// Files to one partner that are looked at in one round.
const FILES_IN_A_ROUND: u32 = 8;
/// After a change, more are gathered for so long: at five hundred submits a second one look.
const GATHER: Duration = Duration::from_millis(100);

/// Cases are counted this often, for the metrics.
const COUNT_EVERY: Duration = Duration::from_secs(15);

/// Deadlines of cases and verifications, until `stopped`.
pub async fn deadlines(house: Arc<House>, mut stopped: watch::Receiver<bool>) {
    let mut swept = Instant::now();
    let mut counted: Option<Instant> = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stopped.changed() => return,
        }
        let now = house.clock.now();
        if let Err(fault) = house.tend_deadlines(now).await {
            tracing::error!(target: "case", ?fault, "deadlines could not be looked at");
        }
        if counted.is_none_or(|at| at.elapsed() > COUNT_EVERY) {
            counted = Some(Instant::now());
            count(&house).await;
        }
        if swept.elapsed() > SWEEP_EVERY {
            swept = Instant::now();
            let _ = house.casebook.sweep(now.secs()).await;
        }
    }
}

async fn count(house: &House) {
    let Ok(counts) = house.casebook.case_counts().await else { return };
    house.metrics.cases.clear();
    for (partner, role, state, count) in counts {
        let labels = CaseLabels { partner, role, state };
        house.metrics.cases.get_or_create(&labels).set(count.try_into().unwrap_or(i64::MAX));
    }
}

/// Brings the files of our cases to the partners that handle them, until `stopped`.
pub async fn files(house: Arc<House>, mut stopped: watch::Receiver<bool>) {
    let mut changes = house.casebook.changes();
    let mut pauses: HashMap<Region, (u32, Instant)> = HashMap::new();
    loop {
        let partners: Vec<Region> = {
            let trust = house.trust.load();
            trust.directory.cards().map(|card| card.region()).collect()
        };
        let mut rounds = JoinSet::new();
        for partner in partners {
            if pauses.get(&partner).is_some_and(|(_, until)| Instant::now() < *until) {
                continue;
            }
            let house = house.clone();
            rounds.spawn(async move { (partner, round(&house, partner).await) });
        }
        while let Some(Ok((partner, done))) = rounds.join_next().await {
            if done {
                pauses.remove(&partner);
            } else {
                let tries = pauses.get(&partner).map_or(0, |(tries, _)| tries.saturating_add(1));
                let pause = backoff::PARCEL.wait(tries, backoff::draw());
                pauses.insert(partner, (tries, Instant::now() + pause));
            }
        }
        tokio::select! {
            _ = changes.next() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stopped.changed() => return,
        }
    }
}

/// One look at the files a partner still has to get; false when one of them must be tried
/// again.
async fn round(house: &Arc<House>, partner: Region) -> bool {
    let page = Page { after: 0, most: FILES_IN_A_ROUND };
    let Ok(going) = house.casebook.materials_going(partner.as_str(), page).await else { return false };
    let mut well = true;
    for Listed { row, .. } in going {
        well &= bring(house, partner, &row).await;
    }
    well
}

/// A file goes after its application has arrived, and once the region's own systems have
/// brought it.
async fn bring(house: &Arc<House>, partner: Region, row: &MaterialRow) -> bool {
    let Some(digest) = MaterialDigest::parse(&row.sha256).filter(|digest| house.materials.has(digest)) else {
        return true;
    };
    let Ok(parcels) = house.casebook.parcels_of(&row.case).await else { return false };
    let arrived = parcels
        .iter()
        .any(|parcel| parcel.op == Op::ApplicationSubmit.name() && parcel.state == ParcelState::Delivered);
    if !arrived {
        return true;
    }
    match house.clients.put_material(partner, &digest, &house.materials).await {
        Ok(Put::Delivered | Put::Already) => {
            house.file_delivered(&row.case, &row.sha256, house.clock.now()).await.is_ok()
        }
        Ok(other) => {
            tracing::warn!(target: "material", partner = partner.as_str(), ?other, "a file was not taken");
            false
        }
        Err(fault) => {
            tracing::warn!(target: "material", partner = partner.as_str(), %fault, "a file did not arrive");
            false
        }
    }
}
