//! Many tests at once.

/// Which of the hypotheses with p-values `p` are rejected, so that at most a part `q` of all rejections is expected to be false:
/// Benjamini and Hochberg's step-up procedure (1995). In the order of `p`; what is no number is never rejected.
pub fn benjamini_hochberg(p: &[f64], q: f64) -> Vec<bool> {
    let mut sorted: Vec<f64> = p.iter().copied().filter(|p| !p.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    // The largest p at or below its own line q·rank/number decides for all below it as well.
    let line = |rank: usize| q * rank as f64 / p.len() as f64;
    let last = (1..=sorted.len()).rev().find(|rank| sorted[rank - 1] <= line(*rank));
    p.iter().map(|p| last.is_some_and(|last| *p <= sorted[last - 1])).collect()
}
