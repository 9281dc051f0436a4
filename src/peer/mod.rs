//! Who is on the other side of the TLS connection, in both directions.
