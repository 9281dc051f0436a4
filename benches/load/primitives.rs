//! What no design can do without, measured on this machine in the same minute: U is one P-256
//! verification, one P-256 signature, SHA-256 over 2 KiB, and one TLS record opened and one
//! sealed (2.5 KiB, AES-256-GCM).

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, ParsedPublicKey,
};

use super::cpu::own_thread;

/// Bytes that are signed and hashed, and bytes in a TLS record: a request of ours.
const MESSAGE: usize = 2048;
const RECORD: usize = 2560;
/// Rounds of which the median counts, and the CPU time of one primitive in one round.
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(40);
/// The same where it is measured again and again, before and after every visit.
const FEW_ROUNDS: usize = 3;
const SHORT_ROUND: Duration = Duration::from_millis(6);

/// Microseconds of CPU.
#[derive(Clone, Copy, Debug, Default)]
pub struct Primitives {
    pub verify: f64,
    pub sign: f64,
    pub sha256: f64,
    pub records: f64,
}

impl Primitives {
    pub fn sum(&self) -> f64 {
        self.verify + self.sign + self.sha256 + self.records
    }

    /// What lies between two looks.
    pub fn mean(&self, other: &Self) -> Self {
        let mean = |one: f64, other: f64| f64::midpoint(one, other);
        Self {
            verify: mean(self.verify, other.verify),
            sign: mean(self.sign, other.sign),
            sha256: mean(self.sha256, other.sha256),
            records: mean(self.records, other.records),
        }
    }
}

pub fn sum() -> Result<Primitives> {
    measure(ROUNDS, ROUND)
}

/// A tenth of a second instead of most of one.
pub fn look() -> Result<Primitives> {
    measure(FEW_ROUNDS, SHORT_ROUND)
}

fn measure(count: usize, long: Duration) -> Result<Primitives> {
    let failed = |_| anyhow!("a primitive failed");
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
    let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_key().as_ref())?;
    let message = vec![b'm'; MESSAGE];
    let signature = key.sign(&random, &message).map_err(failed)?;
    let aead = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).map_err(failed)?);
    let nonce = || Nonce::assume_unique_for_key([0; 12]);
    let mut sealed = vec![b'r'; RECORD];
    aead.seal_in_place_append_tag(nonce(), Aad::empty(), &mut sealed).map_err(failed)?;

    let mut rounds = [const { Vec::new() }; 4];
    for _ in 0..count {
        let [verify, sign, sha256, records] = &mut rounds;
        verify.push(cost(long, || public.verify_sig(&message, signature.as_ref()).map_err(failed))?);
        sign.push(cost(long, || key.sign(&random, &message).map(drop).map_err(failed))?);
        sha256.push(cost(long, || {
            std::hint::black_box(digest(&SHA256, std::hint::black_box(&message)));
            Ok(())
        })?);
        records.push(cost(long, || {
            let mut received = sealed.clone();
            aead.open_in_place(nonce(), Aad::empty(), &mut received).map_err(failed)?;
            let mut sent = vec![b's'; RECORD];
            aead.seal_in_place_append_tag(nonce(), Aad::empty(), &mut sent).map_err(failed)
        })?);
    }
    let [verify, sign, sha256, records] = rounds.map(median);
    Ok(Primitives { verify, sign, sha256, records })
}

/// CPU microseconds of one `work`, measured for so long.
pub fn cost(long: Duration, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    // To ask the kernel costs some microseconds, to ask the clock next to nothing.
    const BETWEEN_CLOCKS: u32 = 20;
    let (begun, started) = (own_thread()?, Instant::now());
    let (mut times, mut ask_after) = (0, long);
    loop {
        for _ in 0..BETWEEN_CLOCKS {
            work()?;
        }
        times += BETWEEN_CLOCKS;
        if started.elapsed() >= ask_after {
            let took = own_thread()? - begun;
            if took >= long {
                return Ok(took.as_secs_f64() * 1e6 / f64::from(times));
            }
            ask_after += long - took;
        }
    }
}

fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds.get(rounds.len() / 2).copied().unwrap_or(f64::NAN)
}
