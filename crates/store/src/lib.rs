//! Durable sandbox records, leases and the undo ledger.
