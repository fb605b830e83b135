//! End-to-end tests of the whole.

mod api_fuzz;
mod broker;
mod browser;
mod celery;
mod cli;
mod database;
mod downloads;
mod examples;
mod faults;
mod fingerprint;
mod hostile;
mod http;
mod identity;
mod launch;
mod lifecycle;
mod own_tests;
mod proxy;
mod python;
mod readme;
mod redis;
mod reference;
mod scaffold;
mod screen;
mod secrets;
mod serve;
mod watch;
