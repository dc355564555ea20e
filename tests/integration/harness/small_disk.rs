//! `SmallDisk`: a file system of a few megabytes in memory, for as long as the test holds it. Only root
//! can mount one; whoever is not gets none, and tests a limit on file sizes instead. For one that may,
//! a file system that cannot be mounted is a failure.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// A mounted file system.
pub(crate) struct SmallDisk {
    place: TempDir,
}

impl SmallDisk {
    /// One of so many MiB; none when this user cannot mount.
    #[track_caller]
    pub(crate) fn of_mib(size: u32) -> Option<Self> {
        Self::with(&format!("size={size}m,mode=755"))
    }

    /// One of so many MiB that can hold so many files and directories.
    #[track_caller]
    pub(crate) fn of_inodes(size: u32, inodes: u32) -> Option<Self> {
        Self::with(&format!("size={size}m,mode=755,nr_inodes={inodes}"))
    }

    #[track_caller]
    fn with(options: &str) -> Option<Self> {
        let place = TempDir::new().expect("a temporary directory can be made");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(place.path())
            .output();
        let may_mount = rustix::thread::capabilities(None).is_ok_and(|all| {
            all.effective
                .contains(rustix::thread::CapabilitySet::SYS_ADMIN)
        });
        match mounted {
            Ok(output) if output.status.success() => return Some(Self { place }),
            failed if may_mount => panic!("a file system cannot be mounted: {failed:?}"),
            _ => eprintln!("not tried: this user cannot mount a file system"),
        }
        None
    }

    /// Makes files beside a broker's until it can hold no more; answers where they are.
    pub(crate) fn use_up_inodes(&self) -> PathBuf {
        let many = self.place.path().join("many");
        fs::create_dir_all(&many).expect("a directory can be made");
        for number in 0_u32.. {
            if fs::File::create_new(many.join(number.to_string())).is_err() {
                break;
            }
        }
        many
    }

    /// A directory on it for a broker.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.place.path().join("data")
    }

    /// Writes a file until nothing more fits.
    pub(crate) fn fill(&self) {
        let file = fs::File::options()
            .create(true)
            .append(true)
            .open(self.filler());
        let mut file = file.expect("a file can be made");
        for len in [64 * 1024, 4096, 512, 1] {
            while file.write_all(&vec![0_u8; len]).is_ok() {}
        }
    }

    /// Removes what `fill` has written.
    pub(crate) fn empty(&self) {
        fs::remove_file(self.filler()).expect("it is there");
    }

    fn filler(&self) -> PathBuf {
        self.place.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a broker that the test has not stopped yet may still have files open.
        let _ = Command::new("umount")
            .arg("-l")
            .arg(self.place.path())
            .status();
    }
}
