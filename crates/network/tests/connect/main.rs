//! Namespaces are connected for real: the tests make two, with a pair of interfaces between them, and
//! play the machine on the tap. Needs root, iproute2 and strace.
#![allow(clippy::unwrap_used, reason = "the failure is the test's")]

mod deaths;
mod faults;
mod fixture;
mod hot;
mod kinds;
mod machine;
mod refusals;
mod seen;
mod traffic;
