"""Makes the vectors: an implementation of the protocol's bytes that shares nothing with the gateway."""
