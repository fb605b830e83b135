//! Lists the hostile guests, so that one without a test does not compile.

use std::fmt::Write as _;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=guests/hostile");
    let folder = std::fs::read_dir("guests/hostile").expect("the folder of hostile guests");
    let files = folder.map(|file| file.expect("a file").path());
    let mut names: Vec<String> =
        files.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    let mut code = String::from("macro_rules! for_each_hostile_guest { ($check:ident) => {\n");
    for name in names {
        writeln!(code, "    $check!({name});").expect("a string");
    }
    code.push_str("} }\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    std::fs::write(out.join("hostile_guests.rs"), code).expect("the list of hostile guests");
}
