//! The six published boiling points of water, and what each lens makes of them.

use assertion::Record;
use lens::{Lens, Parameters, Selection, Verdict, resolve};

const CLAIMS: [(&str, &str, f64, &str); 6] = [
    ("chemicals:HEOS", "clinical", 0.95, "373.124295848"),
    ("chemicals:CRC_INORG", "expert", 0.8, "373.124"),
    (
        "chemicals:COMMON_CHEMISTRY",
        "observational",
        0.85,
        "373.15",
    ),
    ("chemicals:WEBBOOK", "regulatory", 0.9, "373.17"),
    ("chemicals:YAWS", "expert", 0.7, "373.15"),
    ("chemicals:WIKIDATA", "community", 0.5, "373.1339"),
];

fn water() -> Vec<Record> {
    CLAIMS
        .iter()
        .enumerate()
        .map(|(position, (uri, class, confidence, value))| {
            let json = format!(
                r#"{{"subject":"cas:7732-18-5","predicate":"boiling_point_k","asserted_at":{},
                "object":{{"type":"number","value":{value}}},"lifecycle":"approved",
                "source":{{"uri":"{uri}","class":"{class}"}},"confidence":{confidence}}}"#,
                1_700_000_000_000_i64 + i64::try_from(position).unwrap()
            );
            Record::from_client_json(json.as_bytes(), 1_800_000_000_000).unwrap()
        })
        .collect()
}

fn ask(lens: Lens, tolerance: Option<f64>) -> lens::Answer {
    let selection = Selection {
        subject: Some("cas:7732-18-5".into()),
        predicate: Some("boiling_point_k".into()),
        ..Selection::default()
    };
    resolve(
        Parameters::new(lens, tolerance, selection).unwrap(),
        &water(),
    )
    .unwrap()
}

fn value(answer: &lens::Answer) -> String {
    let json: serde_json::Value = serde_json::from_slice(&answer.to_json()).unwrap();
    json["value"]["value"].to_string()
}

#[test]
fn each_lens_has_its_own_answer() {
    assert_eq!(value(&ask(Lens::Authority, None)), "373.17");
    assert_eq!(value(&ask(Lens::Recency, None)), "373.1339");
    assert_eq!(value(&ask(Lens::Confidence, None)), "373.124295848");
    assert_eq!(value(&ask(Lens::Consensus, None)), "373.15");
    assert_eq!(ask(Lens::Authority, None).candidates(), 6);
}

#[test]
fn the_skeptic_sees_five_values_and_with_a_tolerance_one() {
    let strict = ask(Lens::Skeptic, None);
    assert_eq!(strict.groups(), 5);
    assert_eq!(strict.verdict(), Some(Verdict::Contested));
    let tolerant = ask(Lens::Skeptic, Some(0.001));
    assert_eq!(tolerant.groups(), 1);
    assert_eq!(tolerant.verdict(), Some(Verdict::Unanimous));
    assert_eq!(value(&tolerant), "373.17");
    assert_eq!(strict.set_digest(), tolerant.set_digest());
}

#[test]
fn no_claims_give_an_answer_with_nulls() {
    let parameters = Parameters::new(Lens::Authority, None, Selection::default()).unwrap();
    let answer = resolve(parameters, &[]).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&answer.to_json()).unwrap();
    assert!(json["winner"].is_null() && json["value"].is_null());
    assert_eq!(json["candidates"], 0);
}
