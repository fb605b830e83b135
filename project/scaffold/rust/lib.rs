//! The project NAME. Its parts are the modules below; what a job does is in `ctx_script.rs`.

mod ctx_script;
#[cfg(test)]
mod tests;

armada::project! {
    script: ctx_script::ctx_script,
}
