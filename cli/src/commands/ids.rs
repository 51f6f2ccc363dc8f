//! Ids as people give and read them: whole, or their first digits.

use serde_json::{Value, json};

use crate::client::Client;
use crate::commands::cell::text;
use crate::commands::trace::summary;
use crate::failure::{Failure, Problem};

/// Digits of a whole id.
const DIGITS: usize = 64;

/// Fewest digits that an id is looked for by, as the API has it.
const DIGITS_MIN: usize = 8;

/// Digits that tables show: more than enough to find the record again.
const DIGITS_SHOWN: usize = 12;

/// How ids are shown.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct Ids {
    /// Show all 64 digits of every id; the first 12 are enough for every command that takes one
    #[arg(long)]
    full_ids: bool,
}

impl Ids {
    /// An id, or as much of it as is shown.
    pub(crate) fn show(self, id: &str) -> String {
        match self.full_ids {
            true => id.to_owned(),
            false => id.chars().take(DIGITS_SHOWN).collect(),
        }
    }

    /// A list of them.
    pub(crate) fn all(self, ids: &Value) -> String {
        let ids = ids.as_array().into_iter().flatten();
        let shown: Vec<String> = ids
            .filter_map(Value::as_str)
            .map(|id| self.show(id))
            .collect();
        shown.join(", ")
    }
}

/// Reads an id, or the beginning of one.
pub(crate) fn given(text: &str) -> Result<String, String> {
    let id = text.trim().to_ascii_lowercase();
    let is_hex = id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex && (DIGITS_MIN..=DIGITS).contains(&id.len()) {
        return Ok(id);
    }
    Err(format!(
        "{text:?} is no id: give its {DIGITS} hex digits, or the first {DIGITS_MIN} or more"
    ))
}

/// The whole id of the one record whose id begins so.
///
/// # Errors
/// When there is none, or more than one.
pub(crate) async fn whole(client: &Client, given: &str) -> Result<String, Failure> {
    if given.len() == DIGITS {
        return Ok(given.to_owned());
    }
    let said = client
        .get_json(format!("/v1/records?id_prefix={given}"))
        .await?;
    let found = said["result"]["records"].as_array();
    match found.map(Vec::as_slice).unwrap_or_default() {
        [one] => Ok(text(one, "id").to_owned()),
        [] => Err(refused(
            "no_such_record",
            format!("no record that was found has an id that begins with {given}"),
            match said["meta"]["complete"].as_bool() {
                Some(true) => "compare the digits with those that were shown",
                _ => "not all nodes answered: ask again when they are back (stemedb members)",
            },
        )),
        several => {
            let more = match said["result"]["cursor"].is_string() {
                true => "\n  and more",
                false => "",
            };
            let listed: String = several.iter().map(|record| line(record, given)).collect();
            Err(refused(
                "ambiguous_id",
                format!("several ids begin with {given}:{listed}{more}"),
                "give more of the digits",
            ))
        }
    }
}

/// The same of an option that was perhaps not given.
///
/// # Errors
/// As [`whole`].
pub(crate) async fn complete(client: &Client, given: &mut Option<String>) -> Result<(), Failure> {
    if let Some(id) = given {
        *id = whole(client, id).await?;
    }
    Ok(())
}

/// Enough digits to tell it from the others, and what it says.
fn line(record: &Value, given: &str) -> String {
    let digits = (given.len() + DIGITS_MIN).max(DIGITS_SHOWN);
    let id: String = text(record, "id").chars().take(digits).collect();
    format!("\n  {id}  {}", summary(record, Ids::default()))
}

fn refused(code: &str, detail: String, next_step: &str) -> Failure {
    Failure::Refused(Problem {
        status: 0,
        body: json!({ "title": "no such id", "code": code, "detail": detail, "next_step": next_step }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_be_shortened_to_eight_digits() {
        assert_eq!(given("0A1b2C3d"), Ok("0a1b2c3d".to_owned()));
        assert_eq!(given(&"0a".repeat(32)), Ok("0a".repeat(32)));
        for text in ["", "0a1b2c3", "0a1b2c3g", "0a1b2c3d…", &"0".repeat(65)] {
            let refused = given(text).unwrap_err();
            assert!(refused.contains("first 8"), "{refused}");
        }
    }

    #[test]
    fn an_id_that_is_shown_can_be_given() {
        let id = "8f2110f3d44c1351b3442e4690ccfa935fc18391bbe17054916bcb434b9c90e9";
        assert_eq!(
            given(&Ids::default().show(id)),
            Ok("8f2110f3d44c".to_owned())
        );
        assert_eq!(Ids { full_ids: true }.show(id), id);
        let two = json!([id, id]);
        assert_eq!(Ids::default().all(&two), "8f2110f3d44c, 8f2110f3d44c");
    }
}
