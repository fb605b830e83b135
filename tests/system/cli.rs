//! The `armada` command, end to end.
