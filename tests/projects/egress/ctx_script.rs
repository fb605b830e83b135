//! Every way out, as `tests/guests` has it.

#[path = "../../guests/browser/egress.rs"]
mod egress;
