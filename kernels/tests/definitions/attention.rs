use nearfield_kernels::{BlockQ8, KvRows, KvRowsMut, Q4Built, Query, scalar};

use super::reference::{assert_close, floats, half};

/// Keys or values in each of the ways they are stored, and the numbers they then stand for.
struct Stored {
    x: Vec<f32>,
    halves: Vec<u16>,
    qs: Vec<i8>,
    d: Vec<u16>,
    /// Two columns in a byte, and their scales.
    nibbles: (Vec<u8>, Vec<u16>),
    head_dim: usize,
}

impl Stored {
    fn new(n: usize, head_dim: usize, seed: u64) -> Self {
        let x = floats(n * head_dim, seed);
        let n_groups = head_dim.div_ceil(32);
        let (mut halves, mut qs, mut d) = (vec![0; x.len()], vec![0; x.len()], vec![0; n * n_groups]);
        let n_bytes = head_dim.div_ceil(2);
        let mut nibbles = (vec![0; n * n_bytes], d.clone());
        for row in 0..n {
            let columns = row * head_dim..(row + 1) * head_dim;
            scalar::store_kv(&x[columns.clone()], KvRowsMut::F16(&mut halves[columns.clone()]));
            let d = &mut d[row * n_groups..][..n_groups];
            scalar::store_kv(&x[columns.clone()], KvRowsMut::Q8_0 { qs: &mut qs[columns.clone()], d });
            let (qs, d) = (&mut nibbles.0[row * n_bytes..][..n_bytes], &mut nibbles.1[row * n_groups..][..n_groups]);
            scalar::store_kv(&x[columns], KvRowsMut::Q4_0 { qs, d, built: Q4Built::PROOF.unwrap() });
        }
        Self { x, halves, qs, d, nibbles, head_dim }
    }

    fn each(&self) -> [(KvRows<'_>, Vec<f64>); 4] {
        let groups = self.head_dim.div_ceil(32);
        let group = |i: usize| i / self.head_dim * groups + i % self.head_dim / 32;
        let quantized = self.qs.iter().enumerate().map(|(i, &q)| half(self.d[group(i)]) * f64::from(q)).collect();
        let (nibbles, d) = &self.nibbles;
        let of_nibbles = |i: usize| {
            let (row, column) = (i / self.head_dim, i % self.head_dim);
            let byte = nibbles[row * self.head_dim.div_ceil(2) + column / 2];
            half(d[group(i)]) * (f64::from(if column % 2 == 0 { byte & 15 } else { byte >> 4 }) - 8.0)
        };
        [
            (KvRows::F32(&self.x), self.x.iter().map(|&x| f64::from(x)).collect()),
            (KvRows::F16(&self.halves), self.halves.iter().map(|&h| half(h)).collect()),
            (KvRows::Q8_0 { qs: &self.qs, d: &self.d }, quantized),
            (
                KvRows::Q4_0 { qs: nibbles, d, built: Q4Built::PROOF.unwrap() },
                (0..self.x.len()).map(of_nibbles).collect(),
            ),
        ]
    }
}

#[test]
fn scores_are_scaled_products_less_the_bias() {
    for (n, head_dim, distance) in [(1, 1, 0), (3, 16, 0), (32, 64, 0), (32, 80, 32), (7, 100, 1000), (5, 33, 1)] {
        let stored = Stored::new(n, head_dim, 1);
        let q = floats(head_dim, 2);
        let mut q8 = vec![BlockQ8::default(); head_dim.div_ceil(32)];
        scalar::quantize_q8(&q, &mut q8);
        let q8_meant: Vec<f64> = q8.iter().flat_map(|b| b.qs.map(|q| f64::from(b.d) * f64::from(q))).collect();
        for (keys, meant) in stored.each() {
            let (query, q): (_, Vec<f64>) = match keys {
                KvRows::Q8_0 { .. } | KvRows::Q4_0 { .. } => (Query::Q8(&q8), q8_meant.clone()),
                _ => (Query::F32(&q), q.iter().map(|&q| f64::from(q)).collect()),
            };
            let mut scores = vec![f32::NAN; n];
            let max = scalar::score_block(query, keys, 0.125, 0.25, distance, &mut scores);
            for (j, key) in meant.chunks_exact(head_dim).enumerate() {
                let dot: f64 = q.iter().zip(key).map(|(q, k)| q * k).sum();
                let bias = 0.25 * f64::from(distance + (n - 1 - j) as u32);
                assert_close(scores[j], dot * 0.125 - bias, 1e-5 + bias * 1e-7);
            }
            assert_eq!(max, scores.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
}

#[test]
fn no_keys_have_no_maximum() {
    assert_eq!(scalar::score_block(Query::F32(&[1.0]), KvRows::F32(&[]), 1.0, 1.0, 0, &mut []), f32::NEG_INFINITY);
    assert_eq!(scalar::exp_block(&mut [], 0.0), 0.0);
}

#[test]
fn probabilities_are_exponentials_and_their_sum() {
    let mut scores: Vec<f32> = floats(33, 3).iter().map(|x| x * 20.0).collect();
    let want: Vec<f64> = scores.iter().map(|&s| f64::from(s - 20.0).exp()).collect();
    let sum = scalar::exp_block(&mut scores, 20.0);
    for (&got, &want) in scores.iter().zip(&want) {
        assert_close(got, want, want * 2e-7);
    }
    assert_close(sum, want.iter().sum(), want.iter().sum::<f64>() * 1e-6);
}

#[test]
fn values_are_added_by_their_probabilities() {
    for (n, head_dim) in [(1, 1), (5, 17), (32, 64), (32, 80)] {
        let stored = Stored::new(n, head_dim, 4);
        let probs: Vec<f32> = floats(n, 5).iter().map(|p| p.abs()).collect();
        for (values, meant) in stored.each() {
            let mut acc = floats(head_dim, 6);
            let start = acc.clone();
            scalar::accumulate_block(&probs, values, &mut acc);
            for c in 0..head_dim {
                let terms = || (0..n).map(|j| f64::from(probs[j]) * meant[j * head_dim + c]);
                // Quantized probabilities lose half a step at most, 2^-16 of the largest, which counts no more than a number of
                // 1.
                let rounded = if matches!(values, KvRows::F32(_) | KvRows::F16(_)) { 0.0 } else { n as f64 / 65534.0 };
                assert_close(acc[c], f64::from(start[c]) + terms().sum::<f64>(), 1e-5 + rounded);
            }
        }
    }
}

#[test]
fn sums_of_squares_are_of_what_is_read_back() {
    for head_dim in [1, 31, 64, 80] {
        let stored = Stored::new(1, head_dim, 8);
        for (row, meant) in stored.each() {
            let want = meant.iter().map(|x| x * x).sum();
            assert_close(scalar::sum_squares(row, head_dim), want, want * 1e-6);
        }
    }
}

#[test]
#[should_panic(expected = "Q8_0 and Q4_0 keys go with a Q8 query")]
fn a_query_of_the_wrong_kind_is_refused() {
    let keys = KvRows::Q8_0 { qs: &[0; 32], d: &[0] };
    scalar::score_block(Query::F32(&[0.0; 32]), keys, 1.0, 1.0, 0, &mut [0.0]);
}
