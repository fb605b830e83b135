//! The project's own modules: whatever several of its parts share, or what is better read by itself.

pub mod site;
