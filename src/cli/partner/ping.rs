//! `partner ping`: a whole signed exchange with a partner, through the running gateway.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::local_door::{LocalDoor, Token, refused};
use crate::cli::{Common, Exit, Outcome, out};
use crate::clock::Clock;
use crate::domain::Region;

#[derive(Args)]
pub struct Ping {
    #[arg(value_name = "REGION", value_parser = crate::cli::region)]
    region: Region,
    #[command(flatten)]
    token: Token,
}

impl Ping {
    pub fn run(self, common: &Common) -> Outcome {
        let door = LocalDoor::of(common, &self.token)?;
        let clock = Clock::system();
        let sent = clock.now();
        let answer = door.post(&format!("/local/v1/partners/{}/ping", self.region), &json!({}))?;
        if answer.status != 200 {
            return refused(&answer, common.json);
        }
        if common.json {
            out::json(&answer.value);
            return Ok(Exit::Well);
        }
        let back = clock.now();
        let text = |pointer: &str| answer.value.pointer(pointer).and_then(Value::as_str).unwrap_or("–");
        let theirs = answer.value.pointer("/result/time").and_then(Value::as_i64);
        let apart = theirs.map_or(0, |theirs| theirs.saturating_sub(back.secs()));
        out::line(format_args!(
            "{} answered in {} ms 已应答 · version 版本 {} · clock 时钟差 {apart:+} s · exchange 交换编号 {}",
            self.region,
            back.ms().saturating_sub(sent.ms()),
            text("/result/version"),
            text("/exchange"),
        ));
        Ok(Exit::Well)
    }
}
