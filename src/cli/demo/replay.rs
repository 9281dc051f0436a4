//! The one thing the local door does not do: send the same signed message twice, as somebody
//! who recorded it would.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use super::stage::Stage;
use crate::clock::Clock;
use crate::envelope::{Asked, Typ, check_response, digest, new_message_id, seal};
use crate::keys::{SigningKey, read_private_file};
use crate::peer::{Card, Credentials, Directory, PartnerAnswer, PartnerClients, Trust};

/// Sends one ping of 玉环's to 咸安 twice; the first status, and the second's signed problem.
pub fn twice(stage: &Stage) -> Result<(u16, Value), String> {
    let words = |fault: &dyn std::fmt::Display| fault.to_string();
    let home = &stage.yuhuan.home;
    let key = SigningKey::load(&home.join("keys/sign.jwk")).map_err(|f| words(&f))?;
    let now = Clock::system().now();
    let jti = new_message_id();
    let (me, to) = (stage.yuhuan.region, stage.xianan.region);
    let ping = json!({"ver": 1, "iss": me.gateway_urn(), "aud": to.gateway_urn(), "iat": now.secs(),
        "exp": now.secs() + 60, "jti": jti, "op": "ping", "body": {}});
    let message = bytes::Bytes::from(seal(&key, Typ::Request, &ping).map_err(|f| words(&f))?);

    let card = Card::from_value(&stage.xianan.card).map_err(|_| "the card does not load".to_owned())?;
    let cards = HashMap::from([(PathBuf::from("xianan.json"), Arc::new(card))]);
    let (directory, _) = Directory::build(me, &cards, Trust::default(), None);
    let chain = std::fs::read(home.join("keys/tls.crt")).map_err(|e| e.kind().to_string())?;
    let tls_key = read_private_file(&home.join("keys/tls.key")).map_err(|f| words(&f))?;
    let credentials = Credentials::new(&chain, &tls_key, me).map_err(|f| words(&f))?;
    let directory = Arc::new(ArcSwap::from_pointee(directory));
    let clients = PartnerClients::new(credentials, directory.clone(), Clock::system());

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.kind().to_string())?;
    let send = || runtime.block_on(clients.post_exchange(to, message.clone())).map_err(|f| words(&f));
    let (first, second): (PartnerAnswer, PartnerAnswer) = (send()?, send()?);
    let directory = directory.load();
    let member = directory.active(to).ok_or("no such member")?;
    let asked = Asked {
        member: &to.gateway_urn(),
        keys: member.keys(),
        me: &me.gateway_urn(),
        jti: &jti,
        op: "ping",
        request_digest: &digest(&message),
    };
    let believed = check_response(&second.body, second.status, &asked, Clock::system().now())
        .map_err(|fault| fault.to_string())?;
    Ok((first.status, believed.problem.unwrap_or_default()))
}
