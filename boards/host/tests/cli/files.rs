//! Files that are written: whole or not at all.

use std::fs;

use crate::Folder;

const LOGITS: &str = "logits tiny.gguf --tokens 1,2,3";

#[test]
fn an_old_file_is_replaced() {
    let f = Folder::new();
    f.write("out.npy", b"old");
    f.stdout(&format!("{LOGITS} -o out.npy"));
    assert!(fs::read(f.path().join("out.npy")).unwrap().starts_with(b"\x93NUMPY"));
    assert_eq!(f.names(), ["out.npy"]);
}

#[test]
fn a_file_that_cannot_be_written_is_an_error() {
    let f = Folder::new();
    fs::create_dir(f.path().join("folder")).unwrap();
    f.fails(&format!("{LOGITS} -o none/out.npy"), 1, "cannot write none/out.npy: No such file");
    let folder = fs::canonicalize(f.path().join("folder")).unwrap();
    f.fails(&format!("{LOGITS} -o folder"), 1, &format!("cannot write {}: Is a directory", folder.display()));
    assert_eq!(f.names(), ["folder"]);
}

#[test]
fn an_old_file_stays_when_the_tokens_are_wrong() {
    let f = Folder::new();
    f.write("out.npy", b"old");
    f.fails("logits tiny.gguf --tokens 1,999 -o out.npy", 1, "token 999");
    assert_eq!(fs::read(f.path().join("out.npy")).unwrap(), b"old");
    assert_eq!(f.names(), ["out.npy"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let f = Folder::new();
    f.fails(&format!("{LOGITS} -o /dev/full"), 1, "cannot write /dev/full: No space left on device");
    assert!(!fs::metadata("/dev/full").unwrap().is_file(), "a device stays a device");

    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    for line in ["run tiny.gguf beep", "tokenize tiny.gguf beep", "inspect tiny.gguf"] {
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
    f.stdout(&format!("{LOGITS} -o link.npy"));
    assert!(fs::symlink_metadata(f.path().join("link.npy")).unwrap().is_symlink());
    let real = f.path().join("real.npy");
    assert!(fs::read(&real).unwrap().starts_with(b"\x93NUMPY"));
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode(), usual);
}
