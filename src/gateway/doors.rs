//! The doors, and what runs beside them until the gateway stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch as channel};
use tokio::task::JoinSet;

use super::{
    Keys, Running, StartFault, around, couriers, desk, pull, reconciling, tending, watch, witnessing,
};
use crate::door::{self, listener};
use crate::house::{House, TrustWatch};
use crate::peer;
use crate::telemetry::DoorLabels;
use crate::webhook::{Caller, WebhookSettings};

/// Reloads that wait for the watch; the next one waits for a place.
const MOST_RELOADS_WAITING: usize = 16;

/// Opens the doors and begins what runs beside them.
pub(super) async fn open(
    house: Arc<House>,
    keys: Keys,
    webhooks: Vec<(WebhookSettings, Caller)>,
    watch: TrustWatch,
    directory: Arc<ArcSwap<peer::Directory>>,
) -> Result<Running, Vec<StartFault>> {
    let (stop, stopped) = channel::channel(false);
    let mut tasks = JoinSet::new();

    let section = &house.config.partner_listener;
    let tls =
        peer::partner_server_config(keys.partner.credentials.clone(), directory.clone(), house.clock.clone())
            .map_err(|e| vec![StartFault::Tls(e.to_string())])?;
    let limits = listener::Limits {
        connections: section.connections,
        connections_per_peer: section.connections_per_partner,
        ..listener::Limits::default()
    };
    let (socket, partner_addr) = bind(section.listen).await?;
    let stats = Arc::new(listener::ListenerStats::default());
    show(&house, "partner", stats.clone());
    let served = house.clone();
    tasks.spawn(listener::serve(
        socket,
        Some(tls),
        limits,
        stats,
        move |request, conn| door::partner::serve(served.clone(), request, conn),
        stopped.clone(),
    ));

    let mut local_addr = None;
    if let Some(section) = &house.config.local_listener {
        let tls = match &keys.local {
            Some(pair) => Some(
                peer::plain_server_config(pair.credentials.clone())
                    .map_err(|e| vec![StartFault::Tls(e.to_string())])?,
            ),
            None => None,
        };
        let stats = Arc::new(listener::ListenerStats::default());
        show(&house, "local", stats.clone());
        let (socket, addr) = bind(section.listen).await?;
        local_addr = Some(addr);
        let served = house.clone();
        tasks.spawn(listener::serve(
            socket,
            tls,
            listener::Limits::default(),
            stats,
            move |request, conn| door::local::serve(served.clone(), request, conn),
            stopped.clone(),
        ));
    }

    let (console, console_addr) = open_console(&house, &keys, &mut tasks, &stopped).await?.unzip();

    let (reload, asked) = mpsc::channel(MOST_RELOADS_WAITING);
    tasks.spawn(watch::trust(
        house.clone(),
        watch::Watched { trust: watch, keys, directory },
        asked,
        stopped.clone(),
    ));
    tasks.spawn(pull::status_lists(house.clone(), pull::Puller::new(&house.config), stopped.clone()));
    tasks.spawn(tending::deadlines(house.clone(), stopped.clone()));
    tasks.spawn(tending::files(house.clone(), stopped.clone()));
    let links = console.clone().zip(console_addr).map(desk::links);
    desk::begin(&house, links, &mut tasks, &stopped).map_err(|fault| vec![fault])?;
    tasks.spawn(reconciling::pairs(house.clone(), stopped.clone()));
    couriers::start(&house, webhooks, &mut tasks, &stopped);
    let (witness, asked) = mpsc::channel(MOST_RELOADS_WAITING);
    tasks.spawn(witnessing::checkpoints(house.clone(), asked, stopped.clone()));
    tasks.spawn(watch::minutes(house.clone(), stopped));
    Ok(Running { house, partner_addr, local_addr, console_addr, console, stop, reload, witness, tasks })
}

/// The auditors' door: TLS always, a certificate asked for and not needed.
async fn open_console(
    house: &Arc<House>,
    keys: &Keys,
    tasks: &mut JoinSet<()>,
    stopped: &channel::Receiver<bool>,
) -> Result<Option<(Arc<door::console::Console>, SocketAddr)>, Vec<StartFault>> {
    let Some(section) = &house.config.console_listener else { return Ok(None) };
    let pair = keys.console.as_ref().unwrap_or(&keys.partner);
    let tls = peer::console_server_config(pair.credentials.clone())
        .map_err(|e| vec![StartFault::Tls(e.to_string())])?;
    let stats = Arc::new(listener::ListenerStats::default());
    show(house, "console", stats.clone());
    let (socket, addr) = bind(section.listen).await?;
    let console = {
        let around = around::Neighbours::default();
        tasks.spawn(around.clone().look(house.clone(), stopped.clone()));
        door::console::Console::new(house.clone(), Box::new(around))
    };
    let served = console.clone();
    tasks.spawn(listener::serve(
        socket,
        Some(tls),
        door::console::Console::limits(),
        stats,
        move |request, conn| door::console::serve(served.clone(), request, conn),
        stopped.clone(),
    ));
    tasks.spawn(door::console::tend(console.clone(), stopped.clone()));
    Ok(Some((console, addr)))
}

/// Shows a door's connections in the metrics.
fn show(house: &House, door: &'static str, stats: Arc<listener::ListenerStats>) {
    house.on_scrape(move |metrics| {
        let counts = [
            ("open", &stats.open),
            ("accepted", &stats.accepted),
            ("handshakes-failed", &stats.handshakes_failed),
            ("timed-out", &stats.timed_out),
            ("over-share", &stats.over_share),
            ("odd-requests", &stats.odd_requests),
            ("panics", &stats.panics),
        ];
        for (what, count) in counts {
            let count = count.load(Ordering::Relaxed).try_into().unwrap_or(i64::MAX);
            metrics.connections.get_or_create(&DoorLabels { door, what }).set(count);
        }
    });
}

async fn bind(listen: SocketAddr) -> Result<(TcpListener, SocketAddr), Vec<StartFault>> {
    let fault = |e: std::io::Error| vec![StartFault::Listen { listen, kind: e.kind() }];
    let socket = TcpListener::bind(listen).await.map_err(fault)?;
    let addr = socket.local_addr().map_err(fault)?;
    Ok((socket, addr))
}
