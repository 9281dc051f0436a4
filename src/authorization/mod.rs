//! The citizen’s signed authorization.
