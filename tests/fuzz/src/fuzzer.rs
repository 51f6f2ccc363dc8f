//! libFuzzer on the target that `FUZZ_TARGET` names. `run.sh` builds and runs it.

#![no_main]

use std::sync::OnceLock;

use fuzz::{Target, targets};
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();

fn chosen() -> Target {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let target = targets().into_iter().find(|target| target.name == name);
    target.unwrap_or_else(|| panic!("FUZZ_TARGET is {name:?}, which is none of `fuzz list`"))
}

fuzz_target!(|bytes: &[u8]| (TARGET.get_or_init(chosen).check)(bytes));
