//! CPU time and memory of processes, as the kernel counts them.

use std::fs;
use std::time::Duration;

/// What the kernel says of one process.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Account {
    parent: u32,
    /// Its own.
    used: u64,
    /// Of its children that have ended.
    ended: u64,
}

/// CPU time of this process so far.
pub fn own() -> Duration {
    of(std::process::id())
}

/// CPU time of a process so far; none when it is gone.
pub fn of(pid: u32) -> Duration {
    ticks(account(pid).map_or(0, |account| account.used))
}

/// Resident memory of a process in MiB.
pub fn resident_mib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1_024.0)
}

fn account(pid: u32) -> Option<Account> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `pid (name) state ppid …`; the name may hold anything.
fn parse(stat: &str) -> Option<Account> {
    let (_, after) = stat.rsplit_once(") ")?;
    let words: Vec<&str> = after.split(' ').collect();
    let number = |place: usize| words.get(place)?.parse::<u64>().ok();
    Some(Account {
        parent: u32::try_from(number(1)?).ok()?,
        used: number(11)? + number(12)?,
        ended: number(13)? + number(14)?,
    })
}

fn ticks(count: u64) -> Duration {
    Duration::from_secs_f64(count as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// How busy the machine and how busy we and our children were so far.
#[derive(Debug, Clone, Copy)]
pub struct Busy {
    all: u64,
    ours: u64,
    total: u64,
}

impl Busy {
    /// Until now. None where there is no /proc.
    pub fn now() -> Option<Busy> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let words = stat
            .lines()
            .next()?
            .strip_prefix("cpu ")?
            .split_whitespace();
        // user nice system idle iowait irq softirq steal
        let columns: Vec<u64> = words.take(8).filter_map(|word| word.parse().ok()).collect();
        let total: u64 = columns.iter().sum();
        let idle: u64 = columns.get(3..5)?.iter().sum();
        Some(Busy {
            all: total - idle,
            ours: ours()?,
            total,
        })
    }

    /// Share of the machine that others used since then.
    pub fn others_since(self, then: Busy) -> f64 {
        let all = self.all.saturating_sub(then.all);
        let others = all.saturating_sub(self.ours.saturating_sub(then.ours));
        others as f64 / self.total.saturating_sub(then.total).max(1) as f64
    }
}

fn ours() -> Option<u64> {
    let own = std::process::id();
    let this = account(own)?;
    let mut sum = this.used + this.ended;
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok());
        if let Some(child) = pid.and_then(account).filter(|child| child.parent == own) {
            sum += child.used + child.ended;
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_columns() {
        let stat = "7 (a) b) S 3 1 1 0 -1 4 5 6 7 8 100 20 30 4 20 0 1 0 1 1 1";
        let account = parse(stat).unwrap();
        assert_eq!(
            account,
            Account {
                parent: 3,
                used: 120,
                ended: 34
            }
        );
    }

    #[test]
    fn this_process_uses_memory_and_is_part_of_the_busy_ones() {
        assert!(resident_mib(std::process::id()).unwrap() > 0.5);
        let then = Busy::now().unwrap();
        let share = Busy::now().unwrap().others_since(then);
        assert!((0.0..=1.0).contains(&share));
    }
}
