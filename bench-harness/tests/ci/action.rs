//! `action.yml` and the reusable workflow: inputs that are declared are those that are used, and the step that compares does what
//! its inputs say.

use crate::{
    common::PROGRAM,
    repository::{Repository, page, said},
};
use std::{collections::BTreeSet, fs};
use yaml_rust2::{Yaml, YamlLoader};

fn parse(text: &str) -> Yaml {
    let mut documents = YamlLoader::load_from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

fn keys(map: &Yaml) -> BTreeSet<String> {
    let map = map.as_hash().unwrap_or_else(|| panic!("no mapping: {map:?}"));
    map.keys().map(|key| key.as_str().expect("a name").to_owned()).collect()
}

/// The steps of the composite action.
fn steps(action: &Yaml) -> &Vec<Yaml> {
    action["runs"]["steps"].as_vec().expect("steps")
}

/// The steps of the only job of a workflow.
fn steps_of_job(workflow: &Yaml) -> &Vec<Yaml> {
    let jobs = workflow["jobs"].as_hash().expect("jobs");
    jobs.values().next().expect("a job")["steps"].as_vec().expect("steps")
}

/// What `${{ inputs.NAME }}` names in a text.
fn used(text: &str) -> BTreeSet<String> {
    let parts = text.split("inputs.").skip(1);
    let name =
        |part: &str| part.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap_or("").to_owned();
    parts.map(name).collect()
}

/// The inputs of a called workflow. `on` is a word of its own, and true to YAML 1.1.
fn inputs_of_call(workflow: &Yaml) -> &Yaml {
    &workflow["on"]["workflow_call"]["inputs"]
}

#[test]
fn every_input_is_declared_and_used() {
    for (name, inputs) in
        [("action.yml", None), (".github/workflows/gate.yml", Some(inputs_of_call as fn(&Yaml) -> &Yaml))]
    {
        let text = page(name);
        let document = parse(&text);
        let inputs = inputs.map_or(&document["inputs"], |inputs| inputs(&document));
        assert_eq!(keys(inputs), used(&text), "{name}");
        for (input, facts) in inputs.as_hash().unwrap() {
            let required = facts["required"].as_bool() == Some(true);
            assert_eq!(required, facts["default"].is_badvalue(), "{name}: {input:?} has a default or is required");
            assert!(facts["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}: {input:?}");
        }
    }
}

#[test]
fn no_input_becomes_code() {
    let action = parse(&page("action.yml"));
    assert_eq!(action["runs"]["using"].as_str(), Some("composite"));
    for step in steps(&action) {
        let run = step["run"].as_str().expect("a script");
        assert!(!run.contains("${{") && step["shell"].as_str() == Some("bash"), "{run}");
    }
}

#[test]
fn the_workflow_hands_all_to_the_action() {
    let (action, workflow) = (parse(&page("action.yml")), parse(&page(".github/workflows/gate.yml")));
    let step = steps_of_job(&workflow).iter().find(|step| step["uses"].as_str() == Some("./gate"));
    let with = &step.expect("the action")["with"];
    assert_eq!(keys(with), keys(&action["inputs"]));
    let own = ["gate-repository", "gate-ref", "minutes"];
    for name in keys(inputs_of_call(&workflow)).iter().filter(|name| !own.contains(&name.as_str())) {
        assert_eq!(with[name.as_str()].as_str(), Some(format!("${{{{ inputs.{name} }}}}").as_str()));
    }
}

/// What docs/gate.md shows is what there is.
#[test]
fn the_examples_use_inputs_that_exist() {
    let (action, workflow) = (parse(&page("action.yml")), parse(&page(".github/workflows/gate.yml")));
    let text = page("docs/gate.md");
    let examples: Vec<Yaml> =
        text.split("```yaml\n").skip(1).map(|rest| parse(rest.split("```").next().unwrap())).collect();
    assert_eq!(examples.len(), 2);
    let step = steps_of_job(&examples[0]).last().unwrap();
    assert!(keys(&step["with"]).is_subset(&keys(&action["inputs"])));
    let job = examples[1]["jobs"].as_hash().unwrap().values().next().unwrap();
    assert!(job["uses"].as_str().unwrap().contains("/.github/workflows/gate.yml@"));
    assert!(keys(&job["with"]).is_subset(&keys(inputs_of_call(&workflow))));
}

/// Runs the step that compares, with `inputs` in place of the defaults.
fn compare(repository: &Repository, inputs: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let action = parse(&page("action.yml"));
    let step = steps(&action).iter().find(|step| step["id"].as_str() == Some("gate")).expect("the step");
    let outputs = repository.dir.path().join("outputs");
    let _ = fs::remove_file(&outputs);
    let mut bash = repository.command("bash");
    bash.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"].as_str().unwrap()]);
    for (name, value) in step["env"].as_hash().unwrap() {
        let (name, value) = (name.as_str().unwrap(), value.as_str().unwrap());
        let input = used(value).into_iter().next().unwrap_or_default();
        let default = action["inputs"][input.as_str()]["default"].as_str().unwrap_or_default();
        let given = inputs.iter().find(|(name, _)| *name == input).map(|(_, value)| *value);
        bash.env(name, given.unwrap_or(default));
    }
    let output = bash.env("PROGRAM", PROGRAM).env("GITHUB_OUTPUT", &outputs).output().unwrap();
    (output.status.code(), fs::read_to_string(outputs).unwrap(), said(&output))
}

#[test]
fn the_step_compares_as_its_inputs_say() {
    let repository = Repository::new();
    let needed = [("build", "./build.sh"), ("measure", "./bench.sh"), ("unit", "ns")];
    repository.commit("1000");
    let (code, outputs, text) = compare(&repository, &needed);
    assert_eq!((code, outputs.as_str()), (Some(0), "exit-code=0\n"), "no base is a warning: {text}");
    let (code, outputs, text) = compare(&repository, &[&needed[..], &[("soft", "false")]].concat());
    assert_eq!((code, outputs.as_str()), (Some(4), "exit-code=4\n"), "{text}");
    repository.commit("1150");
    let (code, outputs, text) = compare(&repository, &needed);
    assert_eq!((code, outputs.as_str()), (Some(1), "exit-code=1\n"), "{text}");
    let more =
        [("base", "HEAD^1"), ("head", "HEAD"), ("higher-is-better", "true"), ("name", "it's $HOME"), ("out", "o")];
    let (code, _, text) = compare(&repository, &[&needed[..], &more].concat());
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("it's $HOME") && repository.path().join("o/summary.md").exists(), "{text}");
    let (code, _, text) = compare(&repository, &[&needed[..], &[("unit", "ns"), ("threshold", "20")]].concat());
    assert_eq!(code, Some(0), "{text}");
}
