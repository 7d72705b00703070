//! Reads the energy that the processor's packages have used, from `/sys/class/powercap` (RAPL).
//!
//! - The zones `intel-rapl:N` are the packages of Intel processors and, since Linux 5.8, of AMD processors.
//! - Only zones named `package-…` are read. Zones below a package (`core`, `dram`) are part of it or beside it, and `psys` is
//!   the whole computer.
//! - Each zone counts microjoules from 0 to `max_energy_range_uj` and wraps around, about once an hour.
//! - Since Linux 5.10 only root may read the zones (CVE-2020-8694). A virtual machine has none.

use crate::sysfs::{read, reason};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The folder where the kernel shows the zones.
pub const POWERCAP: &str = "/sys/class/powercap";

/// The counters of all packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packages(Vec<Package>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Package {
    name: String,
    counter: PathBuf,
    /// The largest value of the counter, in microjoules, before it wraps around.
    range_uj: u64,
}

/// The counters' values at one moment, in microjoules, in the order of the packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading(Vec<u64>);

impl Packages {
    /// Finds the packages in the folder `powercap` and checks that their counters can be read.
    ///
    /// # Errors The reason why there are none.
    pub fn find(powercap: &Path) -> Result<Self, String> {
        let mut found = BTreeMap::new();
        let folder = fs::read_dir(powercap).map_err(|error| reason(powercap, &error))?;
        for zone in folder.flatten().map(|entry| entry.path()) {
            let file = zone.file_name().unwrap_or_default().to_string_lossy();
            // Zones below a package have a second number. `intel-rapl-mmio:0` is a second view of the first package.
            let top = file.strip_prefix("intel-rapl:").is_some_and(|number| !number.contains(':'));
            let Ok(name) = read(zone.join("name")) else { continue };
            if top && name.starts_with("package-") {
                let counter = zone.join("energy_uj");
                number(&counter)?;
                let range_uj = number(&zone.join("max_energy_range_uj"))?;
                found.insert(name.clone(), Package { name, counter, range_uj });
            }
        }
        if found.is_empty() {
            return Err(format!("no package in {}", powercap.display()));
        }
        Ok(Self(found.into_values().collect()))
    }

    /// The names of the packages.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|package| package.name.as_str())
    }

    /// Reads all counters.
    ///
    /// # Errors The reason why a counter could not be read.
    pub fn read(&self) -> Result<Reading, String> {
        self.0.iter().map(|package| number(&package.counter)).collect::<Result<_, _>>().map(Reading)
    }

    /// The microjoules that all packages used between two readings. Each counter may wrap around at most once between them.
    pub fn between(&self, earlier: &Reading, later: &Reading) -> u64 {
        let readings = earlier.0.iter().zip(&later.0);
        self.0.iter().zip(readings).map(|(package, (&from, &to))| package.used(from, to)).sum()
    }
}

impl Package {
    fn used(&self, from: u64, to: u64) -> u64 {
        if to >= from { to - from } else { self.range_uj.saturating_sub(from) + to }
    }
}

fn number(path: &Path) -> Result<u64, String> {
    let text = read(path)?;
    text.parse().map_err(|_| format!("{}: '{text}' is no number", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with zones, each given by file name, name and counter.
    fn powercap(zones: &[(&str, &str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (file, name, energy) in zones {
            let zone = dir.path().join(file);
            fs::create_dir(&zone).unwrap();
            fs::write(zone.join("name"), format!("{name}\n")).unwrap();
            fs::write(zone.join("energy_uj"), format!("{energy}\n")).unwrap();
            fs::write(zone.join("max_energy_range_uj"), "1000\n").unwrap();
        }
        dir
    }

    #[test]
    fn packages_alone_are_counted_once() {
        let dir = powercap(&[
            ("intel-rapl:0", "package-0", "100"),
            ("intel-rapl:0:0", "core", "7"),
            ("intel-rapl:0:1", "package-0", "7"),
            ("intel-rapl:1", "package-1", "900"),
            ("intel-rapl:2", "psys", "7"),
            ("intel-rapl-mmio:0", "package-0", "7"),
        ]);
        fs::create_dir(dir.path().join("intel-rapl")).unwrap();
        let packages = Packages::find(dir.path()).unwrap();
        assert_eq!(packages.names().collect::<Vec<_>>(), ["package-0", "package-1"]);
        let before = packages.read().unwrap();
        assert_eq!(before, Reading(vec![100, 900]));
        // The second counter wraps around.
        fs::write(dir.path().join("intel-rapl:0/energy_uj"), "130\n").unwrap();
        fs::write(dir.path().join("intel-rapl:1/energy_uj"), "50\n").unwrap();
        let after = packages.read().unwrap();
        assert_eq!(packages.between(&before, &after), 30 + 150);
        assert_eq!(packages.between(&before, &before), 0);
    }

    #[test]
    fn where_there_is_nothing_the_reason_is_said() {
        let dir = powercap(&[("intel-rapl:0", "psys", "7")]);
        let path = dir.path().display();
        assert_eq!(Packages::find(dir.path()), Err(format!("no package in {path}")));
        assert_eq!(Packages::find(&dir.path().join("not")), Err(format!("{path}/not: No such file or directory")));
    }

    #[test]
    fn a_counter_that_cannot_be_read_is_named_with_its_error() {
        let dir = powercap(&[("intel-rapl:0", "package-0", "many")]);
        let counter = dir.path().join("intel-rapl:0/energy_uj");
        assert_eq!(Packages::find(dir.path()), Err(format!("{}: 'many' is no number", counter.display())));
        fs::remove_file(&counter).unwrap();
        assert!(Packages::find(dir.path()).unwrap_err().ends_with("energy_uj: No such file or directory"));
    }
}
