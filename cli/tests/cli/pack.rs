//! Interleaved weights give the same logits, to the bit.

use std::fs;

use super::Folder;

/// Rows of the tiny model's head and layers make whole tiles and some rows more.
const TOKENS: &str = "--tokens 1,2,3,5,8,13,21,34";

fn logits(folder: &Folder, arguments: &str) -> Vec<u8> {
    let path = folder.path().join("logits.npy");
    folder.stdout(&format!("logits {arguments} {TOKENS} -o logits.npy --force"));
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    bytes
}

#[test]
fn packed_is_plain() {
    let folder = Folder::new();
    let stories = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/stories.gguf");
    let pocket = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/pocket.gguf");
    for model in ["tiny.gguf", stories, pocket] {
        let plain = logits(&folder, &format!("{model} --repack off"));
        for how in ["--repack on", "--repack auto", "--repack on --threads 2", "--repack on --isa scalar"] {
            assert!(logits(&folder, &format!("{model} {how}")) == plain, "{model} {how}");
        }
        folder.stderr(&format!("pack {model} packed.gguf"));
        let packed = folder.path().join("packed.gguf");
        for how in ["--repack off", "--repack on"] {
            assert!(logits(&folder, &format!("packed.gguf {how}")) == plain, "{model} packed, {how}");
        }
        assert!(folder.stdout("inspect packed.gguf").contains("interleaved"));
        fs::remove_file(packed).unwrap();
    }
}

#[test]
fn the_index_of_the_tokens_is_in_the_file() {
    let folder = Folder::new();
    let pocket = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/pocket.gguf");
    let ids = |model: &str| folder.stdout(&format!("tokenize {model} Once-upon-a-time,there-was-a-little-girl."));
    folder.stderr(&format!("pack {pocket} packed.gguf"));
    let path = folder.path().join("packed.gguf");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(4).position(|word| word == b"NFTI").unwrap();
    assert_eq!(at % 64, 0, "it can be used where it lies");
    assert_eq!(ids("packed.gguf"), ids(pocket));
    assert!(!folder.stderr("tokenize packed.gguf Once").contains("anew"));
    // A file with a damaged index works as one without.
    bytes[at + 5000] ^= 1;
    folder.write("damaged.gguf", &bytes);
    assert_eq!(ids("damaged.gguf"), ids(pocket));
    let said = folder.stderr("tokenize damaged.gguf Once");
    assert!(said.contains("the file's index of its tokens is made anew"), "{said}");
}

#[test]
fn nothing_is_lost() {
    let folder = Folder::new();
    folder.write("there.gguf", b"mine");
    folder.fails("pack tiny.gguf there.gguf", 1, "there.gguf is there already");
    assert_eq!(fs::read(folder.path().join("there.gguf")).unwrap(), b"mine");
    folder.fails("pack there.gguf new.gguf", 1, "there.gguf: ");
    folder.fails("pack gone.gguf new.gguf", 1, "cannot open gone.gguf: ");
    folder.fails("pack tiny.gguf no/new.gguf", 1, "cannot write no/new.gguf: ");
    folder.fails("run tiny.gguf --repack sometimes", 2, "invalid value 'sometimes' for '--repack <WHEN>'");
    folder.stderr("pack tiny.gguf packed.gguf");
    folder.fails("pack packed.gguf again.gguf", 1, "packed.gguf has no matrix left that can be interleaved");
    let mut cut = fs::read(folder.path().join("packed.gguf")).unwrap();
    cut.truncate(cut.len() - 1000);
    folder.write("cut.gguf", &cut);
    folder.fails("run cut.gguf", 1, "cut.gguf: ");
}
