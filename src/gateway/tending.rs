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
/// Files to one partner that are looked at in one round. Most of them wait for somebody here
/// to bring them: with a hundred thousand such, all have been looked at after 200 rounds.
const FILES_IN_A_ROUND: u32 = 512;
/// Files that are sent to one partner in one round, one after the other.
const MOST_SENT_IN_A_ROUND: usize = 8;
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
    // Where the next round begins: no file stands in another's way.
    let mut cursors: HashMap<Region, i64> = HashMap::new();
    loop {
        let awaiting = house.casebook.partners_awaiting_files().await.unwrap_or_else(|fault| {
            tracing::error!(target: "material", %fault, "files on their way cannot be read");
            Vec::new()
        });
        let partners: Vec<Region> = {
            let known = house.trust.load();
            let regions = awaiting.iter().filter_map(|partner| Region::parse(partner).ok());
            regions.filter(|region| known.directory.card(*region).is_some()).collect()
        };
        let mut rounds = JoinSet::new();
        for partner in partners {
            if pauses.get(&partner).is_some_and(|(_, until)| Instant::now() < *until) {
                continue;
            }
            let house = house.clone();
            let after = cursors.get(&partner).copied().unwrap_or_default();
            rounds.spawn(async move { (partner, round(&house, partner, after).await) });
        }
        while let Some(Ok((partner, Round { well, next }))) = rounds.join_next().await {
            cursors.insert(partner, next);
            if well {
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

/// What came of one look at the files a partner still has to get.
struct Round {
    /// None of them must be tried again.
    well: bool,
    /// After this file the next round begins.
    next: i64,
}

async fn round(house: &Arc<House>, partner: Region, after: i64) -> Round {
    let page = Page { after, most: FILES_IN_A_ROUND };
    let Ok(going) = house.casebook.materials_going(partner.as_str(), page).await else {
        return Round { well: false, next: after };
    };
    let full = going.len() == FILES_IN_A_ROUND as usize;
    let mut round = Round { well: true, next: after };
    let mut tried = 0;
    for Listed { row, n } in going {
        if tried == MOST_SENT_IN_A_ROUND {
            return round;
        }
        round.next = n;
        let Some(digest) = MaterialDigest::parse(&row.sha256).filter(|digest| house.materials.has(digest))
        else {
            continue;
        };
        tried += 1;
        round.well &= bring(house, partner, &row, &digest).await;
    }
    if !full {
        round.next = 0;
    }
    round
}

/// Sends a file that is here, once its application has arrived.
async fn bring(house: &Arc<House>, partner: Region, row: &MaterialRow, digest: &MaterialDigest) -> bool {
    let Ok(parcels) = house.casebook.parcels_of(&row.case).await else { return false };
    let arrived = parcels
        .iter()
        .any(|parcel| parcel.op == Op::ApplicationSubmit.name() && parcel.state == ParcelState::Delivered);
    if !arrived {
        return true;
    }
    match house.clients.put_material(partner, digest, &house.materials).await {
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
