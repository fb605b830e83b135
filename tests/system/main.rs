//! End-to-end tests of the whole.

mod api_fuzz;
mod broker;
mod browser;
mod celery;
mod cli;
mod examples;
mod faults;
mod hostile;
mod http;
mod launch;
mod lifecycle;
mod own_tests;
mod python;
mod readme;
mod redis;
mod scaffold;
mod screen;
mod serve;
mod watch;
