//! Signals that ask for an end (Ctrl-C, SIGTERM, SIGHUP): a flag that the loops look at, so that everything ends in order.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use anyhow::{Context, Result};
use nearfield_host::{Error, output_file};

/// Number of the signal that arrived, or 0.
static ARRIVED: AtomicI32 = AtomicI32::new(0);
/// Whether nothing is looking at the flag: the command waits for a line.
static WAITING: AtomicBool = AtomicBool::new(false);

/// Numbers of signals: of a terminal that is closed, and of Ctrl-C.
const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
/// Exit codes of commands that a signal ended: this and its number.
const EXIT_SIGNAL: i32 = 128;

/// From here on a signal that asks for an end sets the flag. A second one before anything looked, or one while a line is waited
/// for, ends the process at once, without the files that it has begun.
pub fn install() -> Result<()> {
    watch(|signal| {
        let before = ARRIVED.swap(signal, Ordering::SeqCst);
        // A terminal that is closed may send SIGHUP twice, a service manager SIGHUP right behind SIGTERM.
        let is_again = before != 0 && signal != SIGHUP;
        if is_again || WAITING.load(Ordering::SeqCst) {
            exit_at_once(signal);
        }
    })
    .context("cannot watch for Ctrl-C")
}

#[cfg(unix)]
fn watch(on_signal: impl Fn(i32) + Send + 'static) -> Result<()> {
    use signal_hook::consts::SIGTERM;
    use signal_hook::iterator::Signals;

    // Whoever began this command with `nohup` wants it to go on when the terminal is closed.
    let signals = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| signal != SIGHUP || !is_ignored(signal));
    let mut signals = Signals::new(signals)?;
    std::thread::Builder::new().name("signals".into()).spawn(move || signals.forever().for_each(on_signal))?;
    Ok(())
}

/// Whether the process was begun with this signal ignored.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    // SAFETY: all zeros are a value of the structure; without a new action, `sigaction` only writes the present one there.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(not(unix))]
fn watch(on_signal: impl Fn(i32) + Send + 'static) -> Result<()> {
    Ok(ctrlc::set_handler(move || on_signal(SIGINT))?)
}

/// Whether a signal that asks for an end arrived.
pub fn arrived() -> bool {
    ARRIVED.load(Ordering::SeqCst) != 0
}

/// An error if a signal that asks for an end arrived.
pub fn check() -> Result<(), Error> {
    if arrived() { Err(Error::Cancelled) } else { Ok(()) }
}

/// Whether a command failed since a signal arrived.
pub fn is_interrupted(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(Error::is_cancelled)
}

/// Exit code of a command that ended since a signal arrived: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
pub fn exit_code() -> u8 {
    let signal = match ARRIVED.load(Ordering::SeqCst) {
        0 => SIGINT,
        signal => signal,
    };
    u8::try_from(EXIT_SIGNAL + signal).unwrap_or(u8::MAX)
}

/// Ends the process without destructors.
fn exit_at_once(signal: i32) -> ! {
    output_file::remove_parts();
    std::process::exit(EXIT_SIGNAL + signal)
}

/// Runs `wait`, which waits for a line; a Ctrl-C before does not count any more, and another signal ends the process.
pub fn while_waiting<T>(wait: impl FnOnce() -> T) -> T {
    WAITING.store(true, Ordering::SeqCst);
    match ARRIVED.swap(0, Ordering::SeqCst) {
        0 | SIGINT => {}
        signal => exit_at_once(signal),
    }
    let result = wait();
    WAITING.store(false, Ordering::SeqCst);
    result
}
