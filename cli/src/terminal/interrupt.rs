//! Signals that ask for an end (Ctrl-C, SIGTERM, SIGHUP): they set a flag that the loops check, so that everything ends in
//! order.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use anyhow::{Context, Result};
use nearfield_host::{Error, output_file};

use super::tty;

/// Number of the signal that arrived, or 0.
static ARRIVED: AtomicI32 = AtomicI32::new(0);
/// True while the command waits for a line, so that nothing checks the flag.
static WAITING: AtomicBool = AtomicBool::new(false);
/// True while that line is edited: an editor reads Ctrl-C as a key.
static EDITING: AtomicBool = AtomicBool::new(false);

/// Signal numbers of a closed terminal and of Ctrl-C.
const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
/// Exit code of a command that a signal ended, less the signal's number.
const EXIT_SIGNAL: i32 = 128;

/// Installs the handler that sets the flag. A second signal before the flag was checked, or one while the command waits for a
/// line, ends the process at once and removes the files that it has begun.
pub fn install() -> Result<()> {
    watch(|signal| {
        // A Ctrl-C for an answer that ended as it was pressed.
        if signal == SIGINT && EDITING.load(Ordering::SeqCst) {
            return;
        }
        let before = ARRIVED.swap(signal, Ordering::SeqCst);
        // A closed terminal may send SIGHUP twice, a service manager SIGHUP right behind SIGTERM.
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

    // A command begun with `nohup` continues when the terminal is closed.
    let signals = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| signal != SIGHUP || !is_ignored(signal));
    let mut signals = Signals::new(signals)?;
    std::thread::Builder::new().name("signals".into()).spawn(move || signals.forever().for_each(on_signal))?;
    Ok(())
}

/// True if the process was begun with this signal ignored.
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

/// True if a signal that asks for an end arrived.
pub fn arrived() -> bool {
    ARRIVED.load(Ordering::SeqCst) != 0
}

/// True if a signal arrived that ends a command even where Ctrl-C ends a part of it.
pub fn ends_the_command() -> bool {
    !matches!(ARRIVED.load(Ordering::SeqCst), 0 | SIGINT)
}

/// Returns an error if a signal that asks for an end arrived.
pub fn check() -> Result<(), Error> {
    if arrived() { Err(Error::Cancelled) } else { Ok(()) }
}

/// True if the error says that a signal ended the command.
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

/// Ends the process without running destructors, after removing unfinished files.
fn exit_at_once(signal: i32) -> ! {
    tty::restore();
    output_file::remove_parts();
    std::process::exit(EXIT_SIGNAL + signal)
}

/// Runs `wait`, which waits for a line. A Ctrl-C before it is ignored; another signal ends the process.
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

/// Runs `wait`, which waits for a line that is edited. Ctrl-C before it is ignored, and during it too; another signal ends the
/// process.
pub fn while_editing<T>(wait: impl FnOnce() -> T) -> T {
    EDITING.store(true, Ordering::SeqCst);
    let result = while_waiting(wait);
    EDITING.store(false, Ordering::SeqCst);
    result
}
