//! Changes of inputs, the same for the same seed.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

/// What is put in the place of a value, or anywhere: edges of JSON, of numbers, of text, of protobuf.
const PIECES: [&[u8]; 40] = [
    b"null",
    b"true",
    b"-0",
    b"0.1",
    b"1e400",
    b"1e-400",
    b"-1",
    b"9007199254740993",
    b"123456789012345678901234567890",
    b"1700000000001",
    b"8640000000000001",
    b"NaN",
    b"-Infinity",
    b"\"\"",
    b"\"\\ud800\"",
    b"\"\\u0000\"",
    b"\"a\"",
    b"\"expert\"",
    b"\"0000000000000000000000000000000000000000000000000000000000000000\"",
    b"[]",
    b"{}",
    b"[[[[[[[[[[[[[[[[",
    b"{\"type\":\"number\",\"value\":1}",
    b",\"subject\":\"t\"",
    b"\"\\u0073ubject\":",
    b"\n",
    b"\r\n",
    b"\0",
    b"\\",
    b"\"",
    b"&",
    b"%ff",
    b"%00",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff\x0f",
    b"\x80\x80\x80\x80\x08",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    "\u{10ffff}\u{202e}".as_bytes(),
];

/// Changes of one input.
const CHANGES_MAX: usize = 4;

/// Longest input that is made by repeating.
const GROWN_MAX: usize = 16 * 1024;

/// Makes inputs of inputs.
#[derive(Debug)]
pub struct Mutator(StdRng);

impl Mutator {
    /// One whose inputs follow from the seed.
    pub fn new(seed: u64) -> Mutator {
        Mutator(StdRng::seed_from_u64(seed))
    }

    /// One of the inputs, changed.
    pub fn next(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut input = inputs.choose(&mut self.0).cloned().unwrap_or_default();
        for _ in 0..self.0.random_range(1..=CHANGES_MAX) {
            self.change(&mut input, inputs);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let random = &mut self.0;
        let length = input.len();
        let at = random.random_range(0..=length);
        let many = random.random_range(1..=32).min(length - at);
        match random.random_range(0..10) {
            0 if at < length => input[at] ^= 1 << random.random_range(0..8),
            1 if at < length => input[at] = random.random(),
            2 => {
                input.drain(at..at + many);
            }
            3 => input.truncate(at),
            4 if length < GROWN_MAX => {
                let again = input[at..at + many].repeat(random.random_range(1..=16));
                input.splice(at..at, again);
            }
            5 => {
                // The head of one, the tail of another.
                let other = inputs.choose(random).map_or(&[][..], Vec::as_slice);
                let from = random.random_range(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            6 => {
                let piece = PIECES.choose(random).copied().unwrap_or_default();
                input.splice(at..at, piece.iter().copied());
            }
            7 if at < length => {
                // A length or a number of protobuf, one more or one less.
                let step = if random.random() { 1 } else { u8::MAX };
                input[at] = input[at].wrapping_add(step);
            }
            _ => self.replace_value(input),
        }
    }

    /// What follows a colon, a comma, a bracket or an equals sign, up to where it ends.
    fn replace_value(&mut self, input: &mut Vec<u8>) {
        let begins = |byte: &u8| matches!(byte, b':' | b',' | b'[' | b'=');
        let starts: Vec<usize> = (0..input.len()).filter(|at| begins(&input[*at])).collect();
        let Some(start) = starts.choose(&mut self.0) else {
            return;
        };
        let rest = input[start + 1..].iter();
        let value = rest.take_while(|byte| !matches!(byte, b',' | b'}' | b']' | b'&' | b'\n'));
        let end = start + 1 + value.count();
        let piece = PIECES.choose(&mut self.0).copied().unwrap_or_default();
        input.splice(start + 1..end, piece.iter().copied());
    }
}
