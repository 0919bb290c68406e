//! OCI bundles to sandbox configuration and guest specifications.
