//! A file that is there whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use anyhow::{Context, Result, anyhow, ensure};
use tempfile::{Builder, NamedTempFile};

use crate::report::Bytes;

/// Written under another name beside its own, which it gets when it is whole; until then what was there stays.
///
/// What is not a plain file (a pipe, a device) is written to as it is.
pub struct OutputFile {
    path: PathBuf,
    sink: Sink,
    /// Bytes that it takes, where that is known.
    n_bytes: Option<u64>,
    /// Whether it may take the place of another.
    replaces: bool,
}

enum Sink {
    Beside(BufWriter<Part>),
    Direct(BufWriter<File>),
}

/// A file under its other name, gone with this value.
struct Part {
    file: NamedTempFile,
    listed: Listed,
}

/// The other names of the files that are being written.
static PARTS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn parts() -> MutexGuard<'static, Vec<PathBuf>> {
    PARTS.lock().unwrap_or_else(|broken| broken.into_inner())
}

/// A name in [`PARTS`], until it is dropped.
struct Listed(PathBuf);

impl Drop for Listed {
    fn drop(&mut self) {
        parts().retain(|path| *path != self.0);
    }
}

/// Removes what is half written, before an end without destructors.
pub fn remove_parts() {
    for path in parts().iter() {
        let _ = fs::remove_file(path);
    }
}

impl OutputFile {
    /// Begins a file that replaces what was there.
    pub fn create(path: &Path) -> Result<Self> {
        Self::open(path, None, true)
    }

    /// Begins a file of so many bytes.
    ///
    /// # Errors
    /// Without `force` also when there is a file of that name, now or at the end.
    pub fn create_new(path: &Path, n_bytes: u64, force: bool) -> Result<Self> {
        Self::check_new(path, force)?;
        Self::open(path, Some(n_bytes), force)
    }

    /// Whether a file may be begun, which is better said before it is computed.
    ///
    /// # Errors
    /// Without `force` when there is a file of that name.
    pub fn check_new(path: &Path, force: bool) -> Result<()> {
        let is_taken = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
        ensure!(force || !is_taken, "{}", taken(path));
        Ok(())
    }

    fn open(path: &Path, n_bytes: Option<u64>, replaces: bool) -> Result<Self> {
        // A link stays a link: what it points at is replaced.
        let real = replaces.then(|| fs::canonicalize(path).ok()).flatten();
        let path = real.unwrap_or_else(|| path.to_owned());
        let sink = Sink::open(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path, sink, n_bytes, replaces })
    }

    /// Writes with `write`; if all went well, the file is there afterwards, on the disk.
    pub fn write(mut self, write: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>) -> Result<()> {
        let mut watched = Watched { sink: &mut self.sink, has_failed: false };
        let wrote = write(&mut watched);
        let has_failed = watched.has_failed;
        let Self { path, sink, n_bytes, replaces } = self;
        wrote.map_err(|error| if has_failed { cannot_write(&path, n_bytes, error) } else { error })?;
        sink.finish(&path, replaces).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists if !replaces => anyhow!(taken(&path)),
            _ => cannot_write(&path, n_bytes, error.into()),
        })
    }
}

fn taken(path: &Path) -> String {
    format!("{} is there already: --force replaces it", path.display())
}

/// On a full disk, also how much was needed.
fn cannot_write(path: &Path, n_bytes: Option<u64>, error: anyhow::Error) -> anyhow::Error {
    let kind = error.downcast_ref().map(io::Error::kind);
    let is_full = matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::FileTooLarge | ErrorKind::QuotaExceeded));
    match n_bytes.filter(|_| is_full) {
        Some(n) => error.context(format!("cannot write {}, which takes {}", path.display(), Bytes(n))),
        None => error.context(format!("cannot write {}", path.display())),
    }
}

/// Tells errors of writing from those of what is written.
struct Watched<'s> {
    sink: &'s mut Sink,
    has_failed: bool,
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.sink.file().write(bytes);
        self.has_failed |= result.as_ref().is_err_and(|error| error.kind() != ErrorKind::Interrupted);
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.sink.file().flush();
        self.has_failed |= result.is_err();
        result
    }
}

impl Sink {
    fn open(path: &Path) -> io::Result<Self> {
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Ok(Self::Direct(BufWriter::new(File::options().write(true).open(path)?)));
        }
        Ok(Self::Beside(BufWriter::new(Part::create_in(folder_of(path))?)))
    }

    fn file(&mut self) -> &mut dyn Write {
        match self {
            Self::Beside(file) => file,
            Self::Direct(file) => file,
        }
    }

    /// All of it on the disk, under its own name.
    fn finish(self, path: &Path, replaces: bool) -> io::Result<()> {
        match self {
            Self::Direct(mut file) => file.flush(),
            // Dropping the error drops the file under its other name too.
            Self::Beside(file) => file.into_inner().map_err(|error| error.into_error())?.persist(path, replaces),
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

impl Part {
    fn create_in(folder: &Path) -> io::Result<Self> {
        let mut builder = Builder::new();
        builder.prefix(".nearfield-").suffix(".part");
        with_usual_permissions(&mut builder);
        let file = builder.tempfile_in(folder)?;
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

/// The name reaches the disk too, where folders can be synchronized.
fn sync_folder(folder: &Path) {
    if cfg!(unix) {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
}

/// As any new file has them, not the private ones of a temporary file.
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
        OutputFile::create(&path).unwrap().write(|out| Ok(out.write_all(b"new")?)).unwrap();
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
            anyhow::bail!("enough")
        });
        assert_eq!(result.unwrap_err().to_string(), "enough");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names_in(folder.path()), ["out"]);
    }

    #[test]
    fn a_new_file_replaces_none_that_comes_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let result = OutputFile::create_new(&path, 3, false).unwrap().write(|out| {
            fs::write(&path, "mine")?;
            Ok(out.write_all(b"new")?)
        });
        assert!(result.unwrap_err().to_string().ends_with("out is there already: --force replaces it"));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert!(OutputFile::create_new(&path, 3, false).is_err());
        OutputFile::create_new(&path, 3, true).unwrap().write(|out| Ok(out.write_all(b"new")?)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names_in(folder.path()), ["out"]);
    }

    #[test]
    fn an_error_of_what_is_written_is_not_one_of_writing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let result = OutputFile::create(&path).unwrap().write(|_| Ok(fs::read("no such file").map(drop)?));
        assert!(!format!("{:#}", result.unwrap_err()).contains("cannot write"));
        assert_eq!(names_in(folder.path()), [""; 0]);
    }
}
