//! Shared test support: databases, clocks, servers.
