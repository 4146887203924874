//! `run --save-kv` and `--load-kv`: a text generated in parts equals the text generated at once.

use std::fs;

use super::Folder;

/// Hash of the logits, and the seed.
fn told(stderr: &str) -> (String, String) {
    let line = |name: &str| stderr.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    (line("hash").split(' ').next_back().unwrap_or_default().to_owned(), line("seed"))
}

/// Text, hash and seed of a run that has to succeed. The text ends with a line feed of its own.
fn run(folder: &Folder, line: &str) -> (Vec<u8>, (String, String)) {
    let output = folder.nearfield(line);
    assert!(output.status.success(), "{line}\n{}", crate::text(&output.stderr));
    (output.stdout.strip_suffix(b"\n").unwrap().to_vec(), told(&crate::text(&output.stderr)))
}

/// Cuts a text anywhere, also within characters, since the tiny model writes any bytes; with and without the random numbers of
/// a sampler.
#[test]
fn a_text_in_parts_is_the_text_at_once() {
    let f = Folder::new();
    let settings = [
        ("--temp 0", ""),
        ("--temp 1 --top-k 0", ""),
        ("--temp 1 --top-k 0 --repeat-penalty 1.4", "--kv q8_0,q4_0 --threads 2"),
        (
            "--temp 1 --top-k 0 --typical 0.97 --presence-penalty 0.5 --frequency-penalty 0.2 --dry-multiplier 0.8 -l 101=2 \
             --ignore-eos",
            "",
        ),
        ("--temp 1.2 --top-k 0", "--kv q8_0 --ring 32 --sinks 4"),
        ("--temp 1 --top-k 0", "--ring 64 --sinks 2 --ctx 64 --endless"),
    ];
    for (seed, (sampler, session)) in settings.into_iter().enumerate() {
        let settings = format!("{sampler} {session}");
        let seeded = format!("{settings} --seed {seed}");
        let (want, _) = run(&f, &format!("run tiny.gguf Once {seeded} -n 150 --save-kv end.kv --force"));
        for parts in [&[0, 150][..], &[1, 149], &[60, 0, 29, 61], &[31, 32, 1, 86], &[100, 50]] {
            let mut text = vec![];
            for (i, n) in parts.iter().enumerate() {
                let (beginning, kept) = if i == 0 { ("Once", &seeded) } else { ("--load-kv part.kv", &settings) };
                let line = format!("run tiny.gguf {beginning} {kept} -n {n} --save-kv part.kv --force");
                text.extend(run(&f, &line).0);
            }
            assert!(text == want, "{settings}, {parts:?}: {:?}", String::from_utf8_lossy(&text));
            let [end, part] = ["end.kv", "part.kv"].map(|name| fs::read(f.path().join(name)).unwrap());
            assert!(end == part, "{settings}, {parts:?}: another state at the end");
        }
        // The logits are the same, too.
        let (_, whole) = run(&f, &format!("run tiny.gguf Once {seeded} -n 40 --hash"));
        run(&f, &format!("run tiny.gguf Once {seeded} -n 0 --save-kv part.kv --force"));
        let (_, behind) = run(&f, &format!("run tiny.gguf --load-kv part.kv {settings} -n 40 --hash --isa scalar"));
        assert_eq!(whole, behind, "{settings}");
    }
}

#[test]
fn a_window_that_no_snapshot_has_is_refused() {
    let f = Folder::new();
    let message =
        "the sampler looks at the last 100 tokens, a snapshot has 64: penalties and DRY need a window of at most that";
    for window in ["--dry-multiplier 0.8 --dry-penalty-last-n 100", "--presence-penalty 1 --repeat-last-n 100"] {
        f.fails(&format!("run tiny.gguf Once {window} -n 2 --save-kv a.kv"), 1, message);
        assert!(!f.path().join("a.kv").exists());
        run(&f, &format!("run tiny.gguf Once {window} -n 2"));
    }
    run(&f, "run tiny.gguf Once -n 2 --save-kv a.kv --dry-penalty-last-n 100");
    f.fails("run tiny.gguf --load-kv a.kv --dry-multiplier 1 --dry-penalty-last-n 100", 1, message);
}

#[test]
fn a_prompt_may_follow() {
    let f = Folder::new();
    // No merge joins these words to the text before them.
    let (want, hash) = run(&f, "run tiny.gguf OnceXupon --seed 1 -n 30 --hash");
    let (_, _) = run(&f, "run tiny.gguf OnceX --seed 1 -n 0 --save-kv a.kv");
    let (got, behind) = run(&f, "run tiny.gguf upon --load-kv a.kv -n 30 --hash");
    assert_eq!(want[5..], got);
    assert_eq!(hash, behind);
    let (another, _) = run(&f, "run tiny.gguf upon --load-kv a.kv -n 30 --seed 2");
    assert_ne!(another, got);
    assert_eq!(run(&f, "run tiny.gguf upon --load-kv a.kv -n 30 --seed 1").0, got);
    // Weights in another order in memory are the same model.
    for repack in ["on", "off"] {
        assert_eq!(run(&f, &format!("run tiny.gguf upon --load-kv a.kv -n 30 --repack {repack}")).0, got);
    }
}

#[test]
fn a_stored_text_is_told_of() {
    let f = Folder::new();
    let report = f.stderr("run tiny.gguf Once --seed 1 -n 0 --kv q8_0 --ring 32 --sinks 1 --save-kv a.kv");
    assert!(report.contains("snapshot 4 tokens in "), "{report}");
    let told = f.stdout("inspect a.kv");
    for part in [
        "a.kv: keys and values of 4 tokens, ",
        "made with tiny.gguf of ",
        "2 layers, 2 heads of 8 for keys, in q8_0",
        "goes on with seed 1 behind the tokens ",
    ] {
        assert!(told.contains(part), "{told}");
    }
    f.stderr("run tiny.gguf Once --temp 0 -n 100 --ring 32 --sinks 1 --save-kv b.kv");
    assert!(f.stdout("inspect b.kv").contains("kept from position (by head) 96, 96, and 1 sink"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let f = Folder::new();
    f.stderr("run tiny.gguf Once --temp 0 -n 80 --ring 64 --sinks 2 --save-kv a.kv");
    let whole = fs::read(f.path().join("a.kv")).unwrap();
    let go_on = |flags: &str| format!("run tiny.gguf --load-kv a.kv --temp 0 {flags}");
    f.stdout(&go_on("--ring 64 --sinks 2 -n 3"));
    for (flags, want) in [
        ("--kv q8_0", "the snapshot has keys and values in f16, the session in q8_0: --kv f16 goes on"),
        (
            "--ring 64 --horizon-eps 0",
            "the snapshot was made with a horizon's epsilon of 5.96046e-8, the session has one of 0: --horizon-eps 5.9604645e-8 goes on",
        ),
        (
            "--ring 64 --alibi-bf16",
            "the session has biases rounded to bfloat16, the snapshot has not: without --alibi-bf16 it goes on",
        ),
        (
            "",
            "the ring of KV head 0 wants the keys from position 0 on, the snapshot has those from 32 on: a shorter --ring goes on",
        ),
        (
            "--ring 64 --sinks 5",
            "5 sinks are asked for, the snapshot has the keys of the first 2 tokens: --sinks 2 goes on",
        ),
        (
            "--ring 64 --ctx 20",
            "a prefix of 84 tokens in a context of 20: it has to be at least as long: --ctx N makes room",
        ),
        (
            "--ring 64 --sinks 2 --ctx 84 -n 2",
            "the snapshot and the prompt have 85 tokens, the context 84: --ctx N makes room",
        ),
    ] {
        f.fails(&go_on(flags), 1, want);
    }
    f.fails("run --load-kv a.kv --ring 64", 1, "a.kv, made with tiny.gguf: the snapshot was made with another model");
    f.stderr("pack tiny.gguf packed.gguf");
    f.fails("run packed.gguf --load-kv a.kv --ring 64", 1, "a.kv, made with tiny.gguf: ");
    let mut damaged = whole.clone();
    damaged[700] ^= 16;
    f.write("damaged.kv", &damaged);
    f.write("cut.kv", &whole[..whole.len() - 10]);
    f.write("other.kv", b"Once upon a time");
    f.write("empty.kv", b"");
    f.fails("run tiny.gguf --load-kv damaged.kv", 1, "damaged.kv: the snapshot is damaged: its checksum is not");
    f.fails("inspect damaged.kv", 1, "damaged.kv: the snapshot is damaged");
    f.fails("run tiny.gguf --load-kv cut.kv", 1, "cut.kv: the snapshot should have ");
    f.fails("run tiny.gguf --load-kv other.kv", 1, "other.kv: no snapshot: it does not begin with NFKV");
    f.fails("run tiny.gguf --load-kv empty.kv", 1, "cannot open empty.kv: the file is empty");
    f.fails("run tiny.gguf --load-kv gone.kv", 1, "cannot open gone.kv: ");
    f.fails("run tiny.gguf --force", 2, "the following required arguments were not provided: --save-kv <FILE>");
    // An existing file is an error before anything is computed, and it stays as it was.
    f.fails("run tiny.gguf Once --save-kv a.kv", 1, "a.kv is there already: --force replaces it");
    assert!(fs::read(f.path().join("a.kv")).unwrap() == whole);
    // The text has been printed when the snapshot cannot be written.
    let output = f.nearfield("run tiny.gguf Once -n 2 --save-kv no/a.kv");
    assert_eq!(output.status.code(), Some(1));
    assert!(crate::text(&output.stderr).starts_with("nearfield: cannot write no/a.kv: "));
    // A snapshot may replace the one that the run continues.
    f.stdout("run tiny.gguf --load-kv a.kv --ring 64 --sinks 2 -n 3 --save-kv a.kv --force");
    assert!(f.names().iter().all(|name| !name.ends_with(".part")), "{:?}", f.names());
}
