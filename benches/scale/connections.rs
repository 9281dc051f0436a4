//! Ten thousand connections that say nothing beside those that ask.

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::gateway::{Gateway, grouped};
use crate::load::line::{Carried, Line, OpenLine, Protocol};
use crate::table::{Line as Row, Table};
use crate::{Arguments, FEW};

/// Descriptors beside the connections: listeners, files of the store, those that ask.
const BESIDE: u64 = 1_000;
/// A connection without a request is closed after a minute: so many turns at most.
const MOST_TURNS: u32 = 3;

pub async fn measure(arguments: &Arguments, table: &mut Table) -> Result<()> {
    let wanted = arguments.connections;
    raise_descriptors(u64::from(wanted) + BESIDE)?;
    println!("connections: building");
    let door = format!("connections = {0}\nconnections_per_partner = {0}", wanted + 500);
    let mut gateway = Gateway::open_with(arguments, FEW, &door).await?;
    gateway.visit(arguments.requests / 4).await?;
    let (mut turns, mut each) = (Vec::new(), Vec::new());
    for turn in 0..arguments.rounds.min(MOST_TURNS) {
        let few = gateway.visit(arguments.requests).await?;
        let before = gateway.resident_mib()?;
        let idle = open(&gateway, wanted).await?;
        each.push((gateway.resident_mib()? - before) * 1024.0 / f64::from(wanted));
        let many = gateway.visit(arguments.requests).await?;
        ensure!(idle.iter().all(OpenLine::is_open), "void: an idle connection was closed meanwhile");
        println!("connections: turn {}: {few:.1} and {many:.1} µs", turn + 1);
        turns.push((few, many));
    }
    let (from, to) = ("none".to_owned(), grouped(wanted.into()));
    table.add(Row {
        what: "CPU µs a lookup: idle connections 空闲连接".to_owned(),
        from: from.clone(),
        to: to.clone(),
        turns,
        places: 1,
    });
    // Later turns take memory that the first one left behind: the first is the cost.
    let first = each.first().copied().context("a turn")?;
    table.note(format!("An idle connection takes {first:.1} KiB of the gateway's memory ({to} of them)."));
    gateway.close().await
}

/// Opens them one after the other; each asks for the card once, or it would be closed.
async fn open(gateway: &Gateway, count: u32) -> Result<Vec<OpenLine>> {
    let scene = gateway.scene();
    let line = Line::new(&scene.tls, scene.addr, Protocol::H1, 1)?.carrying(Carried::Nowhere("/v1/card"));
    let mut idle = Vec::new();
    for _ in 0..count {
        let mut open = line.open().await?;
        open.ask().await?;
        idle.push(open);
    }
    Ok(idle)
}

fn raise_descriptors(wanted: u64) -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    ensure!(limit.maximum.is_none_or(|most| most >= wanted), "only {:?} descriptors allowed", limit.maximum);
    limit.current = Some(limit.current.unwrap_or(wanted).max(wanted));
    Ok(setrlimit(Resource::Nofile, limit)?)
}
