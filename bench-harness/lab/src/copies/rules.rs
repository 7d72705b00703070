//! The rule table: how often each system call copies each byte that it moves. A rule depends on the objects behind the call's
//! descriptors, and cites the place in the kernel's source.
//!
//! Only copies by the processor between payload pages count. Handing on a referenced page is no copy. What a file's device or a
//! network does beyond the page cache is not looked at.

use super::{
    counts::{LineOf, MOST_ABOUT},
    descriptor::Descriptor,
};
use bench_record::named;
use std::fmt;

named! {
    /// The source or destination of bytes.
    "place" Place {
        /// The caller's memory.
        Memory = "memory",
        /// The memory of another process.
        PeerMemory = "another process",
        /// A pipe or FIFO.
        Pipe = "pipe",
        /// A socket of any kind.
        Socket = "socket",
        /// A System V message queue.
        SysvQueue = "System V queue",
        /// A POSIX message queue.
        PosixQueue = "POSIX queue",
        /// A regular file's page cache; a memfd and files in `/dev/shm` are such files.
        File = "file",
        /// A regular file opened with `O_DIRECT`, which bypasses the page cache.
        DirectFile = "O_DIRECT file",
        /// A file whose content a file system makes up (`/proc`) or gets elsewhere (FUSE, a network). How often that copies is
        /// not known.
        OtherFile = "file without a page cache of its own",
        /// A character or block device.
        Device = "device",
        /// An inode without a name: eventfd, epoll, ...
        Anonymous = "anonymous inode",
        /// Nowhere: the call leaves what it reads where it is.
        Nowhere = "nowhere",
    }
}

impl Place {
    /// Places that hold what is put into them until it is taken out, once.
    pub const CHANNELS: [Place; 4] = [Place::Pipe, Place::Socket, Place::SysvQueue, Place::PosixQueue];
}

/// The place that a call names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Always this place.
    At(Place),
    /// The descriptor in this argument, if it refers to this place.
    Fd(usize, Place),
}

impl End {
    /// The place.
    pub const fn place(self) -> Place {
        match self {
            End::At(place) | End::Fd(_, place) => place,
        }
    }

    /// Whether a call with these descriptors means this end. `open` tells whether a descriptor is open for the use.
    fn fits(self, descriptor: &impl Fn(usize) -> Option<Descriptor>, open: fn(&Descriptor) -> bool) -> bool {
        match self {
            End::At(_) => true,
            End::Fd(argument, place) => descriptor(argument).is_some_and(|found| found.place == place && open(&found)),
        }
    }
}

/// How many bytes a successful call has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// The call's return value.
    Returned,
    /// The call's return value, but at most this argument. With `MSG_TRUNC` a call returns the full length of a message that
    /// did not fit.
    ReturnedUpTo(usize),
    /// This argument, because the call returns 0.
    Argument(usize),
    /// The sum of `msg_len` over the vector in argument 1. The call returns the vector's length (sendmmsg(2)).
    EachMessage,
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The call's number.
    pub number: i64,
    /// Its name.
    pub name: &'static str,
    /// The source of its bytes.
    pub from: End,
    /// The destination of its bytes.
    pub to: End,
    /// How often the call copies each byte.
    pub copies: u64,
    /// How many bytes the call moves.
    pub length: Length,
    /// The place in the kernel's source that the rule rests on.
    pub source: &'static str,
}

impl Rule {
    /// The kind by which calls of this rule are summed.
    pub const fn line(&self) -> LineOf {
        (self.name, self.from.place(), self.to.place())
    }
}

/// Whether the rule for such calls rests on a reference that the kernel takes instead of a copy. That is so if the rule counts
/// no copy. It is also so for one copy between two files, because the kernel first takes the source's pages (fs/splice.c,
/// `splice_direct_to_actor`).
pub fn claims_reference((name, from, to): LineOf, copies: u64) -> bool {
    copies == 0 || (matches!(name, "sendfile" | "copy_file_range") && (from, to) == (Place::File, Place::File))
}

/// A call that the table does not cover.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unknown(String);

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown call {}", self.0)
    }
}

/// The rule of `table` for call `number`. `descriptor` resolves the descriptor in an argument. `None` if the call moves no
/// payload.
///
/// # Errors [`Unknown`] if no rule covers the call.
pub fn find(
    table: &[Rule],
    number: i64,
    descriptor: impl Fn(usize) -> Option<Descriptor>,
) -> Result<Option<&Rule>, Unknown> {
    if QUIET.iter().chain(QUIET_OLD).any(|(quiet, _)| *quiet == number) {
        return Ok(None);
    }
    let lines = || table.iter().filter(|rule| rule.number == number);
    let fits = |rule: &&Rule| rule.from.fits(&descriptor, |d| d.readable) && rule.to.fits(&descriptor, |d| d.writable);
    if let Some(rule) = lines().find(fits) {
        return Ok(Some(rule));
    }
    // The message names the places found, so that a rule can be written.
    let place = |end: End| match end {
        End::At(_) => None,
        End::Fd(argument, _) => Some(descriptor(argument).map_or("a closed descriptor", |found| found.place.name())),
    };
    Err(Unknown(match lines().next() {
        Some(rule) => {
            let places: Vec<_> = [rule.from, rule.to].into_iter().filter_map(place).collect();
            format!("{} ({})", rule.name, places.join(" to "))
        }
        None => match UNACCOUNTABLE.iter().find(|(known, _)| *known == number) {
            Some((_, name)) => name.to_string(),
            None => format!("number {number}"),
        },
    }))
}

const MEMORY: End = End::At(Place::Memory);
const PEER: End = End::At(Place::PeerMemory);
const SYSV: End = End::At(Place::SysvQueue);
const POSIX: End = End::At(Place::PosixQueue);
const NOWHERE: End = End::At(Place::Nowhere);

const fn pipe(argument: usize) -> End {
    End::Fd(argument, Place::Pipe)
}

const fn socket(argument: usize) -> End {
    End::Fd(argument, Place::Socket)
}

const fn file(argument: usize) -> End {
    End::Fd(argument, Place::File)
}

const fn direct(argument: usize) -> End {
    End::Fd(argument, Place::DirectFile)
}

const fn anonymous(argument: usize) -> End {
    End::Fd(argument, Place::Anonymous)
}

/// The name of a call, from its constant's name such as `SYS_read`.
const fn name(constant: &'static str) -> &'static str {
    constant.split_at("SYS_".len()).1
}

macro_rules! rules {
    ($($number:ident: $from:expr => $to:expr, $copies:literal, $length:expr, $source:literal;)+) => {
        &[$(Rule {
            number: libc::$number,
            name: name(stringify!($number)),
            from: $from,
            to: $to,
            copies: $copies,
            length: $length,
            source: $source,
        },)+]
    };
}

macro_rules! calls {
    ($($number:ident)+) => { &[$((libc::$number, name(stringify!($number))),)+] };
}

use Length::{Argument, EachMessage, Returned, ReturnedUpTo};

/// Every call that moves payload. If two lines fit, the first holds, as for vmsplice(2) on a FIFO that is open both ways.
pub const TABLE: &[Rule] = rules! {
    // From and to pipes, by copy.
    SYS_read: pipe(0) => MEMORY, 1, Returned, "fs/pipe.c: anon_pipe_read, copy_page_to_iter";
    SYS_readv: pipe(0) => MEMORY, 1, Returned, "fs/pipe.c: anon_pipe_read, copy_page_to_iter";
    SYS_write: MEMORY => pipe(0), 1, Returned, "fs/pipe.c: anon_pipe_write, copy_page_from_iter";
    SYS_writev: MEMORY => pipe(0), 1, Returned, "fs/pipe.c: anon_pipe_write, copy_page_from_iter";

    // Sockets. With MSG_ZEROCOPY (net/core/skbuff.c: skb_zerocopy_iter_stream) send takes references. But a packet that loops
    // back is copied before it is delivered (net/core/dev.c: skb_orphan_frags_rx). So there is one copy in that case, too.
    SYS_read: socket(0) => MEMORY, 1, Returned, "net/core/datagram.c: skb_copy_datagram_iter";
    SYS_readv: socket(0) => MEMORY, 1, Returned, "net/core/datagram.c: skb_copy_datagram_iter";
    SYS_recvfrom: socket(0) => MEMORY, 1, ReturnedUpTo(2), "net/core/datagram.c: skb_copy_datagram_iter";
    SYS_recvmsg: socket(0) => MEMORY, 1, Returned, "net/core/datagram.c: skb_copy_datagram_iter";
    SYS_recvmmsg: socket(0) => MEMORY, 1, EachMessage, "net/socket.c: do_recvmmsg";
    SYS_write: MEMORY => socket(0), 1, Returned, "net/core/datagram.c: skb_copy_datagram_from_iter; net/ipv4/tcp.c: tcp_sendmsg_locked";
    SYS_writev: MEMORY => socket(0), 1, Returned, "net/core/datagram.c: skb_copy_datagram_from_iter; net/ipv4/tcp.c: tcp_sendmsg_locked";
    SYS_sendto: MEMORY => socket(0), 1, Returned, "net/core/datagram.c: skb_copy_datagram_from_iter; net/ipv4/tcp.c: tcp_sendmsg_locked";
    SYS_sendmsg: MEMORY => socket(0), 1, Returned, "net/core/datagram.c: skb_copy_datagram_from_iter; net/ipv4/tcp.c: tcp_sendmsg_locked";
    SYS_sendmmsg: MEMORY => socket(0), 1, EachMessage, "net/socket.c: __sys_sendmmsg";

    // Files through the page cache: file systems on disk, tmpfs, memfd.
    SYS_read: file(0) => MEMORY, 1, Returned, "mm/filemap.c: filemap_read, copy_folio_to_iter";
    SYS_readv: file(0) => MEMORY, 1, Returned, "mm/filemap.c: filemap_read, copy_folio_to_iter";
    SYS_pread64: file(0) => MEMORY, 1, Returned, "mm/filemap.c: filemap_read, copy_folio_to_iter";
    SYS_preadv: file(0) => MEMORY, 1, Returned, "mm/filemap.c: filemap_read, copy_folio_to_iter";
    SYS_preadv2: file(0) => MEMORY, 1, Returned, "mm/filemap.c: filemap_read, copy_folio_to_iter";
    SYS_write: MEMORY => file(0), 1, Returned, "mm/filemap.c: generic_perform_write, copy_folio_from_iter_atomic";
    SYS_writev: MEMORY => file(0), 1, Returned, "mm/filemap.c: generic_perform_write, copy_folio_from_iter_atomic";
    SYS_pwrite64: MEMORY => file(0), 1, Returned, "mm/filemap.c: generic_perform_write, copy_folio_from_iter_atomic";
    SYS_pwritev: MEMORY => file(0), 1, Returned, "mm/filemap.c: generic_perform_write, copy_folio_from_iter_atomic";
    SYS_pwritev2: MEMORY => file(0), 1, Returned, "mm/filemap.c: generic_perform_write, copy_folio_from_iter_atomic";

    // Direct I/O: the device reads and writes the caller's pages. File systems that fall back to buffered I/O do copy.
    SYS_read: direct(0) => MEMORY, 0, Returned, "fs/iomap/direct-io.c: iomap_dio_rw";
    SYS_readv: direct(0) => MEMORY, 0, Returned, "fs/iomap/direct-io.c: iomap_dio_rw";
    SYS_pread64: direct(0) => MEMORY, 0, Returned, "fs/iomap/direct-io.c: iomap_dio_rw";
    SYS_preadv: direct(0) => MEMORY, 0, Returned, "fs/iomap/direct-io.c: iomap_dio_rw";
    SYS_preadv2: direct(0) => MEMORY, 0, Returned, "fs/iomap/direct-io.c: iomap_dio_rw";
    SYS_write: MEMORY => direct(0), 0, Returned, "fs/iomap/direct-io.c: iomap_dio_rw";
    SYS_writev: MEMORY => direct(0), 0, Returned, "fs/iomap/direct-io.c: iomap_dio_rw";
    SYS_pwrite64: MEMORY => direct(0), 0, Returned, "fs/iomap/direct-io.c: iomap_dio_rw";
    SYS_pwritev: MEMORY => direct(0), 0, Returned, "fs/iomap/direct-io.c: iomap_dio_rw";
    SYS_pwritev2: MEMORY => direct(0), 0, Returned, "fs/iomap/direct-io.c: iomap_dio_rw";

    // Event counters.
    SYS_read: anonymous(0) => MEMORY, 1, Returned, "fs/eventfd.c: eventfd_read";
    SYS_write: MEMORY => anonymous(0), 1, Returned, "fs/eventfd.c: eventfd_write";

    // Queues.
    SYS_msgsnd: MEMORY => SYSV, 1, Argument(2), "ipc/msgutil.c: load_msg";
    SYS_msgrcv: SYSV => MEMORY, 1, Returned, "ipc/msgutil.c: store_msg";
    SYS_mq_timedsend: MEMORY => POSIX, 1, Argument(2), "ipc/mqueue.c: do_mq_timedsend, load_msg";
    SYS_mq_timedreceive: POSIX => MEMORY, 1, Returned, "ipc/mqueue.c: do_mq_timedreceive, store_msg";

    // From process to process.
    SYS_process_vm_readv: PEER => MEMORY, 1, Returned, "mm/process_vm_access.c: process_vm_rw_pages";
    SYS_process_vm_writev: MEMORY => PEER, 1, Returned, "mm/process_vm_access.c: process_vm_rw_pages";

    // By reference to pages. Data spliced from a socket stays in the packet's pages. Data spliced into a file is written.
    SYS_vmsplice: MEMORY => pipe(0), 0, Returned, "fs/splice.c: vmsplice_to_pipe, iter_to_pipe";
    SYS_vmsplice: pipe(0) => MEMORY, 1, Returned, "fs/splice.c: vmsplice_to_user, pipe_to_user";
    SYS_tee: NOWHERE => pipe(1), 0, Returned, "fs/splice.c: link_pipe";
    SYS_splice: pipe(0) => pipe(2), 0, Returned, "fs/splice.c: splice_pipe_to_pipe";
    SYS_splice: file(0) => pipe(2), 0, Returned, "mm/filemap.c: filemap_splice_read";
    SYS_splice: socket(0) => pipe(2), 0, Returned, "net/core/skbuff.c: skb_splice_bits";
    SYS_splice: pipe(0) => socket(2), 0, Returned, "fs/splice.c: splice_to_socket, MSG_SPLICE_PAGES";
    SYS_splice: pipe(0) => file(2), 1, Returned, "fs/splice.c: iter_file_splice_write";
    SYS_splice: pipe(0) => direct(2), 0, Returned, "fs/splice.c: iter_file_splice_write; fs/iomap/direct-io.c";
    SYS_sendfile: file(1) => pipe(0), 0, Returned, "fs/splice.c: splice_file_to_pipe";
    SYS_sendfile: file(1) => socket(0), 0, Returned, "fs/splice.c: splice_direct_to_actor, splice_to_socket";
    SYS_sendfile: file(1) => file(0), 1, Returned, "fs/splice.c: splice_direct_to_actor, iter_file_splice_write";
    // One copy, unless the file system shares the blocks instead (btrfs, XFS with reflink): fs/read_write.c, remap_file_range.
    SYS_copy_file_range: file(0) => file(2), 1, Returned, "fs/read_write.c: vfs_copy_file_range, splice_copy_file_range";
};

/// Calls that move no payload: waiting, waking, and setting up.
const QUIET: &[(i64, &str)] = calls! {
    SYS_futex SYS_ppoll SYS_pselect6 SYS_epoll_pwait SYS_epoll_ctl SYS_epoll_create1
    SYS_nanosleep SYS_clock_nanosleep SYS_clock_gettime SYS_gettimeofday SYS_sched_yield
    SYS_timerfd_create SYS_timerfd_settime SYS_eventfd2 SYS_restart_syscall
    SYS_kill SYS_tkill SYS_tgkill SYS_pidfd_open SYS_pidfd_send_signal SYS_rt_sigaction SYS_rt_sigprocmask
    SYS_rt_sigtimedwait SYS_rt_sigsuspend SYS_rt_sigreturn SYS_rt_sigqueueinfo SYS_sigaltstack
    SYS_semop SYS_semtimedop SYS_semget SYS_semctl SYS_msgget SYS_msgctl SYS_shmget SYS_shmctl SYS_shmat SYS_shmdt
    SYS_mq_open SYS_mq_unlink SYS_mq_getsetattr SYS_mq_notify
    SYS_mmap SYS_mremap SYS_munmap SYS_mprotect SYS_madvise SYS_mlock SYS_munlock SYS_brk SYS_msync SYS_mincore SYS_membarrier
    SYS_openat SYS_close SYS_close_range SYS_fcntl SYS_dup SYS_dup3 SYS_pipe2 SYS_memfd_create SYS_ftruncate SYS_fallocate
    SYS_fstat SYS_newfstatat SYS_statx SYS_lseek SYS_fsync SYS_fdatasync SYS_flock SYS_unlinkat SYS_readahead SYS_fadvise64
    SYS_socket SYS_socketpair SYS_bind SYS_listen SYS_accept4 SYS_connect SYS_shutdown SYS_getsockopt SYS_setsockopt
    SYS_getsockname SYS_getpeername
    SYS_getpid SYS_gettid SYS_getppid SYS_getuid SYS_getrusage SYS_getrandom SYS_prctl SYS_prlimit64 SYS_sched_getaffinity
    SYS_sched_setaffinity SYS_getcpu SYS_clone SYS_clone3 SYS_set_robust_list SYS_rseq SYS_exit SYS_exit_group SYS_wait4
    SYS_waitid
};

/// Older forms of some quiet calls, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const QUIET_OLD: &[(i64, &str)] = calls! {
    SYS_poll SYS_select SYS_epoll_wait SYS_epoll_create SYS_eventfd SYS_pause SYS_alarm SYS_time SYS_open SYS_creat SYS_stat
    SYS_lstat SYS_access SYS_unlink SYS_pipe SYS_dup2 SYS_accept SYS_fork SYS_vfork SYS_getpgrp SYS_arch_prctl
};
#[cfg(not(target_arch = "x86_64"))]
const QUIET_OLD: &[(i64, &str)] = &[];

/// Names of calls that move bytes out of a tracer's sight or in a way that no rule covers.
const UNACCOUNTABLE: &[(i64, &str)] = calls! {
    SYS_io_uring_setup SYS_io_uring_enter SYS_io_uring_register SYS_io_submit SYS_io_getevents SYS_userfaultfd
    SYS_process_madvise SYS_move_pages SYS_ioctl
};

/// Checks that a quiet call with these `arguments` is quiet. Some can carry as much as a message into the kernel and out again,
/// or copy pages. `word` reads four bytes of the caller's memory.
///
/// # Errors [`Unknown`] with the call's name.
pub(super) fn check_quiet(number: i64, arguments: &[u64; 6], word: impl Fn(u64) -> u32) -> Result<(), Unknown> {
    const GETALL: u64 = 13;
    const SETALL: u64 = 17;
    let name = match number {
        libc::SYS_semctl if matches!(arguments[2] & 0xff, GETALL | SETALL) => "semctl (all values)",
        libc::SYS_setsockopt if arguments[4] >= MOST_ABOUT => "setsockopt (a long value)",
        libc::SYS_getsockopt if arguments[4] != 0 && u64::from(word(arguments[4])) >= MOST_ABOUT => {
            "getsockopt (a long value)"
        }
        libc::SYS_madvise if arguments[2] == libc::MADV_COLLAPSE as u64 => "madvise (MADV_COLLAPSE)",
        _ => return Ok(()),
    };
    Err(Unknown(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(place: Place, readable: bool, writable: bool) -> impl Fn(usize) -> Option<Descriptor> {
        move |_| Some(Descriptor { place, readable, writable, object: 0 })
    }

    #[test]
    fn no_line_says_what_another_has_said() {
        for (line, rule) in TABLE.iter().enumerate() {
            let same = |other: &Rule| (other.number, other.from, other.to) == (rule.number, rule.from, rule.to);
            assert!(!TABLE[line + 1..].iter().any(same), "{} twice", rule.name);
            let quiet = QUIET.iter().chain(QUIET_OLD).chain(UNACCOUNTABLE).any(|(number, _)| *number == rule.number);
            assert!(!quiet, "{} moves payload", rule.name);
            assert!(rule.source.contains(".c") && !rule.name.starts_with("SYS_"), "{rule:?}");
        }
    }

    #[test]
    fn the_end_of_a_pipe_decides_which_way_vmsplice_goes() {
        let copies = |readable, writable| {
            find(TABLE, libc::SYS_vmsplice, opened(Place::Pipe, readable, writable)).unwrap().unwrap().copies
        };
        assert_eq!((copies(false, true), copies(true, false), copies(true, true)), (0, 1, 0));
    }

    #[test]
    fn quiet_calls_that_can_carry_a_message_are_named() {
        let name = |number, arguments, word| {
            check_quiet(number, &arguments, |_| word).err().map(|unknown| unknown.to_string())
        };
        for (number, arguments, word, named) in [
            (libc::SYS_semctl, [1, 0, 17, 9, 0, 0], 0, Some("unknown call semctl (all values)")),
            (libc::SYS_semctl, [1, 0, 16, 9, 0, 0], 0, None),
            (libc::SYS_setsockopt, [3, 1, 26, 9, 16, 0], 0, None),
            (libc::SYS_setsockopt, [3, 0, 4, 9, 40, 0], 0, Some("unknown call setsockopt (a long value)")),
            (libc::SYS_getsockopt, [3, 1, 26, 9, 9, 0], 4, None),
            (libc::SYS_getsockopt, [3, 1, 26, 9, 9, 0], 512, Some("unknown call getsockopt (a long value)")),
            (libc::SYS_madvise, [0, 4096, 23, 0, 0, 0], 0, None),
            (libc::SYS_madvise, [0, 4096, 25, 0, 0, 0], 0, Some("unknown call madvise (MADV_COLLAPSE)")),
        ] {
            assert_eq!(name(number, arguments, word).as_deref(), named);
        }
    }

    #[test]
    fn what_has_no_rule_is_named() {
        let name = |number, place| find(TABLE, number, opened(place, true, true)).unwrap_err().to_string();
        assert_eq!(name(libc::SYS_io_uring_enter, Place::Anonymous), "unknown call io_uring_enter");
        assert_eq!(name(libc::SYS_splice, Place::Device), "unknown call splice (device to device)");
        assert_eq!(name(9999, Place::Pipe), "unknown call number 9999");
        assert_eq!(find(TABLE, libc::SYS_futex, opened(Place::Pipe, true, true)), Ok(None));
    }
}
