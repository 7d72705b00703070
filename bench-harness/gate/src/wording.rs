//! The words for the gate's findings. Terminal, Markdown and JUnit use the same words.

use super::report::{CellReport, Change, Count, Figures, Metric, Report, Side, Status};
use bench_report::{text::NO_FIGURE, units::Quantity};

impl Metric {
    /// The kind of figure. `None` for a command's figure, which can be of any kind.
    const fn quantity(self) -> Option<Quantity> {
        match self {
            Metric::P50 | Metric::P99 => Some(Quantity::Time),
            Metric::Rate => Some(Quantity::Messages),
            Metric::Value => None,
        }
    }

    /// The metric's value among the figures of a side. A non-finite value counts as not measured.
    pub fn value(self, figures: &Figures) -> Option<f64> {
        let value = match self {
            Metric::P50 => figures.p50_ns,
            Metric::P99 => figures.p99_ns,
            Metric::Rate => figures.msgs_per_s,
            Metric::Value => figures.value,
        };
        value.filter(|value| value.is_finite())
    }
}

/// A cell's name. The metric is added if it is not the usual one.
pub fn name(report: &CellReport) -> String {
    match report.metric {
        Metric::P50 | Metric::Rate => report.cell.clone(),
        Metric::Value => one_line(&report.cell),
        Metric::P99 => format!("{} {}", report.cell, report.metric),
    }
}

/// The figures of both sides, such as `5.21 → 5.67 µs`.
pub fn figures(report: &CellReport) -> String {
    let value = |figures| report.metric.value(figures);
    match (value(&report.base), value(&report.head)) {
        (Some(base), Some(head)) => match (report.metric.quantity(), &report.unit) {
            (Some(quantity), _) => quantity.format_step(base, head),
            (None, Some(unit)) => one_line(&unit.format_step(base, head)),
            (None, None) => format!("{base} → {head}"),
        },
        (None, None) => NO_FIGURE.to_owned(),
        _ => format!("{} → {}", side(report, &report.base), side(report, &report.head)),
    }
}

/// One side's figure with its unit, or a placeholder if there is none.
pub fn side(report: &CellReport, figures: &Figures) -> String {
    let Some(value) = report.metric.value(figures) else { return NO_FIGURE.to_owned() };
    match (report.metric.quantity(), &report.unit) {
        (Some(quantity), _) => quantity.format_side(value),
        (None, Some(unit)) => one_line(&unit.format_side(value)),
        (None, None) => value.to_string(),
    }
}

/// The change with its confidence interval, such as `+8.8 % [+6.9, +10.7]`. `None` if there is no change.
pub fn change(report: &CellReport) -> Option<String> {
    let Change { by, lo, hi } = finite(report.change)?;
    Some(format!("{} % [{}, {}]", signed(by), signed(lo), signed(hi)))
}

/// The change, if all its values are finite.
pub fn finite(change: Option<Change>) -> Option<Change> {
    change.filter(|change| [change.by, change.lo, change.hi].iter().all(|share| share.is_finite()))
}

fn signed(share: f64) -> String {
    // Adding 0.0 turns the -0.0 of a small negative number into 0.0.
    format!("{:+.1}", (share * 1e3).round() / 10.0 + 0.0)
}

/// A share, such as `2 %` or `12.5 %`.
pub fn percent(share: f64) -> String {
    format!("{} %", (share * 1e3).round() / 10.0)
}

/// The smallest change that would have been found, or a placeholder if it is unknown.
pub fn detectable(report: &CellReport) -> String {
    let detectable = report.detectable.filter(|share| share.is_finite());
    detectable.map_or(NO_FIGURE.to_owned(), percent)
}

/// A probability, such as `p=2e-7` or `p=0.012`.
pub fn probability(report: &CellReport) -> Option<String> {
    let p = report.p.filter(|p| p.is_finite())?;
    Some(if p < 1e-3 { format!("p={:.0e}", p.max(f64::MIN_POSITIVE)) } else { format!("p={p:.3}") })
}

/// The change and the probability, as the reason of a regression.
pub fn finding(report: &CellReport) -> String {
    let parts: Vec<String> = [change(report), probability(report)].into_iter().flatten().collect();
    parts.join(" ")
}

/// The reason why a cell was not judged. `None` if it was.
pub fn unjudged(report: &CellReport) -> Option<String> {
    let known = report.error.as_deref().map(one_line).filter(|error| !error.is_empty());
    let usual = match report.status {
        Status::Unchanged | Status::Regressed | Status::Improved => return None,
        Status::Unresolved => match report.detectable.filter(|share| share.is_finite()) {
            Some(share) => format!("too noisy: changes below {} would have gone unseen", percent(share)),
            None => "too noisy: a change of 10 % cannot be excluded".to_owned(),
        },
        Status::Lacking => "one side lacks it".to_owned(),
        Status::Failed => "not measured, and no reason was given".to_owned(),
    };
    Some(known.unwrap_or(usual))
}

/// A count of both sides with its note, such as `syscalls 1.00 → 2.00 per message`.
pub fn count(count: &Count) -> String {
    let note = count.note.as_deref().map(|note| format!(" ({})", one_line(note))).unwrap_or_default();
    format!("{} {} → {} per message{note}", one_line(&count.what), number(count.base), number(count.head))
}

/// A count per message with two decimals, as in `copies.csv`.
pub fn number(count: Option<f64>) -> String {
    count.filter(|count| count.is_finite()).map_or(NO_FIGURE.to_owned(), |count| format!("{count:.2}"))
}

/// Whether the two sides' counts are to be shown: the head's is worse, or they differ as printed.
pub fn differs(count: &Count) -> bool {
    count.worse || number(count.base) != number(count.head)
}

/// What was compared, and how: `base REVISION (3 builds); head REVISION (3 builds); plan NAME, seed N, 96 s from TIME`. A
/// command is shown instead of a revision.
pub fn run(report: &Report) -> String {
    let side = |name: &str, side: &Side| {
        if let Some(command) = &side.command {
            return format!("{name} `{command}`");
        }
        let revision = side.identity.as_ref().and_then(|identity| identity.build.revision_text());
        let revision = revision.unwrap_or_else(|| "of unknown revision".to_owned());
        let builds = if side.builds == 1 { String::new() } else { format!(" ({} builds)", side.builds) };
        format!("{name} {revision}{builds}")
    };
    let (base, head) = (side("base", &report.base), side("head", &report.head));
    let Report { plan, seed, duration_s, started, .. } = report;
    let plan = if report.is_of_commands() { String::new() } else { format!("plan {plan}, ") };
    one_line(&format!("{base}; {head}; {plan}seed {seed}, {duration_s:.0} s from {started}"))
}

/// The text in one line, without control characters that could affect a terminal.
pub fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ").replace(|c: char| c.is_control(), "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::{super::example, *};

    #[test]
    fn changes_and_shares_are_short() {
        let cell = |by: f64, lo: f64, hi: f64, p: f64| CellReport {
            change: Some(Change { by, lo, hi }),
            p: Some(p),
            ..example::cell("latency/pipe/64/same-core/block/copy", Status::Regressed)
        };
        assert_eq!(finding(&cell(0.088, 0.069, 0.107, 2.1e-7)), "+8.8 % [+6.9, +10.7] p=2e-7");
        assert_eq!(finding(&cell(-0.0001, -0.02, 0.0, 0.5)), "+0.0 % [-2.0, +0.0] p=0.500");
        assert_eq!(finding(&cell(f64::NAN, 0.0, 0.0, f64::NAN)), "");
        assert_eq!(finding(&cell(0.1, 0.0, 0.2, 0.0)), "+10.0 % [+0.0, +20.0] p=2e-308");
        assert_eq!([0.02, 0.125, 0.0].map(percent), ["2 %", "12.5 %", "0 %"]);
    }

    #[test]
    fn a_text_is_one_line_and_harmless() {
        assert_eq!(one_line("first\n  second\r\n\n"), "first; second");
        assert_eq!(one_line("\u{1b}[31mred"), "\u{fffd}[31mred");
    }

    #[test]
    fn counts_differ_where_they_print_differently() {
        let of = |base, head, worse| Count { what: "syscalls".into(), base, head, worse, note: None };
        assert!(!differs(&of(Some(1.0), Some(1.001), false)));
        assert!(differs(&of(Some(1.0), Some(0.5), false)));
        assert!(differs(&of(Some(1.0), None, false)));
        assert!(differs(&of(Some(1.0), Some(1.001), true)));
    }
}
