//! The tensors of a Hugging Face directory, wherever they lie in its files, mapped.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use memmap2::Mmap;
use serde_json::Value;

use super::config::Config;
use super::safetensors::{Dtype, Entry, Table};
use crate::model_file::map;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// All tensors of a model.
pub struct Checkpoint {
    directory: PathBuf,
    shards: Vec<(PathBuf, Mmap)>,
    /// By name: the shard, and the place in it.
    tensors: BTreeMap<String, (usize, Entry)>,
}

/// A tensor of floats: the shape, slowest dimension first, and the numbers, row after row.
#[derive(Clone, Copy)]
pub struct Tensor<'c> {
    /// The file that it lies in.
    pub file: &'c Path,
    pub name: &'c str,
    pub dtype: Dtype,
    pub shape: &'c [u64],
    pub bytes: &'c [u8],
}

impl Checkpoint {
    /// Maps the files and reads their tables.
    pub fn open(directory: &Path) -> Result<Self> {
        let mut checkpoint = Self { directory: directory.into(), shards: Vec::new(), tensors: BTreeMap::new() };
        match directory.join(INDEX) {
            index if index.is_file() => checkpoint.add_indexed(&index)?,
            _ if directory.join(SINGLE).is_file() => checkpoint.add(SINGLE)?,
            _ => bail!(nothing_to_read(directory)),
        }
        Ok(checkpoint)
    }

    /// The shards that an index names, and every tensor where it says.
    fn add_indexed(&mut self, index: &Path) -> Result<()> {
        let file = index.display();
        let map = match Config::read(index)?.value("weight_map") {
            Some(Value::Object(map)) => map.clone(),
            _ => bail!("{file} has no `weight_map`"),
        };
        let mut shards: BTreeMap<&str, usize> = BTreeMap::new();
        for (tensor, shard) in &map {
            let shard =
                shard.as_str().with_context(|| format!("{file}: the shard of {tensor} is {shard}, not a name"))?;
            // A name of a file in this directory, not a way out of it.
            let is_plain = Path::new(shard).file_name().is_some_and(|name| name == shard);
            ensure!(is_plain, "{file}: the shard of {tensor} is {shard:?}, not the name of a file");
            if !shards.contains_key(shard) {
                self.add(shard)?;
                shards.insert(shard, self.shards.len() - 1);
            }
        }
        for (tensor, shard) in &map {
            let shard = shard.as_str().unwrap_or_default();
            let found = self.tensors.get(tensor).map(|(found, _)| found);
            ensure!(
                found == shards.get(shard),
                "{} has no tensor {tensor}, which the index puts there",
                self.directory.join(shard).display()
            );
        }
        Ok(())
    }

    fn add(&mut self, shard: &str) -> Result<()> {
        let path = self.directory.join(shard);
        let file = map(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let table = Table::parse(&file).with_context(|| path.display().to_string())?;
        for entry in table.entries {
            let name = entry.name.clone();
            let before = self.tensors.insert(name, (self.shards.len(), entry));
            if let Some((_, entry)) = before {
                bail!("{}: the tensor {} is in another shard too", path.display(), entry.name);
            }
        }
        self.shards.push((path, file));
        Ok(())
    }

    /// For messages.
    pub fn directory(&self) -> impl fmt::Display {
        self.directory.display()
    }

    /// Names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The shape of a tensor, if there is one of that name.
    pub fn shape(&self, name: &str) -> Option<&[u64]> {
        self.tensors.get(name).map(|(_, entry)| &entry.shape[..])
    }

    /// A tensor of floats, if there is one of that name.
    pub fn tensor(&self, name: &str) -> Result<Option<Tensor<'_>>> {
        let Some((shard, entry)) = self.tensors.get(name) else { return Ok(None) };
        let Entry { name, dtype, dtype_name, shape, bytes } = entry;
        let (file, map) = &self.shards[*shard];
        let is_float = !matches!(dtype, Dtype::Other(_));
        ensure!(
            is_float,
            "{}: the tensor {name} is of type {dtype_name}: F32, F16 and BF16 can be converted",
            file.display()
        );
        Ok(Some(Tensor { file, name, dtype: *dtype, shape, bytes: &map[bytes.clone()] }))
    }
}

/// Why a directory holds nothing to convert.
fn nothing_to_read(directory: &Path) -> String {
    let names = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    let why = if names.iter().any(|name| name.ends_with(".safetensors")) {
        format!("its shards need {INDEX}")
    } else if names.iter().any(|name| name.ends_with(".bin") || name.ends_with(".pt")) {
        "PyTorch's .bin files can run any code when they are read: have transformers save the model as safetensors"
            .into()
    } else {
        format!("a model has {SINGLE}, or shards and {INDEX}")
    };
    format!("{} holds no weights that can be read: {why}", directory.display())
}

/// Whether a directory is there, said in one line.
pub fn check_directory(directory: &Path) -> Result<()> {
    let metadata = fs::metadata(directory).with_context(|| format!("cannot open {}", directory.display()))?;
    ensure!(metadata.is_dir(), "{} is not a directory", directory.display());
    Ok(())
}
