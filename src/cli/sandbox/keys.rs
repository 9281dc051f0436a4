//! Which keys a sandbox may hold: those whose private half everybody has.

use crate::cli::Stop;
use crate::clock::Clock;
use crate::config::Config;
use crate::conformance::keys::Keys as Published;
use crate::gateway::{Keys, Options};
use crate::house::Trust;
use crate::keys::example;

/// Every key that this configuration names is published: its own, its partners', its authorities'
/// and its auditors'.
pub(super) fn only_published(config: &Config) -> Result<(), Stop> {
    let options = Options { demo: true, ..Options::default() };
    let own = Keys::load(config, &options)
        .map_err(|faults| Stop::Usage(faults.iter().map(ToString::to_string).collect()))?;
    let published = Published::published().map_err(Stop::failed)?;
    let known = |kid: &str| is_published(&published, kid);
    if !known(own.signing.load().kid()) {
        return Err(refused("[signing] key"));
    }
    let ledger = published.get("answering-ledger").map(|key| key.raw_public());
    let of_examples = hex::encode(crate::envelope::digest(&own.ledger_public));
    if ledger.as_deref() != Some(&own.ledger_public) && !example::is_published_example(&of_examples) {
        return Err(refused("[ledger] key"));
    }
    let (trust, _) = Trust::load(config, Clock::system().now()).map_err(|faults| {
        Stop::Usage(
            faults.into_iter().map(|file| crate::gateway::StartFault::Trust(file).to_string()).collect(),
        )
    })?;
    none_but_published(&trust)
}

/// The same of the trust files alone.
pub(super) fn none_but_published(trust: &Trust) -> Result<(), Stop> {
    let published = Published::published().map_err(Stop::failed)?;
    let known = |kid: &str| is_published(&published, kid);
    for card in trust.directory.cards() {
        if !card.keys().kids().all(known) {
            return Err(refused(&format!("the card of {}", card.region())));
        }
    }
    for authority in trust.authorities.iter() {
        if !authority.keys().kids().all(known) {
            return Err(refused("an authority's file"));
        }
    }
    match trust.auditors.iter().all(|auditor| known(auditor.kid())) {
        true => Ok(()),
        false => Err(refused("an auditor's file")),
    }
}

fn is_published(published: &Published, kid: &str) -> bool {
    published.names(kid) || example::is_published_example(kid)
}

fn refused(what: &str) -> Stop {
    Stop::usage(format_args!(
        "{what}: is no published example key; a sandbox runs with published keys only 沙箱只使用公开的示例密钥,不得使用自有密钥"
    ))
}
