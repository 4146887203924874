//! Peaks of the machine, measured beside the tests: memory reads, and 8-bit products in registers.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nearfield::kernels::Kernels;

use super::memory;

/// Bytes read in a pass: far more than any cache holds.
const BUFFER_BYTES: u64 = 512 << 20;
/// Words that a thread takes at a time: 2 MiB.
const PART: usize = (2 << 20) / size_of::<u64>();
/// Number of passes, of which the best counts.
const PASSES: usize = 5;
/// Shortest time of a pass of arithmetic.
const PASS_TIME: Duration = Duration::from_millis(20);

/// Buffer for measuring the machine's read bandwidth.
pub struct Machine {
    buffer: Vec<u64>,
}

impl Machine {
    /// Allocates [`BUFFER_BYTES`], or a quarter of the free memory if that is less.
    pub fn new() -> Self {
        let bytes = memory::available().map_or(BUFFER_BYTES, |free| BUFFER_BYTES.min(free / 4));
        // The system could map a buffer of zeros to one page.
        Self { buffer: vec![1; (bytes / size_of::<u64>() as u64) as usize] }
    }

    /// Bytes that a pass reads.
    pub fn buffer_bytes(&self) -> u64 {
        size_of_val(&self.buffer[..]) as u64
    }

    /// Bytes that `n_threads` threads read in a second.
    pub fn read_bandwidth(&self, n_threads: usize) -> f64 {
        let next = [const { AtomicUsize::new(0) }; PASSES];
        let time = best_time(n_threads, |pass| {
            let parts = || self.buffer.chunks(PART).nth(next[pass].fetch_add(1, Ordering::Relaxed));
            while let Some(part) = parts() {
                black_box(sum(part));
            }
        });
        self.buffer_bytes() as f64 / time.as_secs_f64()
    }
}

/// Multiply-accumulates of 8-bit numbers that `n_threads` threads do in a second, at these kernels' best.
pub fn int8_peak(kernels: &dyn Kernels, n_threads: usize) -> f64 {
    let mut rounds = 1 << 10;
    let mut macs = 0;
    let start = Instant::now();
    // The last pass took more than half of the time of all passes.
    while start.elapsed() < 2 * PASS_TIME && rounds < 1 << 31 {
        rounds *= 2;
        macs = kernels.int8_peak(black_box(rounds));
    }
    let time = best_time(n_threads, |_| {
        black_box(kernels.int8_peak(black_box(rounds)));
    });
    macs as f64 * n_threads as f64 / time.as_secs_f64()
}

/// Shortest time of a pass of `work` on `n_threads` threads that begin together: from the first that begins to the last that
/// ends, so that a thread that is woken late makes a pass longer and never shorter.
fn best_time(n_threads: usize, work: impl Fn(usize) + Sync) -> Duration {
    let (barrier, clock) = (Barrier::new(n_threads), Instant::now());
    let now = || u64::try_from(clock.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let begun = [const { AtomicU64::new(u64::MAX) }; PASSES];
    let passes = || {
        let time = |pass: usize| {
            barrier.wait();
            begun[pass].fetch_min(now(), Ordering::Relaxed);
            work(pass);
            barrier.wait();
            now().saturating_sub(begun[pass].load(Ordering::Relaxed))
        };
        (0..PASSES).map(time).min().unwrap_or_default()
    };
    let best = std::thread::scope(|scope| {
        (1..n_threads).for_each(|_| {
            scope.spawn(passes);
        });
        passes()
    });
    Duration::from_nanos(best.max(1))
}

/// Sum of the words, in enough accumulators that the loads wait only for memory.
fn sum(words: &[u64]) -> u64 {
    let mut sums = [0_u64; 32];
    let (chunks, rest) = words.as_chunks::<32>();
    for chunk in chunks {
        for (sum, word) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums.iter().chain(rest).fold(0, |sum, word| sum.wrapping_add(*word))
}

#[cfg(test)]
mod tests {
    use nearfield::kernels;

    use super::*;

    #[test]
    fn every_word_is_read() {
        for n in [0, 1, 31, 32, 33, 1000] {
            let words: Vec<u64> = (1..=n).collect();
            assert_eq!(sum(&words), n * (n + 1) / 2, "{n}");
        }
    }

    #[test]
    fn every_thread_does_every_pass() {
        for n_threads in 1..=3 {
            let calls = AtomicUsize::new(0);
            best_time(n_threads, |_| {
                calls.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(calls.into_inner(), n_threads * PASSES);
        }
    }

    #[test]
    fn peaks_are_those_of_a_computer() {
        let machine = Machine { buffer: vec![1; 3 * PART + 5] };
        for n_threads in [1, 2] {
            assert!((1e7..1e13).contains(&machine.read_bandwidth(n_threads)));
            assert!((1e6..1e15).contains(&int8_peak(kernels::best(), n_threads)));
        }
    }
}
