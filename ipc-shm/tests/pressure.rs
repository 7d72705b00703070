//! What happens when shared memory runs out: opening the channel fails, and leaves nothing behind. It is never `SIGBUS`
//! at the first touch.

use ipc_conformance::{
    Suite, Verdict, run_all,
    surroundings::{isolate, set_kernel_limit, set_soft_limit},
};
use ipc_core::{Channel, Endpoint, Error, InPlace, Name, Options, Rendezvous, SendInPlace, sysv};
use ipc_shm::{Memfd, MemfdWrite, MmapAnon, MmapFile, PosixShm, ProcessVm, SysvShm};
use nix::{
    errno::Errno,
    sys::{
        resource::Resource,
        signal::{SigSet, Signal},
    },
};
use std::{env::temp_dir, fs, path::Path, time::Duration};

fn main() {
    let small = || isolate(256 << 10);
    run_all([
        Suite::pressure::<SysvShm>()
            .pressure_by_name::<SysvShm>()
            .test("little_address_space", little_address_space::<SysvShm>)
            .prepared("over_shmmax", || isolate(1 << 20).and_then(|()| set_kernel_limit(SHMMAX, 65_536)), over_shmmax)
            .prepared("at_shmmni", || isolate(1 << 20).and_then(|()| set_kernel_limit(SHMMNI, 1)), at_shmmni)
            .prepared("at_shmall", || isolate(1 << 20).and_then(|()| set_kernel_limit(SHMALL, 1)), no_segment_left),
        Suite::pressure::<PosixShm>()
            .pressure_by_name::<PosixShm>()
            .test("little_address_space", little_address_space::<PosixShm>)
            .prepared("full_file_system", small, full_file_system::<PosixShm>)
            .prepared("full_journal", small, full_journal::<PosixShm>)
            .test("short_files", short_files::<PosixShm>),
        Suite::pressure::<Memfd>()
            .test("little_address_space", little_address_space::<Memfd>)
            .test("short_files", short_files::<Memfd>),
        Suite::pressure::<MmapFile>()
            .pressure_by_name::<MmapFile>()
            .test("little_address_space", little_address_space::<MmapFile>)
            .prepared("full_file_system", small, full_file_system::<MmapFile>)
            .prepared("full_journal", small, full_journal::<MmapFile>)
            .test("short_files", short_files::<MmapFile>),
        Suite::pressure::<MmapAnon>().test("little_address_space", little_address_space::<MmapAnon>),
        Suite::pressure::<MemfdWrite>()
            .test("little_address_space", little_address_space::<MemfdWrite>)
            .test("short_files", short_files::<MemfdWrite>)
            .test("shorter_files_than_at_first", shorter_files_than_at_first),
        Suite::pressure::<ProcessVm>().test("little_address_space", little_address_space::<ProcessVm>),
    ]);
}

const SHMMAX: &str = "/proc/sys/kernel/shmmax";
const SHMMNI: &str = "/proc/sys/kernel/shmmni";
const SHMALL: &str = "/proc/sys/kernel/shmall";

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Checks that neither file system holds a file. Both are this trial's own.
fn nothing_left() -> Verdict {
    for folder in [temp_dir().as_path(), Path::new("/dev/shm")] {
        let left: Vec<_> = fs::read_dir(folder).map_err(text)?.flatten().map(|file| file.file_name()).collect();
        if !left.is_empty() {
            return Err(format!("left in {}: {left:?}", folder.display()));
        }
    }
    Ok(())
}

/// Checks that this trial's own namespace holds `rows` segments.
fn segments(rows: usize) -> Verdict {
    let table = fs::read_to_string("/proc/sysvipc/shm").map_err(text)?;
    if table.lines().count() == rows + 1 { Ok(()) } else { Err(format!("not {rows} segments: {table}")) }
}

fn refused<T>(what: &str, outcome: ipc_core::Result<T>, call: &str, errno: Errno) -> Verdict {
    match outcome.map(drop) {
        Err(Error::Os { call: by, source }) if (by, source) == (call, errno) => Ok(()),
        other => Err(format!("{what}: {other:?}, not {call}: {errno}")),
    }
}

fn ring_of(bytes: usize) -> Options {
    Options { capacity: Some(bytes), timeout: Some(Duration::from_millis(50)), ..Options::default() }
}

/// Checks that every byte of a ring that opens can be touched.
fn touch<C: Channel<Endpoint: InPlace>>(bytes: usize) -> Verdict {
    let (mut a, mut b) = C::pair(&ring_of(bytes)).map_err(|error| format!("a ring of {bytes} bytes: {error}"))?;
    a.prefault();
    let mut message = vec![7; a.max_message()];
    for _ in 0..4 {
        a.send(&message).map_err(text)?;
        b.recv(&mut message).map_err(text)?;
        b.send(&message).map_err(text)?;
        a.recv(&mut message).map_err(text)?;
    }
    Ok(())
}

/// The file system holds 256 KiB. Two rings of 256 KiB do not fit, two of 64 KiB do.
fn full_file_system<C: Rendezvous<Endpoint: InPlace>>() -> Verdict {
    for bytes in [256 << 10, 128 << 10, 1 << 30] {
        refused("pair", C::pair(&ring_of(bytes)), "fallocate", Errno::ENOSPC)?;
        nothing_left()?;
        refused("bind", C::bind(&Name::unique(), &ring_of(bytes)), "fallocate", Errno::ENOSPC)?;
        nothing_left()?;
    }
    touch::<C>(64 << 10)?;
    nothing_left()
}

/// The file system has no room for the journal's entry.
fn full_journal<C: Channel>() -> Verdict {
    let ballast = temp_dir().join("ballast");
    fs::write(&ballast, vec![0; 1 << 20]).err().ok_or("the file system is not full")?;
    match C::pair(&ring_of(4096)).map(drop) {
        Err(Error::Os { source: Errno::ENOSPC, .. }) => {}
        other => return Err(format!("with a full journal: {other:?}")),
    }
    fs::remove_file(ballast).map_err(text)?;
    nothing_left()?;
    C::pair(&ring_of(4096)).map(drop).map_err(text)?;
    nothing_left()
}

/// The address space has room for 64 MiB more, but not for two rings of 64 MiB.
fn little_address_space<C: Channel<Endpoint: InPlace>>() -> Verdict {
    let pages = fs::read_to_string("/proc/self/statm").map_err(text)?;
    let pages: u64 = pages.split(' ').next().and_then(|field| field.parse().ok()).ok_or("no size")?;
    set_soft_limit(Resource::RLIMIT_AS, (pages * 4096) + (64 << 20)).map_err(text)?;
    for _ in 0..3 {
        match C::pair(&ring_of(64 << 20)).map(drop) {
            Err(Error::Os { call: "mmap" | "shmat", source: Errno::ENOMEM }) => {}
            other => return Err(format!("{other:?}")),
        }
    }
    touch::<C>(64 << 10)
}

/// The limit on a file's length is below that of the ring. Passing it would raise `SIGXFSZ`.
fn short_files<C: Channel<Endpoint: InPlace>>() -> Verdict {
    let all = set_soft_limit(Resource::RLIMIT_FSIZE, 256 << 10).map_err(text)?;
    for bytes in [256 << 10, 1 << 30] {
        refused("pair", C::pair(&ring_of(bytes)), "fallocate", Errno::EFBIG)?;
    }
    touch::<C>(64 << 10)?;
    set_soft_limit(Resource::RLIMIT_FSIZE, all).map_err(text)?;
    touch::<C>(256 << 10)
}

/// The limit on a file's length is lowered after the ring was made. pwrite first writes less, then fails. The message
/// can be sent later.
fn shorter_files_than_at_first() -> Verdict {
    // The signal stays pending.
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGXFSZ);
    mask.thread_block().map_err(|errno| errno.to_string())?;
    let (mut a, mut b) = MemfdWrite::pair(&ring_of(4096)).map_err(text)?;
    let mut message = vec![7; 1000];
    for limit in [0, 4096 + 8, 4096 + 500] {
        let all = set_soft_limit(Resource::RLIMIT_FSIZE, limit).map_err(text)?;
        refused("send", a.send(&message), "pwrite", Errno::EFBIG)?;
        refused("send_with", a.send_with(1000, |slot| slot.fill(7)), "pwrite", Errno::EFBIG)?;
        set_soft_limit(Resource::RLIMIT_FSIZE, all).map_err(text)?;
    }
    a.send(&message).map_err(text)?;
    message.fill(0);
    match b.recv(&mut message) {
        Ok(1000) if message == [7; 1000] => Ok(()),
        other => Err(format!("{other:?}: {:?}", &message[..8])),
    }
}

fn over_shmmax() -> Verdict {
    let len = 4096 + 2 * (64 << 10);
    match SysvShm::pair(&ring_of(64 << 10)).map(drop) {
        Err(error) if error == (Error::TooLarge { len, max: 65_536 }) => {}
        other => return Err(format!("{other:?}")),
    }
    segments(0)?;
    nothing_left()?;
    touch::<SysvShm>(16 << 10)
}

fn at_shmmni() -> Verdict {
    let id = sysv::create_segment(sysv::fresh_key(), 1).map_err(text)?;
    refused("pair", SysvShm::pair(&ring_of(4096)), "shmget", Errno::ENOSPC)?;
    refused("bind", SysvShm::bind(&Name::unique(), &ring_of(4096)), "shmget", Errno::ENOSPC)?;
    segments(1)?;
    nothing_left()?;
    sysv::remove_segment(id).map_err(text)?;
    touch::<SysvShm>(4096)
}

fn no_segment_left() -> Verdict {
    refused("pair", SysvShm::pair(&ring_of(4096)), "shmget", Errno::ENOSPC)?;
    segments(0)?;
    nothing_left()
}
