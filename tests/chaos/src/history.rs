//! What clients did and were told: one JSON object a line, written by the workload, read by the checker.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// One line. Times are Unix milliseconds of the one clock that all clients share and no fault touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "lowercase")]
pub enum Line {
    /// A record was sent.
    Write(Write),
    /// A question was asked.
    Read(Read),
    /// Something was broken, from `at` to `healed`; all nodes had met again at `met` and were equal at `equal`.
    Fault(Fault),
}

/// A record that was sent, perhaps twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// Who sent it.
    pub client: String,
    /// When it was sent first.
    pub at: u64,
    /// When the last answer came, or was given up on.
    pub end: u64,
    /// Gateways that were tried.
    pub gateways: Vec<String>,
    /// `assertion`, `vote` or `source`.
    pub record: String,
    /// What it is about; of a source its uri.
    pub subject: String,
    /// Of a claim.
    pub predicate: String,
    /// Of a claim: text that no other record has.
    pub note: String,
    /// The id that the record has by its bytes.
    pub id: String,
    /// The last answer's status; 0 when there was none.
    pub status: u16,
    /// The id that was answered.
    pub answered_id: Option<String>,
    /// The copies that were answered.
    pub copies: u64,
    /// What went wrong, in the order of the tries.
    pub errors: Vec<String>,
}

impl Write {
    /// 201 and 200: promised to be there for ever.
    pub fn acknowledged(&self) -> bool {
        matches!(self.status, 200 | 201)
    }

    /// 202: durable somewhere.
    pub fn accepted(&self) -> bool {
        self.status == 202
    }
}

/// A question that was asked, perhaps twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// Who asked.
    pub client: String,
    /// When it was asked first.
    pub at: u64,
    /// When the last answer came, or was given up on.
    pub end: u64,
    /// Gateways that were tried.
    pub gateways: Vec<String>,
    /// What it asks about.
    pub subject: String,
    /// Empty: every predicate.
    pub predicate: String,
    /// Empty: the claims themselves.
    pub lens: String,
    /// The last answer's status; 0 when there was none.
    pub status: u16,
    /// The node that says so.
    pub node: String,
    /// Whether the answer is said to be complete,
    pub complete: bool,
    /// up to which moment.
    pub proved_through: u64,
    /// Ids of the claims, without a lens.
    pub ids: Vec<String>,
    /// Claims that the lens considered or left out.
    pub considered: u64,
    /// Whether there are more pages than this one.
    pub more: bool,
    /// What went wrong, in the order of the tries.
    pub errors: Vec<String>,
}

/// Something that was broken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What it was.
    pub name: String,
    /// Where, and how much.
    pub detail: String,
    /// When it began,
    pub at: u64,
    /// was taken away,
    pub healed: u64,
    /// every node was ready and saw all others,
    pub met: u64,
    /// and all nodes were whole and equal; 0: nobody waited for that.
    pub equal: u64,
}

/// A history that is being written.
#[derive(Debug)]
pub struct Recorder {
    file: Mutex<BufWriter<File>>,
}

impl Recorder {
    /// An empty history.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path) -> Result<Recorder, String> {
        let file =
            File::create(path).map_err(|error| format!("history {}: {error}", path.display()))?;
        Ok(Recorder {
            file: Mutex::new(BufWriter::new(file)),
        })
    }

    /// Adds a line.
    ///
    /// # Panics
    /// When it cannot be written: without it nothing can be judged.
    pub fn add(&self, line: &Line) {
        let text = serde_json::to_string(line).expect("a line of text and numbers");
        let mut file = self.file.lock().expect("no writer panics");
        writeln!(file, "{text}").expect("the history can be written");
    }

    /// Brings all lines to the file.
    ///
    /// # Panics
    /// As [`Recorder::add`].
    pub fn flush(&self) {
        let mut file = self.file.lock().expect("no writer panics");
        file.flush().expect("the history can be written");
    }
}

/// Reads a history.
///
/// # Errors
/// When it cannot be read, with the line.
pub fn read(path: &Path) -> Result<Vec<Line>, String> {
    let file = File::open(path).map_err(|error| format!("history {}: {error}", path.display()))?;
    let mut lines = Vec::new();
    for (number, text) in BufReader::new(file).lines().enumerate() {
        let line = text
            .map_err(|error| error.to_string())
            .and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()))
            .map_err(|why| format!("history, line {}: {why}", number + 1))?;
        lines.push(line);
    }
    Ok(lines)
}

/// Unix milliseconds.
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
