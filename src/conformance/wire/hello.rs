//! A TLS 1.2 greeting by hand: the suite's own TLS speaks nothing older than 1.3.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Silence, Wire};

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// ECDHE with AES-GCM, and an RSA one: whatever a server of 1.2 would choose.
const SUITES: [u8; 10] = [0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x2c, 0xc0, 0x30, 0x00, 0x9c];
/// supported_groups (x25519, P-256), ec_point_formats, signature_algorithms; no supported_versions.
const EXTENSIONS: [u8; 32] = [
    0x00, 0x0a, 0x00, 0x06, 0x00, 0x04, 0x00, 0x1d, 0x00, 0x17, // groups
    0x00, 0x0b, 0x00, 0x02, 0x01, 0x00, // point formats
    0x00, 0x0d, 0x00, 0x0c, 0x00, 0x0a, 0x04, 0x03, 0x08, 0x04, 0x04, 0x01, 0x05, 0x03, 0x08, 0x05,
];

fn hello() -> Vec<u8> {
    let mut body = vec![0x03, 0x03];
    body.extend_from_slice(uuid::Uuid::new_v4().as_bytes());
    body.extend_from_slice(uuid::Uuid::new_v4().as_bytes());
    body.push(0);
    body.extend_from_slice(&[0, 10]);
    body.extend_from_slice(&SUITES);
    body.extend_from_slice(&[1, 0, 0, 32]);
    body.extend_from_slice(&EXTENSIONS);
    // Everything above is of fixed length, below 256 bytes.
    let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
    let mut record = vec![HANDSHAKE, 0x03, 0x01, 0, length.saturating_add(4), 1, 0, 0, length];
    record.extend_from_slice(&body);
    record
}

impl Wire {
    /// Whether the target goes on with somebody who speaks TLS 1.2 only.
    pub async fn accepts_tls12(&self) -> Result<bool, Silence> {
        let mut stream = self.tcp().await?;
        stream.write_all(&hello()).await.map_err(|_| Silence::Closed)?;
        let mut kind = [0];
        match tokio::time::timeout(ANSWER_WITHIN, stream.read(&mut kind)).await {
            Ok(Ok(1)) => Ok(kind[0] != ALERT),
            Ok(_) => Ok(false),
            Err(_) => Err(Silence::Late),
        }
    }
}
