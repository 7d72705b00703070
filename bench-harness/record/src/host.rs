//! Facts that a figure depends on besides the mechanism: processor, kernel, limits, compiler, and how the run was
//! started.
//!
//! The crate `bench-lab` gathers the facts, and the measuring part fills in [`Run`]. `host.json` carries both to the
//! report. A fact that cannot be found out is `null`; nothing is guessed.

mod build;
mod environment;
mod time;

pub use build::Build;
pub use environment::{Environment, differences, digest, parameters};
pub use time::{rfc3339, since_epoch};

use crate::{
    baseline,
    rows::{Error, write_durably},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, io, path::Path};

/// The file's name in the results folder.
pub const FILE: &str = "host.json";

/// The machine, the program and the run that produced a set of results.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// The processor.
    pub cpu: Cpu,
    /// The kernel.
    pub kernel: Kernel,
    /// Virtual machine and container.
    pub virtualisation: Virtualisation,
    /// Main memory in bytes.
    pub memory_bytes: Option<u64>,
    /// The kernel's limits on messages and buffers, by their names under `/proc/sys`.
    pub limits: BTreeMap<String, Option<u64>>,
    /// What the program was built by and from.
    pub build: Build,
    /// The facts that decide whether figures can be compared, and their key. `None` in files older than the key.
    pub environment: Option<Environment>,
    /// How the run went. The measuring part fills it in.
    pub run: Run,
}

/// Facts about the processor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// The model's name.
    pub model: Option<String>,
    /// The vendor's identification.
    pub vendor: Option<String>,
    /// The microcode's revision.
    pub microcode: Option<String>,
    /// Sockets with a thread online.
    pub sockets: Option<u32>,
    /// Cores with a thread online.
    pub cores: Option<u32>,
    /// Hardware threads online.
    pub threads: Option<u32>,
    /// The hardware threads of each core, such as `0-1` or `0,4`.
    pub core_threads: Vec<String>,
    /// Level-1 data cache of the first core, in KiB.
    pub l1d_kib: Option<u64>,
    /// Level-1 instruction cache of the first core, in KiB.
    pub l1i_kib: Option<u64>,
    /// Level-2 cache of the first core, in KiB.
    pub l2_kib: Option<u64>,
    /// Level-3 cache of the first core, in KiB.
    pub l3_kib: Option<u64>,
    /// The frequency governor of the first processor.
    pub governor: Option<String>,
    /// Why there is no governor.
    pub governor_note: Option<String>,
    /// Whether the processor may exceed its base frequency. `None` if the system has no switch for it.
    pub boost: Option<bool>,
    /// Whether a core has two hardware threads: `on`, `off`, `forceoff`, `notsupported` or `notimplemented`
    /// (`/sys/devices/system/cpu/smt/control`).
    pub smt: Option<String>,
    /// The packages whose energy counters can be read.
    pub energy: Vec<String>,
    /// Why no energy counter can be read.
    pub energy_note: Option<String>,
}

/// Facts about the kernel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kernel {
    /// The kernel's release, as `uname -r` prints it.
    pub release: Option<String>,
    /// The kernel's version, as `uname -v` prints it.
    pub version: Option<String>,
    /// The clock source in use.
    pub clock_source: Option<String>,
    /// The kernel's parameters, without those that only say where the system starts from; see [`Environment`].
    pub parameters: Option<String>,
    /// The value of `mitigations=` on the kernel's command line, or `not set`.
    pub mitigations: Option<String>,
    /// Contents of `/sys/devices/system/cpu/vulnerabilities`, by file name.
    pub vulnerabilities: BTreeMap<String, String>,
}

/// The layers between the program and the hardware.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Virtualisation {
    /// Whether the processor reports that a hypervisor runs it.
    pub virtual_machine: Option<bool>,
    /// The hypervisor, as named by the firmware or the kernel.
    pub hypervisor: Option<String>,
    /// Signs of a container. `None` if there are none.
    pub container: Option<String>,
}

/// How the run was started and how it went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// The command line, ready to be pasted into a shell.
    pub command: Option<String>,
    /// When the run started: RFC 3339, UTC; see [`rfc3339`].
    pub started: Option<String>,
    /// Duration of the run in seconds.
    pub duration_s: Option<f64>,
    /// Forked pairs planned for each cell.
    pub pairs: Option<u32>,
    /// The scheduling policy of the program that supervises the pairs, such as `SCHED_OTHER` or `SCHED_OTHER, nice 10`.
    /// Pairs inherit it, except the real-time policies: pairs leave these.
    pub schedule: Option<String>,
    /// Cost of one clock reading, in nanoseconds.
    pub clock_read_ns: Option<f64>,
    /// Cost of a system call that does nothing, in nanoseconds.
    pub null_syscall_ns: Option<f64>,
    /// The round trip of a bare cache line between two cores, in nanoseconds. It is the floor of every cross-core
    /// figure.
    pub cache_line_round_trip_ns: Option<f64>,
    /// The baselines of the machine at the start, in the middle and at the end. `None` for short partial runs.
    pub anchors: Option<baseline::Baselines>,
    /// What was left out of the plan and why, and anything else that a reader must know. One sentence each.
    pub notes: Vec<String>,
}

impl Host {
    /// Processor and kernel in one short line, for chart titles.
    pub fn title(&self) -> String {
        let cpu = self.cpu.model.as_deref().unwrap_or("unknown processor");
        let cores = match self.cpu.cores {
            Some(1) => ", 1 core".to_owned(),
            Some(n) => format!(", {n} cores"),
            None => String::new(),
        };
        let machine = if self.virtualisation.virtual_machine == Some(true) { " (virtual machine)" } else { "" };
        let kernel = self.kernel.release.as_deref().map_or("unknown kernel".to_owned(), |r| format!("Linux {r}"));
        format!("{cpu}{cores}{machine} · {kernel}")
    }

    /// Writes the facts to `host.json` in the folder `dir`.
    ///
    /// # Errors
    /// [`Error::Io`] with the file's name.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(FILE);
        let mut text = serde_json::to_string_pretty(self).map_err(|e| Error::io(&path, e.into()))?;
        text.push('\n');
        write_durably(&path, text.as_bytes())
    }

    /// Reads the facts from `host.json` in the folder `dir`. `None` if the folder has no such file.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Row`] if its content is not what [`Host::write`] writes.
    pub fn read(dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(&path, e)),
        };
        let parsed = serde_json::from_str(&text);
        parsed.map(Some).map_err(|e| Error::row(&path, e.line() as u64, format!("{e}: expected the facts of a host")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_survive_the_file() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Host::read(dir.path()).unwrap(), None);
        let mut host = Host { memory_bytes: Some(1 << 30), ..Host::default() };
        host.run.notes.push("spin on same-core left out".into());
        host.run.duration_s = Some(12.5);
        host.write(dir.path()).unwrap();
        assert_eq!(Host::read(dir.path()).unwrap(), Some(host));
    }

    #[test]
    fn a_broken_file_is_an_error_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "{\n \"cpu\": 3\n}").unwrap();
        let error = Host::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("host.json: line 2"), "{error}");
    }

    #[test]
    fn what_is_unknown_is_said_so() {
        assert_eq!(Host::default().title(), "unknown processor · unknown kernel");
    }
}
