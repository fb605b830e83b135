//! End-to-end tests of the whole.

mod browser;
mod hostile;
mod lifecycle;
