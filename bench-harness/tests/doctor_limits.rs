//! What `ipc-bench doctor` says of limits that are too low: each trial has an IPC namespace of its own, where it may lower them.

use bench_harness::{
    STANDARD,
    doctor::{Finding, Verdict as Grade, examine},
};
use ipc_conformance::{
    Suite, Verdict, run_all,
    surroundings::{isolate, set_kernel_limit},
};
use std::time::Duration;

const SHMMAX: &str = "/proc/sys/kernel/shmmax";
const SHMMNI: &str = "/proc/sys/kernel/shmmni";
const SHMALL: &str = "/proc/sys/kernel/shmall";
/// Pages: what the largest segment of the default plan needs, and more.
const ENOUGH: usize = 1 << 20;

fn main() {
    run_all([Suite::new("doctor_limits")
        .within(Duration::from_secs(60))
        .prepared("a_low_shmmax_is_a_problem_with_its_name", limited(SHMMAX, 65_536), low_shmmax)
        .prepared("a_shmmax_that_cuts_is_a_note", limited(SHMMAX, 1_000_000), cutting_shmmax)
        .prepared("enospc_at_shmmni_is_not_shmall", both(0, ENOUGH), || blamed("kernel.shmmni", "kernel.shmall"))
        .prepared("enospc_at_shmall_is_not_shmmni", both(4096, 1), low_shmall)])
}

/// Namespaces with that limit, and files enough for every mechanism.
fn limited(path: &'static str, limit: usize) -> impl FnOnce() -> ipc_core::Result<()> {
    move || isolate(256 << 20).and_then(|()| set_kernel_limit(path, limit))
}

fn both(shmmni: usize, shmall: usize) -> impl FnOnce() -> ipc_core::Result<()> {
    move || limited(SHMMNI, shmmni)().and_then(|()| set_kernel_limit(SHMALL, shmall))
}

/// The finding `what`, which must have this `verdict`.
fn expect<'a>(findings: &'a [Finding], what: &str, verdict: Grade) -> Result<&'a Finding, String> {
    let finding = findings.iter().find(|finding| finding.what == what).ok_or_else(|| format!("no {what}"))?;
    says(finding, finding.verdict == verdict)
}

/// `finding`, if that is what it should say.
fn says(finding: &Finding, right: bool) -> Result<&Finding, String> {
    if right { Ok(finding) } else { Err(format!("{finding:#?}")) }
}

/// Does what the advice of `finding` says: `sysctl -w NAME=VALUE (…)`.
fn follow_advice(finding: &Finding, path: &str) -> Verdict {
    let advice = finding.advice.as_deref().unwrap_or_default();
    let value = advice.split(['=', ' ']).nth(3).and_then(|value| value.parse().ok());
    set_kernel_limit(path, value.ok_or_else(|| format!("no value in '{advice}'"))?).map_err(|error| error.to_string())
}

fn low_shmmax() -> Verdict {
    let findings = examine(&STANDARD);
    let shmmax = expect(&findings, "kernel.shmmax", Grade::Problem)?;
    says(shmmax, shmmax.effect.as_deref().is_some_and(|text| text.contains("sysv-shm at 64 B")))?;
    let mechanism = expect(&findings, "sysv-shm", Grade::Symptom)?;
    says(mechanism, mechanism.advice.as_deref() == Some("see kernel.shmmax"))?;
    says(mechanism, mechanism.error.as_deref().is_some_and(|text| !text.contains("message")))?;
    follow_advice(shmmax, SHMMAX)?;
    let findings = examine(&STANDARD);
    expect(&findings, "kernel.shmmax", Grade::Ok)?;
    expect(&findings, "sysv-shm", Grade::Ok).map(drop)
}

fn cutting_shmmax() -> Verdict {
    let findings = examine(&STANDARD);
    expect(&findings, "sysv-shm", Grade::Note)?;
    let shmmax = expect(&findings, "kernel.shmmax", Grade::Note)?;
    says(shmmax, shmmax.effect.as_deref().is_some_and(|text| text.ends_with("sysv-shm at 64 KiB, 1 MiB"))).map(drop)
}

fn blamed(limit: &str, other: &str) -> Verdict {
    let findings = examine(&STANDARD);
    expect(&findings, "sysv-shm", Grade::Symptom)?;
    expect(&findings, other, Grade::Ok)?;
    expect(&findings, limit, Grade::Problem).map(drop)
}

fn low_shmall() -> Verdict {
    blamed("kernel.shmall", "kernel.shmmni")?;
    follow_advice(expect(&examine(&STANDARD), "kernel.shmall", Grade::Problem)?, SHMALL)?;
    let findings = examine(&STANDARD);
    expect(&findings, "kernel.shmall", Grade::Ok)?;
    expect(&findings, "sysv-shm", Grade::Ok).map(drop)
}
