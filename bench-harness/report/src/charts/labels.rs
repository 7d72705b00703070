//! Keeps labels beside a chart from overlapping.

/// The positions nearest to `wanted` that are at least `gap` apart and lie between `top` and `bottom`. They keep their
/// order from top to bottom. Labels that push each other away stay centred on their wanted positions.
///
/// If there is too little room, the labels start at `top` and exceed `bottom`. The caller must make room first.
pub fn spread(wanted: &[f64], gap: f64, (top, bottom): (f64, f64)) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));

    // Groups of labels that touch: the sum of the wanted positions of the first label, and the number of labels.
    let mut groups: Vec<(f64, usize)> = Vec::new();
    let place = |(sum, count): (f64, usize)| {
        let lowest = bottom - gap * (count as f64 - 1.0);
        (sum / count as f64).min(lowest).max(top)
    };
    for &index in &order {
        let mut group = (wanted[index], 1);
        while let Some(&above) = groups.last() {
            if place(above) + gap * above.1 as f64 <= place(group) {
                break;
            }
            groups.pop();
            group = (above.0 + group.0 - gap * (above.1 * group.1) as f64, above.1 + group.1);
        }
        groups.push(group);
    }

    let mut placed = vec![0.0; wanted.len()];
    let mut next = order.into_iter();
    for group in groups {
        let first = place(group);
        for step in 0..group.1 {
            if let Some(index) = next.next() {
                placed[index] = first + gap * step as f64;
            }
        }
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_where_it_is() {
        assert_eq!(spread(&[50.0, 10.0], 10.0, (0.0, 100.0)), [50.0, 10.0]);
    }

    #[test]
    fn a_crowd_stays_centred() {
        assert_eq!(spread(&[50.0, 50.0, 50.0], 10.0, (0.0, 100.0)), [40.0, 50.0, 60.0]);
    }

    #[test]
    fn nothing_overlaps_or_leaves_the_range() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..1000 {
            let wanted: Vec<f64> = (0..random.usize(1..20)).map(|_| random.f64() * 200.0).collect();
            let mut placed = spread(&wanted, 10.0, (0.0, 200.0));
            placed.sort_by(f64::total_cmp);
            assert!(placed.windows(2).all(|pair| pair[1] - pair[0] > 10.0 - 1e-6), "{wanted:?}: {placed:?}");
            assert!(placed[0] >= -1e-6 && placed[placed.len() - 1] <= 200.0 + 1e-6, "{wanted:?}: {placed:?}");
        }
    }
}
