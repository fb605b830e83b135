//! A project whose jobs take the time of what they do.

mod ctx_script;

armada::project! { script: ctx_script::ctx_script }
