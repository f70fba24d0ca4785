//! What the rank tests share: midranks, exact null distributions, and order statistics of sums that are never listed.

/// Midranks (from 1) of `values` in their own order, and Σ(t³ − t) over groups of ties.
pub(crate) fn midranks(values: &[f64]) -> (Vec<f64>, f64) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let (mut start, mut ties) = (0, 0.0);
    while start < order.len() {
        let value = values[order[start]];
        let mut end = start + 1;
        // `==`, not total_cmp: 0.0 and −0.0 are equal.
        while end < order.len() && values[order[end]] == value {
            end += 1;
        }
        let rank = 0.5 * ((start + 1) as f64 + end as f64);
        for &index in &order[start..end] {
            ranks[index] = rank;
        }
        let size = (end - start) as f64;
        ties += size * size * size - size;
        start = end;
    }
    (ranks, ties)
}

/// Distribution over sums of `items`: all subsets of `size` items equally likely, or all subsets (`None`), each item
/// being in with probability ½. Entry s is P(sum = s).
pub(crate) fn subset_sums(items: &[usize], size: Option<usize>) -> Vec<f64> {
    let total: usize = items.iter().sum();
    let Some(size) = size else {
        let mut mass = vec![0.0; total + 1];
        mass[0] = 1.0;
        let mut reach = 0;
        for &item in items {
            reach += item;
            for sum in (0..=reach).rev() {
                let with = if sum >= item { mass[sum - item] } else { 0.0 };
                mass[sum] = 0.5 * (mass[sum] + with);
            }
        }
        return mass;
    };
    // ways[k][s]: subsets of k of the items so far with sum s, as doubles: relative rounding only.
    let mut ways = vec![vec![0.0; total + 1]; size + 1];
    ways[0][0] = 1.0;
    for (seen, &item) in items.iter().enumerate() {
        for k in (1..=size.min(seen + 1)).rev() {
            let (fewer, exactly) = ways.split_at_mut(k);
            for (sum, count) in exactly[0].iter_mut().enumerate().skip(item) {
                *count += fewer[k - 1][sum - item];
            }
        }
    }
    let mut last = ways.swap_remove(size);
    let all: f64 = last.iter().sum();
    for count in &mut last {
        *count /= all;
    }
    last
}

/// Lower and upper tail, both including the observed sum.
pub(crate) fn tails(mass: &[f64], observed: usize) -> (f64, f64) {
    let lower: f64 = mass[..=observed].iter().sum();
    let upper: f64 = mass[observed..].iter().sum();
    (lower.min(1.0), upper.min(1.0))
}

/// A midrank as a whole number of halves.
pub(crate) fn doubled(rank: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "2·midrank is a whole number ≥ 2")]
    let doubled = (2.0 * rank).round() as usize;
    doubled
}

/// The k-th smallest (from 1) value of a set known only by how many members are at most v: bisection over all finite
/// doubles, so the answer is exact whatever the scale.
pub(crate) fn kth_by_counting(k: u64, at_most: impl Fn(f64) -> u64) -> f64 {
    let (mut low, mut high) = (to_ordered(f64::MIN), to_ordered(f64::MAX));
    while low < high {
        let middle = low + (high - low) / 2;
        if at_most(from_ordered(middle)) >= k { high = middle } else { low = middle + 1 }
    }
    from_ordered(low)
}

/// Maps doubles to integers in the same order.
fn to_ordered(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn from_ordered(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

/// The median of a set of `count` members known by its order statistics.
pub(crate) fn median_by_counting(count: u64, at_most: impl Fn(f64) -> u64) -> f64 {
    let upper = kth_by_counting(count / 2 + 1, &at_most);
    if count % 2 == 1 {
        return upper;
    }
    0.5 * kth_by_counting(count / 2, &at_most) + 0.5 * upper
}
