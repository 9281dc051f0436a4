//! Epochs: a fresh key every ten minutes, wrapped once to every auditor and then forgotten.
//!
//! Wrapping costs 0.25 ms an auditor; once an epoch that is nothing, once an exchange it would
//! be more than everything else together.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jwe::{self, JweEncrypter, JweHeader, JweHeaderSet};
use serde_json::json;
use zeroize::Zeroizing;

use super::{AuditorKey, SealFault, epoch_commitment};
use crate::clock::Now;
use crate::store::WrappedEpoch;

/// How long a key seals: what a thief of the running process's memory could still open.
const EPOCH_MS: i64 = 10 * 60 * 1000;

/// The present epoch and whom it is wrapped to.
pub struct Epochs {
    auditors: ArcSwap<Vec<Arc<AuditorKey>>>,
    present: Mutex<Present>,
}

struct Present {
    epoch: Option<Arc<Epoch>>,
    /// No later epoch has this id or a smaller one.
    last: i64,
}

/// One epoch. The key is wiped when the last record of it is sealed.
pub struct Epoch {
    key: Zeroizing<[u8; 32]>,
    wrapped: Arc<WrappedEpoch>,
    /// When it began (ms); its id may be a little later, so that no two share one.
    began: i64,
    /// What its leaves' `ek` says.
    commitment: String,
}

impl Epoch {
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    pub fn wrapped(&self) -> Arc<WrappedEpoch> {
        self.wrapped.clone()
    }

    /// What leaves that are sealed in it say of its wrapped key.
    pub fn commitment(&self) -> &str {
        &self.commitment
    }

    /// A clock that steps back ends it too.
    fn is_past(&self, now: Now) -> bool {
        !(0..EPOCH_MS).contains(&(now.ms() - self.began))
    }
}

impl Epochs {
    /// `last` is when the newest leaf was stamped: epochs of an earlier run have no larger id.
    pub fn new(auditors: Vec<Arc<AuditorKey>>, last: Option<i64>) -> Self {
        let present = Present { epoch: None, last: last.unwrap_or(i64::MIN) };
        Self { auditors: ArcSwap::from_pointee(auditors), present: Mutex::new(present) }
    }

    /// From now on sealed to these; the present epoch ends.
    pub fn seal_to(&self, auditors: Vec<Arc<AuditorKey>>) {
        self.auditors.store(Arc::new(auditors));
        self.present.lock().unwrap_or_else(PoisonError::into_inner).epoch = None;
    }

    pub fn auditors(&self) -> usize {
        self.auditors.load().len()
    }

    /// The epoch of this moment; `None` without auditors.
    pub fn present(&self, now: Now) -> Result<Option<Arc<Epoch>>, SealFault> {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(epoch) = present.epoch.as_ref().filter(|epoch| !epoch.is_past(now)) {
            return Ok(Some(epoch.clone()));
        }
        let auditors = self.auditors.load_full();
        if auditors.is_empty() {
            present.epoch = None;
            return Ok(None);
        }
        // Two epochs of one millisecond would share an id, and one of the keys would be lost.
        let id = now.ms().max(present.last.saturating_add(1));
        let epoch = Arc::new(begin(id, now.ms(), &auditors)?);
        *present = Present { epoch: Some(epoch.clone()), last: id };
        Ok(Some(epoch))
    }

    /// Forgets the key of an epoch that has ended, also when nothing is recorded.
    pub fn forget_past(&self, now: Now) {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.epoch.take_if(|epoch| epoch.is_past(now));
    }
}

fn begin(id: i64, began: i64, auditors: &[Arc<AuditorKey>]) -> Result<Epoch, SealFault> {
    let mut key = Zeroizing::new([0_u8; 32]);
    aws_lc_rs::rand::fill(key.as_mut()).map_err(|_| SealFault::Random)?;
    let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(key.as_ref()));
    let payload = Zeroizing::new(json!({"epoch": id, "key": text.as_str()}).to_string());
    let mut shared = JweHeaderSet::new();
    shared.set_algorithm("ECDH-ES+A256KW", true);
    shared.set_content_encryption("A256GCM", true);
    let headers: Vec<JweHeader> = auditors
        .iter()
        .map(|auditor| {
            let mut header = JweHeader::new();
            header.set_key_id(auditor.kid());
            header
        })
        .collect();
    let recipients: Vec<(Option<&JweHeader>, &dyn JweEncrypter)> = headers
        .iter()
        .zip(auditors)
        .map(|(header, auditor)| (Some(header), auditor.encrypter() as &dyn JweEncrypter))
        .collect();
    let wrapped = jwe::serialize_general_json(payload.as_bytes(), Some(&shared), &recipients, None)
        .map_err(|_| SealFault::Wrap)?;
    let commitment = epoch_commitment(&wrapped);
    Ok(Epoch { key, wrapped: Arc::new(WrappedEpoch { id, wrapped }), began, commitment })
}
