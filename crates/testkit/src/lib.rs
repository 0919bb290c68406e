#![doc = include_str!("../README.md")]

pub mod agent;
pub mod conformance;
pub mod fault;
pub mod hypervisor;
pub mod inventory;
pub mod sample;
