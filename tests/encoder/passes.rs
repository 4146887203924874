//! Several documents in a pass: the bits that each has alone, in any mix and order.

use nearfield::kernels::available;
use nearfield::{DocumentError, Encoder, EncoderConfig, EncoderPlan, KvType, Model, Pooling, SessionConfig};

use crate::common::compare::assert_same_bits;
use crate::common::encoder::{JINA, Setup, Spec};
use crate::common::reference::weights::random;
use crate::common::threads::Threads;

/// A reranker with norms of queries and keys.
const SPEC: Spec = Spec { n_head: 4, n_ff: 64, code: true, reranker: true, ..JINA };

/// Tokens, and the first of the second type.
type Pair = (Vec<u32>, usize);

/// Documents of lengths at both sides of a block's, one longer than most passes, and others at random.
fn documents(label: &str) -> Vec<Pair> {
    let mut next = random(label).map(|z| (z >> 20) as usize);
    let tokens = SPEC.tokens(400);
    let lengths = [1, 31, 32, 33, 200, 2, 64, 65, 20, 20, 95];
    let lengths: Vec<usize> = lengths.into_iter().chain(next.by_ref().take(20).map(|z| 1 + z % 70)).collect();
    let mut document = |n: usize| {
        let first = next.next().unwrap() % 150;
        (tokens[first..first + n].to_vec(), next.next().unwrap() % (n + 1))
    };
    let mut all: Vec<Pair> = lengths.into_iter().map(&mut document).collect();
    all.sort_by_key(|(tokens, second)| random(&format!("{label} {tokens:?} {second}")).next());
    all
}

fn tokens_of(documents: &[Pair]) -> Vec<&[u32]> {
    documents.iter().map(|(tokens, _)| &tokens[..]).collect()
}

/// Vectors of all poolings and the score of each document, alone.
fn alone(encoder: &mut Encoder<'_, '_, '_>, documents: &[Pair]) -> Vec<Vec<f32>> {
    let mut all = vec![];
    for pooling in Pooling::ALL {
        all.extend(documents.iter().map(|(tokens, _)| encoder.embed(tokens, pooling, true).unwrap().to_vec()));
    }
    all.push(documents.iter().map(|(tokens, second)| encoder.score(tokens, *second).unwrap()).collect());
    all
}

/// The same, in as few passes as there can be. Returns the number of passes with each pooling, too.
fn together(encoder: &mut Encoder<'_, '_, '_>, documents: &[Pair]) -> (Vec<Vec<f32>>, usize) {
    let (mut all, mut n_passes) = (vec![], 0);
    for pooling in Pooling::ALL {
        let (texts, mut done) = (tokens_of(documents), 0);
        n_passes = 0;
        while done < texts.len() {
            let vectors = encoder.embed_pass(&texts[done..], pooling, true).unwrap();
            let vectors: Vec<_> = vectors.chunks_exact(SPEC.n_embd()).map(<[f32]>::to_vec).collect();
            done += vectors.len();
            n_passes += 1;
            all.extend(vectors);
        }
    }
    let mut scores = vec![];
    while scores.len() < documents.len() {
        scores.extend_from_slice(encoder.score_pass(&documents[scores.len()..]).unwrap());
    }
    all.push(scores);
    (all, n_passes)
}

#[test]
fn any_mix_in_any_order_has_the_bits_of_each_alone() {
    for (weights, kv, eps) in [
        ("F32", KvType::F32, SessionConfig::HORIZON_EPS),
        ("Q8_0", KvType::Q8_0, 0.0),
        ("F16", KvType::F16, 2f32.powi(-8)),
        ("Q4_0", KvType::Q4_0, SessionConfig::HORIZON_EPS),
    ] {
        let file = SPEC.file(weights);
        let setup =
            Setup::default().with(|config| (config.n_ctx, config.kv, config.horizon_eps) = (200, kv.into(), eps));
        let documents = documents(weights);
        let n_tokens: usize = documents.iter().map(|(tokens, _)| tokens.len()).sum();
        let want = setup.encoder(file.bytes(), |encoder| alone(encoder, &documents));
        for (n_documents, n_batch) in [(1, 64), (3, 7), (100, 2), (100, 33), (100, 256), (100, 2000)] {
            let setup = setup.with(|config| (config.n_documents, config.n_batch) = (n_documents, n_batch));
            let (got, n_passes) = setup.encoder(file.bytes(), |encoder| together(encoder, &documents));
            let what = format!("{weights} {kv}, {n_documents} documents, chunks of {n_batch}");
            assert_same_bits(&what, &want, &got);
            match (n_documents, n_batch) {
                (1, _) => assert_eq!(n_passes, documents.len()),
                (100, 2000) => assert_eq!(n_passes, 1),
                (100, _) => assert!(n_passes <= 2 * n_tokens / 200 + 1, "{what}: {n_passes} passes"),
                _ => assert!(n_passes >= documents.len().div_ceil(n_documents)),
            }
        }
    }
}

#[test]
fn every_isa_and_number_of_workers() {
    let (file, documents) = (SPEC.file("Q8_0"), documents("workers"));
    let alone_with = Setup::default().with(|config| config.n_ctx = 200);
    let setup = alone_with.with(|config| (config.n_documents, config.n_batch) = (50, 96));
    let want = alone_with.encoder(file.bytes(), |encoder| alone(encoder, &documents));
    for kernels in available() {
        for executor in [Threads(1), Threads(2), Threads(3)] {
            let setup = Setup { kernels, executor: &executor, ..setup };
            let (got, _) = setup.encoder(file.bytes(), |encoder| together(encoder, &documents));
            assert_same_bits(&format!("{}, {executor:?}", kernels.name()), &want, &got);
        }
    }
}

/// The horizon of a document ends in it, so the counts are those of each alone.
#[test]
fn no_document_sees_keys_of_another() {
    let (file, documents) = (SPEC.file("F32"), documents("keys"));
    for eps in [0.0, 2f32.powi(-8)] {
        let setup = Setup::default().with(|config| (config.n_ctx, config.horizon_eps) = (200, eps));
        let stats = |n_documents| {
            setup.with(|config| config.n_documents = n_documents).encoder(file.bytes(), |encoder| {
                together(encoder, &documents);
                let (visited, held) = encoder.key_stats();
                (visited.to_vec(), held)
            })
        };
        assert_eq!(stats(1), stats(40));
        let (visited, held) = stats(40);
        assert!(visited.iter().all(|&n| if eps == 0.0 { n == held } else { n <= held }), "{visited:?} of {held}");
    }
}

#[test]
fn a_bad_document_is_told_when_it_is_the_first() {
    let setup = Setup::default().with(|config| (config.n_ctx, config.n_documents) = (40, 10));
    setup.encoder(Spec { n_token_types: 1, ..SPEC }.file("F32").bytes(), |encoder| {
        let (good, long) = (SPEC.tokens(5), SPEC.tokens(41));
        for (bad, want) in [
            (&long[..], DocumentError::TooLong { n_tokens: 41, n_ctx: 40 }),
            (&[], DocumentError::NoTokens),
            (&[1, 48], DocumentError::Token { token: 48, n_vocab: 48 }),
        ] {
            let documents = [&good[..], &good, bad, &good];
            let n = |vectors: &[f32]| vectors.len() / SPEC.n_embd();
            assert_eq!(encoder.embed_pass(&documents, Pooling::Mean, true).map(n), Ok(2));
            assert_eq!(encoder.embed_pass(&documents[2..], Pooling::Mean, true), Err(want));
            assert_eq!(encoder.embed_pass(&documents[3..], Pooling::Mean, true).map(n), Ok(1));
        }
        let pairs = [(&good, 5), (&good, 4)];
        assert_eq!(encoder.score_pass(&pairs).map(<[f32]>::len), Ok(1));
        assert_eq!(encoder.score_pass(&pairs[1..]), Err(DocumentError::TokenTypes { n_token_types: 1 }));
        assert_eq!(encoder.embed_pass(&[] as &[&[u32]], Pooling::Mean, true), Ok(&[][..]), "none of none");
    });
    setup.encoder(JINA.file("F32").bytes(), |encoder| {
        assert_eq!(encoder.score_pass(&[(&[1, 2], 1)]), Err(DocumentError::NoScore));
    });
}

/// A vector that is no number ends what is returned, too, and changes no other.
#[test]
fn a_document_that_is_no_number_spoils_no_other() {
    let mut parts = SPEC.parts("F32");
    let width = 4 * SPEC.n_embd();
    parts.tensor("token_embd.weight").bytes[7 * width..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let file = parts.file();
    let documents = [(vec![5, 6], 1), (vec![1, 2, 3], 2), (vec![5, 7], 1), (vec![4], 1)];
    let setup = Setup::default().with(|config| config.n_documents = 4);
    setup.encoder(file.bytes(), |encoder| {
        for pooling in Pooling::ALL {
            let want: Vec<f32> =
                [0, 1].map(|i| encoder.embed(&documents[i].0, pooling, true).unwrap().to_vec()).concat();
            assert_eq!(encoder.embed_pass(&tokens_of(&documents), pooling, true).unwrap(), want);
            assert_eq!(encoder.embed_pass(&tokens_of(&documents[2..]), pooling, true), Err(DocumentError::NotFinite));
            assert!(encoder.embed_pass(&tokens_of(&documents[3..]), pooling, true).is_ok());
        }
        let want = [0, 1].map(|i: usize| encoder.score(&documents[i].0, documents[i].1).unwrap());
        assert_eq!(encoder.score_pass(&documents).unwrap(), want);
        assert_eq!(encoder.score_pass(&documents[2..]), Err(DocumentError::NotFinite));
    });
}

#[test]
fn a_pass_holds_whole_batches_or_its_documents() {
    let rows =
        |n_ctx, n_batch, n_documents| EncoderConfig { n_ctx, n_batch, n_documents, ..EncoderConfig::DEFAULT }.n_rows();
    assert_eq!([rows(95, 64, 1), rows(95, 64, 2), rows(20, 64, 2), rows(20, 64, 9)], [95, 128, 40, 64]);
    assert_eq!([rows(512, 64, 9), rows(1, 1, 9), rows(9, usize::MAX, 9)], [512, 1, 81]);
    let file = SPEC.file("F32");
    let model = Model::from_gguf(file.bytes()).unwrap();
    let total = |n_documents| {
        let config = EncoderConfig { n_ctx: 64, n_batch: 64, n_documents, ..EncoderConfig::DEFAULT };
        EncoderPlan::new(model.shape(), &config).unwrap().total()
    };
    // A document more costs a vector, and up to 31 slots of keys and values in both orders.
    let of_document = (total(1025) - total(1)) as f64 / 1024.0;
    let width = 4.0 * SPEC.n_embd() as f64;
    assert!((of_document - width * (1.0 + 4.0 * 31.0)).abs() < 64.0, "{of_document} bytes a document");
}
