//! `ipc-bench doctor` on the machine as it is, and on one that is made worse on purpose.

mod common;

use common::{PROGRAM, await_journal, kill_run, own_folder, program, start_run};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Output},
    thread,
};

const GROUPS: [&str; 10] =
    ["mechanisms", "placements", "queues", "pipes", "memory", "sockets", "process", "machine", "sandbox", "leftovers"];
/// What has a row wherever the program runs.
const THINGS: &[&str] = &[
    "udp",
    "processors",
    "cross-socket",
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "fs.mqueue.msg_max",
    "fs.mqueue.msgsize_max",
    "fs.mqueue.queues_max",
    "RLIMIT_MSGQUEUE",
    "fs.pipe-max-size",
    "fs.pipe-user-pages-soft",
    "fs.pipe-user-pages-hard",
    "capacity of a new pipe",
    "kernel.shmmax",
    "kernel.shmall",
    "kernel.shmmni",
    "kernel.sem",
    "/dev/shm",
    "TMPDIR",
    "net.core.wmem_default",
    "net.core.wmem_max",
    "net.core.rmem_default",
    "net.core.rmem_max",
    "net.unix.max_dgram_qlen",
    "loopback device",
    "RLIMIT_NOFILE",
    "fs.file-max",
    "RLIMIT_MEMLOCK",
    "RLIMIT_NPROC",
    "RLIMIT_FSIZE",
    "RLIMIT_AS",
    "RLIMIT_CPU",
    "scheduling",
    "/proc",
    "/sys",
    "vm.memfd_noexec",
    "cgroup: cpu",
    "cgroup: memory",
    "cgroup: pids",
    "kernel",
    "frequency governor",
    "turbo",
    "SMT",
    "clock source",
    "hypervisor",
    "mitigations",
    "load average",
    "container",
    "ipc namespace",
    "pid namespace",
    "user namespace",
    "net namespace",
    "mnt namespace",
    "seccomp",
    "Yama ptrace_scope",
    "journal",
];

fn output(command: &mut Command) -> Output {
    command.output().expect("the program starts")
}

/// The findings of `command`, which prints JSON, and its exit code, which must follow from them.
fn findings(command: &mut Command) -> (Vec<Value>, i32) {
    let output = output(command);
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    let code = output.status.code().expect("an exit code");
    assert_eq!(code, i32::from(findings.iter().any(|finding| finding["verdict"] == "problem")), "{findings:#?}");
    (findings, code)
}

fn doctor(dir: &Path) -> Command {
    let mut command = program(dir);
    command.args(["doctor", "--format", "json"]);
    command
}

fn named<'a>(findings: &'a [Value], what: &str) -> &'a Value {
    findings.iter().find(|finding| finding["what"] == what).unwrap_or_else(|| panic!("no {what}: {findings:#?}"))
}

/// Whether the text under `key` contains `part`.
fn says(finding: &Value, key: &str, part: &str) -> bool {
    finding[key].as_str().is_some_and(|text| text.contains(part))
}

#[test]
fn everything_is_there_with_a_value_or_a_reason() {
    let dir = own_folder();
    let (findings, _) = findings(&mut doctor(dir.path()));
    for group in GROUPS {
        assert!(findings.iter().any(|finding| finding["group"] == group), "{group} is missing");
    }
    for finding in &findings {
        assert!(finding["value"].is_null() != finding["error"].is_null(), "{finding}");
        assert!(finding["verdict"] == "ok" || !finding["effect"].is_null() || !finding["error"].is_null(), "{finding}");
    }
    for what in THINGS {
        named(&findings, what);
    }
    assert!(says(named(&findings, "TMPDIR"), "value", dir.path().to_str().unwrap()));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "something was left in the temporary folder");
}

#[test]
fn table_and_csv_have_the_same_things() {
    let dir = own_folder();
    let text = |format: &str| {
        let output = output(program(dir.path()).args(["doctor", "--format", format]));
        String::from_utf8(output.stdout).unwrap()
    };
    let (table, csv) = (text("table"), text("csv"));
    assert!(csv.starts_with("group,what,verdict,value,used,effect,advice,error\n"), "{csv}");
    for row in csv.lines().skip(1) {
        let what = row.split(',').nth(1).unwrap();
        assert!(table.contains(what), "{what} is not in the table");
    }
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
}

#[test]
fn what_is_cut_follows_from_what_the_mechanism_carries() {
    let dir = own_folder();
    let list = output(program(dir.path()).args(["list", "--format", "json"]));
    let list: Vec<Value> = serde_json::from_slice(&list.stdout).unwrap();
    let (findings, _) = findings(&mut doctor(dir.path()));
    for mechanism in ["sysv-msgq", "posix-mq", "unix-seqpacket", "udp"] {
        let row = list.iter().find(|row| row["name"] == mechanism).unwrap();
        let max = row["max_message_bytes"].as_u64().expect("a limit");
        for (bytes, text) in [(65_536, "64 KiB"), (1 << 20, "1 MiB")] {
            let finding = named(&findings, mechanism);
            assert_eq!(says(finding, "effect", text), bytes > max, "{mechanism} carries {max} bytes: {finding}");
        }
    }
}

#[test]
fn too_few_descriptors_are_a_problem_with_its_name() {
    // What the caller left open would count as well.
    let alone = "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-";
    let dir = own_folder();
    let mut command = Command::new("sh");
    command
        .env("TMPDIR", dir.path())
        .args(["-c", &format!("{alone}; ulimit -n 8 && exec '{PROGRAM}' doctor --format json")]);
    let (findings, code) = findings(&mut command);
    let limit = named(&findings, "RLIMIT_NOFILE");
    assert_eq!((code, &limit["verdict"]), (1, &"problem".into()), "{limit}");
    assert!(says(limit, "value", "8 descriptors") && says(limit, "effect", "EMFILE"), "{limit}");
    assert!(says(limit, "advice", "ulimit -n"), "{limit}");
    assert_eq!(named(&findings, "pipe")["verdict"], "symptom");
    assert_ne!(named(&findings, "RLIMIT_MSGQUEUE")["verdict"], "problem", "EMFILE of a queue has two causes");
}

#[test]
fn a_temporary_folder_that_cannot_be_used_is_a_problem_with_its_name() {
    for folder in ["/proc/nowhere", "/dev/null"] {
        let (findings, code) = findings(&mut doctor(Path::new(folder)));
        let finding = named(&findings, "TMPDIR");
        assert_eq!((code, &finding["verdict"]), (1, &"problem".into()), "{finding}");
        assert!(says(finding, "advice", "TMPDIR="), "{finding}");
        assert!(!named(&findings, "journal")["error"].is_null());
        let mapped = named(&findings, "mmap-file");
        assert_eq!((&mapped["verdict"], &mapped["advice"]), (&"symptom".into(), &"see TMPDIR".into()), "{mapped}");
        assert_eq!(named(&findings, "pipe")["verdict"], "ok", "a pipe needs no folder");
    }
}

#[test]
fn one_processor_has_no_second_core() {
    let dir = own_folder();
    let (as_it_is, _) = findings(&mut doctor(dir.path()));
    let has_two = says(named(&as_it_is, "cross-core"), "value", "CPUs");
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).unwrap();
    let first = (0..CpuSet::count()).find(|&cpu| allowed.is_set(cpu) == Ok(true)).unwrap();
    let mut one = CpuSet::new();
    one.set(first).unwrap();
    // The program inherits the affinity of this thread; other tests keep theirs.
    let on_one = thread::scope(|scope| {
        let examine = || sched_setaffinity(this, &one).map(|()| findings(&mut doctor(dir.path())));
        scope.spawn(examine).join().unwrap()
    });
    let (findings, _) = on_one.unwrap();
    assert!(says(named(&findings, "processors"), "used", "1 of "));
    assert_eq!(named(&findings, "same-core")["value"], format!("CPU {first}"));
    let finding = named(&findings, "cross-core");
    assert_eq!(finding["verdict"], "note", "{finding}");
    assert!(says(finding, "value", "not here") && says(finding, "effect", "left out of the plan"), "{finding}");
    // Of a machine with one core nobody can be given two.
    assert_eq!(says(finding, "advice", "taskset"), has_two, "{finding}");
}

/// Kills a run until it leaves a queue behind.
fn leave_something(dir: &Path) {
    for _ in 0..20 {
        let mut run = start_run(dir, "sysv-msgq");
        await_journal(dir);
        kill_run(&mut run);
        if sweep(dir, &["--dry-run"]).contains("sysv-msgq") {
            return;
        }
    }
    panic!("no kill left anything");
}

fn sweep(dir: &Path, more: &[&str]) -> String {
    let output = output(program(dir).arg("sweep").args(more));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_a_killed_run_left_is_listed_and_stays() {
    let dir = own_folder();
    leave_something(dir.path());
    let before = sweep(dir.path(), &["--dry-run"]);
    let (findings, _) = findings(&mut doctor(dir.path()));
    let journal = named(&findings, "journal");
    assert_eq!(journal["verdict"], "note");
    assert!(says(journal, "value", "sysv-msgq 0x") && says(journal, "advice", "ipc-bench sweep"), "{journal}");
    assert_eq!(sweep(dir.path(), &["--dry-run"]), before);
    sweep(dir.path(), &[]);
}
