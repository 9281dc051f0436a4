//! A folder of configuration files, each read whole or not at all.
