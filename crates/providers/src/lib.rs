//! Chat-model clients, the simulated provider, prices and limits.
