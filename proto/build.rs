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
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let descriptors = protox::compile(FILES, [root])?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
