//! The order of the crates and of the modules in each: no import runs against it. No file outside the crates of the mechanisms
//! names a mechanism.

use bench_harness::STANDARD;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What each crate may depend on among the crates of this workspace. Mechanisms depend on `ipc-core` alone.
const ORDER: [(&str, &[&str]); 12] = [
    ("ipc-core", &[]),
    ("ipc-conformance", &["ipc-core"]),
    ("ipc-pipe", &["ipc-core"]),
    ("ipc-fifo", &["ipc-core"]),
    ("ipc-msgq", &["ipc-core"]),
    ("ipc-shm", &["ipc-core"]),
    ("ipc-socket", &["ipc-core"]),
    ("bench-harness/record", &["ipc-core"]),
    ("bench-harness/lab", &["ipc-core", "bench-record"]),
    ("bench-harness/report", &["ipc-core", "bench-record"]),
    // It prints with the one table engine.
    ("bench-harness/gate", &["ipc-core", "bench-record", "bench-lab", "bench-report"]),
    (
        "bench-harness",
        &[
            "ipc-core",
            "ipc-pipe",
            "ipc-fifo",
            "ipc-msgq",
            "ipc-shm",
            "ipc-socket",
            "bench-record",
            "bench-lab",
            "bench-report",
            "bench-gate",
        ],
    ),
];

/// The crates of the mechanisms, which may name them.
const MECHANISMS: [&str; 5] = ["ipc-pipe", "ipc-fifo", "ipc-msgq", "ipc-shm", "ipc-socket"];

/// Files and folders that name a mechanism all the same, and why.
const NAMING: [(&str, &str); 15] = [
    ("bench-harness/src/registry.rs", "the list of the mechanisms"),
    ("bench-harness/src/experiments/relay/ways.rs", "file-copy methods, each over certain channels and system calls"),
    ("bench-harness/src/doctor/causes.rs", "system calls of the same name"),
    ("bench-harness/lab/src/copies/rules.rs", "kinds of files that system calls take"),
    ("bench-harness/record/src/baseline.rs", "the machine's own baselines, of which one is a bare pipe"),
    ("bench-harness/report/src/charts/history.rs", "the machine's own baselines"),
    ("bench-harness/report/src/history.rs", "the machine's own baselines"),
    ("ipc-core/src/objects.rs", "kinds of kernel objects in the journal, whose format stays readable"),
    ("ipc-core/src/spec.rs", "the family of that name"),
    ("bench-harness/gate/trials/src/rows.rs", "the mechanisms that the two stored regressions slow down"),
    ("bench-harness/gate/src/example.rs", "a report that was made up for unit tests"),
    ("bench-harness/record/src/cell.rs", "an example in an error message"),
    ("bench-harness/lab/src/inject.rs", "an example in an error message"),
    ("bench-harness/src/cli/sample.rs", "an example in an error message"),
    ("bench-harness/examples/figures/", "bare loops, each beside the mechanism that it is compared with"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn crates_depend_downwards_only() {
    for (folder, allowed) in ORDER {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let dependencies = manifest["dependencies"].as_table().unwrap();
        let ours = dependencies.keys().filter(|name| name.starts_with("ipc-") || name.starts_with("bench-"));
        let wrong: Vec<_> = ours.filter(|name| !allowed.contains(&name.as_str())).collect();
        assert!(wrong.is_empty(), "{folder} depends on {wrong:?}: it may depend on {allowed:?}");
    }
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    for (folder, _) in ORDER {
        let imports = imports(&root().join(folder).join("src"));
        if let Some(circle) = circle(&imports) {
            panic!("{folder}: a circle of modules: {}", circle.join(" -> "));
        }
    }
}

#[test]
fn a_circle_is_found() {
    let imports = |arrows: &[(&str, &str)]| {
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in arrows {
            all.entry((*from).into()).or_default().insert((*to).into());
        }
        all
    };
    assert_eq!(circle(&imports(&[("a", "b"), ("b", "c"), ("a", "c")])), None);
    let found = circle(&imports(&[("a", "b"), ("b", "c"), ("c", "b")])).unwrap();
    assert_eq!(found, ["b", "c", "b"]);
    let text = "use crate::{a::{self, X}, b, c::Y as Z};\nfn f() { crate::d::g() }";
    assert_eq!(named(text), ["a", "b", "c", "d"].map(String::from).into());
}

#[test]
fn no_file_outside_the_mechanisms_crates_names_one() {
    let folders = ORDER.iter().map(|(folder, _)| *folder).chain(["bench-harness/gate/trials", "bench-harness/compare"]);
    let folders = folders.filter(|folder| !MECHANISMS.contains(folder));
    let parts = folders.flat_map(|folder| ["src", "benches", "examples"].map(|part| root().join(folder).join(part)));
    let mut idle: BTreeSet<&str> = NAMING.iter().map(|(allowed, _)| *allowed).collect();
    for path in parts.filter(|part| part.exists()).flat_map(|part| sources(&part)) {
        let file = path.strip_prefix(root()).unwrap().to_str().unwrap();
        let names = mechanisms_in(&code(&fs::read_to_string(&path).unwrap()));
        if !names.is_empty() {
            let allowed = NAMING.iter().find(|(allowed, _)| file.starts_with(allowed));
            let (allowed, _) = allowed.unwrap_or_else(|| panic!("{file} names mechanisms: {names:?}"));
            idle.remove(allowed);
        }
    }
    assert!(idle.is_empty(), "these name no mechanism any more, so take them off the list: {idle:?}");
}

#[test]
fn a_mechanism_that_is_named_is_found() {
    let names = |text: &str| mechanisms_in(&code(text)).into_iter().collect::<Vec<_>>();
    assert_eq!(names("let x = \"pipe\"; // \"tcp\"\n// \"udp\"\n#[cfg(test)]\nmod tests { \"fifo\" }"), ["pipe"]);
    assert_eq!(names("(\"latency/tcp/64\", \"fifo,udp\", \"a posix-mq queue\")"), ["fifo", "posix-mq", "tcp", "udp"]);
    assert_eq!(names("\"such as \\\n   latency/udp/64\""), ["udp"]);
    assert_eq!(names("use ipc_shm::{Memfd};"), ["ipc_shm::"]);
    assert_eq!(names("(\"through a pipe\", pipe(), \"read-pipe-write\", \"pipes\")"), [""; 0]);
}

/// The mechanisms that string literals of `code` name, and the crates of mechanisms that it imports.
fn mechanisms_in(code: &str) -> BTreeSet<String> {
    let names: Vec<&str> = STANDARD.iter().map(|mechanism| mechanism.spec.name).collect();
    let mut found = BTreeSet::new();
    // A backslash joins the lines of a literal.
    let code = code.replace("\\\n", " ");
    for literal in code.lines().flat_map(|line| line.split('"').skip(1).step_by(2)) {
        // "pipe" is an English word as well; "posix-mq" is none.
        let listed = literal.split(['/', ',']);
        let words = literal.split_whitespace().filter(|word| word.contains('-'));
        found.extend(listed.chain(words).filter(|word| names.contains(word)).map(str::to_owned));
    }
    let crates = MECHANISMS.map(|name| format!("{}::", name.replace('-', "_")));
    found.extend(crates.into_iter().filter(|path| code.contains(path.as_str())));
    found
}

/// `text` without its tests and without comments.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = code.lines().map(|line| line.split_once(" // ").map_or(line, |(before, _)| before));
    lines.filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The top-level modules in `src`, and which of them each imports outside of its tests.
fn imports(src: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in sources(src) {
        let first = path.strip_prefix(src).unwrap().components().next().unwrap();
        let module = Path::new(&first).file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let code = code(&text);
        // In a top-level module `super::` is the crate, too.
        let inner = path.strip_prefix(src).unwrap();
        let depth = inner.components().count() - usize::from(inner.ends_with("mod.rs"));
        let code = code.replace(&"super::".repeat(depth), "crate::");
        all.entry(module).or_default().extend(named(&code));
    }
    let modules: BTreeSet<String> =
        all.keys().filter(|module| !["lib", "main"].contains(&module.as_str())).cloned().collect();
    all.retain(|module, _| modules.contains(module));
    for (module, imported) in &mut all {
        imported.retain(|other| other != module && modules.contains(other));
    }
    all
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let of = |path: PathBuf| match path.is_dir() {
        true => sources(&path),
        false if path.extension().is_some_and(|kind| kind == "rs") => vec![path],
        false => Vec::new(),
    };
    entries.flat_map(of).collect()
}

/// The first names after `crate::` in `code`, also those of a tree such as `crate::{a::B, c}`.
fn named(code: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (at, path) in code.match_indices("crate::") {
        let rest = &code[at + path.len()..];
        let Some(tree) = rest.strip_prefix('{') else {
            found.insert(word(rest));
            continue;
        };
        let (mut depth, mut begins) = (0, true);
        for (at, c) in tree.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' => begins |= depth == 0,
                c if begins && !c.is_whitespace() => {
                    found.insert(word(&tree[at..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    found
}

/// A circle among `imports`, if there is one: it begins and ends with the same module.
fn circle(imports: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    imports.keys().find_map(|module| walk(imports, module, &mut Vec::new(), &mut done))
}

fn walk(
    imports: &BTreeMap<String, BTreeSet<String>>,
    module: &str,
    path: &mut Vec<String>,
    done: &mut BTreeSet<String>,
) -> Option<Vec<String>> {
    if let Some(at) = path.iter().position(|passed| passed == module) {
        return Some(path[at..].iter().cloned().chain([module.to_owned()]).collect());
    }
    if done.contains(module) {
        return None;
    }
    path.push(module.to_owned());
    let found = imports.get(module).and_then(|next| next.iter().find_map(|next| walk(imports, next, path, done)));
    path.pop();
    done.insert(module.to_owned());
    found
}
