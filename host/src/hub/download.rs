//! Transfer of one file into the cache: whole, checked, and resumed where it broke off.

use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use ureq::Body;
use ureq::http::Response;

use super::cache::RepoCache;
use super::client::{Client, RemoteFile, is_passing, text};
use super::error::HubError;
use crate::error::{Context, Result};
use crate::monitor::Monitor;
use crate::output_file::{folder_of, sync_folder};

/// Bytes of a step.
const STEP: usize = 256 << 10;
/// Steps that wait to be written at most.
const MAX_WAITING: usize = 8;
/// Time without a byte after which a connection counts as broken.
const SILENCE: Duration = Duration::from_secs(30);
/// Time between looks at the monitor.
const LOOK: Duration = Duration::from_millis(100);
/// Tries in a row that bring no byte.
const MAX_TRIES: u32 = 5;
/// Time before the second try; each further one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Transfer of a file.
pub struct Download<'d> {
    /// Server.
    pub client: &'d Client,
    /// Cache of the repository; its folders are there.
    pub cache: &'d RepoCache,
    /// Commit whose snapshot has the file.
    pub commit: &'d str,
    /// File to fetch.
    pub file: &'d RemoteFile,
    /// Monitor, which can cancel the transfer.
    pub monitor: &'d Monitor,
}

/// End of a try that brought not all bytes.
enum Broken {
    /// Another try may bring them.
    Again(String),
    /// No try can.
    Never(crate::error::Error),
}

impl<E: Into<crate::error::Error>> From<E> for Broken {
    fn from(error: E) -> Self {
        Self::Never(error.into())
    }
}

impl Download<'_> {
    /// Fetches the file's bytes, unless the cache has them, and links its place to them; `reached` takes the number of bytes that are
    /// there. Another program that wants the file waits until its place is linked.
    pub fn run(&self, reached: &mut dyn FnMut(u64)) -> Result<()> {
        let lock = self.cache.lock_file(self.file)?;
        self.wait_for(&lock)?;
        // Whoever had the lock may have fetched the file.
        if !self.cache.has(self.commit, self.file) {
            let had_begun = self.cache.n_begun(self.file) > 0;
            match self.fetch(reached) {
                Err(error) if had_begun && is_checksum(&error) => {
                    self.monitor.note(format_args!("{error:#}: the file is fetched anew"));
                    self.fetch(reached)?;
                }
                result => result?,
            }
        }
        self.cache.link(self.commit, self.file)?;
        reached(self.file.size);
        Ok(())
    }

    /// Takes the lock, which is released with the file.
    fn wait_for(&self, lock: &File) -> Result<()> {
        let mut is_told = false;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) => {}
                // A file system without locks: `huggingface_hub` goes on without them, too.
                Err(TryLockError::Error(_)) => return Ok(()),
            }
            if !std::mem::replace(&mut is_told, true) {
                self.monitor.note(format_args!("another program fetches {}: waiting for it", self.file.name));
            }
            self.wait(LOOK)?;
        }
    }

    /// Waits, unless the monitor asks for an end.
    fn wait(&self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.monitor.check()?;
            thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
        }
        self.monitor.check()
    }

    fn fetch(&self, reached: &mut dyn FnMut(u64)) -> Result<()> {
        let path = self.cache.begun(self.file);
        let open = || File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let mut part = Part::new(open().with_context(|| format!("cannot write {}", path.display()))?, self)?;
        let mut n_tries = 0;
        while part.n < self.file.size {
            let before = part.n;
            let cause = match self.attempt(&mut part, reached) {
                Ok(()) => break,
                Err(Broken::Never(error)) => return Err(error),
                Err(Broken::Again(cause)) => cause,
            };
            n_tries = if part.n > before { 0 } else { n_tries + 1 };
            if n_tries == MAX_TRIES {
                let (file, size) = (self.file.name.clone(), self.file.size);
                return Err(HubError::BrokenOff { file, have: part.n, size, cause }.into());
            }
            self.monitor.note(format_args!("{}: {cause}; trying again", self.file.name));
            self.wait(FIRST_WAIT * (1 << n_tries.saturating_sub(1)))?;
        }
        let found = part.sha256();
        part.out.sync_all().with_context(|| format!("cannot write {}", path.display()))?;
        drop(part);
        if let Some(want) = self.file.sha256().filter(|want| *want != found) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            return Err(HubError::Checksum { file: self.file.name.clone(), want: want.into(), found }.into());
        }
        let blob = self.cache.blob(self.file);
        fs::rename(&path, &blob).with_context(|| format!("cannot write {}", blob.display()))?;
        sync_folder(folder_of(&blob));
        Ok(())
    }

    /// Asks for the missing bytes and writes those that come.
    fn attempt(&self, part: &mut Part, reached: &mut dyn FnMut(u64)) -> Result<(), Broken> {
        self.monitor.check()?;
        let answer = self.client.bytes(self.file, part.n).map_err(|error| Broken::Again(error.to_string()))?;
        match answer.status().as_u16() {
            206 if starts_at(&answer) == Some(part.n) => {}
            // The server sends all bytes.
            200 => part.clear()?,
            // The server has fewer bytes than are here.
            416 => {
                part.clear()?;
                return Err(Broken::Again("the file on the server is another".into()));
            }
            code if is_passing(code) => return Err(Broken::Again(format!("the server answers with code {code}"))),
            code => return Err(HubError::Status { url: self.file.url.clone(), code }.into()),
        }
        let mut steps = Steps::new(answer)?;
        while let Some(step) = steps.next(self.monitor)? {
            part.push(&step).with_context(|| format!("cannot write {}", self.cache.begun(self.file).display()))?;
            if part.n > self.file.size {
                part.clear()?;
                return Err(Broken::Again("the server sends more bytes than it announced".into()));
            }
            reached(part.n);
        }
        if part.n < self.file.size { Err(Broken::Again("the connection broke off".into())) } else { Ok(()) }
    }
}

fn is_checksum(error: &crate::error::Error) -> bool {
    matches!(error.cause(), crate::error::Error::Hub(HubError::Checksum { .. }))
}

/// First byte of a part of a file: `Content-Range: bytes 5-9/10`.
fn starts_at(answer: &Response<Body>) -> Option<u64> {
    text(answer.headers(), "content-range")?.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

/// Bytes that are in the file, with their hash.
struct Part {
    out: File,
    hash: Sha256,
    n: u64,
}

impl Part {
    /// Part with the bytes of an unfinished file; they are read for the hash.
    fn new(mut out: File, download: &Download<'_>) -> Result<Self> {
        let (mut hash, mut n, mut step) = (Sha256::new(), 0, vec![0; STEP]);
        loop {
            download.monitor.check()?;
            match out.read(&mut step)? {
                0 => break,
                read => {
                    hash.update(&step[..read]);
                    n += read as u64;
                }
            }
        }
        let mut part = Self { out, hash, n };
        if n > download.file.size {
            part.clear()?;
        }
        Ok(part)
    }

    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.hash.update(bytes);
        self.n += bytes.len() as u64;
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.out.set_len(0)?;
        self.out.rewind()?;
        (self.hash, self.n) = (Sha256::new(), 0);
        Ok(())
    }

    fn sha256(&self) -> String {
        let mut text = String::new();
        for byte in self.hash.clone().finalize() {
            // Strings take all.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

/// Bytes of an answer. Another thread reads them, so that a silent connection neither lasts for ever nor hides that the work was
/// cancelled; the thread ends with its connection.
struct Steps(Receiver<io::Result<Vec<u8>>>);

impl Steps {
    fn new(answer: Response<Body>) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(MAX_WAITING);
        let read = move || {
            let mut body = answer.into_body().into_reader();
            loop {
                let mut step = vec![0; STEP];
                let result = body.read(&mut step).map(|n| {
                    step.truncate(n);
                    step
                });
                let is_last = !result.as_ref().is_ok_and(|step| !step.is_empty());
                if sender.send(result).is_err() || is_last {
                    break;
                }
            }
        };
        thread::Builder::new().name("fetching".into()).spawn(read)?;
        Ok(Self(receiver))
    }

    /// Bytes that came next; `None` at the end of the answer.
    fn next(&mut self, monitor: &Monitor) -> Result<Option<Vec<u8>>, Broken> {
        let start = Instant::now();
        loop {
            monitor.check()?;
            match self.0.recv_timeout(LOOK) {
                Ok(Ok(step)) if step.is_empty() => return Ok(None),
                Ok(Ok(step)) => return Ok(Some(step)),
                Ok(Err(error)) => return Err(Broken::Again(format!("the connection broke off: {error}"))),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if start.elapsed() > SILENCE => {
                    return Err(Broken::Again(format!("no byte for {} s", SILENCE.as_secs())));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}
