//! Start, identify, watch and end helper processes.
