//! Gathers the facts of the host from `/proc`, `/sys` and uname(2).

use crate::{
    energy::{POWERCAP, Packages},
    sysfs::{limit, online, text, value_of},
};
use bench_record::host::{self, Build, Cpu, Environment, Host, Kernel, Run, Virtualisation};
use ipc_core::process::Schedule;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const CPUS: &str = "/sys/devices/system/cpu";

/// The limits that decide what a mechanism can carry, as files under `/proc/sys`.
const LIMITS: &[&str] = &[
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "fs/mqueue/msg_max",
    "fs/mqueue/msgsize_max",
    "fs/mqueue/queues_max",
    "fs/pipe-max-size",
    "fs/pipe-user-pages-soft",
    "fs/pipe-user-pages-hard",
    "kernel/shmmax",
    "kernel/shmall",
    "kernel/shmmni",
    "net/core/wmem_default",
    "net/core/wmem_max",
    "net/core/rmem_default",
    "net/core/rmem_max",
    "net/unix/max_dgram_qlen",
];

/// Collects the facts of this machine, for a program of this `build`.
pub fn host(build: Build) -> Host {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let limits = LIMITS.iter().map(|name| (name.replace('/', "."), limit(name).ok()));
    let mut host = Host {
        cpu: cpu(&cpuinfo),
        kernel: kernel(),
        virtualisation: virtualisation(&cpuinfo),
        memory_bytes: memory_bytes(),
        limits: limits.collect(),
        build,
        environment: None,
        run: Run { schedule: Some(Schedule::current().to_string()), ..Run::default() },
    };
    host.environment = Some(Environment::of(&host));
    host
}

fn cpu(cpuinfo: &str) -> Cpu {
    let online = online();
    let topology = |cpu: &u32, file: &str| text(format!("{CPUS}/cpu{cpu}/topology/{file}"));
    let count = |set: BTreeSet<String>| u32::try_from(set.len()).ok().filter(|n| *n > 0);
    let siblings = |cpu: &u32| topology(cpu, "core_cpus_list").or_else(|| topology(cpu, "thread_siblings_list"));
    let mut core_threads: Vec<String> = online.iter().filter_map(siblings).collect();
    let governor = text(format!("{CPUS}/cpu0/cpufreq/scaling_governor"));
    let energy = Packages::find(Path::new(POWERCAP));
    let no_governor = || "the kernel offers no frequency scaling for this processor".to_owned();
    let cores = count(core_threads.iter().cloned().collect());
    let mut seen = BTreeSet::new();
    core_threads.retain(|threads| seen.insert(threads.clone()));
    Cpu {
        model: value_of(cpuinfo, "model name"),
        vendor: value_of(cpuinfo, "vendor_id"),
        microcode: value_of(cpuinfo, "microcode"),
        sockets: count(online.iter().filter_map(|cpu| topology(cpu, "physical_package_id")).collect()),
        cores,
        threads: u32::try_from(online.len()).ok().filter(|n| *n > 0),
        core_threads,
        l1d_kib: cache_kib(1, "Data"),
        l1i_kib: cache_kib(1, "Instruction"),
        l2_kib: cache_kib(2, "Unified"),
        l3_kib: cache_kib(3, "Unified"),
        governor_note: governor.is_none().then(no_governor),
        governor,
        boost: boost(),
        smt: text(format!("{CPUS}/smt/control")),
        energy_note: energy.as_ref().err().cloned(),
        energy: energy.iter().flat_map(Packages::names).map(str::to_owned).collect(),
    }
}

/// Whether the processor may exceed its base frequency. `None` if the kernel's driver has no switch for it.
fn boost() -> Option<bool> {
    let is = |file: &str, value: &str| text(format!("{CPUS}/{file}")).map(|text| text == value);
    is("intel_pstate/no_turbo", "0").or_else(|| is("cpufreq/boost", "1"))
}

fn cache_kib(level: u32, kind: &str) -> Option<u64> {
    let entries = fs::read_dir(format!("{CPUS}/cpu0/cache")).ok()?;
    entries.flatten().map(|entry| entry.path()).find_map(|index| {
        let is = |file: &str, value: &str| text(index.join(file)).as_deref() == Some(value);
        let size = || text(index.join("size"))?.strip_suffix('K')?.parse().ok();
        if is("level", &level.to_string()) && is("type", kind) { size() } else { None }
    })
}

fn kernel() -> Kernel {
    let names = nix::sys::utsname::uname().ok();
    let command_line = text("/proc/cmdline");
    let mitigations = command_line.as_ref().map(|line| {
        let value = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("mitigations="));
        value.unwrap_or("not set").to_owned()
    });
    let folder = fs::read_dir(format!("{CPUS}/vulnerabilities")).into_iter().flatten().flatten();
    let vulnerabilities: BTreeMap<_, _> = folder
        .filter_map(|entry| Some((entry.file_name().to_string_lossy().into_owned(), text(entry.path())?)))
        .collect();
    Kernel {
        release: names.as_ref().map(|names| names.release().to_string_lossy().into_owned()),
        version: names.as_ref().map(|names| names.version().to_string_lossy().into_owned()),
        clock_source: text("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        parameters: command_line.as_deref().map(host::parameters),
        mitigations,
        vulnerabilities,
    }
}

fn virtualisation(cpuinfo: &str) -> Virtualisation {
    // Only x86 has the `hypervisor` flag (CPUID leaf 1). On other processors its absence says nothing.
    let flags = value_of(cpuinfo, "flags");
    let virtual_machine = flags.map(|flags| flags.split_ascii_whitespace().any(|flag| flag == "hypervisor"));
    let firmware = || {
        let vendor = text("/sys/class/dmi/id/sys_vendor")?;
        Some(text("/sys/class/dmi/id/product_name").map_or(vendor.clone(), |product| format!("{vendor} {product}")))
    };
    // On bare metal the firmware names the computer's maker, which is private.
    let hypervisor = text("/sys/hypervisor/type").or_else(|| firmware().filter(|_| virtual_machine == Some(true)));
    Virtualisation { virtual_machine, hypervisor, container: container() }
}

fn container() -> Option<String> {
    let kind = std::env::var("container").ok().filter(|kind| !kind.is_empty());
    let file = |path: &str| Path::new(path).exists().then(|| format!("{path} exists"));
    kind.map(|kind| format!("environment variable container={kind}"))
        .or_else(|| text("/run/systemd/container").map(|kind| format!("/run/systemd/container says {kind}")))
        .or_else(|| file("/.dockerenv"))
        .or_else(|| file("/run/.containerenv"))
        .or_else(|| Some(format!("process 1 was started with container={}", of_init(&text("/proc/1/environ")?)?)))
        .or_else(|| Some(format!("the control group is one of {}", of_cgroup(&text("/proc/self/cgroup")?)?)))
}

/// The container type that systemd-nspawn and LXC pass to process 1 in `/proc/1/environ`. Only its children inherit it.
fn of_init(environ: &str) -> Option<&str> {
    environ.split('\0').find_map(|variable| variable.strip_prefix("container="))
}

/// The container software whose name appears in the paths of `/proc/self/cgroup`.
fn of_cgroup(cgroup: &str) -> Option<&'static str> {
    ["docker", "libpod", "lxc", "kubepods", "containerd"].into_iter().find(|name| cgroup.contains(name))
}

fn memory_bytes() -> Option<u64> {
    let kib: u64 = value_of(&text("/proc/meminfo")?, "MemTotal")?.strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_cpuinfo() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu hypervisor\n\nmodel name\t: Other\n";
        assert_eq!(value_of(cpuinfo, "model name").as_deref(), Some("Some CPU"));
        assert_eq!(virtualisation(cpuinfo).virtual_machine, Some(true));
        assert_eq!(virtualisation("").virtual_machine, None);
    }

    #[test]
    fn hints_at_containers() {
        assert_eq!(of_init("HOME=/\0container=lxc\0TERM=linux\0"), Some("lxc"));
        assert_eq!(of_init("HOME=/\0my_container=x\0"), None);
        assert_eq!(of_cgroup("0::/system.slice/docker-12ab.scope\n"), Some("docker"));
        assert_eq!(of_cgroup("2:cpu:/kubepods/burstable/pod1\n0::/\n"), Some("kubepods"));
        assert_eq!(of_cgroup("0::/user.slice/user-1000.slice\n"), None);
    }

    #[test]
    fn the_running_system_has_a_kernel_and_a_processor() {
        let host = super::host(Build::default());
        assert!(host.kernel.release.is_some());
        assert!(host.cpu.threads.is_some_and(|n| n > 0));
        assert!(host.memory_bytes.is_some_and(|n| n > 1 << 20));
        assert!(host.limits["kernel.msgmax"].is_some() || !Path::new("/proc/sys/kernel/msgmax").exists());
    }
}
