//! Channels that copy out of sight, each in another way: the figure is right all the same, or there is none, but a reason.

use super::{
    careless::{Astray, Detour},
    row_of,
    sys::{self, Mapped, Semaphores},
};
use bench_harness::{Mechanism, experiments::copies::SIZES};
use bench_lab::copies::SHORTEST;
use bench_record::{cell::Access, rows::CopiesRow};
use ipc_conformance::Verdict;
use ipc_core::{Channel, Endpoint, Options, Result, Spec, pages::sealed_memfd, process};
use ipc_pipe::Pipe;
use ipc_shm::MmapAnon;
use nix::{
    sys::uio::pwrite,
    unistd::{ftruncate, pipe, read, write},
};
use std::{
    cell::{Cell, RefCell},
    fs::File,
    io::{Read, Write},
    marker::PhantomData,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

fn must(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

fn row<C: Channel>() -> CopiesRow {
    row_of(const { &Mechanism::of::<C>() }, SIZES[0], Access::Copy)
}

/// `C` by way of `D` is found to make `more` copies than by no way.
pub fn is_counted<C: Channel, D: Detour>(more: f64) -> Verdict {
    let (plain, hiding) = (row::<C>(), row::<Astray<C, D>>());
    let expected = plain.total_copies.map(|total| total + more);
    must(hiding.total_copies.is_some() && hiding.total_copies == expected, || format!("{hiding:?}, not {expected:?}"))
}

/// `C` has no figures, and the reason has all of `words`.
pub fn is_not_known<C: Channel>(words: &[&str]) -> Verdict {
    let row = row::<C>();
    let said = words.iter().all(|word| row.error.contains(word));
    must(row.total_copies.is_none() && said && row.verdict().is_none(), || format!("{row:?}"))
}

/// By way of a thread that lives for this message: one more copy.
pub struct NewThread;

impl Detour for NewThread {
    fn take<R>(message: &[u8], show: impl FnOnce(&[u8]) -> R) -> R {
        thread_local!(static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(message.len(), 0);
            thread::scope(|scope| _ = scope.spawn(|| scratch.copy_from_slice(message)));
            show(scratch)
        })
    }
}

/// By way of a thread that has been there since the first message, and two buffers: two more copies, one by either thread.
pub struct OldThread;

struct Worker {
    buffers: Arc<Mutex<[Vec<u8>; 2]>>,
    order: mpsc::SyncSender<()>,
    done: mpsc::Receiver<()>,
}

impl Worker {
    fn start() -> Self {
        let (order, orders) = mpsc::sync_channel(0);
        let (tell, done) = mpsc::sync_channel(1);
        let buffers = Arc::new(Mutex::new([Vec::new(), Vec::new()]));
        let shared = Arc::clone(&buffers);
        thread::spawn(move || {
            while orders.recv().is_ok() {
                let [from, to] = &mut *shared.lock().expect("nobody panics");
                to.resize(from.len(), 0);
                to.copy_from_slice(from);
                let _ = tell.send(());
            }
        });
        Self { buffers, order, done }
    }
}

impl Detour for OldThread {
    fn take<R>(message: &[u8], show: impl FnOnce(&[u8]) -> R) -> R {
        thread_local!(static WORKER: Worker = Worker::start());
        WORKER.with(|worker| {
            {
                let [from, _] = &mut *worker.buffers.lock().expect("nobody panics");
                from.resize(message.len(), 0);
                from.copy_from_slice(message);
            }
            worker.order.send(()).and_then(|()| worker.done.recv().map_err(|_| mpsc::SendError(()))).expect("it works");
            show(&worker.buffers.lock().expect("nobody panics")[1])
        })
    }
}

/// Through three pieces of memory that are mapped for this message, elsewhere each time, and gone behind it.
pub struct NewMappings;

impl Detour for NewMappings {
    fn take<R>(message: &[u8], show: impl FnOnce(&[u8]) -> R) -> R {
        let mut chain = [0; 3].map(|_| Mapped::new(message.len()));
        chain[0].bytes().copy_from_slice(message);
        for next in 1..chain.len() {
            let (before, after) = chain.split_at_mut(next);
            after[0].bytes().copy_from_slice(before[next - 1].bytes());
        }
        let shown = show(std::hint::black_box(chain[2].bytes()));
        chain.into_iter().for_each(Mapped::give_back);
        shown
    }
}

/// Through memory that is mapped for this message and moved before it goes.
pub struct MovedMapping;

impl Detour for MovedMapping {
    fn take<R>(message: &[u8], show: impl FnOnce(&[u8]) -> R) -> R {
        let mut scratch = Mapped::new(message.len());
        scratch.bytes().copy_from_slice(message);
        let mut scratch = scratch.moved();
        let shown = show(std::hint::black_box(scratch.bytes()));
        scratch.give_back();
        shown
    }
}

/// Through a buffer, but only every third message.
pub struct EveryThird;

impl Detour for EveryThird {
    fn take<R>(message: &[u8], show: impl FnOnce(&[u8]) -> R) -> R {
        thread_local!(static TURN: Cell<u32> = const { Cell::new(0) });
        TURN.set(TURN.get() + 1);
        if TURN.get().is_multiple_of(3) {
            let copy = message.to_vec();
            show(std::hint::black_box(&copy))
        } else {
            show(message)
        }
    }
}

/// Through memory that lasts, at another place of it each time, and cleared behind the message.
pub struct Roaming;

impl Detour for Roaming {
    fn take<R>(message: &[u8], show: impl FnOnce(&[u8]) -> R) -> R {
        const PLACES: usize = 1 << 12;
        thread_local!(static MEMORY: RefCell<(usize, Vec<u8>)> = const { RefCell::new((1, Vec::new())) });
        MEMORY.with_borrow_mut(|(place, memory)| {
            memory.resize(PLACES * 64 + message.len(), 0);
            // All of them in turn, in no order (Hull and Dobell).
            *place = (*place * 1_229 + 1) % PLACES;
            let there = &mut memory[*place * 64..][..message.len()];
            there.copy_from_slice(message);
            let shown = show(std::hint::black_box(&*there));
            there.fill(0);
            shown
        })
    }
}

/// Starts a process for each message, which might do anything with its copy of the memory.
pub struct NewProcess;

impl Detour for NewProcess {
    fn take<R>(message: &[u8], show: impl FnOnce(&[u8]) -> R) -> R {
        let helper = process::fork(|| i32::from(message.is_empty()));
        let _ = helper.map(|mut helper| helper.wait(Duration::from_secs(5)));
        show(message)
    }
}

/// Starts one that no tracer follows.
pub struct Untraced;

impl Detour for Untraced {
    fn take<R>(message: &[u8], show: impl FnOnce(&[u8]) -> R) -> R {
        sys::start_untraced();
        show(message)
    }
}

/// Puts what could be a message into semaphores, two bytes in each, and takes it out again.
pub struct InSemaphores;

impl Detour for InSemaphores {
    fn take<R>(message: &[u8], show: impl FnOnce(&[u8]) -> R) -> R {
        let mut values: Vec<u8> = message.iter().map(|byte| byte & 0x7f).collect();
        Semaphores::new(values.len()).carry(&mut values);
        show(message)
    }
}

/// Through the file that this process's memory is.
pub struct ProcMem;

impl Detour for ProcMem {
    fn take<R>(message: &[u8], show: impl FnOnce(&[u8]) -> R) -> R {
        let mut scratch = vec![0; message.len()];
        let memory = File::open("/proc/self/mem").expect("it is there");
        memory.read_exact_at(&mut scratch, message.as_ptr() as u64).expect("it can be read");
        show(&scratch)
    }
}

/// A pipe through which a message goes in pieces, each as short as a note about one.
pub struct InNotes;

/// Its end.
pub struct InNotesEnd<E>(E);

impl Channel for InNotes {
    const SPEC: Spec = Pipe::SPEC;
    type Endpoint = InNotesEnd<<Pipe as Channel>::Endpoint>;

    fn pair(options: &Options) -> Result<(Self::Endpoint, Self::Endpoint)> {
        Pipe::pair(options).map(|(a, b)| (InNotesEnd(a), InNotesEnd(b)))
    }
}

impl<E: Endpoint> Endpoint for InNotesEnd<E> {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        message.chunks(32).try_for_each(|piece| self.0.send(piece))
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        buffer.chunks_mut(32).map(|piece| self.0.recv(piece)).sum()
    }

    fn max_message(&self) -> usize {
        self.0.max_message()
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.0.set_timeout(timeout)
    }
}

/// The pieces are the payload.
pub fn pieces_as_short_as_notes_are_counted() -> Verdict {
    // Each piece is two calls.
    let row = row_of(const { &Mechanism::of::<InNotes>() }, SHORTEST, Access::Copy);
    must((row.kernel_copies, row.moved) == (Some(2.0), Some(2.0)), || format!("{row:?}"))
}

/// Two pipes, and a process between them that has been there before anything was traced.
pub struct ByAnother;

/// Its end.
pub struct ByAnotherEnd(File);

impl Channel for ByAnother {
    const SPEC: Spec = Pipe::SPEC;
    type Endpoint = ByAnotherEnd;

    fn pair(_: &Options) -> Result<(ByAnotherEnd, ByAnotherEnd)> {
        let [near, far] = [0; 2].map(|_| pipe().expect("there are descriptors"));
        let helper = process::fork(|| {
            let mut buffer = vec![0; 1 << 16];
            loop {
                match read(&near.0, &mut buffer) {
                    Ok(len) if len > 0 => {
                        _ = File::from(far.1.try_clone().expect("it is open")).write_all(&buffer[..len])
                    }
                    _ => return 0,
                }
            }
        })?;
        // It ends with this process. Dropped, it would be killed by whoever drops an end first.
        std::mem::forget(helper);
        Ok((ByAnotherEnd(near.1.into()), ByAnotherEnd(far.0.into())))
    }
}

impl Endpoint for ByAnotherEnd {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.0.write_all(message).map_err(|e| ipc_core::Error::io("write", &e))
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.0.read_exact(buffer).map_err(|e| ipc_core::Error::io("read", &e));
        read.map(|()| buffer.len())
    }

    fn max_message(&self) -> usize {
        usize::MAX
    }

    fn set_timeout(&mut self, _: Option<Duration>) -> Result<()> {
        Ok(())
    }
}

/// A file in memory that the sender writes, and of which the receiver has private pages: the kernel copies them when they are
/// touched.
pub struct OnWrite;

/// Its end.
pub struct OnWriteEnd {
    file: OwnedFd,
    bell: [OwnedFd; 2],
    pages: Option<Mapped>,
    len: usize,
}

impl Channel for OnWrite {
    const SPEC: Spec = MmapAnon::SPEC;
    type Endpoint = OnWriteEnd;

    fn pair(options: &Options) -> Result<(OnWriteEnd, OnWriteEnd)> {
        let len = options.max_message.unwrap_or(1);
        let file = sealed_memfd(|file| ftruncate(file, len as i64).map_err(|e| ipc_core::Error::os("ftruncate", e)))?;
        let bell: [OwnedFd; 2] = pipe().expect("there are descriptors").into();
        let copy = |fd: &OwnedFd| fd.try_clone().expect("there are descriptors");
        let end = || OnWriteEnd { file: copy(&file), bell: bell.each_ref().map(copy), pages: None, len };
        Ok((end(), end()))
    }
}

impl Endpoint for OnWriteEnd {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        pwrite(&self.file, message, 0)
            .and_then(|_| write(&self.bell[1], &[1]))
            .map_err(|e| ipc_core::Error::os("write", e))?;
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        read(&self.bell[0], &mut [0]).map_err(|e| ipc_core::Error::os("read", e))?;
        let pages = self.pages.get_or_insert_with(|| Mapped::private(self.file.as_fd(), self.len));
        pages.forget();
        pages.bytes().iter_mut().step_by(4096).for_each(|byte| *byte = std::hint::black_box(*byte));
        buffer[..self.len].copy_from_slice(pages.bytes());
        Ok(self.len)
    }

    fn max_message(&self) -> usize {
        self.len
    }

    fn set_timeout(&mut self, _: Option<Duration>) -> Result<()> {
        Ok(())
    }
}

/// Something that a channel opens before anything is traced.
pub trait Held {
    /// Opens it.
    ///
    /// # Errors
    /// This system does not have it.
    fn open() -> Result<OwnedFd>;
}

/// A ring whose kernel thread could copy without a call.
pub struct Ring;

impl Held for Ring {
    fn open() -> Result<OwnedFd> {
        sys::io_uring()
    }
}

/// A descriptor by which pages are copied while a fault is served.
pub struct Faults;

impl Held for Faults {
    fn open() -> Result<OwnedFd> {
        sys::userfaultfd()
    }
}

/// A pipe beside which `H` is open.
pub struct Holding<H>(PhantomData<H>);

/// Its end.
pub struct HoldingEnd<E>(E, #[allow(dead_code, reason = "open, and nothing else")] OwnedFd);

impl<H: Held> Channel for Holding<H> {
    const SPEC: Spec = Pipe::SPEC;
    type Endpoint = HoldingEnd<<Pipe as Channel>::Endpoint>;

    fn pair(options: &Options) -> Result<(Self::Endpoint, Self::Endpoint)> {
        let ((a, b), held) = (Pipe::pair(options)?, H::open()?);
        let copy = held.try_clone().expect("there are descriptors");
        Ok((HoldingEnd(a, held), HoldingEnd(b, copy)))
    }
}

impl<E: Endpoint> Endpoint for HoldingEnd<E> {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.0.send(message)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.0.recv(buffer)
    }

    fn max_message(&self) -> usize {
        self.0.max_message()
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.0.set_timeout(timeout)
    }
}
