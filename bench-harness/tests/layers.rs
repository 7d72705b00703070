//! The order of the crates and of the modules in each: no import runs against it.

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

/// The top-level modules in `src`, and which of them each imports outside of its tests.
fn imports(src: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in sources(src) {
        let first = path.strip_prefix(src).unwrap().components().next().unwrap();
        let module = Path::new(&first).file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let code: String =
            code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
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
