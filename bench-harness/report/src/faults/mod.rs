//! The fault tables: how the death, close or stop of one process affects the other, a line per mechanism.

use crate::{
    Results,
    shown::Shown,
    table::{Column, Field, Table},
    text::{NO_FIGURE, wrap},
    units::{self, Quantity},
};
use bench_record::{
    fault::Fault,
    host::Host,
    rows::{FaultRow, Row as _},
};

/// The columns that both tables share: how a fault was learned, and after how long.
const LEARNED: [Column; 7] = [
    Column::Words("mechanism"),
    Column::Words("receiver learns by"),
    Column::Figures("p50"),
    Column::Figures("max"),
    Column::Words("sender learns by"),
    Column::Figures("p50"),
    Column::Figures("max"),
];

fn columns(more: &[&'static str]) -> Vec<Column> {
    LEARNED.into_iter().chain(more.iter().map(|&head| Column::Figures(head))).collect()
}

/// Both fault tables. Empty if nothing was measured.
pub fn tables(rows: &[FaultRow]) -> Vec<Table> {
    let mut mechanisms: Vec<&str> = Vec::new();
    for row in rows {
        if !mechanisms.contains(&row.mechanism.as_str()) {
            mechanisms.push(&row.mechanism);
        }
    }
    let lines = |faults: &[Fault], line: fn(&Of<'_>) -> Vec<Field>| -> Vec<Vec<Field>> {
        let all = mechanisms.iter().map(|&mechanism| Of { rows, mechanism });
        let some = all.filter(|of| faults.iter().any(|&fault| of.row(fault).is_some()));
        some.map(|of| [vec![of.mechanism.into()], line(&of)].concat()).collect()
    };
    let killed = Table {
        title: "One process is killed".into(),
        explanation: "SIGKILL at a random point of a running transfer: how the other learns of it, and after how long \
                      (median, longest; from the signal to the error its call returns, what was still to be received \
                      included). Hang-up: of the socket beside a channel whose kernel objects do not tell. Lost: the \
                      most that send had taken and the killed receiver never got (UDP also drops what its buffer cannot \
                      hold); what a killed sender held in its own custody is lost, too, and not counted here. Torn: killed senders that left the beginning of a message, which is not delivered. Left: \
                      objects in the kernel and on disk, before any sweep. Name: how often it could be bound again at \
                      once."
            .into(),
        columns: columns(&["lost", "torn", "left", "name"]),
        lines: lines(&[Fault::KillSender, Fault::KillReceiver], |of| {
            let (sender, receiver) = (of.row(Fault::KillSender), of.row(Fault::KillReceiver));
            let both = || [sender, receiver].into_iter().flatten();
            let rebinds: u32 = both().map(|row| row.rebinds).sum();
            let rebound: u32 = both().map(|row| row.rebound).sum();
            [
                learned(sender).to_vec(),
                learned(receiver).to_vec(),
                vec![
                    Field::number(receiver.map(|row| row.lost_bytes as f64), |bytes| units::size(bytes as usize)),
                    sender.map_or(Field::Missing(String::new()), |row| share(row.torn, row.trials)),
                    both().map(|row| row.left).sum::<u32>().to_string().into(),
                    share(rebound, rebinds),
                ],
            ]
            .concat()
        }),
        notes: Vec::new(),
    };
    let others = Table {
        title: "One process closes, stops, or dies in bind".into(),
        explanation: "The same after a clean close in mid-stream. S, r resumes: from SIGCONT, after some milliseconds of SIGSTOP, \
                      to the next message received, the median, where the sender or the receiver was stopped. Name: how \
                      often it could be bound again at once when the process that bound it was killed before, while or \
                      just after its peer connected; left: what of that even a sweep did not remove."
            .into(),
        columns: columns(&["s resumes", "r resumes", "name", "left"]),
        lines: lines(
            &[Fault::CloseSender, Fault::CloseReceiver, Fault::StopSender, Fault::StopReceiver, Fault::KillBinder],
            |of| {
                let binder = of.row(Fault::KillBinder);
                let median = |fault| Field::time(of.row(fault).and_then(|row| row.p50_ns));
                [
                    learned(of.row(Fault::CloseSender)).to_vec(),
                    learned(of.row(Fault::CloseReceiver)).to_vec(),
                    vec![
                        median(Fault::StopSender),
                        median(Fault::StopReceiver),
                        binder.map_or(Field::Missing(String::new()), |row| share(row.rebound, row.rebinds)),
                        Field::number(binder.map(|row| f64::from(row.left_after_sweep)), |left| left.to_string()),
                    ],
                ]
                .concat()
            },
        ),
        notes: Vec::new(),
    };
    [killed, others].into_iter().filter(|table| !table.lines.is_empty()).collect()
}

/// The rows of one mechanism.
struct Of<'a> {
    rows: &'a [FaultRow],
    mechanism: &'a str,
}

impl<'a> Of<'a> {
    fn row(&self, fault: Fault) -> Option<&'a FaultRow> {
        self.rows.iter().find(|row| row.mechanism == self.mechanism && row.fault == fault)
    }
}

/// The signs of a fault, without their numbers of trials, and the two times.
fn learned(row: Option<&FaultRow>) -> [Field; 3] {
    let Some(row) = row else { return [NO_FIGURE; 3].map(Field::from) };
    let signs = row.learned.split("; ").map(|sign| sign.rsplit_once(' ').map_or(sign, |(name, _)| name));
    let signs = signs.collect::<Vec<_>>().join(", ");
    let signs = if signs.is_empty() { NO_FIGURE.into() } else { signs.into() };
    [signs, Field::time(row.p50_ns), Field::time(row.max_ns)]
}

fn share(some: u32, all: u32) -> Field {
    Field::number((all > 0).then_some(f64::from(some) / f64::from(all)), |_| format!("{some}/{all}"))
}

/// What is wrong with a row, in one line.
pub fn verdict(row: &FaultRow) -> String {
    let counts = [
        (row.hung, "hung"),
        (row.corrupted, "with a wrong message"),
        (row.left, "objects left"),
        (row.left_after_sweep, "objects left after a sweep"),
        (row.zombies, "zombies"),
    ];
    let found = counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let error = (!row.error.is_empty()).then(|| row.error.clone());
    format!("of {} trials: {}", row.trials, found.chain(error).collect::<Vec<_>>().join(", "))
}

/// Both tables as aligned text of `width` columns, with the verdict over all rows below.
pub fn terminal(rows: &[FaultRow], width: usize) -> String {
    let mut text: String = tables(rows).iter().map(|table| table.terminal(width) + "\n").collect();
    wrap(&mut text, &summary(rows), "", width);
    text
}

/// The verdict over all rows.
pub fn summary(rows: &[FaultRow]) -> String {
    let sum = |of: fn(&FaultRow) -> u32| rows.iter().map(of).sum::<u32>();
    let kills = rows.iter().filter(|row| matches!(row.fault, Fault::KillSender | Fault::KillReceiver));
    let kills: Vec<&FaultRow> = kills.collect();
    // If no trial needed the socket beside the channel, the kernel reports the death.
    let (other, kernel): (Vec<&FaultRow>, Vec<_>) = kills.iter().partition(|row| row.learned.contains("hang-up"));
    let slowest = |rows: Vec<&FaultRow>, whose: &str| {
        let slowest = rows.into_iter().max_by(|a, b| a.p99_ns.unwrap_or(0.0).total_cmp(&b.p99_ns.unwrap_or(0.0)));
        let said =
            |row: &FaultRow| Some(format!(" {} where {whose} ({})", Quantity::Time.format(row.p99_ns?), row.name()));
        slowest.and_then(said)
    };
    let slowest: Vec<String> =
        [slowest(kernel, "the kernel tells"), slowest(other, "it does not")].into_iter().flatten().collect();
    let slowest =
        if slowest.is_empty() { String::new() } else { format!(" Slowest p99 after a kill:{}.", slowest.join(",")) };
    format!(
        "{} SIGKILLs in {} trials: {} hung, {} with a wrong message, {} objects left after a sweep, {} zombies.{slowest}",
        kills.iter().map(|row| row.trials).sum::<u32>(),
        sum(|row| row.trials),
        sum(|row| row.hung),
        sum(|row| row.corrupted),
        sum(|row| row.left_after_sweep),
        sum(|row| row.zombies),
    )
}

/// When and where the rows were measured.
pub fn origin(rows: &[FaultRow]) -> String {
    rows.first().map_or(String::new(), |row| format!("{} · {}", row.measured, row.machine))
}

impl Shown for FaultRow {
    const HEADING: &'static str = "Faults";

    fn tables(rows: &[Self]) -> Vec<Table> {
        tables(rows)
    }

    /// When and where the rows were measured. They may be from another run, and so from another machine.
    fn measured_by(results: &Results) -> Option<(&'static str, String)> {
        let here = results.host.as_ref().map(Host::title);
        let elsewhere = here.is_some_and(|here| results.rows.faults.iter().any(|row| row.machine != here));
        let mark = if elsewhere { " (another machine than that of the other figures here)" } else { "" };
        Some(("ipc-bench faults", origin(&results.rows.faults) + mark))
    }

    fn closing(rows: &[Self]) -> Vec<String> {
        let bad = rows.iter().filter(|row| row.is_bad());
        bad.map(|row| format!("{}: {}.", row.name(), verdict(row))).chain([summary(rows)]).collect()
    }
}
