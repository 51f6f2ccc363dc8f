//! docs/contradictions.md says what the lenses say.

use std::fs;

use e2e::contradictions::{PAGE, path, rebuild, records};

/// `UPDATE_DOCS=1` writes the page; its reasons are then read again by a person.
#[test]
fn every_answer_on_the_page_is_what_the_lens_says() {
    let file = path(PAGE);
    let page = fs::read_to_string(&file).expect("the page is in the repository");
    let records = records(&page).expect("the page's records can be read");
    let rebuilt = rebuild(&page, &records).unwrap_or_else(|why| panic!("{PAGE}: {why}"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(file, rebuilt).expect("the page can be written");
        return;
    }
    for (number, (is, should)) in page.lines().zip(rebuilt.lines()).enumerate() {
        assert_eq!(
            is,
            should,
            "{PAGE}:{}: run UPDATE_DOCS=1 cargo test -p e2e --test page, and read the reasons again",
            number + 1
        );
    }
    assert_eq!(page, rebuilt, "{PAGE}");
}
