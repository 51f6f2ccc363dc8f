//! Lines of a file in chunks: bounded in memory whatever the file holds, stamped so that a resend is the same record.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Lines in one request. Larger: less overhead per line. Smaller: less to send again when a node dies.
pub(crate) const CHUNK_LINES_MAX: usize = 2_000;

/// Bytes in one request; lines of usual size reach the line limit first.
const CHUNK_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A canonical record has at most 256 KiB; escaped as badly as JSON allows (`\u0000` for one byte) six times that.
const LINE_BYTES_MAX: usize = 2 * 1024 * 1024;

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
    /// A line that no gateway would take; it is not sent. Its number and its length.
    TooLong(u64, u64),
}

/// The input as an iterator of pieces.
pub(crate) struct Lines {
    input: Box<dyn BufRead + Send>,
    read: Arc<AtomicU64>,
    taken: u64,
    number: u64,
    now_ms: i64,
    too_long: Option<(u64, u64)>,
    ended: bool,
}

impl Lines {
    /// Opens a file, or standard input for `-`; gzip is recognised by its first bytes. `now_ms` is the `asserted_at` of
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
            too_long: None,
            ended: false,
        })
    }

    /// Lines read so far.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    fn next_piece(&mut self) -> io::Result<Option<Piece>> {
        if let Some((number, length)) = self.too_long.take() {
            return Ok(Some(Piece::TooLong(number, length)));
        }
        let mut builder = Builder::default();
        let mut line = Vec::new();
        while !self.ended && !builder.is_full() && self.too_long.is_none() {
            match self.read_line(&mut line)? {
                Read1::End => self.ended = true,
                Read1::Blank => {}
                Read1::Line => builder.push(
                    self.number,
                    stamp(&line, self.now_ms).as_deref().unwrap_or(&line),
                ),
                Read1::TooLong(length) => self.too_long = Some((self.number, length)),
            }
        }
        if builder.lines.is_empty() {
            let too_long = self.too_long.take();
            return Ok(too_long.map(|(number, length)| Piece::TooLong(number, length)));
        }
        let read = self.read.load(Ordering::Relaxed);
        let input_bytes = read - self.taken;
        self.taken = read;
        Ok(Some(Piece::Chunk(builder.finish(input_bytes))))
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

/// What decides whether a line is stamped.
#[derive(Deserialize)]
struct Stamped<'a> {
    #[serde(borrow)]
    asserted_at: Option<&'a RawValue>,
    #[serde(borrow)]
    signatures: Option<&'a RawValue>,
}

/// The line with `asserted_at`, when it has none: spliced into the text, so that nothing else of it changes. A line that
/// is no JSON object is left to the gateway to refuse, a signed one is complete by definition.
fn stamp(line: &[u8], now_ms: i64) -> Option<Vec<u8>> {
    let found: Stamped<'_> = serde_json::from_slice(line).ok()?;
    if found.asserted_at.is_some() || found.signatures.is_some() {
        return None;
    }
    let end = line.iter().rposition(|byte| !byte.is_ascii_whitespace())?;
    let inside = line[..end]
        .iter()
        .rfind(|byte| !byte.is_ascii_whitespace())?;
    if line[end] != b'}' {
        return None;
    }
    let comma = if *inside == b'{' { "" } else { "," };
    let mut out = line[..end].to_vec();
    out.extend_from_slice(format!("{comma}\"asserted_at\":{now_ms}}}").as_bytes());
    Some(out)
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
