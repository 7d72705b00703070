//! The host's facts as labelled text, for the README and the HTML page.

use bench_record::host::Host;

/// A group of facts under one heading.
pub struct Group {
    /// The heading.
    pub title: &'static str,
    /// Label and text of each fact.
    pub facts: Vec<(String, String)>,
}

const UNKNOWN: &str = "unknown";

/// All known facts of the host and the run, in groups.
pub fn groups(host: &Host) -> Vec<Group> {
    vec![run(host), machine(host), kernel(host), mitigations(host), limits(host)]
}

fn group(title: &'static str, facts: Vec<(&str, Option<String>)>) -> Group {
    let text = |fact: Option<String>| fact.unwrap_or_else(|| UNKNOWN.to_owned());
    Group { title, facts: facts.into_iter().map(|(label, fact)| (label.to_owned(), text(fact))).collect() }
}

fn run(host: &Host) -> Group {
    let (run, build) = (&host.run, &host.build);
    let ns = |figure: Option<f64>| figure.map(|ns| format!("{ns:.1} ns"));
    let compiler = build.rustc.as_ref().map(|rustc| {
        let level = build.opt_level.as_ref().map_or(String::new(), |level| format!(", opt-level {level}"));
        let target = build.target.as_ref().map_or(String::new(), |target| format!(", {target}"));
        format!("{rustc}{level}{target}")
    });
    group(
        "Run",
        vec![
            ("Command", run.command.clone()),
            ("Started", run.started.clone()),
            ("Took", run.duration_s.map(|s| format!("{s:.0} s"))),
            ("Pairs of processes per cell", run.pairs.map(|n| n.to_string())),
            ("Compiler", compiler),
            ("Revision", build.revision_text()),
            ("Floor: one clock read", ns(run.clock_read_ns)),
            ("Floor: null system call", ns(run.null_syscall_ns)),
            ("Floor: bare cache-line round trip", ns(run.cache_line_round_trip_ns)),
        ],
    )
}

fn machine(host: &Host) -> Group {
    let cpu = &host.cpu;
    let count = |n: Option<u32>, one: &str, many: &str| n.map(|n| format!("{n} {}", if n == 1 { one } else { many }));
    let topology = [
        count(cpu.sockets, "socket", "sockets"),
        count(cpu.cores, "core", "cores"),
        count(cpu.threads, "hardware thread", "hardware threads"),
    ];
    let topology: Vec<String> = topology.into_iter().flatten().collect();
    let caches = [("L1d", cpu.l1d_kib), ("L1i", cpu.l1i_kib), ("L2", cpu.l2_kib), ("L3", cpu.l3_kib)];
    let caches: Vec<String> =
        caches.iter().filter_map(|(name, kib)| kib.map(|kib| format!("{name} {}", cache_size(kib)))).collect();
    let joined = |parts: Vec<String>| (!parts.is_empty()).then(|| parts.join(", "));
    let hypervisor = host.virtualisation.hypervisor.as_deref();
    let virtual_machine =
        host.virtualisation.virtual_machine.map(|virtual_machine| match (virtual_machine, hypervisor) {
            (true, Some(name)) => format!("yes, {name}"),
            (true, None) => "yes, by an unnamed hypervisor".to_owned(),
            (false, _) => "no".to_owned(),
        });
    let governor = cpu.governor.clone().or_else(|| cpu.governor_note.as_ref().map(|note| format!("none: {note}")));
    group(
        "Machine",
        vec![
            ("Processor", cpu.model.clone()),
            ("Vendor", cpu.vendor.clone()),
            ("Microcode", cpu.microcode.clone()),
            ("Topology", joined(topology)),
            ("Threads of each core", joined(cpu.core_threads.clone())),
            ("Caches", joined(caches)),
            ("Memory", host.memory_bytes.map(|bytes| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)))),
            ("Governor", governor),
            ("Virtual machine", virtual_machine),
            ("Container", Some(host.virtualisation.container.clone().unwrap_or_else(|| "no hint of one".to_owned()))),
        ],
    )
}

fn cache_size(kib: u64) -> String {
    if kib >= 1024 && kib.is_multiple_of(1024) { format!("{} MiB", kib / 1024) } else { format!("{kib} KiB") }
}

fn kernel(host: &Host) -> Group {
    let kernel = &host.kernel;
    group(
        "Kernel",
        vec![
            ("Release", kernel.release.clone()),
            ("Version", kernel.version.clone()),
            ("Clock source", kernel.clock_source.clone()),
            ("mitigations=", kernel.mitigations.clone()),
        ],
    )
}

fn mitigations(host: &Host) -> Group {
    let facts = host.kernel.vulnerabilities.iter().map(|(name, state)| (name.clone(), state.clone()));
    Group { title: "Vulnerabilities and mitigations", facts: facts.collect() }
}

fn limits(host: &Host) -> Group {
    let text = |limit: &Option<u64>| limit.map_or(UNKNOWN.to_owned(), |limit| limit.to_string());
    Group { title: "Limits", facts: host.limits.iter().map(|(name, limit)| (name.clone(), text(limit))).collect() }
}
