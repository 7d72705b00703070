//! Settings of the cargo profile that a program is built with. The build script reads them; the tests are the
//! program's.

use std::collections::BTreeMap;
use toml::{Table, Value};

/// Settings that affect a debugger, but not the compiled code.
const WITHOUT_EFFECT: [&str; 3] = ["debug", "strip", "split-debuginfo"];

/// The settings of `profile` by name, with inherited ones, such as `codegen-units = 1; lto = thin`. Defaults are left
/// out.
///
/// `documents` are a manifest and files of cargo's configuration; a later one wins. `variables` are cargo's
/// `CARGO_PROFILE_NAME_SETTING`, and win over all documents. Settings on cargo's command line are not known here.
///
/// # Errors
/// A document that is not TOML.
pub fn settings(
    profile: &str,
    documents: &[String],
    variables: &[(String, String)],
) -> Result<String, toml::de::Error> {
    let mut profiles = BTreeMap::<String, BTreeMap<String, String>>::new();
    for document in documents {
        let document: Table = document.parse()?;
        let named = document.get("profile").and_then(Value::as_table).into_iter().flatten();
        for (name, settings) in named {
            flatten(settings, "", profiles.entry(name.clone()).or_default());
        }
    }
    let mut chain = vec![profile.to_owned()];
    while let Some(parent) = chain.last().and_then(|name| profiles.get(name)?.get("inherits").cloned()) {
        if chain.contains(&parent) {
            break;
        }
        chain.push(parent);
    }
    let mut all = BTreeMap::new();
    for name in chain.iter().rev() {
        all.extend(profiles.remove(name).unwrap_or_default());
        let start = format!("CARGO_PROFILE_{}_", name.to_uppercase().replace('-', "_"));
        let own = variables.iter().filter_map(|(variable, value)| {
            Some((variable.strip_prefix(&start)?.to_lowercase().replace('_', "-"), value.clone()))
        });
        all.extend(own);
    }
    all.retain(|name, _| {
        let last = name.rsplit('.').next().unwrap_or(name);
        last != "inherits" && !WITHOUT_EFFECT.contains(&last)
    });
    Ok(all.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join("; "))
}

/// Enters all settings in `value` into `into`. Their names begin with `name`.
fn flatten(value: &Value, name: &str, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(value, &name, into);
            }
        }
        value => _ = into.insert(name.to_owned(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(profile: &str, documents: &[&str], variables: &[(&str, &str)]) -> String {
        let documents: Vec<String> = documents.iter().map(|text| (*text).to_owned()).collect();
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        settings(profile, &documents, &variables.iter().map(owned).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn every_way_to_write_a_setting_is_read() {
        for text in [
            "[profile.release]\nlto = \"thin\"",
            "[profile]\nrelease.lto = 'thin'",
            "profile.release = { lto = \"thin\" }",
        ] {
            assert_eq!(of("release", &[text], &[]), "lto = thin");
        }
        let package = "[profile.release.package.ipc-pipe]\nopt-level = 1";
        assert_eq!(of("release", &[package], &[]), "package.ipc-pipe.opt-level = 1");
        assert!(settings("release", &["[".into()], &[]).is_err());
    }

    #[test]
    fn what_is_nearer_to_the_build_wins() {
        let (manifest, configuration) =
            ("[profile.release]\nlto = true\npanic = 'abort'", "[profile.release]\nlto = false");
        assert_eq!(of("release", &[manifest, configuration], &[]), "lto = false; panic = abort");
        let variable = [("CARGO_PROFILE_RELEASE_LTO", "fat"), ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")];
        assert_eq!(of("release", &[manifest, configuration], &variable), "codegen-units = 1; lto = fat; panic = abort");
    }

    #[test]
    fn only_what_changes_the_code_of_this_profile_counts() {
        let text =
            "[profile.dev]\nopt-level = 1\n[profile.release]\ndebug = 2\nstrip = true\n[profile.bench]\nlto = true";
        assert_eq!(
            of("release", &[text], &[("CARGO_PROFILE_RELEASE_DEBUG", "0"), ("CARGO_PROFILE_DEV_LTO", "true")]),
            ""
        );
        let own =
            "[profile.release]\nlto = true\npanic = 'abort'\n[profile.own-one]\ninherits = 'release'\nlto = false";
        assert_eq!(
            of("own-one", &[own], &[("CARGO_PROFILE_OWN_ONE_INCREMENTAL", "true")]),
            "incremental = true; lto = false; panic = abort"
        );
        assert_eq!(
            of("a", &["[profile.a]\ninherits = 'b'\n[profile.b]\ninherits = 'a'\nlto = true"], &[]),
            "lto = true"
        );
    }
}
