//! Sandboxes and containers: the public operations.
