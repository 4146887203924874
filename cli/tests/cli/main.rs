//! Tests of the `nearfield` command on a tiny model with random weights.

mod arguments;
mod bench;
mod broken;
mod chat;
mod convert;
mod drafts;
mod embed;
mod errors;
mod files;
mod grammar;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "hub")]
mod hub_server;
#[path = "../common/hugging_face.rs"]
mod hugging_face;
mod imatrix;
mod pack;
mod perplexity;
mod pipes;
mod plan;
mod prompts;
mod quantize;
#[path = "../../../tests/reference/mod.rs"]
mod reference;
mod scripts;
mod snapshots;
mod split;
mod stories;
mod templates;
mod tiny;
mod tokens;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Folder with a model in it, removed at the end of the test.
struct Folder {
    folder: TempDir,
}

impl Folder {
    fn new() -> Self {
        let folder = Self { folder: tempfile::tempdir().unwrap() };
        folder.write("tiny.gguf", &tiny::model("mpt"));
        folder
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Names of all files but the model.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "tiny.gguf").collect()
    }

    /// `nearfield` with these arguments, in this folder.
    fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nearfield"));
        command.current_dir(self.path()).args(args).stdin(Stdio::null());
        command
    }

    /// Output of `nearfield` for a line of arguments, separated by spaces.
    fn nearfield(&self, line: &str) -> Output {
        self.command(line.split_whitespace()).output().unwrap()
    }

    /// Standard output of a run that has to succeed.
    fn stdout(&self, line: &str) -> String {
        let output = self.nearfield(line);
        assert!(output.status.success(), "{line}\n{}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Standard error of a run that has to succeed.
    fn stderr(&self, line: &str) -> String {
        let output = self.nearfield(line);
        assert!(output.status.success(), "{line}\n{}", text(&output.stderr));
        text(&output.stderr)
    }

    /// Checks that a run fails with this code and one line that begins with `want`.
    #[track_caller]
    fn fails(&self, line: &str, code: i32, want: &str) {
        let output = self.nearfield(line);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}\n{error}");
        assert_eq!(error.lines().count(), 1, "{line}\n{error}");
        assert!(error.starts_with(&format!("nearfield: {want}")), "{line}\nfound {error}want  nearfield: {want}");
        assert_eq!(text(&output.stdout), "", "{line}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
