//! Numeric limits of the kernel, in one table: where each stands, what uses it, what it bounds, and what raising it
//! costs. The [`Spec`](ipc_core::Spec) of a mechanism names the limits that it meets. A limit that only a `Spec` names
//! has a finding as well.

use super::{Finding, Group, Trials, Verdict, trials::CUT, usage::Usage};
use bench_lab::sysfs;
use ipc_core::{Bounds as Met, Family, Setting, Spec};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    sys::resource::{Resource, getrlimit},
};
use std::io::pipe;

/// The source of a limit.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// A file under `/proc/sys`.
    Sys(&'static str),
    /// A file under `/proc/sys` in which 0 means no limit.
    SysUnlessZero(&'static str),
    /// A limit of getrlimit(2): the resource, the shell's name for it, the shell's unit, and the size of that unit.
    Process(Resource, &'static str, &'static str, u64),
}

/// What a limit bounds.
#[derive(Clone, Copy, Debug)]
enum Bounds {
    /// The mechanisms whose `Spec` names the limit. The `Spec` says what it bounds.
    Mechanisms,
    /// A number or an amount. Beyond it any mechanism fails with this error.
    Anything(Errno),
    /// Something else. The text says what the limit does.
    Other(&'static str),
}

/// A row of the table of limits.
#[derive(Clone, Copy, Debug)]
struct Limit {
    group: Group,
    source: Source,
    unit: &'static str,
    bounds: Bounds,
    usage: Usage,
    /// The cost of raising the limit.
    price: &'static str,
}

/// The longest file of a complete run, in bytes: the relay's.
pub(super) const LONGEST_FILE: u64 = 64 << 20;
/// The longest complete run, in seconds.
const LONGEST_RUN: u64 = 240;

/// From this value on there is no limit: RLIM_INFINITY, LONG_MAX (file-max) and ULONG_MAX less 16 MiB (SHMMAX, SHMALL).
const UNLIMITED: u64 = 1 << 62;

const LIMITS: &[Limit] = &[
    Limit {
        group: Group::Queues,
        source: Source::Sys("kernel/msgmax"),
        unit: "bytes",
        bounds: Bounds::Mechanisms,
        usage: Usage::None,
        price: "kernel.msgmnb has to follow; for this IPC namespace, until it goes or the next boot",
    },
    Limit {
        group: Group::Queues,
        source: Source::Sys("kernel/msgmnb"),
        unit: "bytes",
        bounds: Bounds::Mechanisms,
        usage: Usage::Most("msg", "cbytes", "in use in the fullest queue"),
        price: "every new queue of the IPC namespace may hold as much of the kernel's memory, which is not swapped",
    },
    Limit {
        group: Group::Queues,
        source: Source::Sys("kernel/msgmni"),
        unit: "queues",
        bounds: Bounds::Mechanisms,
        usage: Usage::Lines("msg"),
        price: "more of the kernel's memory for queues; first look for ones that nobody needs: ipcs -q, ipcrm -q ID",
    },
    Limit {
        group: Group::Queues,
        source: Source::Sys("fs/mqueue/msgsize_max"),
        unit: "bytes",
        bounds: Bounds::Mechanisms,
        usage: Usage::None,
        price: "queues count towards RLIMIT_MSGQUEUE, which may have to follow: run doctor again",
    },
    Limit {
        group: Group::Queues,
        source: Source::Sys("fs/mqueue/msg_max"),
        unit: "messages",
        bounds: Bounds::Mechanisms,
        usage: Usage::None,
        price: "longer queues count towards RLIMIT_MSGQUEUE",
    },
    Limit {
        group: Group::Queues,
        source: Source::Sys("fs/mqueue/queues_max"),
        unit: "queues",
        bounds: Bounds::Mechanisms,
        usage: Usage::Names("/dev/mqueue", 0),
        price: "more of the kernel's memory for queues; first look for ones that nobody needs in /dev/mqueue",
    },
    Limit {
        group: Group::Queues,
        source: Source::Process(Resource::RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE", "ulimit -q", 1),
        unit: "bytes",
        bounds: Bounds::Mechanisms,
        usage: Usage::Queues,
        price: "the user may hold as much of the kernel's memory",
    },
    Limit {
        group: Group::Pipes,
        source: Source::Sys("fs/pipe-max-size"),
        unit: "bytes",
        bounds: Bounds::Other("binds only who asks for larger pipes (F_SETPIPE_SZ); no cell does"),
        usage: Usage::None,
        price: "an ordinary user may hold as much of the kernel's memory with each pipe",
    },
    Limit {
        group: Group::Pipes,
        source: Source::SysUnlessZero("fs/pipe-user-pages-soft"),
        unit: "pages",
        bounds: Bounds::Mechanisms,
        usage: Usage::Untold,
        price: "an ordinary user may hold as much of the kernel's memory; first close pipes of this user that nobody needs",
    },
    Limit {
        group: Group::Pipes,
        source: Source::SysUnlessZero("fs/pipe-user-pages-hard"),
        unit: "pages",
        bounds: Bounds::Mechanisms,
        usage: Usage::Untold,
        price: "an ordinary user may hold as much of the kernel's memory",
    },
    Limit {
        group: Group::Memory,
        source: Source::Sys("kernel/shmmax"),
        unit: "bytes",
        bounds: Bounds::Mechanisms,
        usage: Usage::Most("shm", "size", "in use in the largest segment"),
        price: "a segment holds a ring of eight messages each way; costs nothing by itself: kernel.shmall bounds the sum",
    },
    Limit {
        group: Group::Memory,
        source: Source::Sys("kernel/shmall"),
        unit: "pages",
        bounds: Bounds::Mechanisms,
        usage: Usage::Segments,
        price: "segments may take more memory, and stay after their processes",
    },
    Limit {
        group: Group::Memory,
        source: Source::Sys("kernel/shmmni"),
        unit: "segments",
        bounds: Bounds::Mechanisms,
        usage: Usage::Lines("shm"),
        price: "more of the kernel's memory; first look for segments that nobody needs: ipcs -m, ipcrm -m ID",
    },
    Limit {
        group: Group::Sockets,
        source: Source::Sys("net/core/wmem_default"),
        unit: "bytes",
        bounds: Bounds::Mechanisms,
        usage: Usage::None,
        price: "every socket that is opened from then on gets that send buffer, and more is in flight in all socket cells",
    },
    Limit {
        group: Group::Sockets,
        source: Source::Sys("net/core/wmem_max"),
        unit: "bytes",
        bounds: Bounds::Other("binds only who asks for larger buffers (SO_SNDBUF); no cell does"),
        usage: Usage::None,
        price: "any socket may hold as much of the kernel's memory",
    },
    Limit {
        group: Group::Sockets,
        source: Source::Sys("net/core/rmem_default"),
        unit: "bytes",
        bounds: Bounds::Mechanisms,
        usage: Usage::None,
        price: "every socket that is opened from then on gets that receive buffer",
    },
    Limit {
        group: Group::Sockets,
        source: Source::Sys("net/core/rmem_max"),
        unit: "bytes",
        bounds: Bounds::Other("binds only who asks for larger buffers (SO_RCVBUF); no cell does"),
        usage: Usage::None,
        price: "any socket may hold as much of the kernel's memory",
    },
    Limit {
        group: Group::Sockets,
        source: Source::Sys("net/unix/max_dgram_qlen"),
        unit: "datagrams",
        bounds: Bounds::Mechanisms,
        usage: Usage::None,
        price: "a receiver that does not read holds more of its senders' memory",
    },
    Limit {
        group: Group::Process,
        source: Source::Process(Resource::RLIMIT_NOFILE, "RLIMIT_NOFILE", "ulimit -n", 1),
        unit: "descriptors",
        bounds: Bounds::Anything(Errno::EMFILE),
        // The check itself opens one of the descriptors.
        usage: Usage::Names("/proc/self/fd", 1),
        price: "costs nothing to speak of",
    },
    Limit {
        group: Group::Process,
        source: Source::Sys("fs/file-max"),
        unit: "open files",
        bounds: Bounds::Anything(Errno::ENFILE),
        usage: Usage::File("/proc/sys/fs/file-nr", None),
        price: "more of the kernel's memory for files",
    },
    Limit {
        group: Group::Process,
        source: Source::Process(Resource::RLIMIT_NPROC, "RLIMIT_NPROC", "ulimit -u", 1),
        unit: "processes and threads of this user",
        bounds: Bounds::Anything(Errno::EAGAIN),
        usage: Usage::Processes,
        price: "the user may start as many; root is not bound by it",
    },
    Limit {
        group: Group::Process,
        source: Source::Process(Resource::RLIMIT_FSIZE, "RLIMIT_FSIZE", "ulimit -f", 1024),
        unit: "bytes",
        // It also bounds shared memory, which is a file to the kernel.
        bounds: Bounds::Anything(Errno::EFBIG),
        usage: Usage::Longest(LONGEST_FILE),
        price: "a program may fill the disk with one file",
    },
    Limit {
        group: Group::Process,
        source: Source::Process(Resource::RLIMIT_AS, "RLIMIT_AS", "ulimit -v", 1024),
        unit: "bytes",
        bounds: Bounds::Anything(Errno::ENOMEM),
        usage: Usage::File("/proc/self/status", Some("VmSize")),
        price: "a program may map as much",
    },
    Limit {
        group: Group::Process,
        source: Source::Process(Resource::RLIMIT_CPU, "RLIMIT_CPU", "ulimit -t", 1),
        unit: "seconds",
        bounds: Bounds::Other("the kernel ends a process that has used as much processor time (SIGXCPU)"),
        usage: Usage::Longest(LONGEST_RUN),
        price: "costs nothing to speak of",
    },
    Limit {
        group: Group::Process,
        source: Source::Process(Resource::RLIMIT_RTTIME, "RLIMIT_RTTIME", "ulimit -R", 1),
        unit: "microseconds",
        bounds: Bounds::Other("binds only what runs under a real-time policy, which pairs never do"),
        usage: Usage::None,
        price: "a program under a real-time policy may keep a processor as long",
    },
    Limit {
        group: Group::Process,
        source: Source::Process(Resource::RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK", "ulimit -l", 1024),
        unit: "bytes",
        bounds: Bounds::Mechanisms,
        usage: Usage::File("/proc/self/status", Some("VmLck")),
        price: "locked memory cannot be swapped out",
    },
];

/// One finding per limit, and the findings beside the table.
pub(super) fn findings(trials: &Trials) -> Vec<Finding> {
    let mut findings: Vec<Finding> = LIMITS.iter().map(|limit| limit.finding(trials)).collect();
    findings.extend(unlisted(trials).into_iter().map(|(group, file)| unlisted_finding(trials, group, file)));
    findings.extend([pipe_capacity(), semaphores(), loopback(trials)]);
    findings
}

/// The mechanisms that meet the limit of `setting`, in the order of the registry. Those that meet it in the same way
/// are grouped.
fn met(trials: &Trials, setting: Setting) -> Vec<(Met, Vec<&'static str>)> {
    let mut groups: Vec<(Met, Vec<&'static str>)> = Vec::new();
    for spec in trials.specs() {
        for limit in spec.limits.iter().filter(|limit| limit.setting == setting) {
            match groups.iter_mut().find(|(bounds, _)| *bounds == limit.bounds) {
                Some((_, names)) => names.push(spec.name),
                None => groups.push((limit.bounds, vec![spec.name])),
            }
        }
    }
    groups
}

/// The names of the mechanisms that meet the limit of `setting`.
pub(super) fn met_by(trials: &Trials, setting: Setting) -> Vec<&'static str> {
    met(trials, setting).into_iter().flat_map(|(_, names)| names).collect()
}

/// The names of the mechanisms that fail with `errno` beyond a limit of their own.
fn failing_with(trials: &Trials, errno: Errno) -> Vec<&'static str> {
    let bounds = Met::Amount { errno: errno as i32 };
    trials.specs().filter(|spec| spec.limits.iter().any(|limit| limit.bounds == bounds)).map(|spec| spec.name).collect()
}

/// The limits on the length of a mechanism's messages.
pub(super) fn on_length(spec: &Spec) -> Vec<String> {
    let lengths = spec.limits.iter().filter(|limit| matches!(limit.bounds, Met::Length { .. }));
    lengths.map(|limit| limit.setting.to_string()).collect()
}

/// The files under `/proc/sys` that a `Spec` names and that have no row in the table.
fn unlisted(trials: &Trials) -> Vec<(Group, &'static str)> {
    let is_listed = |file| LIMITS.iter().any(|limit| limit.source.setting() == Setting::Sysctl(file));
    let mut files: Vec<(Group, &'static str)> = Vec::new();
    for spec in trials.specs() {
        for limit in spec.limits.iter().filter(|limit| limit.bounds != Met::Permission) {
            match limit.setting {
                Setting::Sysctl(file) if !is_listed(file) && files.iter().all(|(_, found)| *found != file) => {
                    files.push((group_of(spec.family), file));
                }
                _ => {}
            }
        }
    }
    files
}

fn group_of(family: Family) -> Group {
    match family {
        Family::Pipe => Group::Pipes,
        Family::MessageQueue => Group::Queues,
        Family::SharedMemory => Group::Memory,
        Family::UnixSocket | Family::InternetSocket => Group::Sockets,
        _ => Group::Process,
    }
}

/// A finding with the value as it stands in the file, which may be several numbers.
fn unlisted_finding(trials: &Trials, group: Group, file: &'static str) -> Finding {
    let value = sysfs::read(format!("/proc/sys/{file}"));
    let value = value.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    let setting = Setting::Sysctl(file);
    Finding::new(group, setting.to_string(), value).effect(format!("bounds {}", met_by(trials, setting).join(", ")))
}

impl Source {
    fn setting(self) -> Setting {
        match self {
            Source::Sys(file) | Source::SysUnlessZero(file) => Setting::Sysctl(file),
            Source::Process(_, name, ..) => Setting::Rlimit(name),
        }
    }

    fn name(self) -> String {
        self.setting().to_string()
    }

    fn read(self) -> Result<u64, String> {
        match self {
            Source::Sys(file) => sysfs::limit(file),
            Source::SysUnlessZero(file) => sysfs::limit(file).map(|value| if value == 0 { u64::MAX } else { value }),
            Source::Process(resource, ..) => {
                getrlimit(resource).map(|(soft, _)| soft).map_err(|errno| format!("getrlimit: {errno}"))
            }
        }
    }

    /// How far an ordinary user can raise the limit.
    fn reserve(self) -> String {
        match self {
            Source::Sys(_) | Source::SysUnlessZero(_) => String::new(),
            Source::Process(resource, ..) => match getrlimit(resource) {
                Ok((soft, hard)) if soft == hard => ", which only root can raise".to_owned(),
                Ok((_, UNLIMITED..)) => ", which anybody can raise".to_owned(),
                Ok((_, hard)) => format!(", which anybody can raise to {hard}"),
                Err(_) => String::new(),
            },
        }
    }

    /// The command that sets the limit to `wanted`.
    fn set(self, wanted: u64) -> String {
        match self {
            Source::Sys(_) | Source::SysUnlessZero(_) => format!("sysctl -w {}={wanted}", self.name()),
            Source::Process(_, _, command, unit) => format!("{command} {}", wanted.div_ceil(unit)),
        }
    }
}

/// How a process dies that ignores this error or does not see it.
fn death_of(errno: Errno) -> Option<&'static str> {
    match errno {
        // Rust aborts after a failed allocation.
        Errno::ENOMEM => Some("killed by SIGABRT"),
        Errno::EFBIG => Some("killed by SIGXFSZ"),
        _ => None,
    }
}

impl Limit {
    fn finding(&self, trials: &Trials) -> Finding {
        let read = self.source.read();
        let text = read.clone().map(|value| match value {
            UNLIMITED.. => "unlimited".to_owned(),
            value => format!("{value} {}{}", self.unit, self.source.reserve()),
        });
        let finding = Finding::new(self.group, self.source.name(), text);
        let Ok(value) = read else { return finding };
        let finding = finding.used(self.usage.text());
        let (finding, wanted) = match self.bounds {
            Bounds::Mechanisms => {
                met(trials, self.source.setting()).iter().fold((finding, 0), |(finding, most), met| {
                    let (finding, wanted) = self.of_mechanisms(finding, value, met, trials);
                    (finding, wanted.max(most))
                })
            }
            Bounds::Anything(errno) => {
                let death = death_of(errno);
                let failure =
                    trials.failing(&failing_with(trials, errno), errno).or_else(|| trials.failure_with(death?));
                let failure = failure.filter(|_| value < UNLIMITED && !self.usage.has_room(value));
                // For files that cannot be read, the error is text.
                let texts = [Some(format!("{errno:?}:")), Some(errno.desc().to_owned()), death.map(str::to_owned)];
                let finding =
                    texts.into_iter().flatten().fold(finding.spent(failure), |finding, text| finding.blames([], text));
                (finding, self.more(value))
            }
            Bounds::Other(effect) => (finding.effect(effect), self.more(value)),
        };
        // A limit that no mechanism meets need not be raised.
        if wanted == 0 || wanted >= UNLIMITED {
            return finding;
        }
        let finding = match self.usage.is_short(value) && finding.verdict == Verdict::Ok {
            true => {
                finding.effect(format!("a complete run needs {} {}", self.usage.need(), self.unit)).is(Verdict::Note)
            }
            false => finding,
        };
        finding.advice(format!("{} ({})", self.source.set(wanted), self.price))
    }

    /// The effect of the limit on mechanisms that meet it in one way, and the value that it would need.
    fn of_mechanisms(
        &self,
        finding: Finding,
        value: u64,
        (bounds, names): &(Met, Vec<&'static str>),
        trials: &Trials,
    ) -> (Finding, u64) {
        match *bounds {
            Met::Length { overhead } => match trials.cut(names, value.saturating_sub(overhead.into())) {
                Some(cut) => (
                    finding.is(cut.verdict).effect(cut.text).blames(names.clone(), CUT),
                    cut.longest_bytes as u64 + u64::from(overhead),
                ),
                None => (finding, value.saturating_mul(2)),
            },
            Met::Amount { errno } => {
                let errno = Errno::from_raw(errno);
                let failure =
                    trials.exhausted(names, errno).filter(|_| value < UNLIMITED && !self.usage.has_room(value));
                (finding.spent(failure).blames(names.clone(), format!("{errno:?}:")), self.more(value))
            }
            _ if finding.effect.is_some() => (finding, self.more(value)),
            _ => {
                let effect = format!("bounds what is in flight over {}, which throughput shows", names.join(", "));
                (finding.effect(effect), self.more(value))
            }
        }
    }

    /// A sufficient limit if `value` is too small.
    fn more(&self, value: u64) -> u64 {
        value.saturating_mul(2).max(self.usage.need()).max(64)
    }
}

/// The capacity of a new pipe. It is 16 pages, or two for a user over the soft limit, but no more than an ordinary user
/// may ask for (`alloc_pipe_info`, `fs/pipe.c`).
fn pipe_capacity() -> Finding {
    const DEFAULT: i32 = 65_536;
    let capacity = pipe()
        .map_err(|error| format!("pipe2: {error}"))
        .and_then(|(reader, _)| fcntl(&reader, FcntlArg::F_GETPIPE_SZ).map_err(|errno| format!("fcntl: {errno}")));
    let less = capacity.as_ref().is_ok_and(|&bytes| bytes < DEFAULT);
    let finding = Finding::new(Group::Pipes, "capacity of a new pipe", capacity.map(|bytes| format!("{bytes} bytes")));
    if !less {
        return finding;
    }
    finding
        .is(Verdict::Note)
        .effect(format!("pipes ask for {DEFAULT} bytes, and do not work where the kernel refuses them"))
        .advice(
            "see the limits above: this user's pipes have used up fs.pipe-user-pages-soft, or fs.pipe-max-size is less",
        )
}

fn semaphores() -> Finding {
    let value = sysfs::read("/proc/sys/kernel/sem").map(|text| {
        let names = ["in a set", "in all", "operations in a call", "sets"];
        let parts = text.split_whitespace().zip(names).map(|(value, name)| format!("{value} {name}"));
        parts.collect::<Vec<_>>().join(", ")
    });
    let used = [Usage::Lines("sem"), Usage::Sum("sem", "nsems", "semaphores in them")];
    let used = used.into_iter().filter_map(Usage::text).collect::<Vec<_>>().join(", ");
    Finding::new(Group::Memory, "kernel.sem", value).used(used).effect("no mechanism here uses semaphores")
}

fn loopback(trials: &Trials) -> Finding {
    let internet = trials.specs().filter(|spec| spec.family == Family::InternetSocket);
    let names: Vec<_> = internet.map(|spec| spec.name).collect();
    match trials.exhausted(&names, Errno::ENETUNREACH) {
        None => Finding::new(Group::Sockets, "loopback device", Ok("up".into())),
        Some(failure) => Finding::new(Group::Sockets, "loopback device", Ok("down".into()))
            .spent(Some(failure))
            .advice("ip link set lo up, as root; a fresh network namespace has it down"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::STANDARD;

    /// Trials of this workspace's mechanisms in which nothing was tried.
    fn standard() -> Trials {
        Trials::none(&STANDARD)
    }

    #[test]
    fn all_that_need_pipes_share_their_limits() {
        let trials = standard();
        let need_pipes =
            trials.specs().filter(|spec| ["pipes", "FIFOs"].iter().any(|object| spec.objects.contains(object)));
        let names: Vec<_> = need_pipes.map(|spec| spec.name).collect();
        assert_eq!(met_by(&standard(), Setting::Sysctl("fs/pipe-user-pages-soft")), names);
        assert!(names.len() > 1);
    }

    #[test]
    fn every_limit_of_a_mechanism_has_a_finding() {
        let findings = findings(&standard());
        for limit in standard().specs().flat_map(|spec| spec.limits).filter(|limit| limit.bounds != Met::Permission) {
            let name = limit.setting.to_string();
            let is_of_files = matches!(limit.setting, Setting::Folder(_) | Setting::TemporaryFolder);
            assert!(is_of_files || findings.iter().any(|finding| finding.what == name), "{name}");
        }
    }

    #[test]
    fn commands_are_in_the_units_of_the_shell() {
        assert_eq!(Source::Sys("fs/mqueue/msg_max").set(20), "sysctl -w fs.mqueue.msg_max=20");
        assert_eq!(Source::Process(Resource::RLIMIT_MEMLOCK, "", "ulimit -l", 1024).set(65_537), "ulimit -l 65");
    }

    #[test]
    fn nobody_is_told_to_limit_what_is_unlimited() {
        let hard = LIMITS.iter().find(|limit| limit.source.name() == "fs.pipe-user-pages-hard").unwrap();
        let finding = hard.finding(&Trials::default());
        assert_eq!(finding.value.as_deref() == Some("unlimited"), finding.advice.is_none(), "{finding:?}");
    }

    #[test]
    fn a_limit_that_cannot_be_read_is_a_note_with_the_reason() {
        let limit = Limit { source: Source::Sys("kernel/no-such-limit"), ..LIMITS[0] };
        let finding = limit.finding(&Trials::default());
        assert_eq!((finding.verdict, finding.value), (Verdict::Note, None));
        assert!(finding.error.unwrap().contains("no-such-limit: No such file"));
    }
}
