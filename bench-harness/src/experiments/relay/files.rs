//! The two files of a relay. They are made without names, filled, overwritten before every run, and compared after it.

use super::sys;
use bench_lab::worker::PairError;
use ipc_core::{Error, Name, Result};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sys::stat::Mode,
};
use std::{
    fs::{self, File},
    io::{Seek, SeekFrom},
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::Path,
};

/// A source with random content that repeats nowhere, and a destination of the same length. Both are in the page cache
/// and have all their blocks. They have no name, so they vanish with their last descriptor, however the processes end.
#[derive(Debug)]
pub struct Files {
    /// The file that is read. The next [`read`](std::io::Read) begins at its offset.
    pub source: File,
    /// The file that is written, from its offset on.
    pub destination: File,
    bytes: u64,
    clones: bool,
}

/// Bytes that are filled or compared at a time.
const BLOCK: usize = 256 << 10;
/// The seed of the source's content.
const SEED: u64 = 4;

impl Files {
    /// Makes both files, of `bytes` each, in the folder `dir`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with the folder, the room that is needed, and the system's error, such as `ENOSPC`.
    pub fn new(dir: &Path, bytes: u64) -> Result<Self> {
        let make = || {
            let files = Self { source: nameless(dir)?, destination: nameless(dir)?, bytes, clones: clones(dir)? };
            let mut random = fastrand::Rng::with_seed(SEED);
            write_blocks(&files.source, bytes, |block| random.fill(block))?;
            files.scribble()?;
            Ok(files)
        };
        make().map_err(|error: Error| {
            let why = format!("{error}; two files of {bytes} bytes are needed in {}", dir.display());
            Error::Unsupported { what: "files", why: format!("{why}: make room, or set TMPDIR") }
        })
    }

    /// The length of each file in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the file system can share blocks between two files. copy_file_range(2) then copies nothing.
    pub fn can_share_blocks(&self) -> bool {
        self.clones
    }

    /// Prepares both files for a run: offsets at the beginning, and no copied byte in the destination.
    pub(super) fn prepare(&mut self) -> Result<()> {
        self.scribble()?;
        for file in [&mut self.source, &mut self.destination] {
            file.seek(SeekFrom::Start(0)).map_err(|e| Error::io("lseek", &e))?;
        }
        Ok(())
    }

    /// Writes the complement of every source byte to the destination, so that no byte is right before it is copied.
    fn scribble(&self) -> Result<()> {
        let mut random = fastrand::Rng::with_seed(SEED);
        write_blocks(&self.destination, self.bytes, |block| {
            random.fill(block);
            block.iter_mut().for_each(|byte| *byte = !*byte);
        })
    }

    /// Compares the first `bytes` of both files, byte for byte, and their lengths.
    ///
    /// # Errors
    /// [`PairError::WrongPayload`] with the first byte that differs. [`PairError::Process`] if a file cannot be read.
    pub fn compare(&self, bytes: u64) -> std::result::Result<(), PairError> {
        let length = |file: &File| file.metadata().map_err(|e| PairError::Process(Error::io("fstat", &e)));
        for (name, file) in [("source", &self.source), ("destination", &self.destination)] {
            let found = length(file)?.len();
            if found != self.bytes {
                let why = format!("the {name} has {found} bytes instead of {}", self.bytes);
                return Err(PairError::WrongPayload(why));
            }
        }
        let [mut expected, mut found] = [vec![0; BLOCK], vec![0; BLOCK]];
        for (offset, len) in blocks(bytes) {
            let [expected, found] = [&mut expected[..len], &mut found[..len]];
            for (file, block) in [(&self.source, &mut *expected), (&self.destination, &mut *found)] {
                file.read_exact_at(block, offset).map_err(|e| PairError::Process(Error::io("pread64", &e)))?;
            }
            if expected != found {
                let at = expected.iter().zip(&*found).position(|(a, b)| a != b).expect("the blocks differ");
                let (expected, found, at) = (expected[at], found[at], offset + at as u64);
                let why = format!("byte {at} of the destination is {found:#04x}, of the source {expected:#04x}");
                return Err(PairError::WrongPayload(why));
            }
        }
        Ok(())
    }
}

/// Offset and length of each block.
fn blocks(bytes: u64) -> impl Iterator<Item = (u64, usize)> {
    (0..bytes).step_by(BLOCK).map(move |offset| (offset, (bytes - offset).min(BLOCK as u64) as usize))
}

fn write_blocks(file: &File, bytes: u64, mut fill: impl FnMut(&mut [u8])) -> Result<()> {
    let mut block = vec![0; BLOCK];
    blocks(bytes).try_for_each(|(offset, len)| {
        fill(&mut block[..len]);
        file.write_all_at(&block[..len], offset).map_err(|e| Error::io("pwrite64", &e))
    })
}

/// A file in `dir` without a name, mode 0600, made with `O_TMPFILE` (open(2)). If the file system lacks that, the
/// file's name is removed at once.
fn nameless(dir: &Path) -> Result<File> {
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    match open(dir, flags, Mode::S_IRUSR | Mode::S_IWUSR) {
        Ok(file) => Ok(file.into()),
        // EISDIR comes from a kernel that does not know the flag.
        Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::EINVAL) => unlinked(dir),
        Err(errno) => Err(Error::os("open", errno)),
    }
}

/// A file under a new name, which is removed as soon as the file is open.
fn unlinked(dir: &Path) -> Result<File> {
    let path = dir.join(format!(".ipc-bench-relay-{}", Name::unique()));
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file: OwnedFd = open(&path, flags, Mode::S_IRUSR | Mode::S_IWUSR).map_err(|e| Error::os("open", e))?;
    fs::remove_file(&path).map_err(|e| Error::io("unlink", &e))?;
    Ok(file.into())
}

/// Whether files in `dir` can share blocks. It is tried on two files of one block.
fn clones(dir: &Path) -> Result<bool> {
    let [from, to] = [nameless(dir)?, nameless(dir)?];
    from.write_all_at(&[1; 4096], 0).map_err(|e| Error::io("pwrite64", &e))?;
    sys::clone(&from, &to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_file_has_no_name_and_no_readers() {
        let dir = tempfile::tempdir().unwrap();
        for make in [nameless, unlinked] {
            let status = make(dir.path()).unwrap().metadata().unwrap();
            assert_eq!((status.nlink(), status.mode() & 0o777), (0, 0o600));
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_destination_has_no_right_byte_before_it_is_carried() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = BLOCK as u64 + 3;
        let files = Files::new(dir.path(), bytes).unwrap();
        let mut content = [vec![0; BLOCK + 3], vec![0; BLOCK + 3]];
        files.source.read_exact_at(&mut content[0], 0).unwrap();
        files.destination.read_exact_at(&mut content[1], 0).unwrap();
        assert!(content[0].iter().zip(&content[1]).all(|(a, b)| a != b));
        assert!(matches!(files.compare(bytes), Err(PairError::WrongPayload(why)) if why.starts_with("byte 0 of")));
    }

    #[test]
    fn every_wrong_byte_and_every_length_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = 2 * BLOCK as u64 + 3;
        let files = Files::new(dir.path(), bytes).unwrap();
        let mut content = vec![0; bytes as usize];
        files.source.read_exact_at(&mut content, 0).unwrap();
        files.destination.write_all_at(&content, 0).unwrap();
        assert_eq!(files.compare(bytes), Ok(()));
        for at in [0, 1, BLOCK as u64 - 1, BLOCK as u64, bytes - 1] {
            let right = content[at as usize];
            files.destination.write_all_at(&[right ^ 1], at).unwrap();
            let named = format!("byte {at} of the destination is {:#04x}, of the source {right:#04x}", right ^ 1);
            assert_eq!(files.compare(bytes), Err(PairError::WrongPayload(named)));
            files.destination.write_all_at(&[right], at).unwrap();
        }
        files.destination.set_len(bytes + 1).unwrap();
        assert!(matches!(files.compare(bytes), Err(PairError::WrongPayload(why)) if why.contains("has 524292 bytes")));
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Files::new(Path::new("/nowhere/at/all"), 10).unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all") && error.contains("ENOENT"), "{error}");
    }
}
