//! Implementations that each break one promise, so that the suites are tested.
