#![doc = include_str!("../README.md")]

pub mod agent;
pub mod conformance;
pub mod hypervisor;
