//! Ids, units, configuration and lifecycle of virtual-machine sandboxes.
