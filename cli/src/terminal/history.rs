//! File in which the lines that a person typed are kept for the next time.

use std::env;
use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Variable that names another file, or none if it is empty.
const VARIABLE: &str = "NEARFIELD_HISTORY";

/// File of the history, which exists and only its owner may read; `None` if there is to be none, or it cannot be made.
pub fn file() -> Option<PathBuf> {
    let path = path(|name| env::var_os(name))?;
    make(&path).ok().map(|()| path)
}

/// Path of the history, by the variables of the environment.
fn path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(path) = variable(VARIABLE) {
        return Some(PathBuf::from(path)).filter(|path| !path.as_os_str().is_empty());
    }
    // As the XDG Base Directory Specification says, a path that is not absolute is ignored.
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .or_else(|| absolute("LOCALAPPDATA"))?;
    Some(state.join("nearfield/history"))
}

/// Creates the file and its folders if they do not exist.
fn make(path: &Path) -> io::Result<()> {
    let (mut folders, mut file) = (DirBuilder::new(), OpenOptions::new());
    folders.recursive(true);
    file.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        folders.mode(0o700);
        file.mode(0o600);
    }
    if let Some(folder) = path.parent() {
        folders.create(folder)?;
    }
    file.open(path).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_with(variables: &[(&str, &str)]) -> Option<PathBuf> {
        path(|name| variables.iter().find_map(|&(of, value)| (of == name).then(|| value.into())))
    }

    #[test]
    fn the_state_folder_of_the_user_has_the_history() {
        let home = ("HOME", "/home/me");
        for (variables, want) in [
            (&[home][..], Some("/home/me/.local/state/nearfield/history")),
            (&[home, ("XDG_STATE_HOME", "/state")], Some("/state/nearfield/history")),
            (&[home, ("XDG_STATE_HOME", "state")], Some("/home/me/.local/state/nearfield/history")),
            (&[home, (VARIABLE, "mine")], Some("mine")),
            (&[home, (VARIABLE, "")], None),
            (&[], None),
        ] {
            assert_eq!(path_with(variables).as_deref(), want.map(Path::new), "{variables:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/nearfield/history");
        make(&path).unwrap();
        make(&path).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(&path), mode(path.parent().unwrap())], [0o600, 0o700]);
    }
}
