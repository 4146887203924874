//! The reference logits, and the distance of other logits from them.

/// Logits that Hugging Face transformers computes in f32, `[sum of PROMPT_LENS, N_VOCAB]`: each prompt from an empty
/// context, one after another.
pub fn reference(model: &str) -> Vec<f32> {
    let npy: &[u8] = match model {
        "bloom-h8" => include_bytes!("logits/bloom-h8.npy"),
        "bloom-h12" => include_bytes!("logits/bloom-h12.npy"),
        "mpt-h8" => include_bytes!("logits/mpt-h8.npy"),
        "mpt-h12" => include_bytes!("logits/mpt-h12.npy"),
        "mpt-gqa" => include_bytes!("logits/mpt-gqa.npy"),
        _ => panic!("no reference for {model}"),
    };
    // numpy's format, version 1: magic and version (8 bytes), length of the header (2), header, little-endian data.
    let header_len = usize::from(u16::from_le_bytes([npy[8], npy[9]]));
    npy[10 + header_len..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Distance of logits from the reference.
#[derive(Debug)]
pub struct Difference {
    pub max_abs: f64,
    pub rms: f64,
    /// Mean over the positions of KL(reference || got), in nats.
    pub mean_kl: f64,
    /// Share of the positions with the same most likely token.
    pub argmax_agreement: f64,
}

/// Compares rows of `n_vocab` logits.
pub fn difference(reference: &[f32], got: &[f32], n_vocab: usize) -> Difference {
    assert_eq!(reference.len(), got.len());
    let n_rows = (reference.len() / n_vocab) as f64;
    let rows = || reference.chunks_exact(n_vocab).zip(got.chunks_exact(n_vocab));
    let gaps = || reference.iter().zip(got).map(|(&r, &g)| (f64::from(r) - f64::from(g)).abs());
    Difference {
        // A NaN must not pass for a small difference.
        max_abs: gaps().fold(0.0, |m, d| if d <= m { m } else { d }),
        rms: (gaps().map(|d| d * d).sum::<f64>() / got.len() as f64).sqrt(),
        mean_kl: rows().map(|(r, g)| kl(r, g)).sum::<f64>() / n_rows,
        argmax_agreement: rows().filter(|(r, g)| argmax(r) == argmax(g)).count() as f64 / n_rows,
    }
}

fn kl(reference: &[f32], got: &[f32]) -> f64 {
    let (p, q) = (log_softmax(reference), log_softmax(got));
    p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum()
}

fn log_softmax(row: &[f32]) -> Vec<f64> {
    let max = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let log_sum = row.iter().map(|&v| (f64::from(v) - max).exp()).sum::<f64>().ln();
    row.iter().map(|&v| f64::from(v) - max - log_sum).collect()
}

fn argmax(row: &[f32]) -> usize {
    (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}
