//! Cache of one repository, laid out as other tools do: `blobs/ETAG` has the bytes, `snapshots/COMMIT/FILE` links to them, `refs/main`
//! names the commit. Source: huggingface_hub, `file_download.py`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::client::RemoteFile;
use super::error::HubError;
use crate::error::{Context, Result};

/// Value of an environment variable that is set and not empty.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// Folder of Hugging Face's tools.
pub fn home() -> Option<PathBuf> {
    let cache = || match variable("XDG_CACHE_HOME") {
        Some(folder) => Some(PathBuf::from(folder)),
        None => Some(std::env::home_dir()?.join(".cache")),
    };
    variable("HF_HOME").map(PathBuf::from).or_else(|| Some(cache()?.join("huggingface")))
}

/// Cache of a repository.
#[derive(Debug)]
pub struct RepoCache {
    /// Folder of the repository.
    folder: PathBuf,
    /// Folder of the locks that `huggingface_hub` takes, too.
    locks: PathBuf,
}

impl RepoCache {
    /// Cache of `repo` in the cache at `folder`.
    pub fn new(folder: &Path, repo: &str) -> Self {
        let name = format!("models--{}", repo.replace('/', "--"));
        Self { folder: folder.join(&name), locks: folder.join(".locks").join(&name) }
    }

    /// Folder of the files of a commit.
    fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// File that names the commit of the branch `main`.
    fn main(&self) -> PathBuf {
        self.folder.join("refs").join("main")
    }

    /// Folder of the files of the commit that `main` is at.
    fn main_snapshot(&self) -> Option<PathBuf> {
        let commit = fs::read_to_string(self.main()).ok()?;
        Some(self.snapshot(Some(commit.trim()).filter(|commit| !commit.is_empty())?))
    }

    fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    /// Path of the bytes of a file.
    pub fn blob(&self, file: &RemoteFile) -> PathBuf {
        self.blobs().join(&file.etag)
    }

    /// Path of the bytes of a file that have come so far.
    pub fn begun(&self, file: &RemoteFile) -> PathBuf {
        self.blobs().join(format!("{}.incomplete", file.etag))
    }

    /// True if all bytes of the file are there: as a blob, or at its place in the snapshot of a commit, where no links are allowed.
    pub fn has(&self, commit: &str, file: &RemoteFile) -> bool {
        let is_whole = |path: &Path| fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == file.size);
        is_whole(&self.blob(file)) || is_whole(&self.snapshot(commit).join(&file.name))
    }

    /// Number of bytes that have come so far.
    pub fn n_begun(&self, file: &RemoteFile) -> u64 {
        fs::metadata(self.begun(file)).map_or(0, |found| found.len()).min(file.size)
    }

    /// Makes the folders of blobs and locks.
    pub fn make_folders(&self) -> Result<()> {
        for folder in [&self.blobs(), &self.locks] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        Ok(())
    }

    /// Checks that the disk has room for `need` more bytes. Where it cannot be asked, the error of writing has to do.
    pub fn check_room(&self, need: u64) -> Result<(), HubError> {
        match fs4::available_space(&self.folder) {
            Ok(have) if have < need => Err(HubError::NoRoom { folder: self.folder.clone(), need, have }),
            _ => Ok(()),
        }
    }

    /// Opens the file whose lock belongs to whoever fetches a blob.
    pub fn lock_file(&self, file: &RemoteFile) -> Result<File> {
        let path = self.locks.join(format!("{}.lock", file.etag));
        let opened = File::options().create(true).truncate(false).write(true).open(&path);
        opened.with_context(|| format!("cannot write {}", path.display()))
    }

    /// Links the file's place in the snapshot of a commit to its bytes. Where links are not allowed, moves the bytes there.
    pub fn link(&self, commit: &str, file: &RemoteFile) -> Result<()> {
        let place = self.snapshot(commit).join(&file.name);
        if place.is_file() {
            return Ok(());
        }
        let up = "../".repeat(2 + file.name.split('/').count() - 1);
        let make = || -> io::Result<()> {
            place.parent().map_or(Ok(()), fs::create_dir_all)?;
            // A link to bytes that were removed.
            let _ = fs::remove_file(&place);
            match symlink(Path::new(&format!("{up}blobs/{}", file.etag)), &place) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => fs::rename(self.blob(file), &place),
                _ => Ok(()),
            }
        };
        make().with_context(|| format!("cannot write {}", place.display()))
    }

    /// Writes which commit the branch `main` is at.
    pub fn point_main_to(&self, commit: &str) -> Result<()> {
        let path = self.main();
        if fs::read_to_string(&path).is_ok_and(|before| before == commit) {
            return Ok(());
        }
        let write = || -> io::Result<()> {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(&path, commit)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// Path of the first file, if the snapshot of a commit has all of them.
    pub fn present_at(&self, commit: &str, files: &[String]) -> Option<PathBuf> {
        present_in(&self.snapshot(commit), files)
    }

    /// Path of the first file, if the snapshot that `main` is at has all of them.
    pub fn present(&self, files: &[String]) -> Option<PathBuf> {
        present_in(&self.main_snapshot()?, files)
    }

    /// Names of the files in the snapshot that `main` is at.
    pub fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        if let Some(folder) = self.main_snapshot() {
            collect(&folder, "", &mut files);
        }
        files
    }
}

/// Path of the first file, if the folder has all of them.
fn present_in(folder: &Path, files: &[String]) -> Option<PathBuf> {
    let mut paths = files.iter().map(|file| folder.join(file));
    let first = paths.next().filter(|path| path.is_file())?;
    paths.all(|path| path.is_file()).then_some(first)
}

/// Collects the names of the files in a folder and the folders in it.
fn collect(folder: &Path, prefix: &str, files: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let (path, name) = (entry.path(), format!("{prefix}{name}"));
        match path.is_dir() {
            true => collect(&path, &format!("{name}/"), files),
            false => files.push(name),
        }
    }
}

#[cfg(unix)]
fn symlink(target: &Path, place: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, place)
}

#[cfg(windows)]
fn symlink(target: &Path, place: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, place)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_other_tools() {
        let folder = tempfile::tempdir().unwrap();
        let cache = RepoCache::new(folder.path(), "org/name");
        let file = RemoteFile { name: "d/m.gguf".into(), url: String::new(), etag: "abc".into(), size: 4 };
        assert_eq!((cache.present(std::slice::from_ref(&file.name)), cache.files()), (None, Vec::new()));
        cache.make_folders().unwrap();
        fs::write(cache.begun(&file), "GG").unwrap();
        assert_eq!((cache.n_begun(&file), cache.has("0123", &file)), (2, false));
        fs::write(cache.blob(&file), "GGUF").unwrap();
        cache.link("0123", &file).unwrap();
        cache.link("0123", &file).unwrap();
        cache.point_main_to("0123").unwrap();
        let root = folder.path().join("models--org--name");
        let place = root.join("snapshots/0123/d/m.gguf");
        assert_eq!(fs::read_link(&place).unwrap(), Path::new("../../../blobs/abc"));
        assert_eq!(fs::read(&place).unwrap(), b"GGUF");
        assert_eq!(fs::read_to_string(root.join("refs/main")).unwrap(), "0123");
        let found = || cache.present(std::slice::from_ref(&file.name));
        assert_eq!((found(), cache.files()), (Some(place.clone()), vec![file.name.clone()]));
        assert_eq!(cache.present_at("0123", &[file.name.clone(), "other".into()]), None);
        // A link whose bytes were removed is made anew.
        fs::remove_file(cache.blob(&file)).unwrap();
        assert_eq!(found(), None);
        fs::write(cache.blob(&file), "GGML").unwrap();
        cache.link("0123", &file).unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"GGML");
        assert!(cache.check_room(1 << 60).unwrap_err().to_string().contains("are free in"));
    }
}
