//! `doctor` in surroundings that break several mechanisms at once: it finds the one cause, and the symptoms say where to look.

use super::{
    filter::{Fate, refuse},
    group::Group,
    runs::group_of_its_own,
    words,
};
use bench_harness::{
    STANDARD,
    doctor::{Finding, Verdict as Grade, examine_for},
    selection::Selection,
};
use ipc_conformance::{
    Suite, Verdict,
    surroundings::{become_ordinary, hide, isolate, schedule, set_soft_limit},
};
use ipc_core::{Error, Result, process::Policy};
use nix::{errno::Errno, sys::resource::Resource};
use std::{
    env::temp_dir,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

/// Room for the mechanisms that are tried, each by itself.
const ROOM: usize = 16 << 20;

pub fn add(suite: Suite) -> Suite {
    let calls = [
        ("doctor_finds_a_refused_pidfd_open", libc::SYS_pidfd_open, None, "pidfd_open"),
        ("doctor_finds_a_refused_prctl", libc::SYS_prctl, Some(1), "prctl(PR_SET_PDEATHSIG)"),
        ("doctor_finds_a_refused_pin", libc::SYS_sched_setaffinity, None, "sched_setaffinity"),
        ("doctor_finds_a_refused_futex", libc::SYS_futex, None, "futex"),
    ];
    let suite = calls.into_iter().fold(suite, |suite, (name, call, argument, cause)| {
        suite.prepared(name, refuse(call, argument, Fate::Fails(Errno::EPERM)), move || {
            one_cause(cause, &["pipe", "memfd"])
        })
    });
    suite
        .prepared("doctor_finds_a_filter_that_kills", refuse(libc::SYS_futex, None, Fate::Kills), || {
            one_cause("seccomp", &["pipe", "memfd"])
        })
        .prepared(
            "doctor_finds_shm_read_only",
            || isolated().and_then(|()| hide("/dev/shm", true)),
            || one_cause("/dev/shm", &["posix-shm"]),
        )
        .prepared(
            "doctor_finds_shm_absent",
            || isolated().and_then(|()| hide("/dev", false)),
            || one_cause("/dev/shm", &["posix-shm"]),
        )
        .prepared(
            "doctor_finds_proc_missing",
            || isolated().and_then(|()| hide("/proc", false)),
            || one_cause("/proc", &["ipc namespace"]),
        )
        .prepared("doctor_finds_a_full_folder", full, || one_cause("TMPDIR", &["mmap-file"]))
        .prepared("doctor_finds_too_few_descriptors", limited(Resource::RLIMIT_NOFILE, 9), || {
            one_cause("RLIMIT_NOFILE", &["pipe"])
        })
        .prepared(
            "doctor_finds_too_few_processes",
            || {
                isolated()
                    .and_then(|()| become_ordinary())
                    .and_then(|()| set_soft_limit(Resource::RLIMIT_NPROC, 1).map(drop))
            },
            || one_cause("RLIMIT_NPROC", &["pipe", "memfd", "posix-shm"]),
        )
        .prepared("doctor_finds_too_short_files", limited(Resource::RLIMIT_FSIZE, 64 << 10), || {
            one_cause("RLIMIT_FSIZE", &["memfd", "posix-shm"])
        })
        .prepared("doctor_finds_a_group_with_too_few_processes", group_of_its_own("pids"), || {
            let group = Group::new("pids")?;
            // This process, and one child that is refused the second.
            group.set("pids.max", 2)?;
            group.run(|| one_cause("cgroup: pids", &["pipe", "memfd"]))
        })
        .prepared("doctor_compares_a_memory_limit", group_of_its_own("memory"), || {
            let group = Group::new("memory")?;
            group.set(if group.version == 1 { "memory.limit_in_bytes" } else { "memory.max" }, 80 << 20)?;
            group.run(|| one_note("cgroup: memory", "used", "a run needs"))
        })
        .prepared("doctor_finds_fifo", schedule(Policy::FIFO, 1), || {
            one_note("scheduling", "value", "SCHED_FIFO, priority 1")
        })
        .prepared("doctor_finds_idle", schedule(Policy::IDLE, 0), || {
            let findings = examine();
            // Beside processes that keep every processor busy a pair may get no time.
            only_note(&findings, "scheduling", "value", "SCHED_IDLE")
                .or_else(|_| only_cause(&findings, "scheduling", &[]))
        })
        .prepared("doctor_finds_a_folder_open_to_others", open_folder, || one_note("TMPDIR", "advice", "chmod +t"))
}

fn isolated() -> Result<()> {
    isolate(ROOM)
}

fn limited(resource: Resource, limit: u64) -> impl FnOnce() -> Result<()> + Send + 'static {
    move || isolated().and_then(|()| set_soft_limit(resource, limit)).map(drop)
}

fn open_folder() -> Result<()> {
    isolated()?;
    fs::set_permissions(temp_dir(), Permissions::from_mode(0o777)).map_err(|e| Error::io("chmod", &e))
}

/// Leaves the temporary folder no room.
fn full() -> Result<()> {
    isolated()?;
    // It ends where nothing more fits.
    let _ = fs::write(temp_dir().join("fill"), vec![1; 2 * ROOM]);
    Ok(())
}

fn examine() -> Vec<Finding> {
    let mechanisms =
        ["pipe", "memfd", "posix-shm", "mmap-file"].map(|name| STANDARD.named(name).expect("it is registered"));
    examine_for(&STANDARD, &Selection { mechanisms: mechanisms.to_vec(), sizes: vec![64], ..Selection::default() })
}

fn named<'a>(findings: &'a [Finding], what: &str) -> std::result::Result<&'a Finding, String> {
    findings.iter().find(|finding| finding.what == what).ok_or_else(|| format!("no {what}"))
}

/// Whether `cause` is the only problem, and these among its symptoms; every symptom names a finding that is there.
fn one_cause(cause: &str, symptoms: &[&str]) -> Verdict {
    only_cause(&examine(), cause, symptoms)
}

fn only_cause(findings: &[Finding], cause: &str, symptoms: &[&str]) -> Verdict {
    let problems: Vec<_> = findings.iter().filter(|finding| finding.verdict == Grade::Problem).collect();
    if problems.iter().map(|finding| finding.what.as_str()).ne([cause]) {
        return Err(format!("{problems:#?}"));
    }
    if problems[0].advice.is_none() {
        return Err(format!("no advice: {problems:#?}"));
    }
    for finding in findings.iter().filter(|finding| finding.verdict == Grade::Symptom) {
        let place = finding.advice.as_deref().and_then(|advice| advice.strip_prefix("see "));
        named(findings, place.ok_or_else(|| format!("{finding:#?}"))?)?;
    }
    for symptom in symptoms {
        let finding = named(findings, symptom)?;
        if finding.verdict != Grade::Symptom || finding.advice != Some(format!("see {cause}")) {
            return Err(format!("{finding:#?}"));
        }
    }
    Ok(())
}

/// Whether `what` is a note whose `part` says `text`, and nothing is a problem.
fn one_note(what: &str, part: &str, text: &str) -> Verdict {
    only_note(&examine(), what, part, text)
}

fn only_note(findings: &[Finding], what: &str, part: &str, text: &str) -> Verdict {
    if let Some(problem) = findings.iter().find(|finding| finding.verdict >= Grade::Symptom) {
        return Err(format!("{problem:#?}"));
    }
    let note = named(findings, what)?;
    let fields = serde_json::to_value(note).map_err(words)?;
    let says = fields[part].as_str().is_some_and(|words| words.contains(text));
    if note.verdict == Grade::Note && note.effect.is_some() && says { Ok(()) } else { Err(format!("{note:#?}")) }
}
