//! What one commit may hold, and the engines that make it durable.
