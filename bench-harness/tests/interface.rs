//! What the scripts of users rely on: verbs, options, columns of CSV, keys of JSON. `interface.txt` holds them.
//!
//! A change of that file is a change for users, and CHANGELOG.md names it: `UPDATE_EXPECT=1 cargo test --test interface` writes it.
//! Texts for people are not in it, nor are the names of mechanisms.

mod common;

use common::{own_folder, program};
use expect_test::expect_file;
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path};

#[test]
fn verbs_options_columns_and_keys_are_the_stored_ones() {
    let own = own_folder();
    store_results(own.path());
    let mut shown = Shown { dir: own.path(), text: String::new() };
    shown.verb("");
    shown.columns("list");
    shown.columns("doctor");
    shown.columns("history show --history history.csv");
    for table in ["latency", "throughput", "cost", "copies", "lifecycle", "relay", "faults"] {
        shown.columns(&format!("report run --table {table}"));
    }
    shown.keys("report run --format json");
    shown.keys("history show --history history.csv --format json");
    shown.keys("sample --identify");
    expect_file!["interface.txt"].assert_eq(&shown.text);
}

/// Copies some rows of a reference run to `run`, and adds them to `history.csv`.
fn store_results(dir: &Path) {
    let machines = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/machines");
    let reference = fs::read_dir(machines).unwrap().map(|entry| entry.unwrap().path()).min().expect("a reference");
    let run = dir.join("run");
    fs::create_dir(&run).unwrap();
    fs::copy(reference.join("host.json"), run.join("host.json")).unwrap();
    for file in fs::read_dir(reference).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "csv") {
            let rows: String = fs::read_to_string(&file).unwrap().split_inclusive('\n').take(4).collect();
            fs::write(run.join(file.file_name().expect("a name")), rows).unwrap();
        }
    }
    said(dir, "history add run --history history.csv");
}

/// What the program prints on stdout, in the folder `dir`.
fn said(dir: &Path, line: &str) -> String {
    let output = program(dir).current_dir(dir).args(line.split_whitespace()).output().expect("the program starts");
    // The doctor's verdict on this machine is not the point.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{line}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The interface as it is found.
struct Shown<'a> {
    dir: &'a Path,
    text: String,
}

impl Shown<'_> {
    /// The options of `name`, then those of the verbs below it.
    fn verb(&mut self, name: &str) {
        let help = said(self.dir, &format!("{name} -h"));
        self.add(&format!("ipc-bench{name}"));
        for line in help.lines().map(str::trim) {
            let option = line.split("  ").next().unwrap_or_default();
            let values = [" [default: ", " [possible values: "].iter().filter_map(|mark| line.find(mark)).min();
            let values = values.filter(|_| option != "--mechanism <MECHANISM>").map_or("", |start| &line[start..]);
            if ["--", "<", "["].iter().any(|start| option.starts_with(start)) {
                self.add(&format!("    {option}{values}"));
            }
        }
        for line in help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty()) {
            match line.split_whitespace().next().expect("a verb") {
                "help" => {}
                below => self.verb(&format!("{name} {below}")),
            }
        }
    }

    /// The columns of the CSV that `line` prints.
    fn columns(&mut self, line: &str) {
        let csv = said(self.dir, &format!("{line} --format csv"));
        self.add(&format!("{line} --format csv"));
        self.add(&format!("    {}", csv.lines().next().expect("a header").replace(',', " ")));
    }

    /// The keys of the JSON that `line` prints, and of what lies below each.
    fn keys(&mut self, line: &str) {
        self.add(line);
        let value: Value = serde_json::from_str(&said(self.dir, line)).expect("JSON and nothing else");
        for (key, value) in value.as_object().expect("an object") {
            // The keys of the environments are hashes.
            let below = if key == "environments" { String::new() } else { keys_of(value) };
            self.add(format!("    {key}: {below}").trim_end_matches([':', ' ']));
        }
    }

    fn add(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// The keys of an object, or of all objects in an array.
fn keys_of(value: &Value) -> String {
    let objects = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let keys: BTreeSet<&str> = objects.iter().filter_map(Value::as_object).flatten().map(|(key, _)| &**key).collect();
    keys.into_iter().collect::<Vec<_>>().join(" ")
}
