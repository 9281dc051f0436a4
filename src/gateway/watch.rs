//! What runs beside the doors: the watch over everything that can be withdrawn, and the
//! minute's counts.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};

use crate::folder::What;
use crate::house::{House, Trust, TrustWatch};
use crate::ledger::{Leaf, LeafKind};
use crate::peer::Directory;

use super::keys::Keys;

/// How often files are looked at. A withdrawal is in force within 60 s (protocol §2); this
/// leaves room for a slow disk and costs a `stat` per file.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Refusals before the signature step are counted per partner and minute (protocol §7.2).
const COUNT_EVERY: Duration = Duration::from_secs(60);

/// What is watched.
pub struct Watched {
    pub trust: TrustWatch,
    pub keys: Keys,
    pub directory: Arc<ArcSwap<Directory>>,
}

/// Looks at the files now and then, and at once when asked. An asker is answered after a look
/// that began after its question: what it wrote before is in force.
pub async fn trust(
    house: Arc<House>,
    mut watched: Watched,
    mut asked: mpsc::Receiver<oneshot::Sender<()>>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let asker = tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => None,
            Some(asker) = asked.recv() => Some(asker),
            _ = stopped.changed() => return,
        };
        if asker.is_some() {
            renew_calendar(&house);
        }
        let looked = {
            let house = house.clone();
            // Files are read by blocking calls; a slow disk must not hold up exchanges.
            tokio::task::spawn_blocking(move || {
                let leaves = look(&house, &mut watched);
                (watched, leaves)
            })
            .await
        };
        let Ok((back, leaves)) = looked else {
            tracing::error!(target: "trust", "the watch over trust files was interrupted");
            return;
        };
        watched = back;
        for leaf in leaves {
            // The change is in force whether or not it could be noted; the log tells it too.
            let _ = house.ledger.record(leaf.into()).await;
        }
        if let Some(asker) = asker {
            // Whoever asked and went away does not mind.
            let _ = asker.send(());
        }
    }
}

/// One look: swaps in what changed and returns the leaves that say so.
fn look(house: &House, watched: &mut Watched) -> Vec<Leaf> {
    let before = house.trust.load();
    let now = house.clock.now();
    let (trust, changes) = watched.trust.look(Some(&before), now);
    let same = Arc::ptr_eq(&trust.directory, &before.directory)
        && Arc::ptr_eq(&trust.policy, &before.policy)
        && Arc::ptr_eq(&trust.authorities, &before.authorities)
        && Arc::ptr_eq(&trust.status_lists, &before.status_lists)
        && Arc::ptr_eq(&trust.auditors, &before.auditors)
        && Arc::ptr_eq(&trust.accounts, &before.accounts);
    if !Arc::ptr_eq(&trust.auditors, &before.auditors) {
        house.ledger.seal_to(trust.auditors.to_vec());
    }
    let watchers = |trust: &Trust| trust.watchers.as_ref().map(Arc::as_ptr);
    let judged_otherwise = watchers(&trust) != watchers(&before);
    if judged_otherwise && let Err(fault) = house.witness.adopt(trust.watchers.clone(), now) {
        tracing::error!(target: "trust", %fault, "the witness policy could not be put in force");
    }
    if !same || judged_otherwise {
        put_in_force(house, watched, trust);
    }
    let mut leaves = Vec::new();
    for change in changes {
        let name = change.file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let word = match &change.what {
            What::Added => "added",
            What::Changed => "changed",
            What::Removed => "removed",
            What::Refused(faults) => {
                house.metrics.trust_refused.inc();
                for fault in faults {
                    tracing::warn!(target: "trust", file = %name, fault = %fault, "file refused; nothing changed");
                }
                "refused"
            }
        };
        tracing::info!(target: "trust", file = %name, change = word);
        leaves.push(Leaf { code: Some(word.into()), ..Leaf::new(LeafKind::Config) });
    }
    for renewed in watched.keys.look() {
        let word = if renewed.taken { "renewed" } else { "refused" };
        if !renewed.taken {
            house.metrics.trust_refused.inc();
        }
        tracing::info!(target: "trust", file = %renewed.file.display(), change = word);
        leaves.push(Leaf { code: Some(word.into()), ..Leaf::new(LeafKind::Key) });
        if renewed.taken {
            house.renew_card(super::card::of_log(watched.keys.card(&house.config, now), &house.ledger));
        }
    }
    leaves
}

/// Reads the calendar's folder again; what is wrong in it changes nothing.
fn renew_calendar(house: &House) {
    match house.config.load_calendar() {
        Ok(calendar) => house.calendar.store(Arc::new(calendar)),
        Err(faults) => {
            for file in faults {
                let name =
                    file.file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                for fault in &file.faults {
                    tracing::warn!(target: "trust", file = %name, fault = %fault, "calendar refused; nothing changed");
                }
            }
        }
    }
}

fn put_in_force(house: &House, watched: &Watched, trust: Trust) {
    watched.directory.store(trust.directory.clone());
    house.clients.forget_strangers();
    house.trust.store(Arc::new(trust));
}

/// Writes the minute's counts and sweeps what unfinished transfers left.
pub async fn minutes(house: Arc<House>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(COUNT_EVERY) => {
                house.record_unsigned_counts().await;
                let swept = house.materials.sweep(house.clock.now()).await;
                if swept > 0 {
                    tracing::info!(target: "material", swept, "unfinished files were forgotten");
                }
            }
            _ = stopped.changed() => return,
        }
    }
}
