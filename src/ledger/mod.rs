//! The exchange log: a Merkle tree in C2SP formats. Knows bytes and places, nothing of requests.
