//! Embeddings and scores of texts.

use std::fs;

use crate::tokens::filter;
use crate::{Folder, text, tiny};

fn folder() -> Folder {
    let f = Folder::new();
    f.write("encoder.gguf", &tiny::encoder(false));
    f.write("reranker.gguf", &tiny::encoder(true));
    f.write("bert.gguf", &tiny::bert());
    f
}

/// Parses the lines as numbers.
fn vectors(lines: &str) -> Vec<Vec<f32>> {
    lines.lines().map(|line| line.split(' ').map(|x| x.parse().unwrap()).collect()).collect()
}

fn length(x: &[f32]) -> f32 {
    x.iter().map(|x| x * x).sum::<f32>().sqrt()
}

/// Gate and up in one matrix, as llama.cpp's converter writes Jina's models, with rows that fill whole row tiles and rows that
/// do not.
#[test]
fn gate_and_up_may_lie_in_one_matrix() {
    let f = Folder::new();
    for n_ff in [64, 24, 8] {
        f.write("two.gguf", &tiny::encoder_with_gate(n_ff, false));
        f.write("one.gguf", &tiny::encoder_with_gate(n_ff, true));
        let vector = |line: &str| f.stdout(&format!("embed {line} the-winter"));
        let want = vector("two.gguf --repack off");
        for how in ["off", "on", "on --isa scalar", "auto --threads 2"] {
            assert_eq!(vector(&format!("one.gguf --repack {how}")), want, "{n_ff} {how}");
        }
        f.stderr("pack one.gguf packed.gguf --force");
        assert_eq!(vector("packed.gguf"), want, "{n_ff} packed");
        assert!(f.stdout("inspect packed.gguf").contains("ffn_up.weight"));
        let less = |name: &str| {
            f.stderr(&format!("quantize {name} less.gguf Q4_0 --force"));
            vector("less.gguf")
        };
        assert_eq!(less("one.gguf"), less("two.gguf"), "{n_ff} quantized");
    }
}

#[test]
fn a_text_is_a_line_of_numbers_and_its_vector_is_one_long() {
    let f = folder();
    let lines = f.stdout("embed encoder.gguf the in the-winter");
    let found = vectors(&lines);
    assert_eq!(found.len(), 3);
    for vector in &found {
        assert_eq!(vector.len(), tiny::N_COLUMNS);
        assert!((length(vector) - 1.0).abs() < 1e-6);
    }
    assert!(found[0] != found[1] && found[1] != found[2]);
    let alone = f.stdout("embed encoder.gguf in");
    assert_eq!(alone.lines().next(), lines.lines().nth(1), "alone or among others");
    let longer = vectors(&f.stdout("embed encoder.gguf the --no-normalize"));
    assert!((length(&longer[0]) - 1.0).abs() > 0.1);
    let scale = length(&longer[0]);
    assert!(longer[0].iter().zip(&found[0]).all(|(x, y)| (x / scale - y).abs() < 1e-6));
}

#[test]
fn texts_come_as_arguments_from_a_file_and_from_standard_input() {
    let f = folder();
    let want = f.stdout("embed encoder.gguf the in");
    f.write("lines.txt", b"the\r\nin");
    assert_eq!(f.stdout("embed -m encoder.gguf -f lines.txt"), want);
    assert_eq!(text(&filter(&f, "embed encoder.gguf", b"the\nin\n")), want);
    assert_eq!(f.stdout("embed encoder.gguf the -f lines.txt").lines().count(), 3);
    // Tokens: `<|endoftext|>`, `t`, `he`, since `the` is a token only with its space.
    let ids = f.stdout("tokenize encoder.gguf the");
    assert_eq!(
        f.stdout(&format!("embed encoder.gguf --tokens {}", ids.trim().replace(' ', ","))),
        want.lines().next().unwrap().to_owned() + "\n"
    );
    f.write("ids.txt", ids.as_bytes());
    let both = f.stdout("embed encoder.gguf --tokens @ids.txt --tokens @ids.txt");
    assert_eq!(both.lines().next(), both.lines().nth(1));
    assert_eq!(both.lines().next(), want.lines().next());
}

#[test]
fn numbers_do_not_depend_on_how_they_are_made() {
    let f = folder();
    f.write("lines.txt", "In the winter the others went on, one after another.\n".repeat(3).as_bytes());
    let line = "embed encoder.gguf -f lines.txt";
    let want = f.stdout(line);
    for flags in ["--threads 1", "--threads 3", "--isa scalar", "--chunk 1", "--chunk 5", "--ctx 500", "--repack on"] {
        assert_eq!(f.stdout(&format!("{line} {flags}")), want, "{flags}");
    }
    for flags in ["--kv q8_0", "--pooling cls", "--pooling last", "--pooling max"] {
        assert_ne!(f.stdout(&format!("{line} {flags}")), want, "{flags}");
    }
}

/// Texts of 1 to 60 words, a line each.
fn many_texts() -> Vec<String> {
    let words = ["the ", "winter ", "in ", "others ", "he "];
    (0..40).map(|i| (0..1 + i * 17 % 60).map(|word| words[(i + word) % 5]).collect::<String>()).collect()
}

/// Many texts go through the model together, in passes that begin and end anywhere.
#[test]
fn many_texts_have_the_numbers_of_each_alone() {
    let f = folder();
    let texts = many_texts();
    f.write("lines.txt", texts.join("\n").as_bytes());
    let alone = |line: &str| -> Vec<String> {
        let told = |text: &String| {
            f.write("one.txt", text.as_bytes());
            f.stdout(&format!("{line} -f one.txt"))
        };
        texts.iter().map(told).collect()
    };
    let all = ["", "--chunk 1", "--chunk 50", "--chunk 5000", "--ctx 200 --threads 3"];
    for line in ["embed encoder.gguf", "embed bert.gguf --pooling max --no-normalize"] {
        let want = alone(line).concat();
        for flags in all {
            assert_eq!(f.stdout(&format!("{line} -f lines.txt {flags}")), want, "{line} {flags}");
        }
    }
    for line in ["rerank reranker.gguf winter", "rerank bert.gguf winter"] {
        let alone = alone(line);
        let want: Vec<f32> = alone.iter().map(|line| ranked(line)[0].0).collect();
        for flags in all {
            let lines = f.stdout(&format!("{line} -f lines.txt {flags}"));
            let mut found = ranked(&lines);
            found.sort_by_key(|&(_, number, _)| number);
            assert_eq!(found.iter().map(|&(score, ..)| score).collect::<Vec<_>>(), want, "{line} {flags}");
        }
    }
}

#[test]
fn an_array_holds_the_same_numbers() {
    let f = folder();
    let want = vectors(&f.stdout("embed encoder.gguf the in"));
    assert_eq!(f.stdout("embed encoder.gguf the in -o out.npy"), "");
    let bytes = fs::read(f.path().join("out.npy")).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let shape = format!("'shape': (2, {})", tiny::N_COLUMNS);
    assert!(String::from_utf8_lossy(&bytes[..header]).contains(&shape));
    let numbers: Vec<f32> = bytes[header..].as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect();
    assert_eq!(numbers, want.concat());
}

#[test]
fn what_cannot_be_embedded_is_said() {
    let f = folder();
    f.write("empty.txt", b"");
    let cases = [
        (
            "embed tiny.gguf the",
            "tiny.gguf: a model of architecture mpt is a decoder: it continues texts, and gives no embeddings",
        ),
        ("embed the", "which model? The first argument has to be one that ends in .gguf"),
        ("embed none.gguf the", "cannot open none.gguf: No such file"),
        ("embed encoder.gguf -f none.txt", "cannot read none.txt: No such file"),
        ("embed encoder.gguf -f empty.txt", "no text to embed"),
        ("embed encoder.gguf", "no text to embed"),
        ("embed encoder.gguf the --tokens 1", "\"the\" is a text, and --tokens stands for one"),
        ("embed encoder.gguf --tokens 1,999", "text 1: token 999 is not below the vocabulary's size 272"),
        ("embed encoder.gguf --tokens 1 --tokens 2,999 --tokens 3", "text 2: token 999 is not below"),
        ("embed encoder.gguf in the-winter --ctx 4", "text 2: a document of "),
        ("embed encoder.gguf in --ctx 0", "a context of 0 tokens"),
        ("embed encoder.gguf in --chunk 0", "a batch of 0 tokens"),
        ("embed encoder.gguf in --isa vax", "no kernels called \"vax\""),
        ("embed reranker.gguf in", "the model says of no pooling that gives a vector: --pooling names one"),
        ("run encoder.gguf in", "a model of architecture jina-bert-v2 is an encoder: it gives embeddings or scores"),
        ("logits encoder.gguf --tokens 1 -o out.npy", "a model of architecture jina-bert-v2 is an encoder"),
    ];
    for (line, want) in cases {
        f.fails(line, 1, want);
    }
    f.fails(
        "embed encoder.gguf in --pooling sum",
        2,
        "invalid value 'sum' for '--pooling <HOW>' [possible values: mean, cls, last, max]",
    );
    assert!(!f.names().contains(&"out.npy".into()));
    assert_eq!(vectors(&f.stdout("embed reranker.gguf in --pooling cls")).len(), 1);
}

#[test]
fn inspect_tells_what_an_encoder_takes() {
    let f = folder();
    let told = f.stdout("inspect encoder.gguf --ctx 8192");
    for want in
        ["an encoder: a vector for a text (pooling: mean), 2 token types", "8192 tokens, KV", "document", "arena"]
    {
        assert!(told.contains(want), "{want:?} in {told}");
    }
    assert!(f.stdout("inspect reranker.gguf").contains("an encoder: a score for a query and a text"));
}

/// Lines of score, number and text.
fn ranked(lines: &str) -> Vec<(f32, usize, &str)> {
    let line = |line| -> (f32, usize, &str) {
        let [score, number, text] = str::split(line, '\t').collect::<Vec<_>>().try_into().unwrap();
        (score.parse().unwrap(), number.parse().unwrap(), text)
    };
    lines.lines().map(line).collect()
}

#[test]
fn texts_are_ranked_by_their_scores() {
    let f = folder();
    let lines = f.stdout("rerank reranker.gguf the-winter others in winter the he");
    let found = ranked(&lines);
    assert!(found.is_sorted_by(|a, b| a.0 >= b.0), "{lines}");
    let mut numbered: Vec<_> = found.iter().map(|&(_, number, text)| (number, text)).collect();
    numbered.sort();
    assert_eq!(numbered, [(1, "others"), (2, "in"), (3, "winter"), (4, "the"), (5, "he")]);
    assert!(found[0].0 > found[4].0, "{lines}");
    // The query and the order of query and text change the score.
    assert_ne!(f.stdout("rerank reranker.gguf in the"), f.stdout("rerank reranker.gguf winter the"));
    f.write("lines.txt", b"others\nin\nwinter\nthe\nhe\n");
    assert_eq!(f.stdout("rerank reranker.gguf the-winter -f lines.txt"), lines);
    assert_eq!(text(&filter(&f, "rerank -m reranker.gguf the-winter", b"others\nin\nwinter\nthe\nhe")), lines);
    for flags in ["--threads 1", "--isa scalar", "--chunk 3"] {
        assert_eq!(f.stdout(&format!("rerank reranker.gguf the-winter -f lines.txt {flags}")), lines, "{flags}");
    }
}

/// Raw scores have no bounds; their logistic function is a probability, and keeps the order.
#[test]
fn scores_may_be_probabilities() {
    let f = folder();
    let raw = f.stdout("rerank reranker.gguf the-winter others in winter the he");
    let lines = f.stdout("rerank reranker.gguf the-winter others in winter the he --sigmoid");
    let (raw, found) = (ranked(&raw), ranked(&lines));
    for ((score, number, _), (probability, same_number, _)) in raw.iter().zip(&found) {
        assert_eq!(number, same_number);
        let want = 1.0 / (1.0 + (-f64::from(*score)).exp());
        assert!((f64::from(*probability) - want).abs() < 1e-7, "{score}: {probability}, {want}");
    }
    f.stdout("rerank reranker.gguf the-winter others in -o raw.npy");
    f.stdout("rerank reranker.gguf the-winter others in -o out.npy --sigmoid");
    let first = |name: &str| f32::from_le_bytes(fs::read(f.path().join(name)).unwrap()[128..132].try_into().unwrap());
    let want = 1.0 / (1.0 + (-f64::from(first("raw.npy"))).exp());
    assert!((f64::from(first("out.npy")) - want).abs() < 1e-7);
}

/// Byte-level BPE uses the form of RoBERTa, with the end of the query twice. Here `<|endoftext|>` is both the token that begins
/// a text and the token that ends it.
#[test]
fn a_pair_is_its_tokens() {
    let f = folder();
    let end = tiny::END;
    let ids = |text: &str| f.stdout(&format!("tokenize reranker.gguf {text} --no-bos")).trim().replace(' ', ",");
    let pair = format!("{end},{},{end},{end},{},{end}", ids("winter"), ids("in"));
    let by_tokens = f.stdout(&format!("rerank reranker.gguf --tokens {pair} --tokens {end}"));
    let by_text = f.stdout("rerank reranker.gguf winter in");
    let of_pair = ranked(&by_tokens).into_iter().find(|(_, number, _)| *number == 1).unwrap();
    assert_eq!(of_pair.0, ranked(&by_text)[0].0);
    assert_eq!(f.stdout(&format!("rerank reranker.gguf --tokens {pair} --tokens {end} -o out.npy")), "");
    let bytes = fs::read(f.path().join("out.npy")).unwrap();
    assert!(String::from_utf8_lossy(&bytes[..128]).contains("'shape': (2, 1)"));
    assert_eq!(bytes[128..132], of_pair.0.to_le_bytes());
}

/// WordPiece uses the form `[CLS] query [SEP] text [SEP]`, and the text is of the second type.
#[test]
fn a_pair_for_bert_has_two_types() {
    let f = folder();
    assert_eq!(
        f.stdout("embed bert.gguf The-winters --pooling mean"),
        f.stdout("embed bert.gguf --tokens 2,4,1,5,7,3 --pooling mean")
    );
    let score = |line: &str| ranked(&f.stdout(&format!("rerank bert.gguf {line}")))[0].0;
    let of_pair = score("The in");
    // With `--tokens` all tokens are of the first type, which changes the score.
    assert_ne!(of_pair, score("--tokens 2,4,3,6,3"));
    assert_eq!(f.stdout("rerank bert.gguf The in winter").lines().count(), 2);
    assert_ne!(of_pair, score("in The"));
}

#[test]
fn what_cannot_be_ranked_is_said() {
    let f = folder();
    let cases = [
        ("rerank tiny.gguf the in", "tiny.gguf: a model of architecture mpt is a decoder"),
        ("rerank encoder.gguf the in", "encoder.gguf: the model has no cls.output: it gives embeddings, and no scores"),
        ("rerank the in", "which model? The first argument has to be one that ends in .gguf"),
        ("rerank reranker.gguf", "no query: it comes after the model, before the texts"),
        ("rerank reranker.gguf the", "no text to compare with the query"),
        ("rerank reranker.gguf the -f none.txt", "cannot read none.txt: No such file"),
        ("rerank reranker.gguf the in the-winter --ctx 8", "text 2: a document of "),
        ("rerank reranker.gguf the --tokens 1", "\"the\" is a text, and --tokens stands for one"),
        ("rerank reranker.gguf --tokens 999", "text 1: token 999 is not below the vocabulary's size 272"),
    ];
    for (line, want) in cases {
        f.fails(line, 1, want);
    }
}
