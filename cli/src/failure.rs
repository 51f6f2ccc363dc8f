//! What ends a command early, and with which exit code.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde_json::Value;

use crate::words::Words;

/// Codes of refusals that are about what is in the cluster, whatever argument they name.
const ABOUT_THE_CLUSTER: [&str; 3] = ["foreign_token", "not_an_owner", "voter_not_signer"];

/// Done.
pub(crate) const EXIT_DONE: u8 = 0;
/// Refused or failed.
pub(crate) const EXIT_FAILED: u8 = 1;
/// The command line does not make sense; clap uses the same number.
pub(crate) const EXIT_USAGE: u8 = 2;
/// Bad configuration (sysexits.h, EX_USAGE, as the services do).
pub(crate) const EXIT_CONFIGURATION: u8 = 64;

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The arguments contradict each other or cannot be read.
    #[error("{0}")]
    Usage(String),
    /// Settings are wrong; every fault is in the text.
    #[error("{0}")]
    Configuration(String),
    /// No URL took the call.
    #[error(
        "no gateway answered:\n{attempts}\n→ is the cluster running? `stemedb up` starts one here; --url or STEMEDB_URL names another"
    )]
    Unreachable {
        /// One line for each try.
        attempts: Attempts,
    },
    /// The cluster refused.
    #[error("{0}")]
    Refused(Problem),
    /// The reply is not what this version understands.
    #[error(
        "{url} sent a reply that this version does not understand: {detail}\n→ compare the versions: stemedb --version, stemedb members"
    )]
    Reply {
        /// Who sent it.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A file could not be read or written.
    #[error("{act} {}: {source}", path.display())]
    File {
        /// What was tried, as "cannot read".
        act: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The command ran, and its outcome is not a success; it has been printed already.
    #[error("{0}")]
    Outcome(String),
    /// The local cluster could not do what was asked.
    #[error("{0}")]
    Local(String),
}

impl From<assertion::Invalid> for Failure {
    fn from(invalid: assertion::Invalid) -> Failure {
        Failure::Refused(Problem::from(invalid))
    }
}

impl Failure {
    /// The exit code of the process, for a command line of these words.
    pub(crate) fn exit_code(&self, words: &Words) -> u8 {
        match self {
            Failure::Usage(_) => EXIT_USAGE,
            Failure::Refused(problem) if problem.is_usage(words) => EXIT_USAGE,
            Failure::Configuration(_) => EXIT_CONFIGURATION,
            _ => EXIT_FAILED,
        }
    }

    /// For people, in the words of the command that they typed.
    pub(crate) fn told(&self, words: &Words) -> String {
        let Failure::Refused(problem) = self else {
            return self.to_string();
        };
        let mut said = String::new();
        // A text takes whatever is written into it.
        let _ = problem.write(&mut said, words);
        said
    }

    /// The same for programs: problem+json when the cluster sent one, else its look-alike.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Failure::Refused(problem) => problem.body.clone(),
            other => serde_json::json!({ "title": "failed", "detail": other.to_string() }),
        }
    }

    /// A closure for `map_err` on file operations.
    pub(crate) fn file(
        act: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Failure {
        let path = path.into();
        move |source| Failure::File { act, path, source }
    }
}

/// Why each URL failed, in the order they were tried.
#[derive(Debug, Default)]
pub(crate) struct Attempts(pub(crate) Vec<(String, String)>);

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (url, why)) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "  {url}: {why}")?;
        }
        Ok(())
    }
}

/// A refusal as RFC 9457 problem+json describes it, whatever the gateway sent.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    /// HTTP status; 0 when it was found out here, before anything was sent.
    pub(crate) status: u16,
    /// The object as received.
    pub(crate) body: Value,
}

impl Problem {
    /// Reads a reply's body; text that is no problem+json becomes the detail.
    pub(crate) fn read(status: u16, body: &[u8]) -> Problem {
        let body = match serde_json::from_slice::<Value>(body) {
            Ok(value) if value.is_object() => value,
            _ => {
                let text: String = String::from_utf8_lossy(body)
                    .chars()
                    .take(DETAIL_CHARS_MAX)
                    .collect();
                serde_json::json!({ "status": status, "title": "refused", "detail": text.trim() })
            }
        };
        Problem { status, body }
    }

    /// A line of a stream that is a problem.
    pub(crate) fn of_line(body: Value) -> Problem {
        let status = body.get("status").and_then(Value::as_u64);
        Problem {
            status: status
                .and_then(|status| u16::try_from(status).ok())
                .unwrap_or(0),
            body,
        }
    }

    /// Whether it says that an argument cannot be as it was typed, wherever that was found out: a value out of range, a flag that
    /// goes with none of the others.
    fn is_usage(&self, words: &Words) -> bool {
        let named = self.text("path").and_then(|path| words.at(path));
        let about_the_cluster = self
            .text("code")
            .is_some_and(|code| ABOUT_THE_CLUSTER.contains(&code));
        matches!(self.status, 0 | 400 | 422) && named.is_some() && !about_the_cluster
    }

    /// A member of the object, when it is text.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.body
            .get(key)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }
}

impl From<assertion::Invalid> for Problem {
    /// As the gateway says it.
    fn from(invalid: assertion::Invalid) -> Problem {
        let mut body = serde_json::json!({
            "title": "not a record",
            "code": invalid.code,
            "detail": format!("{} {}", invalid.path, invalid.detail),
            "path": invalid.path,
            "next_step": invalid.next_step,
        });
        if let Some(limit) = invalid.limit {
            body["limit"] = limit.into();
        }
        Problem { status: 0, body }
    }
}

/// A page of HTML from some proxy is not shown whole.
const DETAIL_CHARS_MAX: usize = 400;

impl Problem {
    /// What is wrong, with the server's code, and what to do next on a line of its own.
    fn write(&self, f: &mut impl fmt::Write, words: &Words) -> fmt::Result {
        let path = self.text("path");
        let say = |sentence: &str| words.say(sentence, path);
        let what = self
            .text("detail")
            .or_else(|| self.text("title"))
            .unwrap_or("refused without a reason");
        let what_said = say(what);
        write!(f, "{what_said}")?;
        if let Some(path) = path.filter(|path| *path != "$") {
            let shown = words.at(path).unwrap_or(path);
            if !what_said.contains(shown) {
                write!(f, " ({shown})")?;
            }
        }
        let limit = self.body.get("limit").and_then(Value::as_u64);
        if let Some(limit) = limit.filter(|limit| !what.contains(&limit.to_string())) {
            write!(f, ", the limit is {limit}")?;
        }
        match (self.text("code"), self.status) {
            (Some(code), _) => write!(f, " [{code}]")?,
            (None, 0) => {}
            // Not from a gateway of ours: its status is all that is known.
            (None, status) => write!(f, " [HTTP {status}]")?,
        }
        match self.text("next_step") {
            Some(next) => write!(f, "\n→ {}", say(next)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &Words::default())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn a_problem_says_what_where_and_what_next() {
        let body = br#"{"status":400,"code":"number_not_exact","detail":"9007199254740993 is not exact","path":"$.object.value","limit":null,"next_step":"send it as text"}"#;
        let shown = Problem::read(400, body).to_string();
        assert_eq!(
            shown,
            "9007199254740993 is not exact ($.object.value) [number_not_exact]\n→ send it as text"
        );
    }

    #[test]
    fn a_problem_is_told_in_the_words_of_the_command() {
        let command = crate::arguments::Arguments::command();
        let told = |line: &str, body: Value| {
            let matches = command
                .clone()
                .try_get_matches_from(line.split_whitespace());
            let words = Words::of(&command, &matches.unwrap());
            Failure::Refused(Problem { status: 422, body }).told(&words)
        };
        let body = serde_json::json!({ "code": "only_with_lens", "path": "tolerance",
            "detail": "`tolerance` says how a lens looks at claims", "next_step": "add lens=skeptic" });
        assert_eq!(
            told("stemedb query a --tolerance 0.2", body),
            "--tolerance says how a lens looks at claims [only_with_lens]\n→ add --lens skeptic"
        );
        let body = serde_json::json!({ "code": "too_long", "path": "subject", "limit": 512,
            "detail": "subject has 600 bytes", "next_step": "shorten it" });
        assert_eq!(
            told("stemedb assert a b 1 --source u --class expert", body),
            "SUBJECT has 600 bytes, the limit is 512 [too_long]\n→ shorten it"
        );
        let configuration = Failure::Configuration("`subject` is no setting".to_owned());
        assert_eq!(
            configuration.told(&Words::default()),
            "`subject` is no setting"
        );
    }

    #[test]
    fn a_reply_from_a_stranger_is_shown_in_part() {
        let page = format!("<html>{}</html>", "x".repeat(10_000));
        let shown = Problem::read(502, page.as_bytes()).to_string();
        assert!(shown.starts_with("<html>") && shown.len() < 500, "{shown}");
    }

    #[test]
    fn exit_codes_are_those_of_the_manual() {
        let command = crate::arguments::Arguments::command();
        let line = ["stemedb", "query", "a"];
        let matches = command.clone().try_get_matches_from(line).unwrap();
        let words = Words::of(&command, &matches);
        let code = |failure: Failure| failure.exit_code(&words);
        let refused = |status, body: &str| Failure::Refused(Problem::read(status, body.as_bytes()));
        assert_eq!(code(Failure::Usage(String::new())), 2);
        assert_eq!(code(Failure::Configuration(String::new())), 64);
        assert_eq!(code(refused(409, "{}")), 1);
        let flag = r#"{"code":"only_with_lens","path":"tolerance"}"#;
        assert_eq!(code(refused(422, flag)), 2);
        assert_eq!(code(refused(503, flag)), 1, "at another time it may do");
        assert_eq!(code(refused(422, r#"{"code":"x","path":"inside"}"#)), 1);
        let token = r#"{"code":"foreign_token","path":"cursor"}"#;
        assert_eq!(code(refused(422, token)), 1);
    }
}
