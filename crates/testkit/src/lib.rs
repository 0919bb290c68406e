//! Stateful fakes and conformance suites.
