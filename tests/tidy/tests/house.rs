//! The rules, held over the tree as it is.

use tidy::{Fault, House};
use tidy::{
    compose, documents, drains, functions, k8s, operations, panels, ports, promises, scrapes,
    source, toolchain, variables, walls, wire,
};

fn house() -> House {
    House::read().expect("the tree can be read")
}

fn none(faults: &[Fault]) {
    let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
    assert!(
        lines.is_empty(),
        "{} faults:\n{}",
        lines.len(),
        lines.join("\n")
    );
}

#[test]
fn crates_keep_to_their_walls() {
    let house = house();
    let mut manifests = Vec::new();
    let mut faults = Vec::new();
    for file in house
        .files
        .iter()
        .filter(|file| file.path.ends_with("Cargo.toml"))
    {
        match walls::parse(file) {
            Ok(manifest) => manifests.extend(manifest),
            Err(fault) => faults.push(fault),
        }
    }
    assert!(
        manifests.len() >= 14,
        "only {} manifests found",
        manifests.len()
    );
    faults.extend(walls::check(&manifests));
    none(&faults);
}

#[test]
fn pure_crates_are_pure() {
    none(&source::purity(&house()));
}

#[test]
fn files_are_short() {
    none(&source::sizes(&house().files));
}

#[test]
fn functions_are_short() {
    none(&functions::lengths(&house()));
}

#[test]
fn nothing_is_left_unfinished() {
    none(&source::words(&house().files));
}

#[test]
fn no_place_on_one_machine_is_named() {
    none(&source::paths(&house()));
}

#[test]
fn every_test_runs_and_none_sleeps() {
    none(&source::tests_run_and_do_not_wait(&house()));
}

#[test]
fn lints_are_switched_off_only_with_a_reason() {
    none(&source::allowances(&house().files));
}

#[test]
fn services_have_the_same_rooms() {
    none(&source::rooms(&house()));
}

#[test]
fn every_variable_is_explained_and_every_explanation_has_its_variable() {
    let house = house();
    let code = variables::read_by_code(&house);
    assert!(
        code.len() > 10,
        "the settings table was not found: {code:?}"
    );
    let page = house
        .file(variables::PAGE)
        .expect("docs/configuration.md exists");
    none(&variables::check_page(&code, page));
    none(&variables::check_mentions(&code, &house.files));
}

#[test]
fn ports_are_the_same_everywhere() {
    let house = house();
    none(&ports::check_mentions(&house.files));
    none(&ports::check_constants(&house.files));
    none(&ports::check_table(
        house
            .file("ARCHITECTURE.md")
            .expect("ARCHITECTURE.md exists"),
    ));
    none(&ports::check_defaults(
        house
            .file(variables::PAGE)
            .expect("docs/configuration.md exists"),
    ));
}

#[test]
fn documents_are_there_and_short_and_their_links_lead_somewhere() {
    let house = house();
    none(&documents::check_shape(&house.files));
    none(&documents::check_links(&house.files, &|path| {
        house.root.join(path).exists()
    }));
}

#[test]
fn the_gate_runs_what_readers_are_told_to_run() {
    let house = house();
    let file = |path| house.file(path).expect("it exists");
    none(&documents::check_gate(file(".ci/run"), file("README.md")));
}

#[test]
fn the_wire_contract_explains_itself() {
    let house = house();
    let faults: Vec<Fault> = house.ending("proto").flat_map(wire::check).collect();
    none(&faults);
}

#[test]
fn there_is_one_rust_version() {
    none(&toolchain::check(&house()));
}

#[test]
fn ends_take_no_longer_than_others_wait() {
    none(&drains::check(&house()));
}

#[test]
fn compose_has_three_nodes_alike() {
    none(&compose::check(&house()));
}

#[test]
fn pods_are_four_services_that_end_in_order() {
    none(&k8s::pods::check(&house()));
}

#[test]
fn doors_of_a_pod_are_the_same_for_all_who_know_them() {
    none(&k8s::ports::check(&house()));
}

#[test]
fn settings_of_the_manifests_exist_and_are_where_they_say() {
    none(&k8s::mounts::check(&house()));
    none(&k8s::settings::check(&house()));
}

#[test]
fn there_is_one_image() {
    none(&k8s::images::check(&house()));
}

#[test]
fn whoever_asks_for_metrics_reaches_somebody() {
    none(&scrapes::check(&house()));
}

#[test]
fn every_metric_that_is_asked_for_is_counted() {
    none(&panels::check(&house()));
}

#[test]
fn the_operations_page_says_what_is_there() {
    none(&operations::check(&house()));
}

#[test]
fn what_is_promised_is_held_by_tests_that_are_there() {
    none(&promises::check(&house()));
}
