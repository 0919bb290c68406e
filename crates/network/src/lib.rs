//! Network namespaces and endpoints of sandboxes.
