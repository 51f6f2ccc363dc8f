//! Lines of a file in chunks: bounded in memory whatever the file holds, stamped so that a resend is the same record.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use assertion::SigningKey;
use bytes::{Bytes, BytesMut};
use flate2::bufread::MultiGzDecoder;
use serde_json::{Value, json};

use super::stamp::{sign, stamp};
use crate::failure::Problem;

/// Lines in one request. Larger: less overhead per line. Smaller: less to send again when a node dies.
pub(crate) const CHUNK_LINES_MAX: usize = 2_000;

/// Bytes in one request; lines of usual size reach the line limit first.
const CHUNK_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A canonical record has at most 256 KiB; escaped as badly as JSON allows (`\u0000` for one byte) six times that.
const LINE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Refused lines, each of up to [`LINE_BYTES_MAX`], that are kept before a chunk is sent with fewer lines than it could have.
const REFUSED_MAX: usize = 20;

/// Reads ahead of the decoder.
const BUFFER_BYTES: usize = 256 * 1024;

/// A run of lines that travel together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chunk {
    body: Bytes,
    lines: Vec<Line>,
    /// Bytes of the input (compressed as it is) that were read for it.
    pub(crate) input_bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    number: u64,
    start: usize,
    end: usize,
}

impl Chunk {
    /// What to send: the lines, each ended by a newline.
    pub(crate) fn body(&self) -> Bytes {
        self.body.clone()
    }

    /// How many lines.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// 1-based line in the input of the line at a 0-based place in the chunk.
    pub(crate) fn number(&self, place: usize) -> u64 {
        self.lines[place].number
    }

    /// The text of a line as it is sent.
    pub(crate) fn text(&self, place: usize) -> &[u8] {
        let line = self.lines[place];
        &self.body[line.start..line.end]
    }

    /// A chunk of some of the lines: those that have to be sent again.
    pub(crate) fn only(&self, places: &[usize]) -> Chunk {
        let mut builder = Builder::default();
        for place in places {
            builder.push(self.number(*place), self.text(*place));
        }
        builder.finish(0)
    }
}

#[derive(Default)]
struct Builder {
    body: BytesMut,
    lines: Vec<Line>,
}

impl Builder {
    fn push(&mut self, number: u64, text: &[u8]) {
        let start = self.body.len();
        self.body.extend_from_slice(text);
        self.lines.push(Line {
            number,
            start,
            end: self.body.len(),
        });
        self.body.extend_from_slice(b"\n");
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= CHUNK_LINES_MAX || self.body.len() >= CHUNK_BYTES_MAX
    }

    fn finish(self, input_bytes: u64) -> Chunk {
        Chunk {
            body: self.body.freeze(),
            lines: self.lines,
            input_bytes,
        }
    }
}

/// What the input holds next.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Lines to send.
    Chunk(Chunk),
    /// Lines that no gateway would take; they are not sent.
    Refused(Vec<RefusedLine>),
}

/// A line that is refused here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RefusedLine {
    /// 1-based.
    pub(crate) number: u64,
    /// The problem, as a gateway would give it.
    pub(crate) problem: Value,
    /// Its text; empty when it was too long to keep.
    pub(crate) text: Vec<u8>,
}

/// The input as an iterator of pieces.
pub(crate) struct Lines {
    input: Box<dyn BufRead + Send>,
    read: Arc<AtomicU64>,
    taken: u64,
    number: u64,
    now_ms: i64,
    key: Option<SigningKey>,
    refused: Vec<RefusedLine>,
    ended: bool,
}

impl Lines {
    /// Opens a file, or standard input for `-`; gzip is recognised by its first bytes. `now_ms` is the time of
    /// lines that have none: one moment for the whole import.
    pub(crate) fn open(path: &Path, now_ms: i64) -> io::Result<Lines> {
        if path == Path::new("-") {
            return Lines::new(io::stdin(), now_ms);
        }
        Lines::new(File::open(path)?, now_ms)
    }

    /// The same from anything readable.
    pub(crate) fn new(input: impl Read + Send + 'static, now_ms: i64) -> io::Result<Lines> {
        let read = Arc::new(AtomicU64::new(0));
        let counted = Counted {
            input,
            read: Arc::clone(&read),
        };
        let mut plain = BufReader::with_capacity(BUFFER_BYTES, counted);
        let gzip = plain.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let input: Box<dyn BufRead + Send> = if gzip {
            Box::new(BufReader::with_capacity(
                BUFFER_BYTES,
                MultiGzDecoder::new(plain),
            ))
        } else {
            Box::new(plain)
        };
        Ok(Lines {
            input,
            read,
            taken: 0,
            number: 0,
            now_ms,
            key: None,
            refused: Vec::new(),
            ended: false,
        })
    }

    /// Signs every line.
    pub(crate) fn signed(self, key: Option<SigningKey>) -> Lines {
        Lines { key, ..self }
    }

    /// Lines read so far.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    fn next_piece(&mut self) -> io::Result<Option<Piece>> {
        let mut builder = Builder::default();
        let mut line = Vec::new();
        while !self.ended && !builder.is_full() && self.refused.len() < REFUSED_MAX {
            match self.read_line(&mut line)? {
                Read1::End => self.ended = true,
                Read1::Blank => {}
                Read1::Line => self.take(&line, &mut builder),
                Read1::TooLong(length) => self.refused.push(too_long(self.number, length)),
            }
        }
        if builder.lines.is_empty() {
            let refused = std::mem::take(&mut self.refused);
            return Ok((!refused.is_empty()).then_some(Piece::Refused(refused)));
        }
        let read = self.read.load(Ordering::Relaxed);
        let input_bytes = read - self.taken;
        self.taken = read;
        Ok(Some(Piece::Chunk(builder.finish(input_bytes))))
    }

    /// Stamps a line, signs it if there is a key, and puts it into the chunk.
    fn take(&mut self, line: &[u8], builder: &mut Builder) {
        let voter = self.key.as_ref().map(SigningKey::agent);
        let stamped = stamp(line, self.now_ms, voter.as_deref());
        let text = stamped.as_deref().unwrap_or(line);
        let Some(key) = &self.key else {
            return builder.push(self.number, text);
        };
        match sign(text, self.now_ms, key) {
            Ok(signed) => builder.push(self.number, &signed),
            Err(invalid) => self.refused.push(RefusedLine {
                number: self.number,
                problem: Problem::from(invalid).body,
                text: text.to_vec(),
            }),
        }
    }

    fn read_line(&mut self, line: &mut Vec<u8>) -> io::Result<Read1> {
        line.clear();
        let mut length = 0_u64;
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                if length == 0 {
                    return Ok(Read1::End);
                }
                break;
            }
            let newline = buffer.iter().position(|byte| *byte == b'\n');
            let part = &buffer[..newline.unwrap_or(buffer.len())];
            // Beyond the limit a line is counted, not kept.
            let room = LINE_BYTES_MAX.saturating_sub(line.len());
            line.extend_from_slice(&part[..part.len().min(room)]);
            let used = part.len() + usize::from(newline.is_some());
            length += used as u64;
            self.input.consume(used);
            if newline.is_some() {
                break;
            }
        }
        self.number += 1;
        if length > LINE_BYTES_MAX as u64 {
            return Ok(Read1::TooLong(length));
        }
        let blank = line.iter().all(u8::is_ascii_whitespace);
        Ok(if blank { Read1::Blank } else { Read1::Line })
    }
}

enum Read1 {
    End,
    Blank,
    Line,
    TooLong(u64),
}

impl Iterator for Lines {
    type Item = io::Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        let piece = self.next_piece().transpose();
        if matches!(piece, Some(Err(_))) {
            self.ended = true;
        }
        piece
    }
}

/// Counts what is read from the input itself, before decompression.
struct Counted<R> {
    input: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

fn too_long(number: u64, length: u64) -> RefusedLine {
    let problem = json!({
        "status": 413,
        "code": "line_too_long",
        "detail": format!("{length} bytes: no record is that long"),
        "next_step": "split the text over several records, or store it elsewhere and give its hash",
    });
    RefusedLine {
        number,
        problem,
        text: Vec::new(),
    }
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
