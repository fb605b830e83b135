//! Compiles this crate again when a file is added to a folder that it carries along.

fn main() {
    for folder in ["../guest-sdk/rust", "../wit", "scaffold"] {
        println!("cargo:rerun-if-changed={folder}");
    }
}
