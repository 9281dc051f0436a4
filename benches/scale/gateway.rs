//! One gateway of a size, up and visited.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::Arguments;
use crate::load::line::{Line, OpenLine, Protocol, futures_all};
use crate::load::many::Asker;
use crate::load::process::{Launch, SERVER_CORE, Server};
use crate::load::requests::Mint;
use crate::load::scene::Scene;
use crate::load::window::Checked;

/// How much there is of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct House {
    pub partners: usize,
    /// Of which so many ask; none: the scene's own partner asks.
    pub asking: usize,
    pub agreements: usize,
    pub licenses: u32,
    pub leaves: u64,
}

impl House {
    /// What this one has that the other has not: `10`, or `3200, 5000, 1000000, 1000000`.
    pub fn of(&self, other: &Self) -> String {
        let all = [
            (self.partners as u64, other.partners as u64),
            (self.agreements as u64, other.agreements as u64),
            (self.licenses.into(), other.licenses.into()),
            (self.leaves, other.leaves),
        ];
        let differing: Vec<String> =
            all.into_iter().filter(|(mine, theirs)| mine != theirs).map(|(mine, _)| grouped(mine)).collect();
        differing.join(", ")
    }
}

/// `1000000` as `1 000 000`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut told = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            told.push(' ');
        }
        told.push(digit);
    }
    told
}

pub struct Gateway {
    scene: Scene,
    askers: Vec<Asker>,
    server: Server,
    /// From start to the open door.
    pub started: Duration,
    before: u64,
    answers: u64,
    checked: Checked,
    /// Authorizations made so far.
    made: usize,
}

/// Requests in flight, and connections.
const TOGETHER: u16 = 32;
const VISIT_WITHIN: Duration = Duration::from_secs(90);
const USES: u32 = 100;
/// Leaves that nobody notices being read by what follows the log.
const FOLLOWED_AT_ONCE: u64 = 100_000;
/// What follows the log looks at it every ten seconds at least.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(11);
const FOLLOWED_WITHIN: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Of a core: a gateway at rest takes a hundredth.
const AT_REST: f64 = 0.05;

impl Gateway {
    pub async fn open(arguments: &Arguments, house: House) -> Result<Self> {
        Self::open_with(arguments, house, "").await
    }

    /// The same with more lines in its partner door's settings.
    pub async fn open_with(arguments: &Arguments, house: House, door: &str) -> Result<Self> {
        let scene = Scene::set(house.licenses)?;
        let askers = scene.add_partners(house.partners, house.asking)?;
        scene.add_agreements(house.agreements)?;
        // Its own thread: a runtime is made in it.
        let recorded = std::thread::scope(|scope| scope.spawn(|| scene.add_leaves(house.leaves)).join());
        recorded.map_err(|_| anyhow::anyhow!("recording panicked"))??;
        let settings = scene.home.join("gateway.toml");
        let text = std::fs::read_to_string(&settings)?;
        std::fs::write(
            &settings,
            text.replacen("[partner_listener]", &format!("[partner_listener]\n{door}\n#"), 1),
        )?;
        let begun = Instant::now();
        let server =
            Launch::gateway(&arguments.server, &scene.home, scene.addr).on(SERVER_CORE).start().await?;
        let started = begun.elapsed();
        if house.leaves > FOLLOWED_AT_ONCE {
            followed(&server).await?;
        }
        Ok(Self {
            askers,
            server,
            started,
            before: house.leaves,
            answers: 0,
            checked: Checked::default(),
            made: 0,
            scene,
        })
    }

    /// CPU microseconds of the server for one of `count` requests.
    pub async fn visit(&mut self, count: u32) -> Result<f64> {
        let warm = count / 16 + u32::from(TOGETHER);
        self.drive(warm).await?;
        self.drive(count).await
    }

    async fn drive(&mut self, count: u32) -> Result<f64> {
        let mut lines: Vec<(OpenLine, _)> = Vec::new();
        let own = [None];
        let askers: Vec<Option<&Asker>> =
            if self.askers.is_empty() { own.to_vec() } else { self.askers.iter().map(Some).collect() };
        let share = u32::try_from(askers.len())?;
        let connections = (TOGETHER / u16::try_from(askers.len())?).max(1);
        for asker in &askers {
            let tls = asker.map_or(&self.scene.tls, |asker| &asker.tls);
            let mint = Mint::new(&self.scene, USES).after(self.made);
            let mut mint = match asker {
                Some(asker) => mint.asked_by(asker),
                None => mint,
            };
            let open = Line::new(tls, self.scene.addr, Protocol::H1, connections)?.open().await?;
            lines.push((open, mint.batch(count.div_ceil(share))?));
            self.made = mint.made();
        }
        let sent: usize = lines.iter().map(|(_, batch)| batch.len()).sum();
        let (before, until) = (self.server.cpu()?, Instant::now() + VISIT_WITHIN);
        let driven = lines.iter_mut().map(|(open, batch)| open.drive(std::mem::take(batch), until));
        let windows = futures_all(driven).await;
        let cpu = self.server.cpu()? - before;
        let mut answered = 0;
        for (window, asker) in windows.into_iter().zip(askers) {
            let window = window?;
            answered += window.latencies.len();
            let asking = asker.map_or(self.scene.asking, |asker| asker.region);
            window.check_as(&self.scene, asking, &mut self.checked)?;
        }
        ensure!(answered == sent, "void: {sent} sent, {answered} answered");
        self.answers += answered as u64;
        Ok(cpu.as_secs_f64() * 1e6 / answered as f64)
    }

    pub fn scene(&self) -> &Scene {
        &self.scene
    }

    pub fn resident_mib(&self) -> Result<f64> {
        Ok(self.server.memory()?.now_kib as f64 / 1024.0)
    }

    /// Stops it and counts its leaves.
    pub async fn close(self) -> Result<()> {
        let line = Line::new(&self.scene.tls, self.scene.addr, Protocol::H1, 1)?;
        let signed = line.checkpoint_over(&self.scene, self.checked.last_index).await?;
        self.server.stop()?;
        let leaves = self.scene.leaves(&signed)?;
        let must = self.before + self.answers;
        ensure!(leaves.answers == must, "void: {} leaves instead of {must}", leaves.answers);
        Ok(())
    }
}

/// Waits until the gateway is at rest. The leaves were recorded without one: its windows of
/// reconciliation and its hours are behind by all of them, once, and would be made up for in the
/// turns.
async fn followed(server: &Server) -> Result<()> {
    let begun = Instant::now();
    loop {
        let (before, looked) = (server.cpu()?, Instant::now());
        tokio::time::sleep(LOOK_EVERY).await;
        let busy = (server.cpu()? - before).as_secs_f64() / looked.elapsed().as_secs_f64();
        if busy < AT_REST && begun.elapsed() > FOLLOWS_WITHIN {
            return Ok(());
        }
        ensure!(begun.elapsed() < FOLLOWED_WITHIN, "void: the gateway does not come to rest");
    }
}
