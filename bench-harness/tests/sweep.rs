//! `ipc-bench sweep` as its user meets it: beside a run, beside another sweep, over a journal that something has damaged.

mod common;

use common::{own_folder, program};
use ipc_core::objects::Object;
use nix::{sys::stat::Mode, unistd::mkfifo};
use std::{
    fs,
    os::unix::fs::{DirBuilderExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = program(dir);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(child: std::io::Result<Child>) -> Output {
    child.and_then(Child::wait_with_output).expect("the program runs")
}

/// The rows of a sweep, which must end with `code` within seconds.
fn sweep(dir: &Path, more: &[&str], code: i32) -> Vec<serde_json::Value> {
    let began = Instant::now();
    let output = output(command(dir, &[&["sweep", "--format", "json"], more].concat()).spawn());
    assert!(began.elapsed() < Duration::from_secs(30), "the sweep took {:?}", began.elapsed());
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON and nothing else")
}

fn with_fate<'a>(rows: &'a [serde_json::Value], fate: &str) -> Vec<&'a serde_json::Value> {
    rows.iter().filter(|row| row["fate"] == fate).collect()
}

/// A journal as a killed process leaves it.
struct DeadOwner {
    folder: PathBuf,
    /// What the entries' names start with.
    name: String,
}

impl DeadOwner {
    fn new(dir: &Path) -> Self {
        let mut child = Command::new("true").spawn().expect("a process");
        let pid = child.id();
        child.wait().expect("it ends");
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot id");
        let folder = dir.join(format!("ipc-bench-{}", nix::unistd::geteuid()));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).expect("a folder");
        // A path has no other place than the folder.
        Self { folder, name: format!("{pid}-b{}-n1-p0", boot.trim().replace('-', "")) }
    }

    /// One of another boot, of which nothing is known here.
    fn elsewhere(dir: &Path) -> Self {
        let Self { folder, name } = Self::new(dir);
        let pid = name.split('-').next().expect("a process id").to_owned();
        Self { folder, name: format!("{pid}-b00112233445566778899aabbccddeeff-n1-p0") }
    }

    fn entry(&self, number: usize) -> PathBuf {
        self.folder.join(format!("{}-{number:016x}", self.name))
    }

    /// A FIFO that stands in the journal.
    fn leave(&self, number: usize) -> PathBuf {
        let path = self.folder.join(format!("{number}.fifo"));
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a FIFO");
        fs::write(self.entry(number), format!("{}\n", Object::Path(path.clone()))).expect("an entry");
        path
    }
}

#[test]
fn a_run_is_not_disturbed() {
    let dir = own_folder();
    let out = dir.path().join("out");
    let mechanisms = "fifo,sysv-msgq,posix-mq,sysv-shm,posix-shm,mmap-file,unix-dgram";
    let args =
        ["run", "--quick", "--size", "64", "--placement", "same-core", "--wait", "block", "--mechanism", mechanisms];
    let mut run = command(dir.path(), &args).arg("--out").arg(&out).spawn().expect("the program starts");
    let mut sweeps = 0;
    let began = Instant::now();
    while run.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(60), "the run hangs");
        assert_eq!(sweep(dir.path(), &[], 0), Vec::<serde_json::Value>::new());
        sweeps += 1;
    }
    let output = output(Ok(run));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(sweeps > 2, "only {sweeps} sweeps");
    for table in ["latency.csv", "throughput.csv"] {
        let mut rows = csv::Reader::from_path(out.join(table)).unwrap();
        let column = rows.headers().unwrap().iter().position(|name| name == "error").unwrap();
        let errors: Vec<_> = rows.records().map(|row| row.unwrap()[column].to_owned()).collect();
        assert!(errors.len() >= 7 && errors.iter().all(String::is_empty), "{table}: {errors:?}");
    }
}

#[test]
fn a_dry_run_only_lists() {
    let dir = own_folder();
    let owner = DeadOwner::new(dir.path());
    let left = owner.leave(0);
    for _ in 0..2 {
        let rows = sweep(dir.path(), &["--dry-run"], 0);
        assert_eq!(with_fate(&rows, "found").len(), 1, "{rows:?}");
        assert!(left.exists() && owner.entry(0).exists());
    }
    assert_eq!(with_fate(&sweep(dir.path(), &[], 0), "removed").len(), 1);
    assert!(!owner.folder.exists(), "the folder is left");
    assert!(sweep(dir.path(), &["--dry-run"], 0).is_empty());
}

#[test]
fn what_is_in_doubt_is_named_and_goes_on_request() {
    let dir = own_folder();
    let owner = DeadOwner::elsewhere(dir.path());
    let left = owner.leave(0);
    for _ in 0..2 {
        let rows = sweep(dir.path(), &[], 0);
        let kept = with_fate(&rows, "kept");
        let told = kept.iter().filter(|row| row["doubt"].as_str().is_some_and(|why| why.contains("00112233")));
        assert_eq!((told.count(), rows.len()), (1, 1), "{rows:?}");
        assert!(left.exists() && owner.entry(0).exists());
    }
    let table = String::from_utf8(output(command(dir.path(), &["sweep"]).spawn()).stdout).unwrap();
    assert!(table.contains("sweep --foreign") && table.contains(left.to_str().unwrap()), "{table}");
    assert_eq!(with_fate(&sweep(dir.path(), &["--foreign", "--dry-run"], 0), "found").len(), 1);
    assert!(left.exists());
    assert_eq!(with_fate(&sweep(dir.path(), &["--foreign"], 0), "removed").len(), 1);
    assert!(!owner.folder.exists(), "the folder is left");
}

#[test]
fn two_sweeps_share_the_work() {
    let dir = own_folder();
    for _ in 0..5 {
        let owner = DeadOwner::new(dir.path());
        (0..50).for_each(|number| drop(owner.leave(number)));
        let sweeps = [(); 2].map(|()| command(dir.path(), &["sweep", "--format", "json"]).spawn());
        let removed = sweeps.map(|sweep| {
            let output = output(sweep);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
            with_fate(&rows, "removed").len()
        });
        assert_eq!(removed.iter().sum::<usize>(), 50);
        assert!(!owner.folder.exists(), "the folder is left");
    }
}

#[test]
fn a_damaged_journal_is_reported_and_the_rest_swept() {
    let dir = own_folder();
    let owner = DeadOwner::new(dir.path());
    let victim = dir.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let left = owner.leave(0);
    fs::write(owner.entry(1), format!("path {}\n", victim.display())).unwrap();
    fs::write(owner.entry(2), [0xff; 100]).unwrap();
    fs::write(owner.entry(3), "path ").unwrap();
    symlink(&victim, owner.entry(4)).unwrap();
    fs::create_dir(owner.entry(5)).unwrap();
    mkfifo(&owner.entry(6), Mode::S_IRWXU).unwrap();
    fs::File::create(owner.entry(7)).unwrap().set_len(1 << 40).unwrap();
    fs::write(owner.entry(8), format!("path {}\n", owner.entry(2).display())).unwrap();
    fs::write(owner.folder.join("notes.txt"), "not an entry").unwrap();
    for (more, fate) in [(&["--dry-run"][..], "found"), (&[], "removed")] {
        let rows = sweep(dir.path(), more, 1);
        assert_eq!(with_fate(&rows, fate).len(), 1, "{rows:?}");
        let failed = with_fate(&rows, "failed");
        assert_eq!(failed.len(), 8, "{rows:?}");
        for number in 1..=8 {
            let name = owner.entry(number).display().to_string();
            let named = failed.iter().any(|row| row["error"].as_str().is_some_and(|why| why.contains(&name)));
            assert!(named, "{name} is not reported: {rows:?}");
        }
    }
    assert!(!left.exists() && (1..=8).all(|number| owner.entry(number).symlink_metadata().is_ok()));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    // The table names them, too, in one line each.
    let table = String::from_utf8(output(command(dir.path(), &["sweep"]).spawn()).stdout).unwrap();
    assert_eq!(table.lines().filter(|line| line.starts_with("failed ")).count(), 8, "{table}");
}

#[test]
fn a_folder_that_is_not_private_is_refused() {
    let dir = own_folder();
    let owner = DeadOwner::new(dir.path());
    let left = owner.leave(0);
    fs::set_permissions(&owner.folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let output = output(command(dir.path(), &["sweep"]).spawn());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.lines().count() == 1 && text.contains(owner.folder.to_str().unwrap()), "{text}");
    assert!(left.exists());
}
