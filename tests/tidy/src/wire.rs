//! The wire contract explains itself: every message, field, value and call of the `.proto` files has a comment.

use crate::{Fault, SourceFile};

/// Finds declarations without a comment line above them.
pub fn check(file: &SourceFile) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut commented = false;
    for (index, line) in file.text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with("//") {
            commented = true;
            continue;
        }
        if declares(line) && !commented && !line.contains("//") {
            faults.push(Fault::at(
                file,
                index + 1,
                format!("no comment above `{line}`"),
            ));
        }
        commented = false;
    }
    faults
}

fn declares(line: &str) -> bool {
    let named = ["service ", "message ", "enum ", "rpc ", "oneof "]
        .iter()
        .any(|word| line.starts_with(word));
    let head = ["syntax", "package", "import", "option", "reserved"]
        .iter()
        .any(|word| line.starts_with(&format!("{word} ")) && !line.starts_with("optional "));
    named || (line.ends_with(';') && line.contains('=') && !head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_explained_is_found() {
        let text = "syntax = \"proto3\";\n\n// A thing.\nmessage Thing {\n  // Its name.\n  string name = 1;\n  optional uint32 size = 2;\n}\nenum Kind {\n  KIND_NONE = 0;\n}\n";
        let faults = check(&SourceFile::new("x.proto", text));
        let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [7, 9, 10]);
    }
}
