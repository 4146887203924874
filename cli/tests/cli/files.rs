//! Output files are written whole or not at all.

use std::fs;

use crate::{Folder, tiny};

const LOGITS: &str = "logits tiny.gguf --tokens 1,2,3";

#[test]
fn an_old_file_is_replaced_where_that_is_asked_for() {
    let f = Folder::new();
    f.write("out.npy", b"old");
    f.fails(&format!("{LOGITS} -o out.npy"), 1, "out.npy is there already: --force replaces it");
    assert_eq!(fs::read(f.path().join("out.npy")).unwrap(), b"old");
    f.stdout(&format!("{LOGITS} -o out.npy --force"));
    assert!(fs::read(f.path().join("out.npy")).unwrap().starts_with(b"\x93NUMPY"));
    assert_eq!(f.names(), ["out.npy"]);
}

#[test]
fn a_file_that_cannot_be_written_is_an_error() {
    let f = Folder::new();
    fs::create_dir(f.path().join("folder")).unwrap();
    f.write("encoder.gguf", &tiny::encoder(true));
    f.write("text", b"beep");
    // Each command reports an output that cannot be written before it does any work; the models are valid.
    let commands = [
        "logits tiny.gguf --tokens 1,2,3 -o OUT",
        "run tiny.gguf beep --save-kv OUT",
        "run tiny.gguf beep --plot-keys OUT",
        "perplexity tiny.gguf -f text --csv OUT",
        "perplexity tiny.gguf -f text --plot OUT",
        "embed -m encoder.gguf beep -o OUT",
        "rerank -m encoder.gguf beep boop -o OUT",
        "quantize tiny.gguf OUT Q4_0",
        "pack tiny.gguf OUT",
        "bench tiny.gguf -p 8 -n 2 --plot OUT",
    ];
    for command in commands {
        let fails = |name: &str, want: &str| {
            f.fails(&command.replace("OUT", name), 1, &format!("cannot write {name}: {want}"));
        };
        fails("none/out", "there is no folder none");
        fails("text/out", "text is no folder");
        fails("folder", "it is a folder");
    }
    let mut names = f.names();
    names.sort();
    assert_eq!(names, ["encoder.gguf", "folder", "text"]);
}

#[test]
fn no_output_takes_the_place_of_what_is_read() {
    let f = Folder::new();
    let (model, text) = (tiny::model("mpt"), "beep ".repeat(50));
    f.write("encoder.gguf", &tiny::encoder(false));
    f.write("text", text.as_bytes());
    f.write("ids", b"1 2 3");
    let commands = [
        ("logits tiny.gguf --tokens 1,2,3 -o tiny.gguf", "tiny.gguf"),
        ("logits tiny.gguf --tokens @ids -o ids", "ids"),
        ("run tiny.gguf beep --save-kv tiny.gguf --force", "tiny.gguf"),
        ("run tiny.gguf beep --plot-keys ./tiny.gguf", "./tiny.gguf"),
        ("perplexity tiny.gguf -f text --csv text", "text"),
        ("embed -m encoder.gguf -f text -o text", "text"),
        ("pack tiny.gguf tiny.gguf --force", "tiny.gguf"),
    ];
    for (command, name) in commands {
        f.fails(command, 1, &format!("cannot write {name}: the command reads it, so choose another name"));
    }
    assert_eq!(fs::read(f.path().join("tiny.gguf")).unwrap(), model);
    assert_eq!(fs::read(f.path().join("text")).unwrap(), text.as_bytes());
}

#[test]
fn an_old_file_stays_when_the_tokens_are_wrong() {
    let f = Folder::new();
    f.write("out.npy", b"old");
    f.fails("logits tiny.gguf --tokens 1,999 -o out.npy --force", 1, "token 999");
    assert_eq!(fs::read(f.path().join("out.npy")).unwrap(), b"old");
    assert_eq!(f.names(), ["out.npy"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let f = Folder::new();
    f.fails(
        &format!("{LOGITS} -o /dev/full"),
        1,
        "cannot write /dev/full, which takes 3.2 KiB: No space left on device",
    );
    assert!(!fs::metadata("/dev/full").unwrap().is_file(), "a device stays a device");

    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    for line in
        ["run tiny.gguf beep", "tokenize tiny.gguf beep", "inspect tiny.gguf", "--help", "run --help", "--version"]
    {
        let output = f.command(line.split(' ')).stdout(full.try_clone().unwrap()).output().unwrap();
        let error = crate::text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert_eq!(
            error, "nearfield: cannot write to standard output: No space left on device (os error 28)\n",
            "{line}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link_and_modes_are_the_usual_ones() {
    use std::os::unix::fs::PermissionsExt;

    let f = Folder::new();
    let usual = fs::metadata(f.write("real.npy", b"old")).unwrap().permissions().mode();
    std::os::unix::fs::symlink("real.npy", f.path().join("link.npy")).unwrap();
    f.stdout(&format!("{LOGITS} -o link.npy --force"));
    assert!(fs::symlink_metadata(f.path().join("link.npy")).unwrap().is_symlink());
    let real = f.path().join("real.npy");
    assert!(fs::read(&real).unwrap().starts_with(b"\x93NUMPY"));
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode(), usual);
}
