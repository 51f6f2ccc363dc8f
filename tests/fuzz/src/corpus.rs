//! Saved inputs: one file for each target, one input a line, bytes that are no plain text as `\xNN`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Target;

/// What reaches all that was ever reached, as `run.sh` writes it.
const CORPUS: &str = "corpus";

/// What once broke a promise.
const FOUND: &str = "found";

/// Inputs of one file. libFuzzer finds many that differ in little; the first so many of its smallest set stay.
const INPUTS_MAX: usize = 100;

/// Longest input that is saved: a corpus is read by people too.
const INPUT_BYTES_MAX: usize = 1_024;

/// Where corpora are. Inputs that once broke a promise are in a directory of their own, which only people write.
fn path(directory: &str, target: &Target) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join(directory).join(format!("{}.txt", target.name))
}

/// The seeds of a target, its saved inputs, and those that once broke a promise.
///
/// # Errors
/// When a file cannot be read, or a line of it is not what [`escaped`] writes.
pub fn inputs(target: &Target) -> io::Result<Vec<Vec<u8>>> {
    let mut inputs = (target.seeds)();
    for directory in [CORPUS, FOUND] {
        let text = match fs::read_to_string(path(directory, target)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        for (place, line) in text.lines().enumerate() {
            let input = unescaped(line).ok_or_else(|| {
                let problem = format!("{directory}: {} line {}", target.name, place + 1);
                io::Error::new(io::ErrorKind::InvalidData, problem)
            })?;
            inputs.push(input);
        }
    }
    Ok(inputs)
}

/// Writes all inputs of a target into a directory, one file each, as libFuzzer wants them.
///
/// # Errors
/// When the disk says so.
pub fn unpack(target: &Target, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for (place, input) in inputs(target)?.iter().enumerate() {
        fs::write(directory.join(format!("saved-{place:04}")), input)?;
    }
    Ok(())
}

/// Saves the inputs of a directory that are short and no seeds. Returns how many there are.
///
/// # Errors
/// When the disk says so.
pub fn pack(target: &Target, directory: &Path) -> io::Result<usize> {
    let seeds = (target.seeds)();
    let mut inputs = Vec::new();
    for entry in fs::read_dir(directory)? {
        let input = fs::read(entry?.path())?;
        if input.len() <= INPUT_BYTES_MAX && !seeds.contains(&input) {
            inputs.push(input);
        }
    }
    inputs.sort_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
    inputs.dedup();
    inputs.truncate(INPUTS_MAX);
    let lines: String = inputs.iter().map(|input| escaped(input) + "\n").collect();
    fs::write(path(CORPUS, target), lines)?;
    Ok(inputs.len())
}

/// Bytes as one line of plain text.
pub fn escaped(input: &[u8]) -> String {
    input.escape_ascii().to_string()
}

/// The bytes of a line; `None` when it is not what [`escaped`] writes.
pub fn unescaped(line: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            plain @ (b'\\' | b'"' | b'\'') => plain,
            _ => return None,
        });
    }
    Some(bytes)
}
