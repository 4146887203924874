//! `nearfield perplexity` compared with the logits.

use std::fs;

use crate::{Folder, text};

const WORDS: &str = "the one in the water, on and over; her thin tower, then winter ";

/// Tokens of the text in the file `text`.
fn with_text(f: &Folder) -> Vec<u32> {
    let words = WORDS.repeat(3);
    f.write("text", words.as_bytes());
    let ids = f.command(["tokenize", "tiny.gguf", "-p", &words]).output().unwrap();
    text(&ids.stdout).split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// Negative log-probabilities of `tokens` but the first, each after the tokens before it, with the flags of `logits`.
fn losses(f: &Folder, tokens: &[u32], flags: &str) -> Vec<f64> {
    let ids: Vec<String> = tokens.iter().map(u32::to_string).collect();
    f.stdout(&format!("logits tiny.gguf --tokens {} -o rows.npy --force {flags}", ids.join(",")));
    let bytes = fs::read(f.path().join("rows.npy")).unwrap();
    fs::remove_file(f.path().join("rows.npy")).unwrap();
    let logits: Vec<f64> = bytes[128..].as_chunks().0.iter().map(|&x| f64::from(f32::from_le_bytes(x))).collect();
    let rows = logits.chunks_exact(logits.len() / tokens.len());
    let loss = |(row, &next): (&[f64], &u32)| row.iter().map(|x| x.exp()).sum::<f64>().ln() - row[next as usize];
    rows.zip(&tokens[1..]).map(loss).collect()
}

/// Lengths, perplexities and numbers of scored tokens.
fn table(told: &str) -> Vec<(usize, f64, usize)> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words[0].parse().unwrap(), words[1].parse().unwrap(), words[4].parse().unwrap())
    };
    told.lines().skip(1).map(row).collect()
}

#[track_caller]
fn assert_row(found: (usize, f64, usize), n_ctx: usize, losses: &[f64]) {
    let want = (losses.iter().sum::<f64>() / losses.len() as f64).exp();
    assert_eq!((found.0, found.2), (n_ctx, losses.len()));
    assert!((found.1 - want).abs() < 1e-3, "length {n_ctx}: {} instead of {want}", found.1);
}

#[test]
fn pieces() {
    let f = Folder::new();
    let tokens = with_text(&f);
    let whole = table(&f.stdout("perplexity tiny.gguf -f text --ctx 32,17,32 --all"));
    let half = table(&f.stdout("perplexity tiny.gguf -f text --ctx 32,17"));
    for (i, n_ctx) in [17, 32].into_iter().enumerate() {
        let (mut all, mut second_half) = (Vec::new(), Vec::new());
        for piece in tokens.chunks_exact(n_ctx) {
            // Each window begins with the token that begins a text.
            let piece = [&tokens[..1], &piece[1..]].concat();
            let losses = losses(&f, &piece, "");
            all.extend(&losses);
            second_half.extend(&losses[n_ctx / 2..]);
        }
        assert_eq!(all.len(), tokens.len() / n_ctx * (n_ctx - 1));
        assert_row(whole[i], n_ctx, &all);
        assert_row(half[i], n_ctx, &second_half);
    }
}

#[test]
fn sliding_windows() {
    let f = Folder::new();
    let tokens = with_text(&f);
    let found = table(&f.stdout("perplexity tiny.gguf -f text --ctx 32 --stride 5"));
    let mut want = losses(&f, &tokens[..32], "");
    for end in (37..tokens.len() + 5).step_by(5).map(|end| end.min(tokens.len())) {
        let window = [&tokens[..1], &tokens[end - 31..end]].concat();
        let losses = losses(&f, &window, "");
        want.extend(&losses[losses.len() - (end - 1 - want.len())..]);
    }
    assert_eq!(want.len(), tokens.len() - 1);
    assert_row(found[0], 32, &want);
}

#[test]
fn one_stream() {
    let f = Folder::new();
    let tokens = with_text(&f);
    let stream = |flags: &str| table(&f.stdout(&format!("perplexity tiny.gguf -f text --stream {flags}")));
    // A length that holds the text drops nothing; a shorter one is a ring, and a text of that many tokens is too short for it.
    let n = tokens.len().next_multiple_of(32);
    assert_row(stream(&format!("--ctx {n}"))[0], n, &losses(&f, &tokens, ""));
    assert_row(stream("--ctx 64")[0], 64, &losses(&f, &tokens, "--ring 64"));
    assert_row(stream("--ctx 64 --sinks 4")[0], 64, &losses(&f, &tokens, "--ring 64 --sinks 4"));
    assert_ne!(stream("--ctx 64 --sinks 4"), stream("--ctx 64"));
    assert_eq!(stream("--ctx 64 --max-tokens 100")[0].2, 99);
    // The name of the token that ends a text is tokenized as its bytes, or with --special as the token.
    f.write("text", b"the one<|endoftext|>the other");
    let n_tokens = |flags: &str| stream(&format!("--ctx 64 {flags}"))[0].2;
    assert_eq!(n_tokens("") - n_tokens("--special"), "<|endoftext|>".len() - 1);
}

/// Scores use the scaled slopes, as the logits do.
#[test]
fn scaled_slopes() {
    let f = Folder::new();
    let tokens = with_text(&f);
    let n = tokens.len().next_multiple_of(32);
    let mut perplexities = Vec::new();
    for flags in ["", "--alibi-scale 0.25", "--alibi-scale train:20"] {
        let found = table(&f.stdout(&format!("perplexity tiny.gguf -f text --stream --ctx {n} {flags}")))[0];
        assert_row(found, n, &losses(&f, &tokens, flags));
        assert!(perplexities.iter().all(|&other: &f64| (other - found.1).abs() > 1e-3), "{flags}: {}", found.1);
        perplexities.push(found.1);
    }
    let same = table(&f.stdout(&format!("perplexity tiny.gguf -f text --stream --ctx {n} --alibi-scale model")))[0];
    assert_eq!(same.1, perplexities[0]);
    let what = "for '--alibi-scale <SCALE>': model, a factor above 0 such as 0.5 or 2^-1, or train:N with";
    f.fails("perplexity tiny.gguf -f text --alibi-scale 0", 2, &format!("invalid value '0' {what}"));
    f.fails("run tiny.gguf the --alibi-scale train:0", 2, &format!("invalid value 'train:0' {what}"));
}

#[test]
fn tables_and_pictures() {
    let f = Folder::new();
    with_text(&f);
    let output = f.nearfield("perplexity tiny.gguf -f text --ctx 16,32,64 --csv out.csv --plot out.svg");
    let told = text(&output.stdout);
    assert!(text(&output.stderr).contains("tokens of text, pieces of the length, second halves"));
    let csv = fs::read_to_string(f.path().join("out.csv")).unwrap();
    let rows: Vec<&str> = csv.lines().collect();
    assert_eq!(rows.len(), 4);
    assert_eq!(
        rows[0],
        "model,text,protocol,kv,ring,sinks,horizon_eps,alibi_scale,alibi_bf16,length,perplexity,error,bits_per_byte,tokens,bytes"
    );
    for (row, (n_ctx, perplexity, n_tokens)) in rows[1..].iter().zip(table(&told)) {
        // The protocol has commas, in quotes.
        let fields: Vec<&str> = row.rsplit(',').collect();
        assert_eq!([fields[5], fields[1]], [n_ctx.to_string(), n_tokens.to_string()], "{row}");
        assert!((fields[4].parse::<f64>().unwrap() - perplexity).abs() < 1e-3, "{row}");
        let [bytes, bits]: [f64; 2] = [fields[0], fields[2]].map(|field| field.parse().unwrap());
        let nats = fields[4].parse::<f64>().unwrap().ln() * n_tokens as f64;
        assert!((bits * bytes * std::f64::consts::LN_2 / nats - 1.0).abs() < 1e-6, "{row}");
    }
    let svg = fs::read_to_string(f.path().join("out.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("perplexity") && svg.matches("<circle").count() == 3 + 1, "{svg}");
}

#[test]
fn what_is_done_need_not_be_done_again() {
    let f = Folder::new();
    with_text(&f);
    let line = "perplexity tiny.gguf -f text --ctx 16,32 --resume done";
    let want = f.stdout(line);
    let path = f.path().join("done");
    let whole = fs::read_to_string(&path).unwrap();
    assert!(whole.lines().count() > 8);
    // The journal was interrupted in the middle of a line.
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(f.stdout(line), want);
    assert_eq!(fs::read_to_string(&path).unwrap(), whole);
    // The journal counts: a window that is not run again has the score that the file gives it.
    fs::write(&path, whole.replace("\n16 0 ", "\n16 0 9")).unwrap();
    assert_ne!(f.stdout(line), want);
    let others = ["--kv f32", "--all", "--sinks 3", "--max-tokens 90", "--ring 64", "--horizon-eps 0.5"];
    for other in others.into_iter().chain(["--alibi-bf16", "--alibi-scale 0.5", "--alibi-scale train:16"]) {
        f.fails(&format!("{line} {other}"), 1, "done: is the record of another model, text or setting");
    }
    f.fails("perplexity tiny.gguf -f text --ctx 16 --resume text", 1, "text: is no record of a measurement");
}

#[test]
fn what_cannot_be_measured() {
    let f = Folder::new();
    let n = with_text(&f).len();
    f.write("empty", b"");
    let fails = |flags: &str, code, want: &str| f.fails(&format!("perplexity tiny.gguf {flags}"), code, want);
    fails("-f none", 1, "cannot read none: No such file");
    fails("-f text --ctx 1000", 1, &format!("the text has {n} tokens: too few for a length of 1000"));
    fails("-f empty", 1, "the text has 1 token: too few for a length of 512");
    fails("-f text --ctx 1", 2, "invalid value '1' for '--ctx <N,...>': a number of tokens from 2 on");
    fails("-f text --ctx 16 --stride 16", 1, "a stride of 16 tokens leaves gaps between windows of 16");
    fails("-f text --ctx 16 --stride 4 --stream", 2, "the argument '--stride <N>' cannot be used with '--stream'");
    fails("-f text --ctx 16 --csv none/out.csv", 1, "cannot write none/out.csv");
}
