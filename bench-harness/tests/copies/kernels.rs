//! Kernels that copy where the rules say that they take a reference.

use super::{row_of, sys};
use bench_harness::{
    STANDARD,
    experiments::{
        Lab, Planned,
        copies::SIZES,
        relay::{Plan, Relay},
    },
};
use bench_lab::{
    copies::trace::{Instead, with_stand_in},
    topology::Topology,
};
use bench_record::{cell::Access, file_copy::FileCopy};
use ipc_conformance::Verdict;
use nix::{
    sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev},
    unistd::{Pid, Whence, lseek},
};
use std::{
    fs::{File, OpenOptions},
    io::{IoSlice, IoSliceMut, Write},
    os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt},
    time::Duration,
};

fn must(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

/// vmsplice(2) as a wrapper of writev(2), and splice(2) and sendfile(2) from a file into a pipe as a read and a write.
fn copying(tid: Pid, number: i64, arguments: &[u64; 6]) -> Option<Instead> {
    let [first, second, third, fourth, fifth, _] = *arguments;
    match number {
        libc::SYS_vmsplice => Some(Instead::Call(libc::SYS_writev)),
        libc::SYS_splice => from_file_to_pipe(tid, first, second, third, fifth).map(Instead::Result),
        libc::SYS_sendfile => from_file_to_pipe(tid, second, third, first, fourth).map(Instead::Result),
        _ => None,
    }
}

/// Copies up to `len` bytes on behalf of `tid`; `None` where these are no file and no pipe with room.
fn from_file_to_pipe(tid: Pid, from: u64, pointer: u64, to: u64, len: u64) -> Option<i64> {
    let path = format!("/proc/{tid}/fd/{to}");
    let (source, pipe) = (sys::descriptor_of(tid, from).ok()?, std::fs::metadata(&path).ok()?);
    let is_file = File::from(source.try_clone().ok()?).metadata().ok()?.is_file();
    if !is_file || !pipe.file_type().is_fifo() {
        return None;
    }
    let mut offset = [0; 8];
    let there = [RemoteIoVec { base: pointer as usize, len: offset.len() }];
    let start = if pointer == 0 {
        lseek(&source, 0, Whence::SeekCur).ok()?
    } else {
        process_vm_readv(tid, &mut [IoSliceMut::new(&mut offset)], &there).ok()?;
        i64::from_ne_bytes(offset)
    };
    let mut bytes = vec![0; len as usize];
    let read = File::from(source.try_clone().ok()?).read_at(&mut bytes, start as u64).ok()?;
    let mut pipe = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
    let moved = pipe.write(&bytes[..read]).ok()? as i64;
    let end = start + moved;
    if pointer == 0 {
        lseek(&source, end, Whence::SeekSet).ok()?;
    } else {
        process_vm_writev(tid, &[IoSlice::new(&end.to_ne_bytes())], &there).ok()?;
    }
    Some(moved)
}

/// A rule of no copy that the kernel does not keep counts as a copy, and the row says so; where it does, as none.
pub fn a_reference_must_be_confirmed(name: &str) -> Verdict {
    let mechanism = STANDARD.named(name).expect("it is in the table");
    for access in [Access::InPlace, Access::Copy] {
        let row = with_stand_in(copying, || row_of(mechanism, SIZES[0], access));
        must(row.kernel_copies == Some(2.0) && row.evidence.contains("counted once more"), || format!("{row:?}"))?;
        must(row.verdict().is_some(), || format!("{row:?}"))?;
    }
    let honest = row_of(mechanism, SIZES[0], Access::InPlace);
    must(honest.kernel_copies == Some(1.0) && honest.evidence.contains("confirmed by"), || format!("{honest:?}"))
}

/// The same of the ways that carry a file.
pub fn a_relays_reference_must_be_confirmed() -> Verdict {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let topology = Topology::here().map_err(|e| e.to_string())?;
    for relay in [FileCopy::Splice, FileCopy::Sendfile, FileCopy::CopyFileRange] {
        let plan = Plan {
            relays: vec![relay],
            dir: dir.path().to_owned(),
            bytes: (1 << 18) + 123,
            runs: 1,
            deadline: Duration::from_secs(10),
            ..Plan::new(&topology)
        };
        let row = || {
            let (experiment, subjects) = Relay::of(plan.clone());
            let (mut found, _) = Planned { experiment, subjects }.measure(&mut Lab::new(&STANDARD, &topology), "steps");
            found.rows.relay.remove(0)
        };
        let (honest, row) = (row(), with_stand_in(copying, row));
        if relay == FileCopy::CopyFileRange && honest.error.contains("share blocks") {
            continue;
        }
        must(honest.kernel_copies == Some(1.0) && honest.evidence.contains("confirmed by"), || format!("{honest:?}"))?;
        must(row.kernel_copies == Some(2.0) && row.evidence.contains("counted once more"), || format!("{row:?}"))?;
    }
    Ok(())
}
