//! Output files that are written whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use same_file::Handle;
use tempfile::{Builder, NamedTempFile};

use crate::bytes::Bytes;
use crate::error::{Context, Error, Result, bail, ensure};

/// Output file, written under another name in the same folder and renamed when it is whole. Until then an old file stays.
///
/// A pipe or a device is written to directly.
pub struct OutputFile {
    path: PathBuf,
    sink: Sink,
    /// Size of the whole file in bytes, where it is known.
    n_bytes: Option<u64>,
    /// True if an existing file is replaced.
    replaces: bool,
}

enum Sink {
    Beside(BufWriter<Part>),
    Direct(BufWriter<File>),
}

/// File under its temporary name, removed when this value is dropped.
struct Part {
    file: NamedTempFile,
    listed: Listed,
}

/// Temporary names of the files that are being written.
static PARTS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
/// Files that the command reads: no output replaces one.
static INPUTS: Mutex<Vec<Handle>> = Mutex::new(Vec::new());
/// Ending of a temporary name.
const PART_SUFFIX: &str = ".part";
/// Number of random letters in a temporary name.
const N_RANDOM: usize = 6;
/// Greatest number of bytes of the file's name in a temporary name: file systems allow 255 in all.
const MAX_NAME: usize = 200;

fn parts() -> MutexGuard<'static, Vec<PathBuf>> {
    lock(&PARTS)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|broken| broken.into_inner())
}

/// Marks a file as an input: no output may replace it, under any name.
pub fn protect(input: &Path) {
    // A file that cannot be opened is not read.
    if let Ok(handle) = Handle::from_path(input) {
        lock(&INPUTS).push(handle);
    }
}

fn is_protected(path: &Path) -> bool {
    Handle::from_path(path).is_ok_and(|handle| lock(&INPUTS).contains(&handle))
}

/// Name in [`PARTS`], until it is dropped.
struct Listed(PathBuf);

impl Drop for Listed {
    fn drop(&mut self) {
        parts().retain(|path| *path != self.0);
    }
}

/// Removes unfinished files, before the process ends without destructors.
pub fn remove_parts() {
    for path in parts().iter() {
        let _ = fs::remove_file(path);
    }
}

impl OutputFile {
    /// Begins a file that replaces an old one.
    pub fn create(path: &Path) -> Result<Self> {
        Self::open(path, None, true)
    }

    /// Begins a file of `n_bytes` bytes.
    ///
    /// # Errors
    /// Without `force` also when there is a file of that name, now or at the end.
    pub fn create_new(path: &Path, n_bytes: u64, force: bool) -> Result<Self> {
        Self::open(path, Some(n_bytes), force)
    }

    /// Checks that a file may be begun, without beginning it, so that an error comes before hours of work.
    ///
    /// # Errors
    /// For a file that the command reads, a folder that does not exist or cannot be written to, or a name that is a folder's;
    /// without `force` also when there is a file of that name.
    pub fn check_new(path: &Path, force: bool) -> Result<()> {
        let metadata = fs::metadata(path);
        ensure!(!is_protected(path), "cannot write {}: the command reads it, so choose another name", path.display());
        match metadata {
            Ok(metadata) if metadata.is_dir() => bail!("cannot write {}: it is a folder", path.display()),
            Ok(metadata) if metadata.is_file() => ensure!(force, "{}", taken(path)),
            // A pipe or a device is written to directly.
            Ok(_) => return Ok(()),
            Err(_) => {
                if let Ok(target) = fs::read_link(path) {
                    bail!("cannot write {}: it is a link to {}, which is not there", path.display(), target.display());
                }
            }
        }
        let real = real_path(path);
        let folder = folder_of(&real);
        match fs::metadata(folder) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => bail!("cannot write {}: {} is no folder", path.display(), folder.display()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("cannot write {}: there is no folder {}", path.display(), folder.display())
            }
            Err(error) => return Err(error).with_context(|| format!("cannot write {}", path.display())),
        }
        Part::create(&real).map(drop).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Does [`check_new`](Self::check_new) for a file that replaces an old one.
    pub fn check(path: &Path) -> Result<()> {
        Self::check_new(path, true)
    }

    fn open(path: &Path, n_bytes: Option<u64>, replaces: bool) -> Result<Self> {
        Self::check_new(path, replaces)?;
        let path = if replaces { real_path(path) } else { path.to_owned() };
        let sink = Sink::open(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path, sink, n_bytes, replaces })
    }

    /// Writes all of `bytes`, as by [`write`](Self::write).
    ///
    /// # Errors
    /// When the bytes cannot be written.
    pub fn write_all(self, bytes: &[u8]) -> Result<()> {
        self.write(|out| Ok(out.write_all(bytes)?))
    }

    /// Writes with `write`; without an error, the file is then on the disk under its name.
    ///
    /// # Errors
    /// Any error of `write`. If its writer has failed, that error, with the name of the file.
    pub fn write<E: From<Error>>(
        mut self,
        write: impl FnOnce(&mut (dyn Write + Send)) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut watched = Watched { sink: &mut self.sink, failure: None };
        let wrote = write(&mut watched);
        let failure = watched.failure;
        let Self { path, sink, n_bytes, replaces } = self;
        match (wrote, failure) {
            (Ok(()), _) => {}
            (Err(_), Some(failure)) => return Err(cannot_write(&path, n_bytes, failure).into()),
            (Err(error), None) => return Err(error),
        }
        sink.finish(&path, replaces).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists if !replaces => Error::Invalid(taken(&path)).into(),
            _ => cannot_write(&path, n_bytes, error).into(),
        })
    }
}

fn taken(path: &Path) -> String {
    format!("{} is there already: --force replaces it", path.display())
}

/// Error of writing a file; on a full disk, with the size that was needed.
fn cannot_write(path: &Path, n_bytes: Option<u64>, error: io::Error) -> Error {
    let is_full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::FileTooLarge | ErrorKind::QuotaExceeded);
    let error = Error::from(error);
    match n_bytes.filter(|_| is_full) {
        Some(n) => error.context(format!("cannot write {}, which takes {}", path.display(), Bytes(n))),
        None => error.context(format!("cannot write {}", path.display())),
    }
}

/// Writer that keeps its own errors, to tell them from those of the data's source.
struct Watched<'s> {
    sink: &'s mut Sink,
    failure: Option<io::Error>,
}

impl Watched<'_> {
    /// Keeps a copy of the last error, as far as it can be copied.
    fn watch<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && error.kind() != ErrorKind::Interrupted
        {
            self.failure = Some(match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(error.kind(), error.to_string()),
            });
        }
        result
    }
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.sink.file().write(bytes);
        self.watch(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.sink.file().flush();
        self.watch(result)
    }
}

impl Sink {
    fn open(path: &Path) -> io::Result<Self> {
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Ok(Self::Direct(BufWriter::new(File::options().write(true).open(path)?)));
        }
        Ok(Self::Beside(BufWriter::new(Part::create(path)?)))
    }

    fn file(&mut self) -> &mut dyn Write {
        match self {
            Self::Beside(file) => file,
            Self::Direct(file) => file,
        }
    }

    /// Puts the whole file on the disk, under its own name.
    fn finish(self, path: &Path, replaces: bool) -> io::Result<()> {
        match self {
            Self::Direct(mut file) => file.flush(),
            // An error holds the file, and dropping it removes the temporary name.
            Self::Beside(file) => file.into_inner().map_err(|error| error.into_error())?.persist(path, replaces),
        }
    }
}

/// Target of a link, so that the target is replaced and the link stays.
fn real_path(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// True if both paths lead to one file, which need not exist.
pub fn are_one_file(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| {
        let folder = fs::canonicalize(folder_of(path)).ok()?;
        fs::canonicalize(path).ok().or_else(|| Some(folder.join(path.file_name()?)))
    };
    place(a).is_some_and(|a| place(b) == Some(a))
}

pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Beginning of a temporary name: a dot and the file's own name, so that a person can tell whose it is.
fn part_prefix(path: &Path) -> OsString {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut end = name.len().min(MAX_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!(".{}.", &name[..end]).into()
}

/// True if [`Part::create`] gives such a name for this prefix.
fn is_part(name: &OsStr, prefix: &OsStr) -> bool {
    let (name, prefix) = (name.as_encoded_bytes(), prefix.as_encoded_bytes());
    let random = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(PART_SUFFIX.as_bytes()));
    random.is_some_and(|random| random.len() == N_RANDOM && random.iter().all(u8::is_ascii_alphanumeric))
}

/// Removes unfinished files that earlier runs, ended by force, left of the same file. A run that still writes holds a lock on
/// its file.
fn remove_stale_parts(folder: &Path, prefix: &OsStr) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_stale = || File::options().write(true).open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if is_part(&entry.file_name(), prefix) && is_stale() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl Part {
    fn create(path: &Path) -> io::Result<Self> {
        let (folder, prefix) = (folder_of(path), part_prefix(path));
        remove_stale_parts(folder, &prefix);
        let mut builder = Builder::new();
        builder.prefix(&prefix).rand_bytes(N_RANDOM).suffix(PART_SUFFIX);
        with_usual_permissions(&mut builder);
        // The error names the temporary file, which no user knows.
        let file = builder.tempfile_in(folder).map_err(|error| match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => error.kind().into(),
        })?;
        // On file systems without locks a file of another run counts as in use.
        let _ = file.as_file().try_lock();
        let listed = Listed(file.path().to_owned());
        parts().push(listed.0.clone());
        Ok(Self { file, listed })
    }

    fn persist(self, path: &Path, replaces: bool) -> io::Result<()> {
        let Self { file, listed } = self;
        file.as_file().sync_all()?;
        let named = if replaces { file.persist(path) } else { file.persist_noclobber(path) };
        named.map_err(|error| error.error)?;
        drop(listed);
        sync_folder(folder_of(path));
        Ok(())
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Puts a new name on the disk, too, where folders can be synchronized.
pub(crate) fn sync_folder(folder: &Path) {
    if cfg!(unix) {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
}

/// Gives a temporary file the permissions of any new file, not the private ones.
#[cfg(unix)]
fn with_usual_permissions(builder: &mut Builder<'_, '_>) {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(fs::Permissions::from_mode(0o666));
}

#[cfg(not(unix))]
fn with_usual_permissions(_: &mut Builder<'_, '_>) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_in(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_whole_file_replaces_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        fs::write(&path, "old").unwrap();
        OutputFile::create(&path).unwrap().write(|out| Ok::<_, Error>(out.write_all(b"new")?)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names_in(folder.path()), ["out"]);
    }

    #[test]
    fn half_a_file_is_none_and_the_old_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        fs::write(&path, "old").unwrap();
        let result = OutputFile::create(&path).unwrap().write(|out| {
            out.write_all(b"half")?;
            Err(Error::invalid("enough"))
        });
        assert_eq!(result.unwrap_err().to_string(), "enough");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names_in(folder.path()), ["out"]);
    }

    #[test]
    fn a_new_file_replaces_none_that_comes_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let result: Result<()> = OutputFile::create_new(&path, 3, false).unwrap().write(|out| {
            fs::write(&path, "mine")?;
            Ok(out.write_all(b"new")?)
        });
        assert!(result.unwrap_err().to_string().ends_with("out is there already: --force replaces it"));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert!(OutputFile::create_new(&path, 3, false).is_err());
        OutputFile::create_new(&path, 3, true).unwrap().write(|out| Ok::<_, Error>(out.write_all(b"new")?)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names_in(folder.path()), ["out"]);
    }

    #[test]
    fn parts_of_runs_that_were_ended_are_removed_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        for name in [".out.abc123.part", ".out.abc12.part", ".out.abc12-.part", ".other.abc123.part", "out.part"] {
            fs::write(folder.path().join(name), "half").unwrap();
        }
        let running = OutputFile::create(&path).unwrap();
        OutputFile::create(&path).unwrap().write(|out| Ok::<_, Error>(out.write_all(b"new")?)).unwrap();
        running.write(|out| Ok::<_, Error>(out.write_all(b"newer")?)).unwrap();
        let mut names = names_in(folder.path());
        names.sort();
        assert_eq!(names, [".other.abc123.part", ".out.abc12-.part", ".out.abc12.part", "out", "out.part"]);
        assert_eq!(fs::read(&path).unwrap(), b"newer");
    }

    #[test]
    fn names_of_parts_are_not_too_long() {
        let folder = tempfile::tempdir().unwrap();
        let name = "\u{e9}".repeat(127);
        let path = folder.path().join(&name);
        OutputFile::create(&path).unwrap().write(|out| Ok::<_, Error>(out.write_all(b"new")?)).unwrap();
        assert_eq!(names_in(folder.path()), [name]);
    }

    #[test]
    fn what_cannot_be_written_is_said_before_it_is_computed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "old").unwrap();
        let message = |path: &Path, force| OutputFile::check_new(path, force).unwrap_err().to_string();
        let ends = |path: &Path, force, end: &str| {
            let message = message(path, force);
            assert!(message.starts_with(&format!("cannot write {}: ", path.display())), "{message}");
            assert!(message.ends_with(end), "{message}");
        };
        ends(&at("none/out"), true, &format!("there is no folder {}", at("none").display()));
        ends(&at("file/out"), true, &format!("{} is no folder", at("file").display()));
        ends(folder.path(), true, "it is a folder");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("nowhere", at("link")).unwrap();
            ends(&at("link"), false, "it is a link to nowhere, which is not there");
            ends(&at("link"), true, "it is a link to nowhere, which is not there");
            fs::remove_file(at("link")).unwrap();
        }
        assert!(message(&at("file"), false).ends_with("is there already: --force replaces it"));
        OutputFile::check_new(&at("file"), true).unwrap();
        OutputFile::check_new(&at("new"), false).unwrap();
        assert_eq!(names_in(folder.path()), ["file"]);
    }

    #[test]
    fn what_is_read_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        fs::write(&path, "weights").unwrap();
        let other = folder.path().join("other");
        fs::hard_link(&path, &other).unwrap();
        protect(&path);
        for path in [&path, &other] {
            for result in [OutputFile::check_new(path, true), OutputFile::create(path).map(drop)] {
                let message = result.unwrap_err().to_string();
                assert!(message.ends_with("the command reads it, so choose another name"), "{message}");
            }
        }
        assert_eq!(fs::read(&path).unwrap(), b"weights");
    }

    #[test]
    fn an_error_of_what_is_written_is_not_one_of_writing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let result: Result<()> = OutputFile::create(&path).unwrap().write(|_| Ok(fs::read("no such file").map(drop)?));
        assert!(!format!("{:#}", result.unwrap_err()).contains("cannot write"));
        assert_eq!(names_in(folder.path()), [""; 0]);
    }
}
