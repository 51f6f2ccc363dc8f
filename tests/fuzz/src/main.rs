//! `fuzz list`, `fuzz unpack TARGET DIRECTORY`, `fuzz pack TARGET DIRECTORY`: what `run.sh` does with corpora.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use fuzz::{Target, corpus, targets};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(said) => {
            // If nobody reads it, nothing is lost.
            let _ = io::stdout().write_all(said.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> io::Result<String> {
    match arguments {
        ["list"] => Ok(targets()
            .iter()
            .map(|target| format!("{}\n", target.name))
            .collect()),
        ["unpack", name, directory] => {
            corpus::unpack(&named(name)?, Path::new(directory)).map(|()| String::new())
        }
        ["pack", name, directory] => {
            let saved = corpus::pack(&named(name)?, Path::new(directory))?;
            Ok(format!("{name}: {saved} inputs saved\n"))
        }
        _ => Err(io::Error::other(
            "fuzz list | fuzz unpack TARGET DIRECTORY | fuzz pack TARGET DIRECTORY",
        )),
    }
}

fn named(name: &str) -> io::Result<Target> {
    let target = targets().into_iter().find(|target| target.name == name);
    target.ok_or_else(|| io::Error::other(format!("no target {name}; see `fuzz list`")))
}
