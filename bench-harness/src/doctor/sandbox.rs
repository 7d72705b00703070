//! The layers between this process and the kernel: container, namespaces, seccomp, Yama.

use super::{Finding, Group, Trials, Verdict, limits};
use bench_lab::sysfs;
use bench_record::host::Host;
use ipc_core::Setting;
use nix::sys::statvfs::{FsFlags, statvfs};
use std::{fs, path::Path};

/// The relevant namespaces: the name under `/proc/self/ns`, the inode number of the initial one, and the effect of
/// another one.
///
/// The numbers are the kernel's (`include/linux/proc_ns.h`, later `include/uapi/linux/nsfs.h`). The last two have been
/// fixed only since [`ALL_FIXED`].
const NAMESPACES: &[(&str, u32, &str)] = &[
    ("ipc", 0xEFFF_FFFF, "queues and segments of other namespaces are not seen, and the limits on them are its own"),
    ("pid", 0xEFFF_FFFC, "process ids are its own; signals and /proc reach no process outside"),
    ("user", 0xEFFF_FFFD, "root is root within it only: limits of the machine cannot be raised from here"),
    ("net", 0xEFFF_FFF9, "the loopback device is its own, and net.core cannot be changed from here"),
    ("mnt", 0xEFFF_FFF8, "/dev/shm and the temporary folder may be its own"),
];

/// The first known kernel version that gives every initial namespace a fixed number.
const ALL_FIXED: (u32, u32) = (6, 18);

/// One finding per fact.
pub(super) fn findings(host: &Host, trials: &Trials) -> Vec<Finding> {
    let mut findings = vec![container(host), proc(), sys()];
    let all_fixed = host.kernel.release.as_deref().and_then(version).is_some_and(|version| version >= ALL_FIXED);
    findings.extend(NAMESPACES.iter().map(|&(name, initial, meaning)| {
        let fixed = all_fixed || !matches!(name, "net" | "mnt");
        let finding = namespace(name, initial, fixed, meaning);
        match trials.failure_with(ORPHANED).filter(|_| name == "pid") {
            Some(failure) => {
                finding.is(Verdict::Problem).effect(failure).blames([], ORPHANED).advice("unshare --pid --fork")
            }
            None => finding,
        }
    }));
    findings.extend([seccomp(trials), yama(trials), memory_files()]);
    findings
}

/// The error text of `process::fork` in a PID namespace without a first process.
const ORPHANED: &str = "unshare --pid needs --fork";

fn proc() -> Finding {
    match fs::metadata("/proc/self/stat") {
        Ok(_) => Finding::new(Group::Sandbox, "/proc", Ok("mounted".into())),
        Err(error) => Finding::new(Group::Sandbox, "/proc", Err(sysfs::reason(Path::new("/proc/self/stat"), &error)))
            .is(Verdict::Problem)
            .effect(
                "which processes live, and what this one has open, is read there: sweep, copies and lifecycle need it",
            )
            .advice("mount -t proc proc /proc, as root")
            .blames([], "/proc/")
            // The journal's error says no more than this.
            .blames([], "open: ENOENT:"),
    }
}

fn sys() -> Finding {
    const FOLDER: &str = "/sys/devices/system/cpu";
    match fs::metadata(FOLDER) {
        Ok(_) => Finding::new(Group::Sandbox, "/sys", Ok("mounted".into())),
        Err(error) => Finding::new(Group::Sandbox, "/sys", Err(sysfs::reason(Path::new(FOLDER), &error)))
            .effect("which threads share a core is read there: without it each counts as a core of its own")
            .advice("mount -t sysfs sysfs /sys, as root"),
    }
}

/// Whether files in memory may be executed. The gate makes such files of the builds that it compares.
fn memory_files() -> Finding {
    const FILE: &str = "vm/memfd_noexec";
    let what = "vm.memfd_noexec";
    let value = match sysfs::limit(FILE) {
        Ok(value) => value,
        Err(_) if Path::new("/proc/sys/vm").exists() => {
            return Finding::new(Group::Sandbox, what, Ok("not in this kernel".into()));
        }
        Err(why) => return Finding::new(Group::Sandbox, what, Err(why)),
    };
    let runs = match value {
        0 => "0: files in memory may be run",
        1 => "1: files in memory may be run where that is asked for",
        _ => "2: no file in memory may be run",
    };
    let finding = Finding::new(Group::Sandbox, what, Ok(runs.into()));
    let folder = std::env::temp_dir();
    let is_noexec = statvfs(&folder).is_ok_and(|found| found.flags().contains(FsFlags::ST_NOEXEC));
    if value < 2 || !is_noexec {
        return finding;
    }
    finding
        .is(Verdict::Note)
        .effect(format!(
            "gate runs copies of the builds, and the file system of {} is mounted noexec, too",
            folder.display()
        ))
        .advice("set TMPDIR to a folder where programs may be run, or sysctl -w vm.memfd_noexec=1 (as root)")
}

fn container(host: &Host) -> Finding {
    match host.virtualisation.container.clone() {
        None => Finding::new(Group::Sandbox, "container", Ok("no hint of one".into())),
        Some(hint) => Finding::new(Group::Sandbox, "container", Ok(hint))
            .is(Verdict::Note)
            .effect("its limits are those above; /dev/shm is often 64 MiB, system calls may be filtered")
            .advice(
                "for the machine's own figures run outside, or docker run --ipc=host --security-opt seccomp=unconfined",
            ),
    }
}

/// The owner of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Initial,
    Another,
    /// The first process has the same namespace. It may itself be in a container.
    First,
    Unknown,
}

/// Judges by inode numbers. `initial` is the fixed number, `first` is that of process 1. `fixed` says whether this
/// kernel numbers all initial namespaces.
fn whose(own: u32, initial: u32, first: Option<u32>, fixed: bool) -> Whose {
    match first {
        _ if own == initial => Whose::Initial,
        _ if fixed => Whose::Another,
        Some(first) if first == own => Whose::First,
        Some(_) => Whose::Another,
        None => Whose::Unknown,
    }
}

/// Major and minor version of a kernel's release.
pub(super) fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The number in a link such as `ipc:[4026531839]`.
fn number(link: &str) -> Option<u32> {
    link.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}

fn namespace(name: &str, initial: u32, fixed: bool, meaning: &str) -> Finding {
    let read = |process: &str, name: &str| {
        let path = format!("/proc/{process}/ns/{name}");
        let link = fs::read_link(&path).map_err(|e| format!("{path}: {}", e.kind()))?;
        number(&link.to_string_lossy()).ok_or_else(|| format!("{path}: {}", link.display()))
    };
    let what = format!("{name} namespace");
    let own = match read("self", name) {
        Ok(own) => own,
        Err(why) => return Finding::new(Group::Sandbox, what, Err(why)),
    };
    let whose = whose(own, initial, read("1", name).ok(), fixed);
    let text = match whose {
        Whose::Initial => "the initial one",
        Whose::Another => "another than the initial one",
        Whose::First => "that of process 1",
        Whose::Unknown => "cannot be told by a number of this kernel, and process 1 is not to be read",
    };
    let finding = Finding::new(Group::Sandbox, what, Ok(format!("{text} ({own})")));
    match whose {
        Whose::Another => finding.is(Verdict::Note).effect(meaning).advice("run outside of the container or sandbox"),
        Whose::Unknown => finding.is(Verdict::Note).effect(meaning),
        Whose::Initial | Whose::First => finding,
    }
}

fn seccomp(trials: &Trials) -> Finding {
    let status = sysfs::read("/proc/self/status");
    let mode = status.and_then(|status| {
        sysfs::value_of(&status, "Seccomp").ok_or_else(|| "/proc/self/status: no line Seccomp (CONFIG_SECCOMP)".into())
    });
    let is_filtered = mode.as_deref() == Ok("2");
    let finding = Finding::new(
        Group::Sandbox,
        "seccomp",
        mode.map(|mode| match mode.as_str() {
            "0" => "off".into(),
            "1" => "strict".into(),
            "2" => "a filter".into(),
            other => other.to_owned(),
        }),
    );
    // The error text of a child that a filter killed.
    const KILLED: &str = "SIGSYS";
    if let Some(failure) = trials.failure_with(KILLED) {
        return finding
            .is(Verdict::Problem)
            .effect(failure)
            .blames([], KILLED)
            .advice("docker run --security-opt seccomp=unconfined; dmesg or the audit log has the number of the call");
    }
    if !is_filtered {
        return finding;
    }
    finding
        .is(Verdict::Note)
        .effect("every system call runs the filter first; calls that it forbids show as mechanisms that do not work")
        .advice("docker run --security-opt seccomp=unconfined (the container may then make any call)")
}

fn yama(trials: &Trials) -> Finding {
    const FILE: &str = "kernel/yama/ptrace_scope";
    let value = sysfs::limit(FILE).map(|scope| match scope {
        0 => "0: any process of the user".to_owned(),
        1 => "1: descendants only".to_owned(),
        2 => "2: root only".to_owned(),
        scope => format!("{scope}: nobody"),
    });
    let is_absent = value.is_err() && !std::path::Path::new("/proc/sys/kernel/yama").exists();
    let value = if is_absent { Ok("not in this kernel".into()) } else { value };
    Finding::new(Group::Sandbox, "Yama ptrace_scope", value)
        .effect(format!(
            "{} reads another process, which 2 leaves to the privileged and 3 to nobody; nothing else here needs it",
            limits::met_by(trials, Setting::Sysctl(FILE)).join(", ")
        ))
        .advice("sysctl -w kernel.yama.ptrace_scope=0 (any process of a user can then read the memory of the others)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_have_numbers() {
        assert_eq!(number("ipc:[4026531839]"), Some(0xEFFF_FFFF));
        assert_eq!(number("ipc"), None);
        assert_eq!(version("6.18.44-fc"), Some((6, 18)));
        assert_eq!(version("7.0-rc1"), Some((7, 0)));
        assert_eq!(version("unknown"), None);
    }

    #[test]
    fn a_namespace_is_told_by_its_number_or_by_process_1() {
        assert_eq!(whose(7, 7, None, true), Whose::Initial);
        assert_eq!(whose(8, 7, Some(8), true), Whose::Another, "process 1 may be in the container, too");
        assert_eq!(whose(8, 7, Some(8), false), Whose::First);
        assert_eq!(whose(9, 7, Some(8), false), Whose::Another);
        assert_eq!(whose(9, 7, None, false), Whose::Unknown);
    }
}
