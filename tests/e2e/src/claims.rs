//! The real claims of bench/data, in slices.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use flate2::bufread::GzDecoder;

const FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../bench/data/chem-claims.ndjson.gz"
);

/// Line of the first of the six claims about water's boiling point, counted from 0.
const WATER: usize = 263_813;

/// `count` claims from a 0-based line on.
///
/// # Panics
/// When the file cannot be read.
pub fn lines(first: usize, count: usize) -> Vec<String> {
    let file = File::open(FILE).expect("the claims are in the repository");
    let reader = BufReader::new(GzDecoder::new(BufReader::new(file)));
    reader
        .lines()
        .skip(first)
        .take(count)
        .map(|line| line.expect("the claims are text"))
        .collect()
}

/// `count` claims, those around water among them.
pub fn around_water(count: usize) -> Vec<String> {
    lines(WATER - count / 2, count)
}

/// Writes lines as a file that `import` takes.
///
/// # Panics
/// When it cannot be written.
pub fn write(path: &Path, lines: &[String]) {
    let mut file = File::create(path).expect("a file can be made");
    for line in lines {
        writeln!(file, "{line}").expect("a file can be written");
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slice_around_water_holds_its_six_claims() {
        let slice = around_water(100);
        let of_water = |line: &&String| {
            line.contains("\"cas:7732-18-5\"") && line.contains("\"boiling_point_k\"")
        };
        assert_eq!(slice.len(), 100);
        assert_eq!(slice.iter().filter(of_water).count(), 6);
    }
}
