//! Bytes on the connections of a port, as the kernel counts them for `ss`.

use std::process::Command;

/// TCP payload in both directions over the open connections of listening ports, since they were opened.
///
/// # Errors
/// When `ss` (iproute2) is not installed, or says nothing about bytes.
pub fn bytes(ports: &[u16]) -> Result<u64, String> {
    let mut sum = 0;
    for port in ports {
        let output = Command::new("ss")
            .args([
                "-tinHO",
                "state",
                "established",
                &format!("sport = :{port}"),
            ])
            .output()
            .map_err(|error| format!("ss of iproute2 is needed to count bytes: {error}"))?;
        sum += count(&String::from_utf8_lossy(&output.stdout));
    }
    Ok(sum)
}

fn count(text: &str) -> u64 {
    let words = text.split_whitespace();
    let numbers = words.filter_map(|word| {
        let number = word
            .strip_prefix("bytes_sent:")
            .or_else(|| word.strip_prefix("bytes_received:"));
        number?.parse::<u64>().ok()
    });
    numbers.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_of_all_connections_are_counted() {
        let text = "0 0 127.0.0.1:1 127.0.0.1:2 cubic bytes_sent:100 bytes_acked:100 bytes_received:20 segs_out:7\n\
                    0 0 127.0.0.1:1 127.0.0.1:3 cubic bytes_sent:3 bytes_received:4";
        assert_eq!(count(text), 127);
    }
}
