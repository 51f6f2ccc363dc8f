//! The four services from this one executable: the same libraries and the same command line as their own binaries.
use std::process::ExitCode;
pub(crate) fn gateway(_a: Vec<String>) -> ExitCode {
    ExitCode::FAILURE
}
pub(crate) fn store(_a: Vec<String>) -> ExitCode {
    ExitCode::FAILURE
}
pub(crate) fn membership(_a: Vec<String>) -> ExitCode {
    ExitCode::FAILURE
}
pub(crate) fn antientropy(_a: Vec<String>) -> ExitCode {
    ExitCode::FAILURE
}
