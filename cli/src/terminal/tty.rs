//! Settings of the terminal between two lines that a person edits: what is typed or pasted meanwhile is not shown, waits for the
//! next line, and is then read as the keys that it was.

use imp::Imp;

/// Quiet terminal, until dropped.
#[derive(Debug)]
pub struct Quiet(());

impl Quiet {
    /// Makes the terminal on standard input quiet.
    pub fn begin() -> Self {
        Imp::begin();
        Self(())
    }

    /// Asks the terminal to mark what is pasted, which an editor ends with each line.
    pub fn mark_pastes(&self) {
        Imp::write(b"\x1b[?2004h");
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal the settings that it had, if it is quiet or a line is edited. Takes no lock that the thread that writes may
/// hold.
pub fn restore() {
    Imp::restore();
}

#[cfg(unix)]
mod imp {
    use std::io::{stdin, stdout};
    use std::sync::Mutex;

    use rustix::termios::{InputModes, LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

    /// Settings before the terminal was made quiet.
    static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

    pub struct Imp;

    impl Imp {
        pub fn begin() {
            let Ok(before) = tcgetattr(stdin()) else { return };
            let mut quiet = before.clone();
            // Ctrl-C still is a signal, but discards no keys, and Enter stays a carriage return, as an editor reads it.
            quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
            quiet.local_modes.insert(LocalModes::NOFLSH);
            quiet.input_modes.remove(InputModes::ICRNL);
            // Known before anything changes: a signal may end the program in between.
            *BEFORE.lock().unwrap_or_else(|broken| broken.into_inner()) = Some(before);
            if tcsetattr(stdin(), OptionalActions::Now, &quiet).is_err() {
                BEFORE.lock().unwrap_or_else(|broken| broken.into_inner()).take();
            }
        }

        pub fn restore() {
            let before = BEFORE.lock().unwrap_or_else(|broken| broken.into_inner()).take();
            if let Some(before) = before {
                Self::write(b"\x1b[?2004l");
                let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
            }
        }

        /// Writes to the terminal; an error is ignored.
        pub fn write(bytes: &[u8]) {
            let _ = rustix::io::write(stdout(), bytes);
        }
    }
}

#[cfg(not(unix))]
mod imp {
    pub struct Imp;

    impl Imp {
        pub fn begin() {}
        pub fn restore() {}
        pub fn write(_: &[u8]) {}
    }
}
