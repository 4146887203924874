//! Server of a test, in a folder with small models.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Answer, request};
use crate::tiny;

/// Running server. It is killed at the end of the test.
pub struct Server {
    folder: Arc<TempDir>,
    pub process: Child,
    pub address: String,
}

impl Server {
    /// Starts `nearfield serve` with these arguments, in a folder with `tiny.gguf`.
    pub fn start(line: &str) -> Self {
        Self::start_with(line, &[("tiny.gguf", &tiny::model("mpt"))])
    }

    /// Starts it in a folder with these files.
    pub fn start_with(line: &str, files: &[(&str, &[u8])]) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        Self::start_in(folder, line)
    }

    /// Starts another server with these arguments, in the folder of this one.
    pub fn beside(&self, line: &str) -> Self {
        Self::start_in(self.folder.clone(), line)
    }

    fn start_in(folder: Arc<TempDir>, line: &str) -> Self {
        let mut process = command(folder.path())
            .args(["serve", "--port", "0"])
            .args(line.split_whitespace())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line:?}"));
        Self { folder, process, address: address.to_string() }
    }

    /// Answer to a GET.
    pub fn get(&self, path: &str) -> Answer {
        request(&self.address, "GET", path, "", b"")
    }

    /// Answer to a POST of a JSON value.
    pub fn post(&self, path: &str, body: Value) -> Answer {
        self.post_text(path, &body.to_string())
    }

    /// Answer to a POST of a text.
    pub fn post_text(&self, path: &str, body: &str) -> Answer {
        request(&self.address, "POST", path, "Content-Type: application/json\r\n", body.as_bytes())
    }

    /// JSON of an answer that has to be 200.
    #[track_caller]
    pub fn ok(&self, path: &str, body: Value) -> Value {
        let answer = self.post(path, body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    /// Text that continues a prompt, with settings in addition.
    #[track_caller]
    pub fn complete(&self, prompt: &str, settings: Value) -> String {
        let mut body = json!({"prompt": prompt});
        body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        self.ok("/v1/completions", body)["choices"][0]["text"].as_str().unwrap().to_string()
    }

    /// Text that `nearfield run` puts behind a prompt, with flags in addition.
    #[track_caller]
    pub fn run(&self, prompt: &str, flags: &str) -> String {
        let text = self.stdout(&["run", "-p", prompt], flags);
        text.strip_prefix(prompt).and_then(|text| text.strip_suffix('\n')).unwrap_or_else(|| panic!("{text:?}")).into()
    }

    /// Standard output of another command in the folder, with flags separated by spaces.
    #[track_caller]
    pub fn stdout(&self, args: &[&str], flags: &str) -> String {
        let args = args.iter().copied().chain(flags.split_whitespace());
        let Output { status, stdout, stderr } = command(self.folder.path()).args(args).output().unwrap();
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    /// Last row of an array of float32 that a command wrote, `width` numbers.
    pub fn last_row(&self, name: &str, width: usize) -> Vec<f32> {
        let bytes = fs::read(self.folder.path().join(name)).unwrap();
        let numbers = bytes[bytes.len() - 4 * width..].chunks_exact(4);
        numbers.map(|number| f32::from_le_bytes(number.try_into().unwrap())).collect()
    }

    /// Value of a count of `/metrics`.
    pub fn count(&self, name: &str) -> f64 {
        let page = self.get("/metrics").body;
        let line = page.lines().find(|line| line.starts_with(&format!("nearfield_{name}")));
        line.unwrap_or_else(|| panic!("no {name}: {page}")).rsplit(' ').next().unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nearfield"));
    command.current_dir(folder).stdin(Stdio::null());
    command
}
