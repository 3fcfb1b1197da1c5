//! The tables.

/// The times of one way, in the order of the rounds.
pub(crate) struct Row {
    name: String,
    pub(crate) write_ns: Vec<u64>,
    pub(crate) read_ns: Vec<u64>,
}

impl Row {
    pub(crate) fn new(name: String) -> Self {
        Self { name, write_ns: Vec::new(), read_ns: Vec::new() }
    }
}

/// Medians of one way beside those of the first. `apart_ns` is how far the two processors were apart, before and after.
pub(crate) fn print(title: &str, apart_ns: [u64; 2], rows: &[Row]) {
    let Some(first) = rows.first() else { return };
    println!("\n{title}; a word to the reader's processor and back: {} and {} ns", apart_ns[0], apart_ns[1]);
    println!("{:<46} {:>10} {:>6} {:>10} {:>6}", "", "write us", "ratio", "read us", "ratio");
    for row in rows {
        println!(
            "{:<46} {:>10} {:>6} {:>10} {:>6}",
            row.name,
            micros(&row.write_ns),
            ratio(&row.write_ns, &first.write_ns),
            micros(&row.read_ns),
            ratio(&row.read_ns, &first.read_ns)
        );
    }
}

fn micros(times_ns: &[u64]) -> String {
    median(times_ns.iter().map(|&ns| ns as f64 / 1e3)).map_or_else(|| "-".to_owned(), |us| format!("{us:.1}"))
}

/// The median of the ratios of each round.
fn ratio(times_ns: &[u64], first_ns: &[u64]) -> String {
    // No picture takes no time; a clock that is that coarse must not divide by it.
    let ratios = times_ns.iter().zip(first_ns).map(|(&ns, &first)| ns as f64 / first.max(1) as f64);
    median(ratios).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_in_each_round_before_their_median() {
        // The machine becomes ten times as slow: in each round the second way takes twice as long.
        assert_eq!(ratio(&[20, 200, 2000], &[10, 100, 1000]), "2.00");
        assert_eq!(ratio(&[], &[10]), "-");
        assert_eq!(micros(&[3000, 1000, 2000]), "2.0");
    }
}
