//! `--threads`: the number of threads.

use std::sync::Once;

use anyhow::Result;
use clap::Args;
use nearfield_host::engine::n_cores;

use super::environment;
use crate::terminal::{Count, note};

/// Number of threads. It changes no result.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct ThreadsArgs {
    /// Number of threads, 1 to 1024; does not change the results [env: NEARFIELD_THREADS] [default: one per core]
    #[arg(short, long, value_name = "T", value_parser = parser())]
    threads: Option<u16>,
}

/// Parser of a number of threads.
pub fn parser() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=environment::MAX_THREADS.into())
}

impl ThreadsArgs {
    /// Number of threads of the argument or the environment; `None` for one per core.
    pub fn number(self) -> Result<Option<usize>> {
        let n = match self.threads {
            Some(n) => Some(n),
            None => environment::threads()?,
        };
        let n = n.map(usize::from);
        n.inspect(|&n| check(n, n_cores()));
        Ok(n)
    }
}

/// Notes once that there are far more threads than cores.
pub fn check(n: usize, n_cores: usize) {
    static TOLD: Once = Once::new();
    if n > 2 * n_cores {
        let cores = Count(n_cores, "core");
        TOLD.call_once(|| {
            note(format_args!(
                "{n} threads are too many for {cores}: they wait for each other, and --threads {n_cores} is faster"
            ));
        });
    }
}
