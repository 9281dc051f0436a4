//! Public keys that anybody can sign for: moduli that factor, points of small order.

/// Whether one of the small primes divides the modulus (big-endian).
pub(super) fn has_small_factor(modulus: &[u8]) -> bool {
    SMALL_PRIMES.into_iter().any(|prime| remainder(modulus, prime) == 0)
}

/// Whether the modulus has the fingerprint of the ROCA generator (CVE-2017-15361): its primes
/// are powers of 65537 modulo each of the small primes; of random moduli one in 2^27 is.
pub(super) fn is_roca(modulus: &[u8]) -> bool {
    SMALL_PRIMES.into_iter().all(|prime| is_power_of_65537(remainder(modulus, prime), prime))
}

/// Whether an encoded Ed25519 point has order 1, 2, 4 or 8: one signature then fits every message.
pub(super) fn has_small_order(point: [u8; 32]) -> bool {
    let mut y = point;
    if let Some(last) = y.last_mut() {
        *last &= 0x7F; // the sign of x; either way the order is the same
    }
    SMALL_ORDER.contains(&y)
}

/// The primes the ROCA fingerprint looks at; a modulus divisible by one is none.
pub(super) const SMALL_PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
    107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

pub(super) fn remainder(number: &[u8], prime: u32) -> u32 {
    number.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime)
}

fn is_power_of_65537(residue: u32, prime: u32) -> bool {
    let mut power = 1;
    for _ in 0..prime {
        if power == residue {
            return true;
        }
        power = power * 65_537 % prime;
    }
    false
}

/// y-coordinates of the points of order 1, 2, 4 and 8 on edwards25519, and the encodings that
/// are not reduced modulo p and mean one of them.
const SMALL_ORDER: [[u8; 32]; 7] = [
    little_endian(0x00, 0x00, 0x00),
    little_endian(0x01, 0x00, 0x00),
    [
        0x26, 0xE8, 0x95, 0x8F, 0xC2, 0xB2, 0x27, 0xB0, 0x45, 0xC3, 0xF4, 0x89, 0xF2, 0xEF, 0x98, 0xF0, 0xD5,
        0xDF, 0xAC, 0x05, 0xD3, 0xC6, 0x33, 0x39, 0xB1, 0x38, 0x02, 0x88, 0x6D, 0x53, 0xFC, 0x05,
    ],
    [
        0xC7, 0x17, 0x6A, 0x70, 0x3D, 0x4D, 0xD8, 0x4F, 0xBA, 0x3C, 0x0B, 0x76, 0x0D, 0x10, 0x67, 0x0F, 0x2A,
        0x20, 0x53, 0xFA, 0x2C, 0x39, 0xCC, 0xC6, 0x4E, 0xC7, 0xFD, 0x77, 0x92, 0xAC, 0x03, 0x7A,
    ],
    little_endian(0xEC, 0xFF, 0x7F),
    little_endian(0xED, 0xFF, 0x7F),
    little_endian(0xEE, 0xFF, 0x7F),
];

/// 32 bytes: `first`, thirty times `middle`, `last`.
const fn little_endian(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut out = [middle; 32];
    out[0] = first;
    out[31] = last;
    out
}
