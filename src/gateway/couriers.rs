//! What leaves by itself: parcels to partners, notices to the region's own systems; and what
//! is measured of both.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::StartFault;
use crate::config::Config;
use crate::house::House;
use crate::outbound::parcel::Carriage;
use crate::relay::{self, BreakerShown, Shelf};
use crate::telemetry::{CourierLabels, Metrics, PartnerLabels, WebhookLabels};
use crate::webhook::{self, Caller, WebhookSettings};

/// Webhooks that can be called; their secrets are read here.
pub fn webhooks(config: &Config) -> Result<Vec<(WebhookSettings, Caller)>, Vec<StartFault>> {
    let base: &Path = &config.base;
    let (mut callers, mut faults) = (Vec::new(), Vec::new());
    for settings in &config.webhook {
        match Caller::new(settings, base) {
            Ok(caller) => callers.push((settings.clone(), caller)),
            Err(fault) => faults.push(StartFault::Webhook(fault)),
        }
    }
    if faults.is_empty() { Ok(callers) } else { Err(faults) }
}

/// Starts the couriers and the webhooks' senders.
pub fn start(
    house: &Arc<House>,
    webhooks: Vec<(WebhookSettings, Caller)>,
    tasks: &mut JoinSet<()>,
    stopped: &watch::Receiver<bool>,
) {
    let shelf = Shelf::new(house.casebook.clone(), house.clock.clone());
    let carriage = Carriage::new(house.clone());
    let settings = relay::Settings { give_up_after: house.config.relay.give_up_after() };
    let board = Arc::new(relay::Board::default());
    tasks.spawn(relay::run(
        Arc::new(shelf),
        Arc::new(carriage),
        settings,
        house.clock.clone(),
        board.clone(),
        stopped.clone(),
    ));
    let heard = Arc::new(webhook::Board::default());
    for (settings, caller) in webhooks {
        let (feed, clock) = (Arc::new(house.casebook.clone()), house.clock.clone());
        tasks.spawn(webhook::run(settings, feed, caller, clock, heard.clone(), stopped.clone()));
    }
    let clock = house.clock.clone();
    house.on_scrape(move |metrics| {
        show_parcels(metrics, &board, clock.now());
        show_webhooks(metrics, &heard);
    });
}

fn show_parcels(metrics: &Metrics, board: &relay::Board, now: crate::clock::Now) {
    // A partner whose backlog has gone is told as none, not as what it was last.
    metrics.parcels_waiting.clear();
    metrics.parcels_oldest.clear();
    metrics.parcels_undeliverable.clear();
    for backlog in board.backlogs() {
        let labels = PartnerLabels { partner: backlog.partner.to_string() };
        metrics.parcels_waiting.get_or_create(&labels).set(number(backlog.waiting));
        let age = backlog.oldest.map_or(0, |oldest| now.secs() - oldest.secs());
        metrics.parcels_oldest.get_or_create(&labels).set(age);
        metrics.parcels_undeliverable.get_or_create(&labels).set(number(backlog.undeliverable));
    }
    for (partner, shown) in board.breakers() {
        let labels = PartnerLabels { partner: partner.to_string() };
        let state = match shown {
            BreakerShown::Closed => 0,
            BreakerShown::HalfOpen => 1,
            BreakerShown::Open => 2,
        };
        metrics.breaker.get_or_create(&labels).set(state);
    }
    for (partner, outcome, count) in board.attempts() {
        let labels = CourierLabels { partner: partner.to_string(), outcome };
        metrics.deliveries.get_or_create(&labels).inner().store(count, std::sync::atomic::Ordering::Relaxed);
    }
}

fn show_webhooks(metrics: &Metrics, board: &webhook::Board) {
    for (webhook, shown) in board.shown() {
        for (outcome, count) in
            [("heard", shown.heard), ("failed", shown.failed), ("given-up", shown.given_up)]
        {
            let labels = WebhookLabels { webhook: webhook.clone(), outcome };
            let counter = metrics.notices_told.get_or_create(&labels);
            counter.inner().store(count, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

fn number(count: u64) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
