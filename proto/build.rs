//! Compiles the contract with protox, a protoc written in Rust: a build needs no system protoc.

use std::error::Error;
use std::path::Path;

const FILES: [&str; 3] = [
    "stemedb/v1/store.proto",
    "stemedb/v1/membership.proto",
    "stemedb/v1/antientropy.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    // As it is when this runs: a target directory may be shared by several checkouts.
    let root = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo says where the files are")?;
    let descriptors = protox::compile(FILES, [Path::new(&root)])?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
