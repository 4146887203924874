//! A file that is there whole or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::{Builder, NamedTempFile};

/// Written under another name beside its own, which it gets when it is whole; until then what was there stays.
///
/// What is not a plain file (a pipe, a device) is written to as it is.
pub struct OutputFile {
    path: PathBuf,
    sink: Sink,
}

enum Sink {
    Beside(BufWriter<NamedTempFile>),
    Direct(BufWriter<File>),
}

impl OutputFile {
    /// Begins the file.
    pub fn create(path: &Path) -> Result<Self> {
        // A link stays a link: what it points at is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        Sink::open(&path)
            .map(|sink| Self { sink, path: path.clone() })
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Writes with `write`; if all went well, the file is there afterwards.
    pub fn write(mut self, write: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>) -> Result<()> {
        let wrote = match &mut self.sink {
            Sink::Beside(file) => write(file).and_then(|()| Ok(file.flush()?)),
            Sink::Direct(file) => write(file).and_then(|()| Ok(file.flush()?)),
        };
        wrote.and_then(|()| self.sink.finish(&self.path)).map_err(|error| match error.is::<std::io::Error>() {
            true => error.context(format!("cannot write {}", self.path.display())),
            false => error,
        })
    }
}

impl Sink {
    fn open(path: &Path) -> std::io::Result<Self> {
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Ok(Self::Direct(BufWriter::new(File::options().write(true).open(path)?)));
        }
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut builder = Builder::new();
        builder.prefix(".nearfield-").suffix(".part");
        with_usual_permissions(&mut builder);
        Ok(Self::Beside(BufWriter::new(builder.tempfile_in(folder)?)))
    }

    fn finish(self, path: &Path) -> Result<()> {
        if let Self::Beside(file) = self {
            // Dropping the error drops the file under its other name too.
            file.into_inner().map_err(|error| error.into_error())?.persist(path).map_err(|error| error.error)?;
        }
        Ok(())
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
}
