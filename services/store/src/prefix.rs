//! Texts that begin alike, as a range in the order of their bytes: how SQLite compares them.

use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};

/// The first text above all that start with `prefix`; none when there is none.
pub(crate) fn above(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // UTF-8 has the order of the characters.
        if let Some(next) = (last..=char::MAX).nth(1) {
            text.push(next);
            return Some(text);
        }
    }
    None
}

/// The first text above this one.
pub(crate) fn next(text: &str) -> String {
    let mut next = text.to_owned();
    next.push('\0');
    next
}

/// Binds the end of a range. Any blob is above every text.
pub(crate) fn bind<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    below: Option<&str>,
) -> Query<'q, Sqlite, SqliteArguments> {
    match below {
        Some(text) => query.bind(text.to_owned()),
        None => query.bind(vec![0_u8]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_first_text_that_does_not_start_with_it() {
        assert_eq!(above("cas:1").as_deref(), Some("cas:2"));
        assert_eq!(above("a\u{7f}").as_deref(), Some("a\u{80}"));
        assert_eq!(above("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(above("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(above("\u{10ffff}"), None);
        assert_eq!(above(""), None);
        for (prefix, inside) in [("a", "a\u{10ffff}\u{10ffff}"), ("é", "éz"), ("a", "a")] {
            let above = above(prefix).unwrap();
            assert!(prefix <= inside && inside < above.as_str());
        }
    }

    #[test]
    fn nothing_is_between_a_text_and_the_next() {
        assert!(*next("a") > *"a");
        assert!(next("a").as_str() <= "a\0\0" && next("a").as_str() <= "a\u{1}");
    }
}
