//! The four containers of a pod: what they run, how they are asked, and how long they get to end.

use serde_json::{Value, json};

use super::{SET, named, names, pod};
use crate::drains::{Drains, SERVICES};
use crate::house::differs;
use crate::yaml::{document, list};
use crate::{Fault, House};

/// Each probe and what it asks of the binary. `live` where the answer no means a restart.
const PROBES: [(&str, &str); 3] = [
    ("startupProbe", "live"),
    ("readinessProbe", "health"),
    ("livenessProbe", "live"),
];

/// Who has to be done before whom begins to end: calls in hand need all others, and repair and goodbye the store.
const BEFORE: [(&str, &str); 4] = [
    ("gateway", "membership"),
    ("gateway", "antientropy"),
    ("membership", "store"),
    ("antientropy", "store"),
];

/// The containers are the services, and end in order and in time.
pub fn check(house: &House) -> Vec<Fault> {
    compare(house).unwrap_or_else(|fault| vec![fault])
}

fn compare(house: &House) -> Result<Vec<Fault>, Fault> {
    let drains = Drains::read(house)?;
    let pod = pod(house)?;
    let containers = &pod["containers"];
    let mut faults = Vec::new();
    faults.extend(differs(
        SET,
        "the list of containers",
        &json!(names(containers)),
        &json!(SERVICES),
    ));
    for service in SERVICES {
        faults.extend(check_container(
            service,
            named(containers, service),
            &drains,
        ));
    }
    faults.extend(check_order(containers, &drains));
    faults.extend(check_period(&pod, &drains));
    faults.extend(check_reasons(&house.need(SET)?.text, containers, &drains));
    faults.extend(check_patches(house)?);
    Ok(faults)
}

/// One container runs its service's binary, and is asked with it.
fn check_container(service: &str, container: &Value, drains: &Drains) -> Vec<Fault> {
    let binary = format!("stemedb-{service}");
    let mut faults = Vec::new();
    faults.extend(differs(
        SET,
        format!("command of {service}"),
        &container["command"],
        &json!([binary]),
    ));
    for (probe, question) in PROBES {
        faults.extend(differs(
            SET,
            format!("{probe} of {service}"),
            &container[probe]["exec"]["command"],
            &json!([binary, question]),
        ));
        let timeout = container[probe]["timeoutSeconds"].as_u64().unwrap_or(1) * 1000;
        if timeout <= drains.probe {
            faults.push(Fault::of(
                SET,
                format!(
                    "{probe} of {service} waits {timeout} ms; the binary itself waits {} ms",
                    drains.probe
                ),
            ));
        }
    }
    faults
}

/// Milliseconds until a container is told to end.
fn told_after(containers: &Value, service: &str) -> u64 {
    let pre_stop = &named(containers, service)["lifecycle"]["preStop"];
    pre_stop["sleep"]["seconds"].as_u64().unwrap_or_default() * 1000
}

/// Whoever is needed is told to end after those who need him are done.
fn check_order(containers: &Value, drains: &Drains) -> Vec<Fault> {
    BEFORE
        .iter()
        .filter_map(|(first, then)| {
            let done = told_after(containers, first) + drains.work(first);
            let told = told_after(containers, then);
            (done > told).then(|| {
                Fault::of(
                    SET,
                    format!("{first} may work until {done} ms; {then} is told to end at {told} ms"),
                )
            })
        })
        .collect()
}

/// Nobody is killed who keeps to his time.
fn check_period(pod: &Value, drains: &Drains) -> Vec<Fault> {
    let period = pod["terminationGracePeriodSeconds"].as_u64().unwrap_or(30) * 1000;
    SERVICES
        .iter()
        .filter_map(|service| {
            let end = told_after(&pod["containers"], service) + drains.end(service);
            (end >= period).then(|| {
                Fault::of(
                    SET,
                    format!(
                        "{service} may take {end} ms to end; the pod is killed after {period} ms"
                    ),
                )
            })
        })
        .collect()
}

/// The comments give these times as they are.
fn check_reasons(text: &str, containers: &Value, drains: &Drains) -> Vec<Fault> {
    let seconds = |milliseconds: u64| milliseconds / 1000;
    let gateway = drains.work("gateway") + drains.spans;
    let reasons = [
        format!(
            "preStop of the store ({} s)",
            seconds(told_after(containers, "store"))
        ),
        format!("its drain ({} s)", seconds(drains.work("store"))),
        format!("its last spans ({} s)", seconds(drains.spans)),
        format!(
            "that the pod goes ({} s)",
            seconds(told_after(containers, "gateway"))
        ),
        format!("has in hand end (up to {} s)", seconds(gateway)),
    ];
    // Comments are wrapped.
    let flat: Vec<&str> = text
        .split_whitespace()
        .filter(|word| *word != "#")
        .collect();
    let flat = flat.join(" ");
    reasons
        .into_iter()
        .filter(|reason| !flat.contains(reason))
        .map(|reason| Fault::of(SET, format!("nothing says `{reason}`, as it is")))
        .collect()
}

/// An overlay changes containers that are there: kustomize would add one of another name.
fn check_patches(house: &House) -> Result<Vec<Fault>, Fault> {
    let mut faults = Vec::new();
    for file in house
        .ending("yaml")
        .filter(|file| file.path.starts_with("k8s/overlays/"))
    {
        let patch = document(file)?;
        for container in list(&patch["spec"]["template"]["spec"]["containers"]) {
            let name = container["name"].as_str().unwrap_or_default();
            if !SERVICES.contains(&name) {
                faults.push(Fault::of(
                    &file.path,
                    format!("no container is called {name:?}"),
                ));
            }
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::notices;

    #[test]
    fn a_container_that_is_not_what_it_is_called_is_found() {
        notices(
            check,
            &[
                (
                    SET,
                    "- name: membership\n",
                    "- name: members\n",
                    "the list of containers",
                ),
                (
                    SET,
                    "command: [stemedb-store]",
                    "command: [stemedb-gateway]",
                    "command of store",
                ),
                (
                    SET,
                    "[stemedb-store, health]",
                    "[stemedb-store, live]",
                    "readinessProbe of store",
                ),
                (
                    SET,
                    "[stemedb-antientropy, live]",
                    "[stemedb-antientropy, health]",
                    "startupProbe of antientropy",
                ),
                (
                    SET,
                    "livenessProbe:\n            <<: *liveness\n            exec:",
                    "livenessProbe:\n            <<: *liveness\n            grpc:",
                    "livenessProbe of",
                ),
                (
                    SET,
                    "timeoutSeconds: ",
                    "timeoutSeconds: 2 # ",
                    "startupProbe of membership waits 2000 ms",
                ),
                (
                    "k8s/overlays/dev/small.yaml",
                    "name: store\n",
                    "name: shop\n",
                    "no container is called \"shop\"",
                ),
            ],
        );
    }

    #[test]
    fn a_time_that_is_too_short_is_found() {
        let drain = "const DRAIN: Duration = Duration::from_";
        let grace = "const GRACE: Duration = Duration::from_";
        notices(
            check,
            &[
                (
                    "services/gateway/src/listener/server.rs",
                    drain,
                    &format!("{drain}secs(9); // "),
                    "gateway may work until 16000 ms; membership",
                ),
                (
                    "services/membership/src/lib.rs",
                    grace,
                    &format!("{grace}secs(6); // "),
                    "membership may work until 21000 ms; store",
                ),
                (
                    "services/store/src/lib.rs",
                    grace,
                    &format!("{grace}secs(22); // "),
                    "store may take 45000 ms",
                ),
                (
                    SET,
                    "sleep: { seconds: 20 }",
                    "sleep: { seconds: 18 }",
                    "store is told to end at 18000 ms",
                ),
                (
                    SET,
                    "terminationGracePeriodSeconds: ",
                    "terminationGracePeriodSeconds: 31 # ",
                    "store may take 31000 ms",
                ),
            ],
        );
    }

    #[test]
    fn a_comment_with_another_time_is_found() {
        let grace = "const GRACE: Duration = Duration::from_";
        notices(
            check,
            &[
                (
                    SET,
                    "preStop of the store (",
                    "preStop of the store (1",
                    "preStop of the store (20 s)",
                ),
                (
                    "services/store/src/lib.rs",
                    grace,
                    &format!("{grace}secs(9); // "),
                    "its drain (9 s)",
                ),
                (
                    "services/gateway/src/lib.rs",
                    grace,
                    &format!("{grace}secs(1); // "),
                    "end (up to 8 s)",
                ),
            ],
        );
    }
}
