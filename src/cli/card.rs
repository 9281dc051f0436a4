//! `card`: this gateway's public card (protocol §8), from the keys that `serve` would use.

use serde_json::Value;

use super::{Common, Exit, Outcome, Stop, out};
use crate::clock::{Clock, Now};
use crate::config::Config;
use crate::gateway::{Keys, Options};

/// Print this gateway's public card: send it to the partner, compare the fingerprints by phone.
#[derive(clap::Args)]
pub struct Card {}

impl Card {
    pub fn run(self, common: &Common) -> Outcome {
        out::json(&own_card(&common.load()?, Clock::system().now())?);
        Ok(Exit::Well)
    }
}

/// The card of the gateway that `config` describes; `now` chooses the ledger of the half-year.
pub fn own_card(config: &Config, now: Now) -> Result<Value, Stop> {
    // A published example key is shown like any other: whoever takes the card refuses it.
    let keys = Keys::load(config, &Options { demo: true, ..Options::default() })
        .map_err(|faults| Stop::Usage(faults.iter().map(ToString::to_string).collect()))?;
    Ok(keys.card(config, now))
}
