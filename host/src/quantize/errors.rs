//! Tests of rounding errors against llama.cpp's, which `tests/reference/quantize_errors.py` measured.

use std::collections::BTreeMap;

use nearfield::Gguf;
use nearfield::kernels::{Matrix, WeightType, best};

use super::importance::Importances;
use super::rows::{is_written, quantize_rows};
use crate::imatrix::file::{Imatrix, Inputs};

#[allow(dead_code)]
#[path = "../../../tests/reference/weights.rs"]
mod weights;

const N_ROWS: usize = 256;
const N_COLS: usize = 512;

/// Numbers of one distribution, as the script draws them.
fn numbers(name: &str) -> Vec<f32> {
    let bell = |part: &str| {
        let label = format!("errors/{name}/{part}");
        weights::bell(&label).take(N_ROWS * N_COLS).collect::<Vec<_>>().into_iter()
    };
    match name {
        "normal" => bell("a").map(|a| a as f32 / 2048.0).collect(),
        "laplace" => {
            let [a, b, c, d] = ["a", "b", "c", "d"].map(bell);
            a.zip(b).zip(c.zip(d)).map(|((a, b), (c, d))| (a * b + c * d) as f32 / (1 << 20) as f32).collect()
        }
        "outliers" => {
            let scale = |i: usize| if (i % N_COLS).is_multiple_of(61) { 10.0 } else { 1.0 };
            bell("a").enumerate().map(|(i, a)| a as f32 * scale(i) / 2048.0).collect()
        }
        "shifted" => bell("a").map(|a| (a + 296) as f32 / 2048.0).collect(),
        "trained" => trained(),
        other => panic!("no numbers called {other}"),
    }
}

/// Matrix of the story model.
fn trained() -> Vec<f32> {
    let file = include_bytes!("../../../models/stories.gguf");
    let gguf = Gguf::parse(file).unwrap();
    let tensor = gguf.tensor("blk.1.ffn_up", ".weight").unwrap();
    let bytes = gguf.data(tensor.offset, tensor.n_bytes().unwrap()).unwrap();
    let ty = WeightType::from_gguf(tensor.ty).unwrap();
    dequantized(ty, bytes, tensor.dims[0] as usize * tensor.dims[1] as usize)
}

fn dequantized(ty: WeightType, bytes: &[u8], n: usize) -> Vec<f32> {
    let mut out = vec![0.0; n];
    best().dequantize_row(&Matrix::new(ty, 1, n, bytes).unwrap(), 0, &mut out);
    out
}

/// Root mean square error of `ty`, relative to the root mean square of the numbers.
fn relative_error(ty: WeightType, x: &[f32]) -> f64 {
    let mut bytes = vec![0; ty.row_bytes(x.len()).unwrap()];
    quantize_rows(ty, x, None, &mut bytes).unwrap();
    let square = |x: f32| f64::from(x) * f64::from(x);
    let error: f64 = x.iter().zip(dequantized(ty, &bytes, x.len())).map(|(x, y)| square(x - y)).sum();
    (error / x.iter().copied().map(square).sum::<f64>()).sqrt()
}

fn by_name(name: &str) -> WeightType {
    *WeightType::ALL.iter().find(|ty| ty.name() == name).unwrap()
}

#[test]
fn no_type_rounds_worse_than_in_llama_cpp() {
    let mut cache = BTreeMap::new();
    let (mut n, mut worse) = (0, String::new());
    for line in include_str!("../../../tests/reference/quantize_errors.txt").lines() {
        let [ty, name, theirs] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let x = cache.entry(name).or_insert_with(|| numbers(name));
        let (ours, theirs) = (relative_error(by_name(ty), x), theirs.parse::<f64>().unwrap());
        println!("| {ty} | {name} | {ours:.6} | {theirs:.6} | {:.3} |", ours / theirs);
        if ours > theirs {
            worse += &format!("{line}: {ours:.6e}\n");
        }
        n += 1;
    }
    assert!(n == 59 && worse.is_empty(), "{n} figures, worse:\n{worse}");
}

/// Importance of each column, as the script draws it.
fn importances(name: &str, n_cols: usize) -> Vec<f64> {
    let bell = |part: &str| {
        let label = format!("importance/{name}/{part}");
        weights::bell(&label).take(n_cols).map(|x| x as f32).collect::<Vec<_>>().into_iter()
    };
    let pairs = bell("a").zip(bell("b"));
    let scale = (1 << 16) as f32;
    let of_two = |(a, b): (f32, f32)| (a * a + b * b) / scale;
    let numbers: Vec<f32> = match name {
        "mild" => pairs.map(of_two).collect(),
        "wide" => pairs.map(|(a, b)| (a * b / scale).powi(2)).collect(),
        "peaks" => (0..).zip(pairs).map(|(i, pair)| of_two(pair) * if i % 61 == 0 { 10_000.0 } else { 1.0 }).collect(),
        other => panic!("no importances called {other}"),
    };
    numbers.into_iter().map(f64::from).collect()
}

/// With an importance matrix, weighted errors are no larger than llama.cpp's with the same one.
#[test]
fn no_type_rounds_worse_than_in_llama_cpp_where_columns_count_differently() {
    let mut cache = BTreeMap::new();
    let (mut n, mut worse) = (0, String::new());
    for line in include_str!("../../../tests/reference/quantize_importance_errors.txt").lines() {
        let [ty, name, how, theirs] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let x = cache.entry(name).or_insert_with(|| numbers(name));
        let n_cols = if name == "trained" { 256 } else { N_COLS };
        let squares = importances(how, n_cols);
        let inputs = Inputs { squares: squares.clone(), n_rows: 1.0 };
        let imatrix = Imatrix { inputs: [("matrix".into(), inputs)].into(), ..Imatrix::default() };
        let importance = Importances { file: String::new(), imatrix }.of("matrix", n_cols as u64).unwrap().unwrap();
        let ty = by_name(ty);
        let mut bytes = vec![0; ty.row_bytes(x.len()).unwrap()];
        quantize_rows(ty, x, Some(&importance), &mut bytes).unwrap();
        let sum = |of: &dyn Fn(usize) -> f64| (0..x.len()).map(|i| squares[i % n_cols] * of(i) * of(i)).sum::<f64>();
        let y = dequantized(ty, &bytes, x.len());
        let ours = (sum(&|i| f64::from(x[i] - y[i])) / sum(&|i| f64::from(x[i]))).sqrt();
        let theirs = theirs.parse::<f64>().unwrap();
        println!("| {ty} | {name} | {how} | {ours:.6} | {theirs:.6} | {:.3} |", ours / theirs);
        if ours > theirs {
            worse += &format!("{line}: {ours:.6e}\n");
        }
        n += 1;
    }
    assert!(n == 177 && worse.is_empty(), "{n} figures, worse:\n{worse}");
}

/// Blocks of zeros, of one number, of very small and very large ones are as near as the type's steps allow.
#[test]
fn unusual_blocks() {
    let spike = |at: usize, value: f32| (0..256).map(|i| if i == at { value } else { 0.0 }).collect::<Vec<f32>>();
    let cases: [(&str, Vec<f32>); 9] = [
        ("zeros", vec![0.0; 256]),
        ("ones", vec![1.0; 256]),
        ("minus ones", vec![-1.0; 256]),
        ("tiny", vec![1e-30; 256]),
        ("large", (0..256).map(|i| if i % 2 == 0 { 65504.0 } else { -65504.0 }).collect()),
        ("spike", spike(3, 10.0)),
        ("negative spike", spike(200, -10.0)),
        ("ramp", (0..256).map(|i| i as f32 / 256.0).collect()),
        ("one subblock", (0..256).map(|i| if i < 16 { (i as f32 - 8.0) / 8.0 } else { 0.0 }).collect()),
    ];
    for (what, x) in cases {
        let largest = x.iter().fold(0.0, |m: f32, x| m.max(x.abs()));
        for &ty in WeightType::ALL.iter().filter(|ty| is_written(**ty)) {
            let mut bytes = vec![0; ty.row_bytes(256).unwrap()];
            quantize_rows(ty, &x, None, &mut bytes).unwrap();
            let y = dequantized(ty, &bytes, 256);
            // The bound is half a step of the widest line: for two bits a third.
            let bound = if ty.is_quantized() { largest / 3.0 } else { largest / 128.0 }.max(1e-7);
            let far = x.iter().zip(&y).find(|(x, y)| y.is_nan() || (*x - *y).abs() > bound);
            assert_eq!(far, None, "{what} in {ty}");
        }
    }
}

#[test]
fn weights_that_a_type_cannot_hold() {
    let cases = [
        (f32::NAN, WeightType::F32, "a weight is NaN: the model is broken"),
        (f32::INFINITY, WeightType::BF16, "a weight is inf: the model is broken"),
        (f32::MAX, WeightType::BF16, "a weight of 3.4028235e38, and BF16 holds none beyond 3.3895314e38"),
        (-65505.0, WeightType::F16, "a weight of -6.5505e4, and F16 holds none beyond 6.5504e4"),
        (1e6, WeightType::Q4_K, "a weight of 1e6, and Q4_K holds none beyond 6.5504e4"),
    ];
    for (weight, ty, want) in cases {
        let mut x = [0.5; 256];
        x[100] = weight;
        let mut bytes = vec![0; ty.row_bytes(256).unwrap()];
        let unfit = quantize_rows(ty, &x, None, &mut bytes).unwrap_err();
        assert_eq!((unfit.at, unfit.to_string().as_str()), (100, want));
    }
}

/// Blocks are fitted many at a time. Each gets the bytes that it gets alone, at any place and beside any others.
#[test]
fn a_block_has_the_same_bytes_beside_any_others() {
    let x = numbers("outliers");
    for &ty in WeightType::ALL.iter().filter(|ty| is_written(**ty)) {
        let (len, bytes) = (ty.block_len(), ty.block_bytes());
        // The blocks are more than two batches, and no whole number of them.
        let n_blocks = (x.len() / len).min(150);
        let mut together = vec![0; n_blocks * bytes];
        quantize_rows(ty, &x[..n_blocks * len], None, &mut together).unwrap();
        for (block, want) in x.chunks_exact(len).zip(together.chunks_exact(bytes)) {
            let mut alone = vec![0; bytes];
            quantize_rows(ty, block, None, &mut alone).unwrap();
            assert_eq!(alone, want, "{ty}");
        }
    }
}
