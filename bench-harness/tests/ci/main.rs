//! `ipc-bench ci` in a repository of somebody else's, the recipe of docs/gate.md for `git bisect run`, and the action.
//!
//! What it does in this workspace is tested by `scripts/tests/ci-latency.sh`, with a compiler that takes no time.

mod action;
#[path = "../common/mod.rs"]
mod common;
mod repository;

use bench_gate::report::Status;
use common::PROGRAM;
use repository::{Repository, page, said};
use std::fs;

#[test]
fn a_change_is_compared_with_the_commit_before() {
    let repository = Repository::new();
    repository.commit("1000");
    repository.commit("1000");
    let text = repository.ci(0, &[], &[]);
    assert!(text.contains("the commit before HEAD") && text.contains("verdict: passed"), "{text}");
    repository.commit("1150");
    repository.ci(1, &[], &["--name", "parse"]);
    let cells = repository.report().expect("a report").cells;
    assert_eq!((cells.len(), cells[0].cell.as_str(), cells[0].status), (1, "parse", Status::Regressed));
    // What a run left is no change of the head.
    assert!(repository.ci(1, &[], &[]).contains("head") && repository.report().is_some());
    fs::write(repository.path().join("speed"), "1000").unwrap();
    assert!(repository.ci(0, &[], &[]).contains("HEAD with uncommitted changes"));
    assert_eq!(fs::read_to_string(repository.path().join("speed")).unwrap(), "1000");
}

#[test]
fn what_cannot_be_compared_has_the_exit_code_that_says_so() {
    let repository = Repository::new();
    repository.commit("1000");
    assert!(repository.ci(4, &[], &[]).contains("HEAD is the first commit"));
    repository.commit("broken");
    let text = repository.ci(2, &[], &[]);
    assert!(text.contains("error: bad speed") && text.contains("head") && text.contains("does not build"), "{text}");
    repository.commit("1000");
    assert!(repository.ci(4, &[], &[]).contains("does not build"));
    assert!(repository.ci(0, &["--soft"], &[]).contains("--soft lets pass"));
    repository.ci(0, &["HEAD~2", "HEAD"], &[]);
    assert!(repository.ci(2, &["nonsense", "HEAD"], &[]).contains("unknown revision 'nonsense'"));
    let text = repository.ci(2, &["HEAD~2", "HEAD"], &["--unit", "ns"]);
    assert!(text.contains("--unit") && text.contains("ended with 2"), "{text}");
    assert_eq!(repository.report().map(|report| report.cells.len()), None, "the report of an earlier run is left");
}

#[test]
fn a_command_that_prints_nothing_is_no_verdict() {
    let repository = Repository::new();
    repository.commit("1000");
    repository.commit("1000");
    let mut ci = repository.command(PROGRAM);
    let output = ci.args(["ci", "--soft", "--measure", "cat text >&2", "--", "--unit", "ns"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("prints no number: its last line is"), "{}", said(&output));
    let mixed = repository.command(PROGRAM).args(["ci", "--measure", "x", "--plan", "smoke"]).output().unwrap();
    assert_eq!(mixed.status.code(), Some(2));
    let alone = repository.command(PROGRAM).args(["ci", "--build", "x"]).output().unwrap();
    assert_eq!(alone.status.code(), Some(2));
}

/// The first code block of a section of docs/gate.md.
fn recipe(section: &str) -> String {
    let text = page("docs/gate.md");
    let (_, section) = text.split_once(&format!("\n## {section}\n")).expect("the section");
    let block = section.split("```").nth(1).expect("a block of code");
    block.trim_start_matches("sh").trim().to_owned()
}

/// The recipe as it stands, in a repository with a regression, a commit that does not build and one that measures nothing.
#[test]
fn bisecting_finds_the_commit_that_became_slower() {
    let repository = Repository::new();
    repository.commit("1000");
    repository.git(&["tag", "v1.0"]);
    let speeds = ["1000", "broken", "1001", "1000", "1150", "1151", "0", "1150"];
    let commits: Vec<String> = speeds.iter().map(|speed| repository.commit(speed)).collect();
    let bin = repository.dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(PROGRAM, bin.join("ipc-bench")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = repository.command("sh").args(["-ec", &recipe("Bisect")]).env("PATH", path).output().unwrap();
    let text = said(&output);
    assert!(text.contains(&format!("{} is the first bad commit", commits[4])), "{text}");
    assert!(output.status.success(), "{text}");
    repository.is_clean();
    assert_eq!(repository.git(&["rev-parse", "--abbrev-ref", "HEAD"]), "main");
}
