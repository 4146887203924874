//! Quantization of one tensor, piece by piece: read, quantized by all threads, written in order, in memory that does not depend
//! on its size.

use std::io;
use std::ops::Range;
use std::sync::Mutex;

use nearfield::kernels::{Pool, WeightType};
use nearfield_kernels::QK_K;

use super::rows::quantize_rows;
use super::unfit::Unfit;
use crate::error::{Context, Result};

/// Number of weights of a unit, which one thread makes: a whole number of blocks of every type.
const UNIT: usize = 256 * QK_K;
/// Number of units that each thread makes before they are written.
const UNITS_PER_THREAD: usize = 8;

/// Tensor that is made.
#[derive(Clone, Copy, Debug)]
pub struct Quantized<'n> {
    /// Name, for messages.
    pub name: &'n str,
    /// Type that its weights become.
    pub ty: WeightType,
    /// Number of rows, over all dimensions but the first.
    pub n_rows: u64,
    /// Number of weights of a row: whole blocks.
    pub n_cols: u64,
    /// Importances of its columns, one on average; `None`: all the same. `[n_cols]`
    pub importance: Option<&'n [f32]>,
}

/// Threads that quantize tensors. The bytes are the same for any number of them.
#[derive(Debug)]
pub struct Quantizer {
    pool: Pool,
    units: Vec<Unit>,
}

/// Some rows, or a part of a long one.
#[derive(Debug, Default)]
struct Unit {
    rows: Range<u64>,
    cols: Range<u64>,
    weights: Vec<f32>,
    bytes: Vec<u8>,
    error: Option<crate::error::Error>,
}

impl Quantizer {
    /// Starts `n_threads` threads.
    pub fn new(n_threads: usize) -> io::Result<Self> {
        let units = (0..n_threads * UNITS_PER_THREAD).map(|_| Unit::default()).collect();
        Ok(Self { pool: Pool::new(n_threads)?, units })
    }

    /// Makes a tensor. `read(row, first_col, out)` fills `out` with weights of a row from a column on; any thread calls it, in
    /// any order. `write` gets the bytes in the order of the file.
    ///
    /// # Errors
    /// Any error of `read` and `write`, and weights that the type cannot hold.
    pub fn tensor(
        &mut self,
        tensor: &Quantized<'_>,
        read: impl Fn(u64, u64, &mut [f32]) -> Result<()> + Sync,
        mut write: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut places = places(tensor.n_rows, tensor.n_cols);
        loop {
            let mut n_units = 0;
            for (unit, (rows, cols)) in self.units.iter_mut().zip(&mut places) {
                (unit.rows, unit.cols) = (rows, cols);
                n_units += 1;
            }
            let units = self.units.get_mut(..n_units).unwrap_or_default();
            if units.is_empty() {
                return Ok(());
            }
            let queue = Mutex::new(units.iter_mut());
            let next = || queue.lock().unwrap_or_else(|broken| broken.into_inner()).next();
            self.pool.run(&|| {
                while let Some(unit) = next() {
                    unit.error = unit.make(tensor, &read).err();
                }
            });
            for unit in units {
                // The first error in the order of the file is returned, whichever thread came first.
                match unit.error.take() {
                    Some(error) => return Err(error),
                    None => write(&unit.bytes)?,
                }
            }
        }
    }
}

impl Unit {
    fn make(&mut self, tensor: &Quantized<'_>, read: impl Fn(u64, u64, &mut [f32]) -> Result<()>) -> Result<()> {
        // The unit has at most `UNIT` weights.
        let n_cols = (self.cols.end - self.cols.start) as usize;
        let n_rows = (self.rows.end - self.rows.start) as usize;
        self.weights.resize(n_rows * n_cols, 0.0);
        for (row, weights) in self.rows.clone().zip(self.weights.chunks_exact_mut(n_cols.max(1))) {
            read(row, self.cols.start, weights)?;
        }
        let row_bytes =
            tensor.ty.row_bytes(n_cols).with_context(|| format!("{}: rows of broken blocks", tensor.name))?;
        self.bytes.resize(n_rows * row_bytes, 0);
        let cols = self.cols.start as usize..self.cols.end as usize;
        let importance = tensor.importance.and_then(|row| row.get(cols));
        quantize_rows(tensor.ty, &self.weights, importance, &mut self.bytes).map_err(|unfit| {
            let Unfit { at, .. } = unfit;
            let (row, col) = (self.rows.start + (at / n_cols) as u64, self.cols.start + (at % n_cols) as u64);
            crate::error::Error::from(unfit).context(format!("{}: row {row}, column {col}", tensor.name))
        })
    }
}

/// Rows and columns of the units: whole rows of at most `UNIT` weights; of longer rows, whole blocks.
fn places(n_rows: u64, n_cols: u64) -> impl Iterator<Item = (Range<u64>, Range<u64>)> {
    const N: u64 = UNIT as u64;
    let n_together = (N / n_cols.max(1)).max(1);
    let is_empty = n_cols == 0;
    (0..if is_empty { 0 } else { n_rows.div_ceil(n_together) }).flat_map(move |i| {
        let rows = i * n_together..n_rows.min((i + 1) * n_together);
        (0..n_cols.div_ceil(N)).map(move |j| (rows.clone(), j * N..n_cols.min((j + 1) * N)))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use crate::error::bail;

    use super::*;

    /// Bytes of a tensor whose weight `i` of row `r` is a function of both.
    fn bytes(n_threads: usize, n_rows: u64, n_cols: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let tensor = Quantized { name: "x", ty: WeightType::Q8_0, n_rows, n_cols, importance: None };
        let read = |row: u64, col: u64, out: &mut [f32]| {
            for (i, x) in (col..).zip(out) {
                *x = ((row * 31 + i * 7) % 255) as f32 - 127.0;
            }
            Ok(())
        };
        let mut quantizer = Quantizer::new(n_threads).unwrap();
        let write = |bytes: &[u8]| {
            out.extend(bytes);
            Ok(())
        };
        quantizer.tensor(&tensor, read, write).unwrap();
        out
    }

    #[test]
    fn rows_come_in_order_from_any_number_of_threads() {
        // Many short rows, more than all units together; rows longer than a unit; a single row; no row.
        for (n_rows, n_cols) in [(40_000, 32), (3, 3 * UNIT as u64 + 64), (1, 64), (0, 64)] {
            let alone = bytes(1, n_rows, n_cols);
            assert_eq!(alone.len() as u64, n_rows * n_cols / 32 * 34);
            for n_threads in [2, 5] {
                assert!(bytes(n_threads, n_rows, n_cols) == alone, "{n_rows} rows of {n_cols}, {n_threads} threads");
            }
            // With 127 among them the scale is 1 (f16 bits 0x3c00), and quants are the numbers.
            for (block, place) in alone.chunks_exact(34).zip(0..) {
                let (row, col) = (place * 32 / n_cols, place * 32 % n_cols);
                let x = |i: u64| (((row * 31 + (col + i) * 7) % 255) as i32 - 127) as i8;
                if (0..32).any(|i| x(i).unsigned_abs() == 127) {
                    assert_eq!(block[..2], [0x00, 0x3c]);
                    assert!(block[2..].iter().zip(0..).all(|(&q, i)| q as i8 == x(i)), "block {place}");
                }
            }
        }
    }

    #[test]
    fn the_first_error_of_the_file_is_told() {
        let n_cols = 2 * UNIT as u64;
        let tensor = Quantized { name: "blk.0.x", ty: WeightType::Q4_0, n_rows: 9, n_cols, importance: None };
        let read = |row: u64, col: u64, out: &mut [f32]| {
            out.fill(0.0);
            if row >= 4 && col > 0 {
                out[32] = f32::NAN;
            }
            Ok(())
        };
        let error = Quantizer::new(3).unwrap().tensor(&tensor, read, |_| Ok(())).unwrap_err();
        let want = format!("blk.0.x: row 4, column {}: a weight is NaN: the model is broken", UNIT + 32);
        assert_eq!(format!("{error:#}"), want);
    }

    #[test]
    fn an_error_of_reading_or_writing_ends_it() {
        let tensor = Quantized { name: "x", ty: WeightType::F16, n_rows: 1000, n_cols: UNIT as u64, importance: None };
        let mut quantizer = Quantizer::new(2).unwrap();
        let error = quantizer.tensor(&tensor, |_, _, _| bail!("no more"), |_| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), "no more");
        let n_read = AtomicU64::new(0);
        let read = |_, _, out: &mut [f32]| {
            n_read.fetch_add(1, Ordering::Relaxed);
            out.fill(1.0);
            Ok(())
        };
        let error = quantizer.tensor(&tensor, read, |_| bail!("full")).unwrap_err();
        assert_eq!(error.to_string(), "full");
        assert!(n_read.into_inner() <= 2 * UNITS_PER_THREAD as u64);
    }
}
