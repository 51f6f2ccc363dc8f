//! What the cluster says, in the words of the command line: it speaks of fields and parameters, and whoever typed a command knows
//! flags and arguments.

use std::collections::BTreeMap;

use clap::{ArgMatches, Command};

/// Fields of records that have another name on the command line.
const FIELDS: [(&str, &str); 8] = [
    ("object", "value"),
    ("object.value", "value"),
    ("object.type", "type"),
    ("source.uri", "source"),
    ("source.class", "class"),
    ("source.hash", "source_hash"),
    ("signatures", "key"),
    ("id_prefix", "id"),
];

/// The arguments of one command, by the names that the API has for them.
#[derive(Debug, Default)]
pub(crate) struct Words(BTreeMap<String, String>);

impl Words {
    /// Of the command that these matches are of, subcommands included.
    pub(crate) fn of(command: &Command, matches: &ArgMatches) -> Words {
        let (mut command, mut matches) = (command, matches);
        while let Some((name, below)) = matches.subcommand() {
            let Some(found) = command.find_subcommand(name) else {
                break;
            };
            (command, matches) = (found, below);
        }
        let mut words = BTreeMap::new();
        for argument in command.get_arguments() {
            let shown = match argument.get_long() {
                Some(long) => format!("--{long}"),
                None => argument
                    .get_value_names()
                    .and_then(|names| names.first())
                    .map_or_else(|| argument.get_id().to_string(), ToString::to_string)
                    .to_uppercase(),
            };
            if let Some(long) = argument.get_long() {
                words
                    .entry(long.replace('-', "_"))
                    .or_insert_with(|| shown.clone());
            }
            // An argument's own name counts for more than a flag that is called alike.
            words.insert(argument.get_id().as_str().replace('-', "_"), shown);
        }
        for (field, name) in FIELDS {
            if let Some(shown) = words.get(name).cloned() {
                words.entry(field.to_owned()).or_insert(shown);
            }
        }
        Words(words)
    }

    fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The argument at a field or parameter: `source.uri`, `$.tolerance`, `supersedes[0]`.
    pub(crate) fn at(&self, path: &str) -> Option<&str> {
        let path = path.trim_start_matches("$.");
        let path = path.split_once('[').map_or(path, |(list, _)| list);
        self.find(path)
    }

    /// A sentence with `subject=`, `` `min_confidence` ``, `evaluated_at` and the field at `path` in these words.
    pub(crate) fn say(&self, sentence: &str, path: Option<&str>) -> String {
        let mut said = String::with_capacity(sentence.len());
        let sentence = match path.and_then(|path| Some((path, self.at(path)?))) {
            // Of a record it is the first word.
            Some((path, shown)) if sentence.starts_with(&format!("{path} ")) => {
                said.push_str(shown);
                &sentence[path.len()..]
            }
            _ => sentence,
        };
        let mut rest = sentence;
        while let Some(at) = rest.find(|c: char| c.is_ascii_lowercase() || c == '`') {
            let (before, after) = rest.split_at(at);
            said.push_str(before);
            let (word, shown) = self.word(after);
            // After "is" comes what somebody gave.
            let shown = shown.filter(|_| !(word.starts_with('`') && said.ends_with(" is ")));
            said.push_str(shown.as_deref().unwrap_or(word));
            rest = &after[word.len()..];
        }
        said.push_str(rest);
        said
    }

    /// What stands at the beginning of a text, and how it is said here.
    fn word<'a>(&self, text: &'a str) -> (&'a str, Option<String>) {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        if let Some(quoted) = text.strip_prefix('`') {
            let end = quoted.find('`').unwrap_or(0);
            let shown = self.find(&quoted[..end]).map(str::to_owned);
            return match shown {
                Some(shown) => (&text[..end + 2], Some(shown)),
                // What somebody gave is shown as it is.
                None if end > 0 => (&text[..end + 2], None),
                None => (&text[..1], None),
            };
        }
        let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
        let (name, after) = text.split_at(end);
        let Some(shown) = self.find(name) else {
            return (name, None);
        };
        match after.strip_prefix('=') {
            // `lens=skeptic`: with its value, unless that is only hinted at.
            Some(value) if value.starts_with(|c: char| c.is_ascii_alphanumeric()) => {
                (&text[..=end], Some(format!("{shown} ")))
            }
            Some(_) => (&text[..=end], Some(shown.to_owned())),
            // A word of the language, unless it can be none.
            None if name.contains('_') => (name, Some(shown.to_owned())),
            None => (name, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::arguments::Arguments;

    fn words(line: &str) -> Words {
        let command = Arguments::command();
        let matches = command
            .clone()
            .try_get_matches_from(line.split_whitespace())
            .unwrap();
        Words::of(&command, &matches)
    }

    #[test]
    fn parameters_become_flags_and_arguments() {
        let query = words("stemedb query a b --lens skeptic");
        let cases = [
            (
                "`tolerance` says how a lens looks at claims, and the question names no lens",
                "--tolerance says how a lens looks at claims, and the question names no lens",
            ),
            (
                "add lens=skeptic or another one, or leave it out",
                "add --lens skeptic or another one, or leave it out",
            ),
            (
                "add subject=, or subject_prefix= and predicate=, or leave out lens",
                "add SUBJECT, or --subject-prefix and PREDICATE, or leave out lens",
            ),
            (
                "`min_confidence` is `tolerance is high`",
                "--min-confidence is `tolerance is high`",
            ),
            ("`inner` is `epoch`", "--inner is `epoch`"),
            ("a lone ` is no quotation", "a lone ` is no quotation"),
            ("evaluated_at: größer", "--evaluated-at: größer"),
        ];
        for (said, expected) in cases {
            assert_eq!(query.say(said, None), expected);
        }
    }

    #[test]
    fn fields_of_a_record_become_flags_and_arguments() {
        let assert = words("stemedb assert a b 1e400 --source u --class expert");
        let cases = [
            (
                "object.value",
                "object.value is a number",
                "VALUE is a number",
            ),
            ("source.uri", "source.uri is empty", "--source is empty"),
            (
                "asserted_at",
                "asserted_at is ahead",
                "--asserted-at is ahead",
            ),
            ("subject", "subject is empty", "SUBJECT is empty"),
            ("$", "$ has 9 bytes", "$ has 9 bytes"),
        ];
        for (path, said, expected) in cases {
            assert_eq!(assert.say(said, Some(path)), expected);
        }
        let epoch = words("stemedb epoch add E --supersedes 0a1b2c3d");
        assert_eq!(epoch.at("supersedes[0]"), Some("--supersedes"));
        assert_eq!(epoch.at("name"), Some("NAME"));
        let vote = words("stemedb vote 0a1b2c3d --voter v");
        assert_eq!(
            (vote.at("assertion"), vote.at("weight")),
            (Some("ID"), Some("--weight"))
        );
        assert_eq!(vote.at("object"), None);
    }
}
