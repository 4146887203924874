//! Models by name, from a server that speaks the protocol of the Hugging Face Hub.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::hub_server::{COMMIT, Fault, REPO, Server, sha256};
use crate::{Folder, split, text, tiny};

/// `nearfield` with the server as the Hub and a cache in the folder.
fn command(f: &Folder, server: &Server, line: &str) -> Command {
    let mut command = f.command(line.split_whitespace());
    for name in ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE"] {
        command.env_remove(name);
    }
    for name in ["all_proxy", "http_proxy", "https_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command.env("HF_HOME", f.path().join("home")).env("HF_ENDPOINT", server.address());
    command
}

fn run(f: &Folder, server: &Server, line: &str) -> Output {
    command(f, server, line).output().unwrap()
}

/// Standard output and standard error of a run that has to succeed.
#[track_caller]
fn succeeds(output: &Output) -> (String, String) {
    assert!(output.status.success(), "{}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

/// Standard error of a run that has to fail.
#[track_caller]
fn fails(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    text(&output.stderr)
}

fn repo_folder(f: &Folder) -> PathBuf {
    f.path().join("home/hub/models--org--name")
}

fn snapshot(f: &Folder, name: &str) -> PathBuf {
    repo_folder(f).join("snapshots").join(COMMIT).join(name)
}

fn blob(f: &Folder, bytes: &[u8]) -> PathBuf {
    repo_folder(f).join("blobs").join(sha256(bytes))
}

fn unfinished(f: &Folder, bytes: &[u8]) -> PathBuf {
    PathBuf::from(format!("{}.incomplete", blob(f, bytes).display()))
}

#[test]
fn a_model_is_fetched_by_name_into_the_shared_cache() {
    let f = Folder::new();
    let model = tiny::model("mpt");
    let server = Server::new(&[("README.md", b"#"), ("m-Q8_0.gguf", &model), ("m-F32.gguf", b"GGUF")]);
    let want = f.stdout("tokenize tiny.gguf the");
    let (ids, notes) = succeeds(&run(&f, &server, "tokenize -hf org/name:q8_0 the"));
    let path = snapshot(&f, "m-Q8_0.gguf");
    assert_eq!((ids, notes), (want.clone(), format!("fetched {}\n", path.display())));
    assert_eq!(fs::read(&path).unwrap(), model);
    if cfg!(unix) {
        let link = format!("../../blobs/{}", sha256(&model));
        assert_eq!(fs::read_link(&path).unwrap(), Path::new(&link));
    }
    assert_eq!(fs::read_to_string(repo_folder(&f).join("refs/main")).unwrap(), COMMIT);
    let listing = format!("GET /api/models/{REPO}/revision/main?blobs=true");
    let bytes = format!("/{REPO}/resolve/{COMMIT}/m-Q8_0.gguf");
    let requests =
        [listing.clone(), format!("HEAD {bytes}"), format!("GET {bytes}"), "GET /storage/m-Q8_0.gguf".into()];
    assert_eq!(server.requests(), requests);
    // Again: the list alone is asked for. The name of the file and no name choose the same one.
    for name in ["org/name:Q8_0", "org/name:m-Q8_0.gguf"] {
        assert_eq!(succeeds(&run(&f, &server, &format!("tokenize --hf {name} the"))), (want.clone(), String::new()));
        assert_eq!(server.requests(), std::slice::from_ref(&listing));
    }
    let (ids, notes) = succeeds(&run(&f, &server, "tokenize --hf org/name the"));
    assert_eq!((ids, notes), (want.clone(), "org/name: the file m-Q8_0.gguf of several\n".into()));
    // Bytes that the cache has are linked, not fetched.
    fs::remove_file(&path).unwrap();
    let (ids, _) = succeeds(&run(&f, &server, "tokenize --hf org/name:Q8_0 the"));
    assert_eq!((ids, server.n_sent()), (want, model.len()));
    // The other folders that tools know.
    let mut other = command(&f, &server, "tokenize -hf org/name:Q8_0 the");
    succeeds(&other.env("HF_HUB_CACHE", f.path().join("other")).output().unwrap());
    assert!(f.path().join("other/models--org--name/refs/main").is_file());
}

#[test]
fn every_command_takes_a_name() {
    let f = Folder::new();
    let (model, encoder) = (tiny::model("mpt"), tiny::encoder(false));
    let server = Server::new(&[("m.gguf", &model), ("encoder.gguf", &encoder)]);
    f.write("text", "the one in the water, on and over; ".repeat(20).as_bytes());
    for line in [
        "run --hf org/name:m.gguf beep -n 2",
        "tokenize --hf org/name:m.gguf the",
        "detokenize --hf org/name:m.gguf 70 71",
        "logits --hf org/name:m.gguf --tokens 70,71 -o out.npy",
        "inspect --hf org/name:m.gguf",
        "plan --hf org/name:m.gguf --ctx 64",
        "bench --hf org/name:m.gguf tiny.gguf -p 4 -n 2 -r 1 --no-peaks",
        "perplexity --hf org/name:m.gguf -f text --ctx 16",
        "imatrix --hf org/name:m.gguf -f text -o out.imatrix --ctx 32",
        "embed --hf org/name:encoder.gguf the",
    ] {
        succeeds(&run(&f, &server, line));
    }
    let both = fails(&run(&f, &server, "inspect tiny.gguf --hf org/name"));
    assert_eq!(both, "nearfield: tiny.gguf is one model, and a flag names another\n");
    f.fails("inspect -m tiny.gguf --hf a/b", 2, "the argument '--model <FILE>' cannot be used with '--hf");
    f.fails(
        "inspect --hf name",
        2,
        "invalid value 'name' for '--hf <ORG/NAME[:FILE]>': a name on the Hugging Face Hub",
    );
}

#[test]
fn a_split_model_is_fetched_whole() {
    let f = Folder::new();
    let model = tiny::model("mpt");
    let parts = split::split(&model, &[0, 3, 9]);
    let names: Vec<String> = (0..3).map(|no| format!("q/{}", split::name("m-Q8_0", no, 3))).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(String::as_str).zip(parts.iter().map(Vec::as_slice)).collect();
    let server = Server::new(&files);
    let (ids, _) = succeeds(&run(&f, &server, "tokenize -hf org/name:Q8_0 the"));
    assert_eq!(ids, f.stdout("tokenize tiny.gguf the"));
    for (name, part) in &files {
        assert_eq!(fs::read(snapshot(&f, name)).unwrap(), *part, "{name}");
    }
    let text_of = |line: &str| succeeds(&run(&f, &server, line)).0;
    assert_eq!(text_of("run -hf org/name beep -n 8 --temp 0"), text_of("run -m tiny.gguf beep -n 8 --temp 0"));
    let server = Server::new(&files[..2]);
    let error = fails(&run(&f, &server, "inspect -hf org/name"));
    assert_eq!(error, format!("nearfield: the repository lacks {}, a part of a split file\n", names[2]));
}

#[test]
fn a_transfer_that_breaks_off_is_gone_on_with() {
    let f = Folder::new();
    let model = tiny::model("mpt");
    let size = model.len();
    let server = Server::new(&[("m.gguf", &model)]);
    server.fail(&[Fault::Code(500), Fault::CutAfter(1000), Fault::CutAfter(500)]);
    let (_, notes) = succeeds(&run(&f, &server, "tokenize -hf org/name the"));
    assert_eq!(notes.matches("trying again").count(), 3, "{notes}");
    assert!(notes.contains("m.gguf: the server answers with code 500; trying again"), "{notes}");
    let gets: Vec<String> = server.requests().into_iter().filter(|request| request.contains("GET /storage")).collect();
    let get = "GET /storage/m.gguf";
    assert_eq!(gets, [get.into(), get.into(), format!("{get} from 1000"), format!("{get} from 1500")]);
    assert_eq!(server.n_sent(), size);
    assert_eq!(fs::read(blob(&f, &model)).unwrap(), model);
}

#[test]
fn what_came_is_kept_for_the_next_run() {
    let f = Folder::new();
    let model = tiny::model("mpt");
    let size = model.len();
    let server = Server::new(&[("m.gguf", &model)]);
    server.fail(&[
        Fault::CutAfter(3000),
        Fault::Code(503),
        Fault::Code(503),
        Fault::Code(503),
        Fault::Code(503),
        Fault::Code(503),
    ]);
    let error = fails(&run(&f, &server, "tokenize -hf org/name the"));
    let error = error.lines().last().unwrap();
    assert!(error.starts_with("nearfield: m.gguf: broken off after 2.9 KiB of "), "{error}");
    assert!(error.ends_with("(the server answers with code 503); the same command goes on from there"), "{error}");
    assert_eq!(fs::metadata(unfinished(&f, &model)).unwrap().len(), 3000);
    server.n_sent();
    succeeds(&run(&f, &server, "tokenize -hf org/name the"));
    assert_eq!(server.n_sent(), size - 3000);
    assert!(!unfinished(&f, &model).exists());

    // A server that sends all bytes nevertheless, and one whose file is shorter than what is there.
    for n_begun in [3000, size + 1] {
        fs::remove_file(blob(&f, &model)).unwrap();
        fs::write(unfinished(&f, &model), vec![b'x'; n_begun]).unwrap();
        server.fail(&[Fault::Whole]);
        succeeds(&run(&f, &server, "tokenize -hf org/name the"));
        assert_eq!(fs::read(blob(&f, &model)).unwrap(), model);
    }
}

#[test]
fn wrong_bytes_do_not_stay() {
    let f = Folder::new();
    let model = tiny::model("mpt");
    let server = Server::new(&[("m.gguf", &model)]);
    server.fail(&[Fault::Wrong]);
    let error = fails(&run(&f, &server, "tokenize -hf org/name the"));
    let mut wrong = model.clone();
    wrong[0] ^= 1;
    let (found, want) = (sha256(&wrong), sha256(&model));
    let told = format!("m.gguf: the bytes that came have SHA-256 {found}, not {want}: they are discarded");
    assert_eq!(error, format!("nearfield: {told}\n"));
    assert!(!blob(&f, &model).exists() && !unfinished(&f, &model).exists() && !snapshot(&f, "m.gguf").exists());
    // Wrong bytes of an earlier run: the file is fetched anew at once.
    fs::write(unfinished(&f, &model), b"GGUX").unwrap();
    let (_, notes) = succeeds(&run(&f, &server, "tokenize -hf org/name the"));
    assert!(notes.contains("they are discarded: the file is fetched anew"), "{notes}");
    assert_eq!(fs::read(blob(&f, &model)).unwrap(), model);
}

#[test]
fn without_an_answer_the_cache_has_to_do() {
    let f = Folder::new();
    let model = tiny::model("mpt");
    let server = Server::new(&[("m-Q8_0.gguf", &model)]);
    let gone = "http://127.0.0.1:1";
    let offline = |line: &str| command(&f, &server, line).env("HF_ENDPOINT", gone).output().unwrap();
    let error = fails(&offline("tokenize -hf org/name the"));
    assert!(error.starts_with(&format!("nearfield: no answer from {gone} (")), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    let (want, _) = succeeds(&run(&f, &server, "tokenize -hf org/name the"));
    for name in ["org/name", "org/name:q8_0", "org/name:m-Q8_0.gguf"] {
        let (ids, notes) = succeeds(&offline(&format!("tokenize -hf {name} the")));
        let path = snapshot(&f, "m-Q8_0.gguf");
        assert_eq!(ids, want);
        assert!(notes.ends_with(&format!(": the copy in the cache is used, {}\n", path.display())), "{notes}");
    }
    fails(&offline("tokenize -hf org/name:Q4_0 the"));
    let mut forbidden = command(&f, &server, "tokenize -hf org/name the");
    server.requests();
    let (ids, notes) = succeeds(&forbidden.env("HF_HUB_OFFLINE", "1").output().unwrap());
    assert!(notes.starts_with("HF_HUB_OFFLINE is set: the copy in the cache is used"), "{notes}");
    assert_eq!((ids, server.requests()), (want.clone(), Vec::new()));
    // A server that fails.
    server.fail_listing(503);
    let (ids, notes) = succeeds(&run(&f, &server, "tokenize -hf org/name the"));
    assert!(notes.contains("answers with code 503: the copy in the cache is used"), "{notes}");
    assert_eq!(ids, want);
}

#[test]
fn refusals_say_what_to_do() {
    let f = Folder::new();
    let model = tiny::model("mpt");
    let server =
        Server::new(&[("README.md", b"#"), ("a-Q4_0.gguf", &model), ("b-Q4_0.gguf", &model), ("c.gguf", b"G")]);
    let error = |line: &str| fails(&run(&f, &server, line));
    let size = format!("{:.1} KiB", model.len() as f64 / 1024.0);
    let (a, b) = (format!("a-Q4_0.gguf ({size})"), format!("b-Q4_0.gguf ({size})"));
    for name in ["org/name:Q5_K_M", "org/name:d.gguf"] {
        let want = format!("nearfield: {name}: the repository has no such file; it has {a}, {b}, c.gguf (1 byte)\n");
        assert_eq!(error(&format!("inspect -hf {name}")), want);
    }
    let several = format!("nearfield: org/name:Q4_0: several files fit, ORG/NAME:FILE names one: {a}, {b}\n");
    assert_eq!(error("inspect -hf org/name:Q4_0"), several);
    let page = |repo: &str| format!("nearfield: {}/{repo}", server.address());
    let none = format!(
        "{}: no such repository; if it is private, HF_TOKEN takes a token that may read it\n",
        page("org/other")
    );
    assert_eq!(error("inspect -hf org/other"), none);
    assert!(!repo_folder(&f).exists(), "nothing is written before a file is found");

    server.gate("hf_right");
    let with =
        |token: &str| command(&f, &server, "tokenize -hf org/name:a-Q4_0.gguf the").env("HF_TOKEN", token).output();
    assert!(
        error("inspect -hf org/name")
            .starts_with(&format!("{} is gated: accept its conditions there", page("org/name")))
    );
    let denied = fails(&with("hf_wrong").unwrap());
    assert!(
        denied.starts_with(&format!("{} is gated, and the owner of the token has no access", page("org/name"))),
        "{denied}"
    );
    succeeds(&with("hf_right").unwrap());
    // The token of `hf auth login`.
    f.write("home/token", b"hf_right\n");
    succeeds(&run(&f, &server, "tokenize -hf org/name:a-Q4_0.gguf the"));
    let mut no_address = command(&f, &server, "inspect -hf a/b");
    let told = fails(&no_address.env("HF_ENDPOINT", "huggingface.co").output().unwrap());
    assert_eq!(told, "nearfield: HF_ENDPOINT is \"huggingface.co\": it has to begin with https:// or http://\n");
}

/// Two commands fetch the same file: one of them, and the other waits for it.
#[test]
fn a_file_is_fetched_once() {
    let f = Folder::new();
    let model = tiny::model("mpt");
    let server = Server::new(&[("m.gguf", &model)]);
    let start =
        || command(&f, &server, "tokenize -hf org/name the").stdout(std::process::Stdio::null()).spawn().unwrap();
    let mut children: Vec<_> = (0..4).map(|_| start()).collect();
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    assert_eq!(server.n_sent(), model.len());
}

/// Ctrl-C ends a transfer at once, even while no byte comes; the next command goes on.
#[cfg(unix)]
#[test]
fn a_transfer_can_be_interrupted() {
    use std::process::Stdio;
    let f = Folder::new();
    let model = tiny::model("mpt");
    let server = Server::new(&[("m.gguf", &model)]);
    server.fail(&[Fault::SilentAfter(2000)]);
    let mut child = command(&f, &server, "tokenize -hf org/name the");
    let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let has_begun = || fs::metadata(unfinished(&f, &model)).is_ok_and(|found| found.len() == 2000);
    let start = std::time::Instant::now();
    while !has_begun() {
        assert!(start.elapsed().as_secs() < 60, "no byte came");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    crate::pipes::interrupt(&child);
    assert_eq!(crate::pipes::end(child), (Some(130), String::new()));
    server.n_sent();
    succeeds(&run(&f, &server, "tokenize -hf org/name the"));
    assert_eq!(server.n_sent(), model.len() - 2000);
}
