//! Tensors of a Hugging Face directory, in one file or several, mapped.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use serde_json::Value;

use super::config::Config;
use super::safetensors::{Dtype, Entry, Table};
use crate::error::{Context, Result, bail, ensure};
use crate::model_file::map_input;
use crate::monitor::Monitor;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// All tensors of a checkpoint.
pub struct Checkpoint {
    directory: PathBuf,
    shards: Vec<(PathBuf, Mmap)>,
    /// Tensors by name: the shard and the entry in it. Of several copies the first counts.
    tensors: BTreeMap<String, Vec<(usize, Entry)>>,
    /// Other names of tensors: [`Table::aliases`].
    aliases: BTreeMap<String, String>,
    /// Tensors that no file has, with the shard that the index puts each into.
    absent: BTreeMap<String, usize>,
}

/// Tensor of floats: the shape, slowest dimension first, and the numbers, row after row.
#[derive(Clone, Copy)]
pub struct Tensor<'c> {
    /// File that holds the tensor.
    pub file: &'c Path,
    pub name: &'c str,
    pub dtype: Dtype,
    pub shape: &'c [u64],
    pub bytes: &'c [u8],
}

impl Checkpoint {
    /// Maps the files and reads their tables.
    pub fn open(directory: &Path, monitor: &Monitor) -> Result<Self> {
        let mut checkpoint = Self {
            directory: directory.into(),
            shards: Vec::new(),
            tensors: BTreeMap::new(),
            aliases: BTreeMap::new(),
            absent: BTreeMap::new(),
        };
        let [single, index] = [SINGLE, INDEX].map(|name| directory.join(name));
        match (single.is_file(), index.is_file()) {
            (false, false) => bail!(nothing_to_read(directory)),
            (false, true) => checkpoint.add_indexed(Index::read(&index)?)?,
            (true, false) => checkpoint.add(SINGLE)?,
            (true, true) => match Index::read(&index) {
                Ok(index) if index.shards.iter().any(|shard| shard == SINGLE) => checkpoint.add_indexed(index)?,
                // Transformers reads the single file, too.
                _ => {
                    monitor.note(format_args!("note: {} is read, not the shards of {INDEX}", single.display()));
                    checkpoint.add(SINGLE)?;
                }
            },
        }
        Ok(checkpoint)
    }

    /// Adds the shards that an index names; of several copies of a tensor the index's copy counts. A tensor that lies in
    /// another shard is taken from there, as transformers does. A tensor that no file has is an error only if its family needs
    /// it.
    fn add_indexed(&mut self, index: Index) -> Result<()> {
        for shard in &index.shards {
            self.add(shard)?;
        }
        for (name, copies) in &mut self.tensors {
            let is_named = |(shard, _): &(usize, Entry)| index.tensors.get(name) == Some(shard);
            match copies.iter().position(is_named) {
                Some(i) => copies.swap(0, i),
                None => check_equal(&self.shards, name, copies)?,
            }
        }
        self.absent = index.tensors.into_iter().filter(|(name, _)| !self.tensors.contains_key(name)).collect();
        Ok(())
    }

    fn add(&mut self, shard: &str) -> Result<()> {
        let path = self.directory.join(shard);
        let file = map_input(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let table = Table::parse(&file).with_context(|| path.display().to_string())?;
        for entry in table.entries {
            self.tensors.entry(entry.name.clone()).or_default().push((self.shards.len(), entry));
        }
        self.aliases.extend(table.aliases);
        self.shards.push((path, file));
        Ok(())
    }

    /// Path of the directory, for messages.
    pub fn directory(&self) -> impl fmt::Display {
        self.directory.display()
    }

    /// Names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Finds a tensor by its name, or by another that its file has for it.
    fn find(&self, name: &str) -> Option<&(usize, Entry)> {
        let stored = || self.tensors.get(self.aliases.get(name)?);
        self.tensors.get(name).or_else(stored)?.first()
    }

    /// Shape of a tensor; `None` if there is none of that name.
    pub fn shape(&self, name: &str) -> Option<&[u64]> {
        self.find(name).map(|(_, entry)| &entry.shape[..])
    }

    /// Tensor of floats; `None` if there is none of that name, an error if it has another type.
    pub fn tensor(&self, name: &str) -> Result<Option<Tensor<'_>>> {
        let Some((shard, entry)) = self.find(name) else { return Ok(None) };
        let Entry { name, dtype, dtype_name, shape, bytes } = entry;
        let (file, map) = &self.shards[*shard];
        if matches!(dtype, Dtype::Other(_)) {
            let way_out = match &dtype_name[..] {
                "F64" => "; transformers saves it so after `model.float()`",
                "I8" | "U8" => ", and not what was quantized",
                quantized if quantized.starts_with('F') => ", and not what was quantized",
                _ => "",
            };
            bail!(
                "{}: the tensor {name} is of type {dtype_name}: F32, F16 and BF16 can be converted{way_out}",
                file.display()
            );
        }
        Ok(Some(Tensor { file, name, dtype: *dtype, shape, bytes: &map[bytes.clone()] }))
    }

    /// Tensors that the index names and no file has, each with the file that it should be in.
    pub fn absent(&self) -> impl Iterator<Item = (&str, &Path)> {
        let path = |shard: &usize| self.shards.get(*shard).map(|(path, _)| path.as_path());
        self.absent.iter().filter_map(move |(name, shard)| Some((name.as_str(), path(shard)?)))
    }
}

/// Checks that copies of a tensor, in several shards, are equal.
fn check_equal(shards: &[(PathBuf, Mmap)], name: &str, copies: &[(usize, Entry)]) -> Result<()> {
    let numbers =
        |(shard, entry): &(usize, Entry)| shards.get(*shard).and_then(|(_, file)| file.get(entry.bytes.clone()));
    let path = |(shard, _): &(usize, Entry)| shards.get(*shard).map(|(path, _)| path.display());
    for pair in copies.windows(2) {
        let [first, second] = pair else { continue };
        let is_same =
            first.1.dtype == second.1.dtype && first.1.shape == second.1.shape && numbers(first) == numbers(second);
        if let (false, Some(first), Some(second)) = (is_same, path(first), path(second)) {
            bail!("{second}: the tensor {name} is another one in {first}, and the index does not say which to take");
        }
    }
    Ok(())
}

/// Index of the shards (`model.safetensors.index.json`).
struct Index {
    shards: Vec<String>,
    /// Place in `shards` of the shard of each tensor.
    tensors: BTreeMap<String, usize>,
}

impl Index {
    fn read(path: &Path) -> Result<Self> {
        let file = path.display();
        let index = Config::read(path)?;
        let Some(Value::Object(map)) = index.value("weight_map") else { bail!("{file} has no `weight_map`") };
        let (mut shards, mut tensors) = (Vec::<String>::new(), BTreeMap::new());
        let mut places = BTreeMap::new();
        for (tensor, shard) in map {
            let shard =
                shard.as_str().with_context(|| format!("{file}: the shard of {tensor} is {shard}, not a name"))?;
            // The name has to be that of a file in this directory, so that no path leads out of it.
            let is_plain = Path::new(shard).file_name().is_some_and(|name| name == shard);
            ensure!(is_plain, "{file}: the shard of {tensor} is {shard:?}, not the name of a file");
            let place = *places.entry(shard).or_insert_with(|| {
                shards.push(shard.into());
                shards.len() - 1
            });
            tensors.insert(tensor.clone(), place);
        }
        ensure!(!shards.is_empty(), "{file}: its `weight_map` is empty");
        Ok(Self { shards, tensors })
    }
}

/// Names of the entries of a directory; none if it cannot be read.
fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Message for a directory that holds nothing to convert.
fn nothing_to_read(directory: &Path) -> String {
    let names = names_in(directory);
    let ending = |endings: &[&str]| names.iter().find(|name| endings.iter().any(|ending| name.ends_with(ending)));
    let variant = names.iter().find(|name| {
        let middle = name.strip_prefix("model.").and_then(|rest| rest.strip_suffix(".safetensors"));
        middle.is_some_and(|middle| !middle.contains(['.', '-']))
    });
    let why = if let Some(name) = variant {
        format!("{name} is a variant: give it the name {SINGLE}")
    } else if let Some(name) = names.iter().find(|name| name.starts_with("consolidated.")) {
        format!("{name} has other names for its tensors: a model has {SINGLE} as transformers writes it")
    } else if ending(&[".safetensors"]).is_some() {
        format!("its shards need {INDEX}")
    } else if ending(&[".bin", ".pt", ".pth", ".ckpt"]).is_some() {
        "PyTorch's .bin files can run any code when they are read: have transformers save the model as safetensors"
            .into()
    } else if let Some(name) = ending(&[".h5", ".msgpack", ".onnx"]) {
        format!("{name} is not PyTorch's: a model has {SINGLE}, or shards and {INDEX}")
    } else {
        format!("a model has {SINGLE}, or shards and {INDEX}")
    };
    format!("{} holds no weights that can be read: {why}", directory.display())
}

/// Checks that a path is the directory of a model; an error says in one line which other kind of path it is.
pub fn check_directory(directory: &Path) -> Result<()> {
    let shown = directory.display();
    let metadata = fs::metadata(directory).with_context(|| format!("cannot open {shown}"))?;
    if !metadata.is_dir() {
        match directory.extension().and_then(|end| end.to_str()) {
            Some("gguf") => bail!("{shown} is a GGUF file already: `nearfield quantize` makes other types of one"),
            _ => bail!("{shown} is not a directory: give the folder that holds config.json and the weights"),
        }
    }
    let has = |name: &str| directory.join(name).exists();
    if has("adapter_config.json") {
        let adapter = Config::read(&directory.join("adapter_config.json"))?;
        let base = adapter.text("base_model_name_or_path").ok().flatten().unwrap_or("its base model");
        bail!(
            "{shown} holds an adapter (LoRA) for {base}: merge it with peft's `merge_and_unload()`, and convert what that saves"
        );
    }
    for quantized in ["quantize_config.json", "quant_config.json"] {
        ensure!(!has(quantized), "{shown} holds quantized weights, as {quantized} says: {FROM_ORIGINAL}");
    }
    if has("config.json") {
        return Ok(());
    }
    if let [snapshot, rest @ ..] = &names_in(&directory.join("snapshots"))[..] {
        let more = if rest.is_empty() { "" } else { ", or another one there" };
        bail!("{shown} is a folder of a cache: convert {}{more}", directory.join("snapshots").join(snapshot).display());
    }
    let names = names_in(directory);
    if let Some(name) = names.iter().find(|name| name.ends_with(".gguf")) {
        bail!("{shown} has no config.json: {name} is a GGUF file already");
    }
    Ok(())
}

/// Advice in errors about weights that are quantized already.
pub const FROM_ORIGINAL: &str = "convert the model that they were made of, and quantize the file";
