//! A disk of its own for every node: a file system in a file, so that it can be full, break and be replaced.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::sweep::system;

/// Sparse: takes what is written to it.
const SIZE_BYTES: u64 = 2 << 30;

/// Takes the space that is free while the disk is full.
const BALLAST: &str = "ballast";

/// The smallest piece that the last free space is taken in.
const BLOCK_BYTES: u64 = 4096;

/// A mounted disk.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    mount: PathBuf,
}

impl Disk {
    /// Makes an empty disk and mounts it.
    ///
    /// # Errors
    /// When the system refuses: it takes root, e2fsprogs and loop devices.
    pub fn make(image: &Path, mount: &Path) -> Result<Disk, String> {
        fs::create_dir_all(mount).map_err(|error| error.to_string())?;
        let disk = Disk {
            image: image.to_owned(),
            mount: mount.to_owned(),
        };
        disk.format()?;
        disk.mount()?;
        Ok(disk)
    }

    /// Where its files are.
    pub fn mount_point(&self) -> &Path {
        &self.mount
    }

    /// Puts an empty disk in its place. Nothing may have it open.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn replace(&self) -> Result<(), String> {
        self.unmount()?;
        self.format()?;
        self.mount()
    }

    /// Takes all space that is free.
    ///
    /// # Errors
    /// When that is refused for another reason than that the disk is full.
    pub fn fill(&self) -> Result<(), String> {
        let failed = |error: &dyn std::fmt::Display| format!("cannot fill the disk: {error}");
        let ballast = File::create(self.mount.join(BALLAST)).map_err(|error| failed(&error))?;
        let space = statvfs(&self.mount).map_err(|error| failed(&error))?;
        let mut piece = space.f_bavail * space.f_frsize;
        let mut end = 0;
        // The file system needs some for itself: ever smaller pieces until none fits.
        while piece >= BLOCK_BYTES {
            match fallocate(&ballast, FallocateFlags::empty(), end, piece) {
                Ok(()) => end += piece,
                Err(rustix::io::Errno::NOSPC) => piece /= 2,
                Err(error) => return Err(failed(&error)),
            }
        }
        Ok(())
    }

    /// Gives the space back.
    pub fn empty(&self) {
        // It may not have been full.
        let _ = fs::remove_file(self.mount.join(BALLAST));
    }

    /// The file system finds an error in itself: from now on nothing can be written.
    ///
    /// # Errors
    /// When it does not.
    pub fn break_down(&self) -> Result<(), String> {
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|error| error.to_string())?;
        let device = mounts
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(_, rest)| rest.split(' ').next().map(Path::new) == Some(&self.mount))
            .and_then(|(device, _)| device.strip_prefix("/dev/"))
            .ok_or("the disk is not mounted")?;
        fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1")
            .map_err(|error| format!("the disk does not break: {error}"))
    }

    /// Checks a broken file system and mounts it again. Nothing may have it open.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn repair(&self) -> Result<(), String> {
        self.unmount()?;
        // It ends with 1 when it has mended something, which is why it is called.
        if let Err(why) = system(&["e2fsck", "-fy", &self.image.to_string_lossy()])
            && why.contains("UNEXPECTED")
        {
            return Err(why);
        }
        self.mount()
    }

    fn format(&self) -> Result<(), String> {
        let image = File::create(&self.image).map_err(|error| error.to_string())?;
        image
            .set_len(SIZE_BYTES)
            .map_err(|error| error.to_string())?;
        let lazily = "lazy_itable_init=1,lazy_journal_init=1";
        let image = self.image.to_string_lossy();
        system(&["mkfs.ext4", "-q", "-F", "-m", "0", "-E", lazily, &image]).map(drop)
    }

    fn mount(&self) -> Result<(), String> {
        let (image, mount) = (self.image.to_string_lossy(), self.mount.to_string_lossy());
        system(&["mount", "-o", "loop,errors=remount-ro", &image, &mount]).map(drop)
    }

    fn unmount(&self) -> Result<(), String> {
        system(&["umount", &self.mount.to_string_lossy()]).map(drop)
    }
}
