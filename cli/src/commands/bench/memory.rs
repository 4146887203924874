//! Memory available for a session.

use std::fs;

use anyhow::{Result, ensure};

use crate::terminal::{Bytes, Count};

/// Bytes that can be allocated without moving anything to a disk; `None` where the system does not report it.
pub fn available() -> Option<u64> {
    free_in(&fs::read_to_string("/proc/meminfo").ok()?)
}

/// Bytes of the entry `MemAvailable`, which is in KiB; since Linux 3.14.
fn free_in(meminfo: &str) -> Option<u64> {
    let entry = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    entry.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// Checks that `bytes` for a session of `n_ctx` tokens are available.
pub fn check(n_ctx: usize, bytes: u64) -> Result<()> {
    if let Some(free) = available() {
        let (need, free_text) = (Bytes(bytes), Bytes(free));
        ensure!(bytes <= free, "a context of {} needs {need} of memory, {free_text} are free", Count(n_ctx, "token"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_of_linux() {
        let meminfo = "MemTotal:       24000000 kB\nMemFree:  1 kB\nMemAvailable:   12000000 kB\n";
        assert_eq!(free_in(meminfo), Some(12_000_000 << 10));
        assert_eq!(free_in("MemTotal: 5 kB\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn more_than_there_is_cannot_be_had() {
        check(1, 0).unwrap();
        let error = check(5, u64::MAX).unwrap_err().to_string();
        assert!(error.starts_with("a context of 5 tokens needs 16777216.0 TiB of memory, "), "{error}");
    }
}
