//! Causes and symptoms: a failure that another finding explains refers to that finding.

use super::{Finding, Group, Verdict};
use nix::errno::Errno;
use std::collections::BTreeMap;

/// The failures that a cause explains: those of the findings in `of` whose text contains `text`. An empty `of` means
/// all findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blame {
    pub of: Vec<&'static str>,
    pub text: String,
}

impl Blame {
    fn explains(&self, finding: &Finding, failure: &str) -> bool {
        let concerns = self.of.is_empty() || self.of.contains(&finding.what.as_str());
        concerns && failure.contains(&self.text)
    }
}

/// System calls that a kernel or a sandbox may lack, and the first Linux version that has them.
const SINCE: &[(&str, &str)] = &[
    ("pidfd_open", "5.3"),
    ("pidfd_send_signal", "5.1"),
    ("memfd_create", "3.17"),
    ("process_vm_readv", "3.2"),
    ("vmsplice", "2.6.17"),
    ("splice", "2.6.17"),
    ("tee", "2.6.17"),
    ("ppoll", "2.6.16"),
];

/// Turns failures that another finding explains into symptoms. Unexplained failures of system calls get a finding of
/// their own.
pub(super) fn attribute(findings: &mut Vec<Finding>) {
    let unexplained: Vec<String> = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Problem && cause_of(findings, finding).is_none())
        .filter_map(|finding| finding.failure.clone())
        .collect();
    findings.extend(refused_calls(&unexplained));

    let causes: Vec<Option<String>> = findings.iter().map(|finding| cause_of(findings, finding)).collect();
    for (finding, cause) in findings.iter_mut().zip(causes) {
        match cause {
            Some(cause) => {
                finding.verdict = Verdict::Symptom;
                finding.advice = Some(format!("see {cause}"));
            }
            None if finding.verdict == Verdict::Problem && finding.advice.is_none() => {
                finding.advice = Some(
                    "no limit of the kernel explains it: strace -f ipc-bench doctor shows which call fails, and the call's manual page \
                     why"
                        .into(),
                );
            }
            None => {}
        }
    }
}

/// The name of the finding that explains the failure of `finding`.
fn cause_of(findings: &[Finding], finding: &Finding) -> Option<String> {
    let failure = finding.failure.as_ref()?;
    let is_cause = |cause: &&Finding| {
        cause.verdict == Verdict::Problem
            && cause.what != finding.what
            && cause.blames.iter().any(|blame| blame.explains(finding, failure))
    };
    findings.iter().find(is_cause).map(|cause| cause.what.clone())
}

/// A finding for each refused system call. A sandbox forbids it, or this kernel lacks it.
fn refused_calls(failures: &[String]) -> Vec<Finding> {
    let mut calls: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for refused in failures.iter().filter_map(|failure| refused_call(failure)) {
        *calls.entry(refused).or_default() += 1;
    }
    let finding = |((call, errno), count): ((&str, &str), usize)| {
        let since = SINCE.iter().find(|(name, _)| *name == call);
        let kernel = since.map_or_else(String::new, |(_, since)| format!("Linux {since} or later has it; "));
        Finding::new(Group::Sandbox, call, Err(format!("refused with {errno}")))
            .is(Verdict::Problem)
            .effect(format!("{count} of the mechanisms and placements above need it"))
            .advice(format!(
                "{kernel}a seccomp filter or a security module forbids it, or does not know it: docker run --security-opt \
                 seccomp=unconfined, or a newer profile"
            ))
            .blames([], format!("{call}: {errno}:"))
    };
    calls.into_iter().map(finding).collect()
}

/// The system call that a failure reports as refused, and its errno.
fn refused_call(failure: &str) -> Option<(&str, &str)> {
    [Errno::ENOSYS, Errno::EPERM, Errno::EACCES].into_iter().find_map(|errno| {
        let name: &'static str = match errno {
            Errno::ENOSYS => "ENOSYS",
            Errno::EPERM => "EPERM",
            _ => "EACCES",
        };
        let (before, _) = failure.split_once(&format!(": {name}:"))?;
        let call = before.rsplit(char::is_whitespace).next()?.trim_start_matches('(');
        (!call.is_empty()).then_some((call, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(what: &str, failure: &str) -> Finding {
        Finding::new(Group::Mechanisms, what, Err(failure.into())).is(Verdict::Problem)
    }

    fn advice<'a>(findings: &'a [Finding], what: &str) -> (Verdict, &'a str) {
        let finding = findings.iter().find(|finding| finding.what == what).unwrap();
        (finding.verdict, finding.advice.as_deref().unwrap_or_default())
    }

    #[test]
    fn refused_calls_are_found_in_failures() {
        for (failure, call) in [
            ("does not work: pidfd_open: ENOSYS: Function not implemented", Some(("pidfd_open", "ENOSYS"))),
            (
                "cannot pin to CPU 0 (sched_setaffinity: EPERM: Operation not permitted)",
                Some(("sched_setaffinity", "EPERM")),
            ),
            ("prctl(PR_SET_PDEATHSIG): EPERM: Operation not permitted", Some(("prctl(PR_SET_PDEATHSIG)", "EPERM"))),
            ("fork: EAGAIN: Try again", None),
            ("the peer is gone", None),
        ] {
            assert_eq!(refused_call(failure), call, "{failure}");
        }
    }

    #[test]
    fn a_refused_call_is_one_problem_with_all_its_symptoms() {
        let refused = "pidfd_open: EPERM: Operation not permitted";
        let mut findings =
            vec![failing("pipe", refused), failing("fifo", refused), failing("udp", "x: EIO: I/O error")];
        attribute(&mut findings);
        assert_eq!(advice(&findings, "pipe"), (Verdict::Symptom, "see pidfd_open"));
        assert_eq!(advice(&findings, "fifo"), (Verdict::Symptom, "see pidfd_open"));
        let (verdict, text) = advice(&findings, "pidfd_open");
        assert!(verdict == Verdict::Problem && text.contains("Linux 5.3"), "{text}");
        // An unexplained failure has its own advice.
        let (verdict, text) = advice(&findings, "udp");
        assert!(verdict == Verdict::Problem && text.contains("strace"), "{text}");
    }

    #[test]
    fn a_cause_explains_what_it_names_and_nothing_else() {
        let limit = Finding::new(Group::Queues, "queues", Ok("1".into())).is(Verdict::Problem);
        let full = "mq_open: ENOSPC: No space left on device";
        let mut findings =
            vec![failing("posix-mq", full), failing("mmap-file", full), limit.blames(["posix-mq"], "ENOSPC:")];
        attribute(&mut findings);
        assert_eq!(advice(&findings, "posix-mq"), (Verdict::Symptom, "see queues"));
        assert_eq!(advice(&findings, "mmap-file").0, Verdict::Problem);
        assert_eq!(advice(&findings, "queues").0, Verdict::Problem);
    }

    #[test]
    fn a_note_explains_nothing() {
        let note = Finding::new(Group::Queues, "queues", Ok("1".into())).is(Verdict::Note).blames([], "EIO:");
        let mut findings = vec![failing("udp", "x: EIO: I/O error"), note];
        attribute(&mut findings);
        assert_eq!(advice(&findings, "udp").0, Verdict::Problem);
    }
}
