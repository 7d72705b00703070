//! Adjusts for many tests at once.

/// Decides which of the hypotheses with p-values `p` are rejected, by Benjamini and Hochberg's step-up procedure (1995). At
/// most a share `q` of all rejections is expected to be false. The result is in the order of `p`. NaN is never rejected.
pub fn benjamini_hochberg(p: &[f64], q: f64) -> Vec<bool> {
    let mut sorted: Vec<f64> = p.iter().copied().filter(|p| !p.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    // The largest p at or below its own line q·rank/number also decides for all smaller ones.
    let line = |rank: usize| q * rank as f64 / p.len() as f64;
    let last = (1..=sorted.len()).rev().find(|rank| sorted[rank - 1] <= line(*rank));
    p.iter().map(|p| last.is_some_and(|last| *p <= sorted[last - 1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adjusted p by scipy 1.17, `false_discovery_control`: 0.006, 0.024, 0.24, 0.024, 0.045, 0.8.
    #[test]
    fn known_data() {
        let p = [0.001, 0.009, 0.2, 0.012, 0.03, 0.8];
        let rejected = |q| -> Vec<usize> {
            benjamini_hochberg(&p, q).iter().enumerate().filter(|(_, yes)| **yes).map(|(i, _)| i).collect()
        };
        assert!(rejected(0.005).is_empty());
        assert_eq!(rejected(0.0061), [0]);
        // The second smallest alone lies above its line. The third, which does not, includes it.
        assert_eq!(rejected(0.0241), [0, 1, 3]);
        assert_eq!(rejected(0.0451), [0, 1, 3, 4]);
    }

    #[test]
    fn nothing_and_no_numbers() {
        assert!(benjamini_hochberg(&[], 0.01).is_empty());
        assert_eq!(benjamini_hochberg(&[f64::NAN, 0.001], 0.01), [false, true]);
    }
}
