//! New key material for `init` and `authorize init`, in the forms the configuration names.

use anyhow::Context as _;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// A bearer token for the local door and the digest under which the configuration knows it.
pub struct LocalToken {
    pub text: Zeroizing<String>,
    pub sha256_hex: String,
}

impl LocalToken {
    /// 256 random bits, base64url.
    pub fn generate() -> anyhow::Result<Self> {
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(random::<32>()?));
        let sha256_hex = hex::encode(digest(&SHA256, text.as_bytes()));
        Ok(Self { text, sha256_hex })
    }
}

pub fn random<const N: usize>() -> anyhow::Result<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0u8; N]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice()).context("no random number could be drawn")?;
    Ok(bytes)
}
