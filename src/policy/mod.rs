//! Agreements: what a partner may ask of us.
