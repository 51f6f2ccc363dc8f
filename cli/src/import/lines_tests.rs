//! Chunks of real claims, and of files that somebody broke.

use std::io::{Cursor, Write};

use super::*;

const CLAIMS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../bench/data/chem-claims.ndjson.gz"
);

fn pieces(input: impl Into<Vec<u8>>) -> Vec<Piece> {
    Lines::new(Cursor::new(input.into()), 1_700_000_000_000)
        .unwrap()
        .map(|piece| piece.unwrap())
        .collect()
}

fn chunk(piece: &Piece) -> &Chunk {
    match piece {
        Piece::Chunk(chunk) => chunk,
        Piece::Refused(_) => panic!("expected lines, got {piece:?}"),
    }
}

#[test]
fn real_claims_come_in_full_chunks_with_their_line_numbers() {
    let mut lines = Lines::open(Path::new(CLAIMS), 0).unwrap();
    let size = std::fs::metadata(CLAIMS).unwrap().len();
    let (mut count, mut bytes) = (0, 0);
    for piece in &mut lines {
        let piece = piece.unwrap();
        let chunk = chunk(&piece);
        assert!(chunk.len() <= CHUNK_LINES_MAX);
        assert_eq!(chunk.number(0), count + 1);
        assert!(chunk.text(0).starts_with(b"{\"subject\":\"cas:"));
        count += chunk.len() as u64;
        bytes += chunk.input_bytes;
    }
    assert_eq!((count, lines.number()), (292_577, 292_577));
    assert_eq!(
        bytes, size,
        "progress by input bytes ends at the end of the file"
    );
}

#[test]
fn a_part_of_a_chunk_keeps_its_numbers() {
    let pieces = pieces("{\"a\":1}\n\n  \n{\"b\":2}\n{\"c\":3}");
    let all = chunk(&pieces[0]);
    assert_eq!(
        (all.len(), all.number(1), all.number(2)),
        (3, 4, 5),
        "blank lines count but are not sent"
    );
    let part = all.only(&[0, 2]);
    assert_eq!((part.len(), part.number(1)), (2, 5));
    assert_eq!(part.text(1), all.text(2));
    assert_eq!(part.body().iter().filter(|byte| **byte == b'\n').count(), 2);
}

#[test]
fn lines_are_stamped_with_one_moment() {
    let pieces = pieces("{\"a\":1}\n{\"a\":2}\n");
    let chunk = chunk(&pieces[0]);
    for (place, number) in [(0, 1), (1, 2)] {
        assert_eq!(
            chunk.text(place),
            format!("{{\"a\":{number},\"asserted_at\":1700000000000}}").as_bytes()
        );
    }
}

#[test]
fn lines_that_cannot_be_signed_are_refused_and_the_others_sent() {
    let good = "{\"subject\":\"a\",\"predicate\":\"b\",\"object\":{\"type\":\"number\",\"value\":1},\"source\":{\"uri\":\"c\",\"class\":\"expert\"}}";
    let text = format!("{good}\n{{}}\n{good}\n{{broken\n");
    let key = SigningKey::from_seed(&[7; 32]);
    let pieces: Vec<Piece> = Lines::new(Cursor::new(text.into_bytes()), 1_700_000_000_000)
        .unwrap()
        .signed(Some(key))
        .map(|piece| piece.unwrap())
        .collect();
    let sent = chunk(&pieces[0]);
    assert_eq!((sent.len(), sent.number(0), sent.number(1)), (2, 1, 3));
    assert_eq!(sent.text(0), sent.text(1), "the same claim is one record");
    let Piece::Refused(refused) = &pieces[1] else {
        panic!("expected refused lines, got {:?}", pieces[1]);
    };
    let said: Vec<(u64, &str)> = refused
        .iter()
        .map(|line| (line.number, line.problem["code"].as_str().unwrap()))
        .collect();
    assert_eq!(said, [(2, "missing_field"), (4, "malformed_json")]);
    assert_eq!(refused[1].text, b"{broken");
}

#[test]
fn a_line_without_end_costs_no_memory_and_hides_no_other() {
    let mut input = b"{\"a\":1}\n".to_vec();
    input.extend(std::iter::repeat_n(b'x', 10 * 1024 * 1024));
    input.extend(b"\n{\"b\":2}\n");
    let pieces = pieces(input);
    assert_eq!(pieces.len(), 2);
    assert_eq!(chunk(&pieces[0]).number(0), 1);
    assert_eq!(chunk(&pieces[0]).number(1), 3);
    let Piece::Refused(refused) = &pieces[1] else {
        panic!("expected a refused line, got {:?}", pieces[1]);
    };
    assert_eq!((refused.len(), refused[0].number), (1, 2));
    assert_eq!(refused[0].problem["code"], "line_too_long");
    assert!(refused[0].text.is_empty());
}

#[test]
fn half_a_gzip_ends_in_an_error_after_what_could_be_read() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for number in 0..50_000_u64 {
        writeln!(
            encoder,
            "{{\"subject\":\"cas:{}\"}}",
            number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        )
        .unwrap();
    }
    let mut half = encoder.finish().unwrap();
    half.truncate(half.len() / 2);
    let mut lines = Lines::new(Cursor::new(half), 0).unwrap();
    let outcomes: Vec<bool> = (&mut lines).map(|piece| piece.is_ok()).collect();
    assert_eq!(
        outcomes.iter().filter(|ok| !**ok).count(),
        1,
        "one error, then the end"
    );
    assert_eq!(outcomes.last(), Some(&false));
    assert!(lines.number() > 10_000);
}
