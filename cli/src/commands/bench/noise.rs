//! CPU time that other processes took during a measurement, where the system reports it.

use std::fs;
use std::time::Instant;

/// Share of a core that other processes may take before a repetition is marked.
pub const LIMIT: f64 = 0.06;

/// Seconds per tick in `/proc`: Linux reports hundredths of a second there, whatever its timer does (USER_HZ).
const TICK: f64 = 0.01;
/// Rounding error of the sums below in seconds, since each number is cut to whole ticks.
const ROUNDING: f64 = 4.0 * TICK;

/// Shortest measurement in seconds; in less time a few ticks have no meaning.
const LEAST_SECONDS: f64 = 0.2;

/// Watch over one repetition.
#[derive(Debug)]
pub struct Watch {
    start: Instant,
    others: Option<f64>,
}

/// Measurement of a repetition.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Time in seconds.
    pub seconds: f64,
    /// CPU time of other processes as a share of one core; `None` if the repetition was too short or the system does not report
    /// it.
    pub others: Option<f64>,
}

impl Watch {
    /// Starts the watch.
    pub fn start() -> Self {
        let others = seconds_of_others();
        Self { start: Instant::now(), others }
    }

    /// Stops the watch.
    pub fn stop(self) -> Seen {
        let seconds = self.start.elapsed().as_secs_f64().max(1e-9);
        let others = self.others.zip(seconds_of_others()).and_then(|(before, after)| share(after - before, seconds));
        Seen { seconds, others }
    }
}

/// CPU time in seconds as a share of one core, less the rounding error. `None` if the measurement was too short.
fn share(of_others: f64, seconds: f64) -> Option<f64> {
    (seconds >= LEAST_SECONDS).then(|| (of_others - ROUNDING).max(0.0) / seconds)
}

/// CPU time in seconds since the machine began, without this process's.
fn seconds_of_others() -> Option<f64> {
    let (all, own) = (fs::read_to_string("/proc/stat").ok()?, fs::read_to_string("/proc/self/stat").ok()?);
    Some(TICK * (busy_ticks(&all)? as f64 - own_ticks(&own)? as f64))
}

/// Sum of user, nice, system, irq, softirq and steal of the line `cpu`, without idle and iowait.
fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    Some([0, 1, 2, 5, 6, 7].iter().filter_map(|&i| ticks.get(i)).sum())
}

/// Sum of utime and stime, the 14th and 15th field. The second field is a name in brackets, which may hold anything.
fn own_ticks(stat: &str) -> Option<u64> {
    let mut words = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(words.next()?.parse::<u64>().ok()? + words.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_linux() {
        let stat = "cpu  100 20 3 5000 60 7 8 9 50 0\ncpu0 1 1 1 1\nintr 5\n";
        assert_eq!(busy_ticks(stat), Some(100 + 20 + 3 + 7 + 8 + 9));
        assert_eq!(busy_ticks("cpu  1 2 3 4"), Some(6), "an old kernel counts less");
        assert_eq!(busy_ticks("cpu0 1 2 3"), None);
        let own = "42 (a ) b) R 1 42 42 0 -1 4194304 100 0 0 0 250 30 0 0 20 0 1 0";
        assert_eq!(own_ticks(own), Some(280));
        assert_eq!(own_ticks("42 (a) R 1 2"), None);
    }

    #[test]
    fn rounding_is_nobodys_work() {
        assert_eq!(share(0.5 + ROUNDING, 2.0), Some(0.25));
        assert_eq!([share(ROUNDING, 1.0), share(-0.02, 1.0)], [Some(0.0); 2], "numbers cut to ticks may even fall");
        assert_eq!(share(1.0, LEAST_SECONDS / 2.0), None, "too short to tell");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_system_tells() {
        assert!(seconds_of_others().is_some());
        assert!(Watch::start().stop().others.is_none(), "too short to tell");
    }
}
