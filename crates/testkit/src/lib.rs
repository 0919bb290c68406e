#![doc = include_str!("../README.md")]

pub mod agent;
pub mod hypervisor;
