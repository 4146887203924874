//! Files of importance matrices, in the two forms of llama.cpp.
//!
//! The GGUF form: `general.type` is `imatrix`, `imatrix.datasets` names the texts, and `imatrix.chunk_count` and
//! `imatrix.chunk_size` are the number of chunks that were run and their tokens. For each matrix NAME there are two tensors of
//! F32: `NAME.in_sum2` (`[n_cols]`), the sums of the squares of the matrix's inputs, and `NAME.counts` (`[1]`), the number of
//! rows in them.
//!
//! The older form, read only, is little-endian: the number of entries `i32`; each entry: its name (`i32` length and bytes), a
//! number of calls `i32`, a number of values `i32`, and the values `f32`, means times calls; then the number of chunks `i32`
//! and the text's name.
//!
//! Source: llama.cpp, `tools/imatrix/imatrix.cpp`, `tools/quantize/quantize.cpp`.

use std::collections::BTreeMap;
use std::path::Path;

use nearfield::gguf::{Value, ValueType};
use nearfield::kernels::WeightType;
use nearfield::{Gguf, TensorInfo};

use crate::error::{Context, Result, bail, ensure};
use crate::gguf_out::GgufOut;
use crate::lfs_pointer;
use crate::model_file::map;
use crate::monitor::Monitor;
use crate::output_file;

const TYPE: &str = "general.type";
const DATASETS: &str = "imatrix.datasets";
const CHUNK_COUNT: &str = "imatrix.chunk_count";
const CHUNK_SIZE: &str = "imatrix.chunk_size";
const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";

/// Inputs of a matrix, summed up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inputs {
    /// Sums of squares, one for each column. `[n_cols]`
    pub squares: Vec<f64>,
    /// Number of rows in the sums.
    pub n_rows: f64,
}

/// Importance matrix: the inputs of a model's matrices on a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imatrix {
    /// Names of the texts.
    pub datasets: Vec<String>,
    /// Number of chunks of the text that were run.
    pub n_chunks: Option<u32>,
    /// Number of tokens of a chunk.
    pub chunk_size: Option<u32>,
    /// Inputs by the names of the matrices.
    pub inputs: BTreeMap<String, Inputs>,
}

impl Imatrix {
    /// Reads the file at `path`, in either form.
    ///
    /// # Errors
    /// When the file has neither form, and for sums that are not finite or below zero.
    pub fn read(path: &Path) -> Result<Self> {
        let read = || {
            output_file::protect(path);
            let bytes = map(path)?;
            lfs_pointer::check(&bytes)?;
            let imatrix = if bytes.starts_with(b"GGUF") { Self::of_gguf(&bytes)? } else { Self::of_dat(&bytes)? };
            imatrix.check()?;
            Ok(imatrix)
        };
        read().map_err(|error: crate::error::Error| error.context(path.display().to_string()))
    }

    fn of_gguf(bytes: &[u8]) -> Result<Self> {
        let gguf = Gguf::parse(bytes)?;
        match gguf.get(TYPE) {
            Some(Value::String(b"imatrix")) => {}
            Some(Value::String(found)) => {
                bail!("no importance matrix: {TYPE} is {:?}, not \"imatrix\"", String::from_utf8_lossy(found))
            }
            _ => bail!("no importance matrix: it has no {TYPE} that says so"),
        }
        let number = |key| gguf.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        let mut found = Self { n_chunks: number(CHUNK_COUNT), chunk_size: number(CHUNK_SIZE), ..Self::default() };
        if let Some(Value::Array(array)) = gguf.get(DATASETS) {
            let strings = array.iter().filter_map(|item| match item {
                Value::String(name) => Some(String::from_utf8_lossy(name).into_owned()),
                _ => None,
            });
            found.datasets = strings.collect();
        }
        let tensors: BTreeMap<&str, TensorInfo<'_>> = gguf.tensors().map(|tensor| (tensor.name, tensor)).collect();
        let floats = |tensor: &TensorInfo<'_>| -> Result<Vec<f32>> {
            let is_f32 = WeightType::from_gguf(tensor.ty) == Some(WeightType::F32);
            let bytes = tensor.n_bytes().filter(|_| is_f32).and_then(|n| gguf.data(tensor.offset, n));
            let bytes = bytes.with_context(|| format!("{} is not of type F32", tensor.name))?;
            Ok(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
        };
        let beside = |name: &str, has: &str, lacks: &str| {
            let tensor = tensors.get(&format!("{name}{lacks}")[..]);
            tensor.with_context(|| format!("{name}{has} is there, and no {name}{lacks}"))
        };
        for (whole_name, tensor) in &tensors {
            if let Some(name) = whole_name.strip_suffix(COUNTS) {
                beside(name, COUNTS, SUMS)?;
            }
            let Some(name) = whole_name.strip_suffix(SUMS) else { continue };
            let (sums, counts) = (floats(tensor)?, floats(beside(name, SUMS, COUNTS)?)?);
            // With several counts, matrices lie one behind the other, and one may have been used more than another.
            let width =
                sums.len().checked_div(counts.len()).filter(|&width| width > 0 && width * counts.len() == sums.len());
            let width = width.with_context(|| format!("{name} has {} sums for {} counts", sums.len(), counts.len()))?;
            let n_rows = f64::from(counts[0]);
            let scale = |count: f32| if count > 0.0 { n_rows / f64::from(count) } else { 0.0 };
            let squares = sums.chunks(width).zip(&counts);
            let squares =
                squares.flat_map(|(sums, &count)| sums.iter().map(move |&sum| f64::from(sum) * scale(count))).collect();
            found.inputs.insert(name.into(), Inputs { squares, n_rows });
        }
        Ok(found)
    }

    fn of_dat(bytes: &[u8]) -> Result<Self> {
        const NOT_ONE: &str = "no importance matrix: neither llama.cpp's GGUF form nor its older one";
        let mut rest = bytes;
        let n_entries = number(&mut rest).filter(|n| (1..=65_536).contains(n)).context(NOT_ONE)?;
        let mut found = Self::default();
        for _ in 0..n_entries {
            let name = take(&mut rest).and_then(|name| std::str::from_utf8(name).ok()).context(NOT_ONE)?;
            let n_calls = number(&mut rest).context(NOT_ONE)?;
            let n = number(&mut rest).and_then(|n| usize::try_from(n).ok()).context(NOT_ONE)?;
            let values = n.checked_mul(4).and_then(|n| rest.split_at_checked(n));
            let (values, behind) = values.with_context(|| format!("the file ends within {name}"))?;
            rest = behind;
            let squares = values.as_chunks().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect();
            found.inputs.insert(name.into(), Inputs { squares, n_rows: n_calls.into() });
        }
        found.n_chunks = number(&mut rest).and_then(|n| u32::try_from(n).ok());
        found.datasets = take(&mut rest).map(|name| String::from_utf8_lossy(name).into_owned()).into_iter().collect();
        Ok(found)
    }

    fn check(&self) -> Result<()> {
        ensure!(!self.inputs.is_empty(), "an importance matrix of nothing");
        for (name, inputs) in &self.inputs {
            let wrong = inputs.squares.iter().position(|x| !(0.0..f64::INFINITY).contains(x));
            if let Some(at) = wrong {
                bail!("{name}: column {at} has a sum of squares of {}", inputs.squares[at]);
            }
            ensure!(inputs.n_rows.is_finite(), "{name}: a number of rows that is {}", inputs.n_rows);
        }
        Ok(())
    }

    /// Writes the GGUF form; an existing file is replaced only with `force`.
    pub fn write(&self, path: &Path, force: bool, monitor: &Monitor) -> Result<()> {
        let mut file = GgufOut::default();
        file.meta(TYPE, Value::String(b"imatrix"));
        let datasets = self.datasets.iter().map(|name| Value::String(name.as_bytes()));
        file.meta_array(DATASETS, ValueType::String, datasets);
        file.meta(CHUNK_COUNT, Value::U32(self.n_chunks.unwrap_or_default()));
        file.meta(CHUNK_SIZE, Value::U32(self.chunk_size.unwrap_or_default()));
        for (name, inputs) in &self.inputs {
            file.tensor(&format!("{name}{SUMS}"), &[inputs.squares.len() as u64], WeightType::F32)?;
            file.tensor(&format!("{name}{COUNTS}"), &[1], WeightType::F32)?;
        }
        file.write(path, force, "writing", monitor, |data| {
            for (name, inputs) in &self.inputs {
                data.begin(&format!("{name}{SUMS}"))?;
                let bytes: Vec<u8> = inputs.squares.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect();
                data.put(&bytes)?;
                data.begin(&format!("{name}{COUNTS}"))?;
                data.put(&(inputs.n_rows as f32).to_le_bytes())?;
            }
            Ok(())
        })?;
        Ok(())
    }
}

/// Takes the next `i32` of the older form.
fn number(rest: &mut &[u8]) -> Option<i32> {
    let (&bytes, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(i32::from_le_bytes(bytes))
}

/// Takes the next bytes, which have their length before them.
fn take<'f>(rest: &mut &'f [u8]) -> Option<&'f [u8]> {
    let n = usize::try_from(number(rest)?).ok()?;
    let (bytes, behind) = rest.split_at_checked(n)?;
    *rest = behind;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(inputs: &[(&str, &[f64], f64)]) -> Imatrix {
        let inputs =
            inputs.iter().map(|&(name, squares, n_rows)| (name.into(), Inputs { squares: squares.into(), n_rows }));
        Imatrix {
            datasets: vec!["a.txt".into(), "b.txt".into()],
            n_chunks: Some(3),
            chunk_size: Some(512),
            inputs: inputs.collect(),
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("imatrix.gguf");
        let written = of(&[("blk.0.ffn_up.weight", &[1.0, 0.5, 0.0], 1536.0), ("blk.0.attn_q.weight", &[7.0], 2.0)]);
        written.write(&path, false, &Monitor::silent()).unwrap();
        assert!(written.write(&path, false, &Monitor::silent()).unwrap_err().to_string().contains("is there already"));
        assert_eq!(Imatrix::read(&path).unwrap(), written);
    }

    /// File of one entry in the older form.
    fn dat(n_values: i32) -> Vec<u8> {
        let mut bytes = [1_i32, 3].map(i32::to_le_bytes).concat();
        bytes.extend(b"a.w");
        bytes.extend([2, n_values].map(i32::to_le_bytes).concat());
        bytes.extend([4.0_f32, 0.25].map(f32::to_le_bytes).concat());
        bytes.extend([9_i32, 5].map(i32::to_le_bytes).concat());
        bytes.extend(b"a.txt");
        bytes
    }

    #[test]
    fn the_older_form_is_read() {
        let found = Imatrix::of_dat(&dat(2)).unwrap();
        let inputs = Inputs { squares: vec![4.0, 0.25], n_rows: 2.0 };
        let want = [("a.w".to_string(), inputs)].into();
        assert_eq!(
            found,
            Imatrix { datasets: vec!["a.txt".into()], n_chunks: Some(9), chunk_size: None, inputs: want }
        );
        for (bytes, want) in
            [(dat(20), "the file ends within a.w"), (b"a text".to_vec(), "no importance matrix: neither ")]
        {
            assert!(Imatrix::of_dat(&bytes).unwrap_err().to_string().starts_with(want));
        }
        for n in 0..dat(2).len() - 13 {
            assert!(Imatrix::of_dat(&dat(2)[..n]).is_err(), "{n} bytes");
        }
    }

    #[test]
    fn sums_that_are_no_numbers() {
        for (x, want) in [(f64::NAN, "NaN"), (-1.0, "-1"), (f64::INFINITY, "inf")] {
            let error = of(&[("a.w", &[1.0, x], 1.0)]).check().unwrap_err();
            assert_eq!(error.to_string(), format!("a.w: column 1 has a sum of squares of {want}"));
        }
        assert!(of(&[]).check().is_err());
    }
}
