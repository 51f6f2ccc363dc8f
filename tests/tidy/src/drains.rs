//! How long a service takes to end, by the constants of its code: what grace periods are held against.

use std::collections::BTreeMap;

use crate::{Fault, House};

/// The services of a node.
pub(crate) const SERVICES: [&str; 4] = ["gateway", "store", "membership", "antientropy"];

/// A constant: file and name.
type Constant = (&'static str, &'static str);

/// What each service's own end may take, one after the other.
const WORK: [(&str, &[Constant]); 4] = [
    (
        "gateway",
        &[
            ("services/gateway/src/listener/server.rs", "DRAIN"),
            ("services/gateway/src/lib.rs", "GRACE"),
        ],
    ),
    ("store", &[("services/store/src/lib.rs", "GRACE")]),
    ("membership", &[("services/membership/src/lib.rs", "GRACE")]),
    (
        "antientropy",
        &[("services/antientropy/src/lib.rs", "GRACE")],
    ),
];

/// How long calls in hand may go on.
const CALLS: Constant = ("crates/sidecar/src/grpc.rs", "DRAIN");

/// How long the last spans may take to leave.
const SPANS: Constant = ("crates/sidecar/src/telemetry.rs", "FLUSH");

/// How long threads may take after that.
const THREADS: Constant = ("crates/sidecar/src/boot.rs", "THREADS_END");

/// How long `health` and `live` wait for an answer.
const PROBE: Constant = ("crates/sidecar/src/boot.rs", "HEALTH_TIMEOUT");

/// When `stemedb up` kills what has not ended.
const KILLED: Constant = ("cli/src/local/cluster.rs", "STOP_DEADLINE");

/// Milliseconds that ends take.
#[derive(Debug)]
pub(crate) struct Drains {
    work: BTreeMap<&'static str, u64>,
    /// The last spans, after the work.
    pub(crate) spans: u64,
    /// Threads that hang, after the spans.
    pub(crate) threads: u64,
    /// A probe's own limit.
    pub(crate) probe: u64,
}

impl Drains {
    /// Reads the constants.
    pub(crate) fn read(house: &House) -> Result<Drains, Fault> {
        let mut work = BTreeMap::new();
        for (service, constants) in WORK {
            let parts: Result<Vec<u64>, Fault> = constants
                .iter()
                .map(|constant| milliseconds(house, *constant))
                .collect();
            work.insert(service, parts?.iter().sum());
        }
        Ok(Drains {
            work,
            spans: milliseconds(house, SPANS)?,
            threads: milliseconds(house, THREADS)?,
            probe: milliseconds(house, PROBE)?,
        })
    }

    /// Until a service has done what others wait for: no call in hand, all on disk, goodbye said.
    pub(crate) fn work(&self, service: &str) -> u64 {
        self.work.get(service).copied().unwrap_or_default()
    }

    /// Until its process is gone.
    pub(crate) fn end(&self, service: &str) -> u64 {
        self.work(service) + self.spans + self.threads
    }
}

/// The constants among themselves: the store commits after its calls, and `up` kills nobody who keeps to his time.
pub fn check(house: &House) -> Vec<Fault> {
    let read = || {
        Ok((
            Drains::read(house)?,
            milliseconds(house, CALLS)?,
            milliseconds(house, KILLED)?,
        ))
    };
    let (drains, calls, killed) = match read() {
        Ok(read) => read,
        Err(fault) => return vec![fault],
    };
    let mut faults = Vec::new();
    let store = drains.work("store");
    if store <= calls {
        faults.push(Fault::of(
            WORK[1].1[0].0,
            format!("GRACE of {store} ms leaves no time to commit after calls of {calls} ms"),
        ));
    }
    for service in SERVICES {
        let end = drains.end(service);
        if end >= killed {
            faults.push(Fault::of(
                KILLED.0,
                format!("{service} may take {end} ms to end and is killed after {killed} ms"),
            ));
        }
    }
    faults
}

/// The value of `const NAME: Duration = Duration::from_secs(8);`, in milliseconds.
fn milliseconds(house: &House, (path, name): Constant) -> Result<u64, Fault> {
    let file = house.need(path)?;
    let start = format!("const {name}: Duration = Duration::from_");
    let value = file.text.lines().find_map(|line| {
        let (unit, rest) = line.split_once(&start)?.1.split_once('(')?;
        let number: u64 = rest.split_once(')')?.0.replace('_', "").parse().ok()?;
        match unit {
            "secs" => Some(number * 1000),
            "millis" => Some(number),
            _ => None,
        }
    });
    value.ok_or_else(|| Fault::of(path, format!("no `{start}…`, which tests/tidy reads")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::notices;

    #[test]
    fn an_end_that_others_cut_short_is_found() {
        let grace = "const GRACE: Duration = Duration::from_";
        notices(
            check,
            &[
                (
                    "services/store/src/lib.rs",
                    grace,
                    &format!("{grace}secs(5); // "),
                    "leaves no time to commit",
                ),
                (
                    "services/membership/src/lib.rs",
                    grace,
                    &format!("{grace}millis(90_000); // "),
                    "membership may take 93000 ms",
                ),
                (
                    "services/gateway/src/listener/server.rs",
                    "const DRAIN",
                    "const WAIT",
                    "no `const DRAIN",
                ),
            ],
        );
    }
}
