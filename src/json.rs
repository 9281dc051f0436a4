//! Strict JSON: one pass, bytes → checked value (protocol §3).
