//! The guest `egress` as a project, for agents that are processes.

mod ctx_script;
