//! Key files: one line with the seed of an Ed25519 key as 64 hex digits, for its owner's eyes alone.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use assertion::SigningKey;
use rand::TryRngCore;
use rand::rngs::OsRng;

use crate::failure::Failure;

/// Who may read a key: its owner.
const MODE: u32 = 0o600;

/// Those who may not.
const OTHERS: u32 = 0o077;

/// A seed has 64 digits; whatever is much longer is no key file.
const FILE_BYTES_MAX: u64 = 1024;

/// Makes a key and keeps it in a new file.
///
/// # Errors
/// When the file exists already: a key that is overwritten is lost for good.
pub(crate) fn create(path: &Path) -> Result<SigningKey, Failure> {
    let mut seed = [0_u8; 32];
    OsRng
        .try_fill_bytes(&mut seed)
        .map_err(|error| Failure::Local(format!("the system gives no random numbers: {error}")))?;
    let key = SigningKey::from_seed(&seed);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path)
        .map_err(|error| not_created(path, error))?;
    let written = file
        // Whatever the umask left of it.
        .set_permissions(Permissions::from_mode(MODE))
        .and_then(|()| writeln!(file, "{}", key.seed_hex()))
        .and_then(|()| file.sync_all());
    written.map_err(Failure::file("cannot write", path))?;
    Ok(key)
}

fn not_created(path: &Path, error: io::Error) -> Failure {
    if error.kind() != io::ErrorKind::AlreadyExists {
        return Failure::file("cannot write", path)(error);
    }
    Failure::Local(format!(
        "{} exists, and no key is ever overwritten\n→ name another file: stemedb keygen OTHER",
        path.display()
    ))
}

/// Reads the key in a file.
///
/// # Errors
/// When it is no key, or others may read it.
pub(crate) fn read(path: &Path) -> Result<SigningKey, Failure> {
    let file = File::open(path).map_err(Failure::file("cannot read", path))?;
    let mode = file
        .metadata()
        .map_err(Failure::file("cannot read", path))?
        .permissions()
        .mode();
    if mode & OTHERS != 0 {
        return Err(Failure::Local(format!(
            "{} may be read by others (mode {:03o}): whoever has it can sign for you\n→ chmod 600 {0}",
            path.display(),
            mode & 0o777,
        )));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(Failure::file("cannot read", path))?;
    text.trim_end()
        .parse()
        .map_err(|error| Failure::Local(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_for_its_owner_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.key");
        let key = create(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            format!("{}\n", key.seed_hex())
        );
        assert_eq!(read(&path).unwrap().agent(), key.agent());
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.key");
        let key = create(&path).unwrap();
        let refused = create(&path).unwrap_err().to_string();
        assert!(refused.contains("exists"), "{refused}");
        assert_eq!(read(&path).unwrap().agent(), key.agent());
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.key");
        create(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let refused = read(&path).unwrap_err().to_string();
        assert!(
            refused.contains("mode 640") && refused.contains("chmod 600"),
            "{refused}"
        );
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.key");
        create(&path).unwrap();
        for text in ["", "hello\n", &"0".repeat(63), &"G".repeat(64)] {
            std::fs::write(&path, text).unwrap();
            let refused = read(&path).unwrap_err().to_string();
            assert!(refused.contains("stemedb keygen"), "{text:?}: {refused}");
        }
    }
}
