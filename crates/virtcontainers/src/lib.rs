//! Containers inside lightweight virtual machines.
