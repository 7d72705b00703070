//! The environment of a run: the facts that decide whether its figures can be compared with another run's, under one
//! key.
//!
//! The key is the first 16 hexadecimal digits of a SHA-256. The hashed text is the parts as lines `name=value`, sorted
//! by name, each with its line feed. So the same parts always give the same key, and `sha256sum` computes it as well. A
//! part that could not be found out is left out. So runs do not count as the same environment if different things are
//! known of them.

use super::{Cpu, Host};
use ipc_core::process::Schedule;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Kernel parameters that say where this machine starts from, or where messages go. They do not affect its speed. They
/// may name disks, addresses and secrets, and some differ from start to start.
const ELSEWHERE: [&str; 21] = [
    "BOOT_IMAGE",
    "initrd",
    "init",
    "rdinit",
    "root",
    "rootfstype",
    "rootflags",
    "rootwait",
    "resume",
    "resume_offset",
    "nfsroot",
    "cryptdevice",
    "zfs",
    "ostree",
    "netconsole",
    "earlycon",
    "ip",
    "console",
    "ro",
    "rw",
    "quiet",
];
/// Prefixes of kernel parameters to leave out: they are for programs of the system's start, not for the kernel.
const ELSEWHERE_OF: [&str; 6] = ["rd.", "systemd.", "ds=", "cloud-", "luks.", "ignition."];

/// The parts of an environment, and their key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// The key of [`parts`](Self::parts), computed by [`key`](Self::key).
    pub env_key: String,
    /// The facts that decide, by name.
    pub parts: BTreeMap<String, String>,
}

impl Environment {
    /// The environment of the machine and the program in `host`.
    pub fn of(host: &Host) -> Self {
        let Host { cpu, kernel, virtualisation, build, run, .. } = host;
        let hypervisor = match (&virtualisation.hypervisor, virtualisation.virtual_machine) {
            (Some(name), _) => Some(name.clone()),
            (None, Some(true)) => Some("unnamed".to_owned()),
            (None, Some(false)) => Some("none".to_owned()),
            (None, None) => None,
        };
        let vulnerabilities = kernel.vulnerabilities.iter().map(|(name, state)| format!("{name}: {state}"));
        let known = [
            ("cpu_model", cpu.model.clone()),
            ("cpu_microcode", cpu.microcode.clone()),
            ("cpu_threads", cpu.threads.map(|n| n.to_string())),
            ("cpu_siblings", siblings(cpu)),
            ("cpu_governor", cpu.governor.clone()),
            ("cpu_boost", cpu.boost.map(|boost| boost.to_string())),
            ("hypervisor", hypervisor),
            ("kernel_release", kernel.release.clone()),
            ("kernel_parameters", kernel.parameters.clone()),
            ("kernel_mitigations", kernel.mitigations.clone()),
            (
                "kernel_vulnerabilities",
                Some(vulnerabilities.collect::<Vec<_>>().join("; ")).filter(|all| !all.is_empty()),
            ),
            ("clock_source", kernel.clock_source.clone()),
            // An ordinary schedule is no part, so ordinary runs keep the key that they had before schedules were
            // recorded.
            ("schedule", run.schedule.clone().filter(|schedule| *schedule != Schedule::ORDINARY.to_string())),
            ("rustc", build.rustc.clone()),
            ("rustflags", build.rustflags.clone()),
            ("opt_level", build.opt_level.clone()),
            ("debug_assertions", build.debug_assertions.map(|on| on.to_string())),
            ("target", build.target.clone()),
        ];
        let line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let known = known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), line(value?))));
        Self::from_parts(known.collect())
    }

    fn from_parts(parts: BTreeMap<String, String>) -> Self {
        Self { env_key: Self::key(&parts), parts }
    }

    /// The key of `parts`.
    pub fn key(parts: &BTreeMap<String, String>) -> String {
        let text: String = parts.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        digest(&text, 16)
    }
}

/// The parts in which two environments differ: name, value before, value after.
pub fn differences<'a>(
    before: &'a BTreeMap<String, String>,
    after: &'a BTreeMap<String, String>,
) -> Vec<(&'a str, Option<&'a str>, Option<&'a str>)> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of = |parts: &'a BTreeMap<String, String>, name| parts.get(name).map(String::as_str);
    names
        .into_iter()
        .map(|name| (name.as_str(), of(before, name), of(after, name)))
        .filter(|(_, before, after)| before != after)
        .collect()
}

/// The first `digits` hexadecimal digits of the SHA-256 of `text`.
pub fn digest(text: &str, digits: usize) -> String {
    let hash = Sha256::digest(text.as_bytes());
    let all: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    all[..digits].to_owned()
}

/// The hardware threads of each core, such as `0,4 1,5`.
fn siblings(cpu: &Cpu) -> Option<String> {
    (!cpu.core_threads.is_empty()).then(|| cpu.core_threads.join(" "))
}

/// The parameters in the kernel's command line that affect how it runs. What follows ` -- ` is for the first process
/// and is dropped. Parameters that only say where the system starts from are dropped as well.
pub fn parameters(command_line: &str) -> String {
    let is_kept = |word: &&str| {
        let name = word.split('=').next().unwrap_or_default();
        !ELSEWHERE.contains(&name) && !ELSEWHERE_OF.iter().any(|start| word.starts_with(start))
    };
    let own = command_line.split_whitespace().take_while(|word| *word != "--");
    own.filter(is_kept).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_what_sha256sum_gives() {
        // printf 'a=1\nb=two words\n' | sha256sum
        let parts = BTreeMap::from([("b".into(), "two words".into()), ("a".into(), "1".into())]);
        assert_eq!(Environment::key(&parts), "7434c4dac6853408");
    }

    #[test]
    fn every_fact_that_decides_changes_the_key() {
        let mut host = Host::default();
        host.build.debug_assertions = Some(true);
        let key = |change: fn(&mut Host)| {
            let mut host = host.clone();
            change(&mut host);
            Environment::of(&host).env_key
        };
        let changes: [fn(&mut Host); 17] = [
            |_| (),
            |host| host.cpu.model = Some("another".into()),
            |host| host.cpu.microcode = Some("another".into()),
            |host| host.cpu.threads = Some(1000),
            |host| host.cpu.core_threads.push("1000".into()),
            |host| host.cpu.governor = Some("another".into()),
            |host| host.cpu.boost = Some(!host.cpu.boost.unwrap_or_default()),
            |host| host.virtualisation.hypervisor = Some("another".into()),
            |host| host.kernel.release = Some("another".into()),
            |host| host.kernel.parameters = Some("another".into()),
            |host| host.kernel.mitigations = Some("another".into()),
            |host| host.kernel.vulnerabilities.insert("another".into(), "Vulnerable".into()).map_or((), drop),
            |host| host.kernel.clock_source = Some("another".into()),
            |host| host.build.rustc = Some("another".into()),
            |host| host.build.rustflags = Some("another".into()),
            |host| host.build.opt_level = Some("another".into()),
            |host| host.build.debug_assertions = None,
        ];
        let keys: BTreeSet<String> = changes.map(key).into();
        assert_eq!(keys.len(), changes.len());
        // What every run changes does not.
        assert_eq!(key(|host| host.build.revision = Some("another".into())), key(|_| ()));
        assert_eq!(key(|host| host.run.started = Some("another".into())), key(|_| ()));
    }

    #[test]
    fn only_the_kernels_own_parameters_count() {
        let line =
            "BOOT_IMAGE=/vmlinuz-6.1 root=UUID=ab-cd ro quiet mitigations=off isolcpus=1 rd.luks.uuid=x -- --token y\n";
        assert_eq!(parameters(line), "mitigations=off isolcpus=1");
        assert_eq!(parameters(""), "");
    }

    #[test]
    fn differences_are_named_with_both_values() {
        let parts = |text: &[(&str, &str)]| text.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let before: BTreeMap<_, _> = parts(&[("kernel", "6.1"), ("rustc", "1.95"), ("governor", "powersave")]);
        let after: BTreeMap<_, _> = parts(&[("kernel", "6.2"), ("rustc", "1.95")]);
        let expected = [("governor", Some("powersave"), None), ("kernel", Some("6.1"), Some("6.2"))];
        assert_eq!(differences(&before, &after), expected);
    }
}
