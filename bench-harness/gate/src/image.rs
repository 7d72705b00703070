//! Makes the copy of a program's file that the gate runs.
//!
//! The copy lies in memory (memfd_create(2), sealed). So neither the file's location nor the length of its path matters, and
//! nobody can change it during the measurement. If the kernel runs no program from memory (`vm.memfd_noexec` = 2), the copy is
//! a file without a name in `TMPDIR`.

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::{
        memfd::{MFdFlags, memfd_create},
        stat::{Mode, fchmod},
        statvfs::{FsFlags, fstatvfs},
    },
};
use std::{
    env,
    fs::{self, File},
    io::{self, Read, Seek},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{FileTypeExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

/// The reason why a file cannot take part.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The file does not exist or cannot be read.
    #[error("cannot read '{}': {source}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file is no build of this program, or a build that cannot be compared.
    #[error("'{}' cannot be measured: {why}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What the file is instead.
        why: String,
    },
    /// The gate itself failed.
    #[error("'{}' cannot be run: {why}", path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// What failed, and how to fix it.
        why: String,
    },
}

/// The longest file that can be a build, in bytes. A build with full debug information has some 100 MiB.
const LONGEST: u64 = 1 << 30;
/// The first bytes of an executable file (elf(5)).
const ELF: &[u8; 4] = b"\x7fELF";

/// Copies the program at `path`.
///
/// # Errors
/// [`Unfit`].
pub fn copy(path: &Path) -> Result<OwnedFd, Unfit> {
    let mut source = open(path)?;
    let failed = |why: String| Unfit::System { path: path.into(), why };
    in_memory(&mut source).or_else(|in_memory| match in_memory {
        // Refused by vm.memfd_noexec, a security module or a seccomp filter.
        Failed::Call("memfd_create", Errno::EACCES | Errno::EPERM | Errno::ENOSYS) => on_disk(
            &mut source,
            &env::temp_dir(),
        )
        .map_err(|on_disk| {
            failed(format!(
                "the kernel runs no program from memory ({in_memory}), and as a file {on_disk}: set TMPDIR to a folder \
                     where programs may be run, or vm.memfd_noexec to 0 or 1"
            ))
        }),
        in_memory => Err(failed(format!("copied to memory, {in_memory}"))),
    })
}

/// The step at which a copy failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}: {1}")]
    Call(&'static str, Errno),
    #[error("it cannot be written: {0}")]
    Copy(io::Error),
    #[error("it cannot be made in {}: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    #[error("it may not run: the file system of {} is mounted noexec", .0.display())]
    NoExec(PathBuf),
}

/// Opens the file at `path` if it may be a program.
fn open(path: &Path) -> Result<File, Unfit> {
    let missing = |source| Unfit::Missing { path: path.into(), source };
    let foreign = |why: &str| Err(Unfit::Foreign { path: path.into(), why: why.into() });
    // Check the file type before opening, because opening a device may have effects.
    refuse_special(path, fs::metadata(path).map_err(missing)?.file_type())?;
    // If a FIFO has replaced the file meanwhile, a blocking open would wait for a writer.
    let mut file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(missing)?;
    let facts = file.metadata().map_err(missing)?;
    refuse_special(path, facts.file_type())?;
    if facts.len() > LONGEST {
        return foreign(&format!("it has {} bytes, and a build at most {LONGEST}", facts.len()));
    }
    let mut start = Vec::new();
    Read::by_ref(&mut file).take(ELF.len() as u64).read_to_end(&mut start).map_err(missing)?;
    file.rewind().map_err(missing)?;
    match start.as_slice() {
        [] => foreign("it is empty"),
        [b'#', b'!', ..] => foreign("it is a script"),
        start if start != ELF => foreign("it is no program: it does not begin with an ELF header"),
        _ => Ok(file),
    }
}

fn refuse_special(path: &Path, kind: fs::FileType) -> Result<(), Unfit> {
    let what = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "folder",
        kind if kind.is_fifo() => "FIFO",
        kind if kind.is_socket() => "socket",
        _ => "device",
    };
    Err(Unfit::Foreign { path: path.into(), why: format!("it is a {what} and no regular file") })
}

fn in_memory(source: &mut File) -> Result<OwnedFd, Failed> {
    let call = |name| move |errno| Failed::Call(name, errno);
    let (name, flags) = (c"ipc-bench-build", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING);
    // Request MFD_EXEC: with vm.memfd_noexec = 1 a memfd without that flag may not run. The flag is unknown before Linux 6.3.
    let file = match memfd_create(name, flags | MFdFlags::from_bits_retain(libc::MFD_EXEC)) {
        Err(Errno::EINVAL) => memfd_create(name, flags),
        made => made,
    };
    let mut file = File::from(file.map_err(call("memfd_create"))?);
    fchmod(&file, Mode::S_IRUSR | Mode::S_IXUSR).map_err(call("fchmod"))?;
    io::copy(&mut source.take(LONGEST), &mut file).map_err(Failed::Copy)?;
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).map_err(call("fcntl"))?;
    Ok(file.into())
}

/// A file without a name in `dir`, open for reading only. A file that is open for writing cannot be run (`ETXTBSY`).
fn on_disk(source: &mut File, dir: &Path) -> Result<OwnedFd, Failed> {
    let call = |name| move |errno| Failed::Call(name, errno);
    let cannot = |error| Failed::File(dir.into(), error);
    let mut file = tempfile::tempfile_in(dir).map_err(cannot)?;
    if fstatvfs(&file).map_err(call("fstatvfs"))?.flags().contains(FsFlags::ST_NOEXEC) {
        return Err(Failed::NoExec(dir.into()));
    }
    fchmod(&file, Mode::S_IRUSR | Mode::S_IXUSR).map_err(call("fchmod"))?;
    io::copy(&mut source.take(LONGEST), &mut file).map_err(cannot)?;
    Ok(File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(cannot)?.into())
}
