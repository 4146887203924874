//! Models of `tests/families`, written in Hugging Face's format.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::hugging_face::{self, Tensor};
use crate::{root, weights};

/// Folder of `tests/families`.
pub struct Model {
    pub name: String,
    folder: PathBuf,
    config: Value,
}

/// Type of a checkpoint's numbers, which also decides its files.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Floats {
    /// Single file.
    F32,
    /// Three files and an index.
    F16,
}

/// Output of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gives {
    Logits,
    /// Embeddings of documents.
    Vectors,
    /// Scores of pairs of a query and a document.
    Scores,
}

/// All models, sorted by name.
pub fn all() -> Vec<Model> {
    let folders = fs::read_dir(root().join("tests/families")).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = folders.filter(|folder| folder.join("config.json").is_file()).collect();
    folders.sort();
    assert!(!folders.is_empty(), "tests/families has no model");
    folders.into_iter().map(Model::new).collect()
}

impl Model {
    fn new(folder: PathBuf) -> Self {
        let config = serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
        Self { name: folder.file_name().unwrap().to_str().unwrap().into(), folder, config }
    }

    /// Description of the reference.
    pub fn about(&self) -> String {
        fs::read_to_string(self.folder.join("about.txt")).unwrap().trim().into()
    }

    /// Output of the reference.
    pub fn reference(&self) -> Vec<f32> {
        let name = if self.gives() == Gives::Logits { "logits.npy" } else { "embeddings.npy" };
        read_npy(&self.folder.join(name))
    }

    /// Kind of the reference's output.
    pub fn gives(&self) -> Gives {
        let is_ranker = self.config["architectures"][0].as_str().unwrap().ends_with("ForSequenceClassification");
        match self.folder.join("embeddings.npy").is_file() {
            false => Gives::Logits,
            true if is_ranker => Gives::Scores,
            true => Gives::Vectors,
        }
    }

    /// Width of an encoder's vector.
    pub fn width(&self) -> usize {
        self.config["hidden_size"].as_u64().unwrap() as usize
    }

    /// Output of the published code that rounds the bias to bfloat16, if there is one.
    pub fn reference_in_bf16(&self) -> Option<Vec<f32>> {
        let path = self.folder.join("logits-bf16.npy");
        path.is_file().then(|| read_npy(&path))
    }

    /// True if the model has an ALiBi bias; GPT-2 has learned positions.
    pub fn has_bias(&self) -> bool {
        self.config["model_type"] != json!("gpt2")
    }

    /// Contents of `config.json`.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// All tensors of the checkpoint.
    pub fn tensors(&self, floats: Floats) -> Vec<Tensor> {
        let shapes = fs::read_to_string(self.folder.join("tensors.txt")).unwrap();
        shapes.lines().map(|line| self.draw(line, floats)).collect()
    }

    /// Writes a folder that lacks only the weights.
    pub fn write_around(&self, folder: &Path) {
        fs::create_dir(folder).unwrap();
        hugging_face::write_json(folder, "config.json", &self.config);
        hugging_face::write_json(folder, "tokenizer.json", &hugging_face::tokenizer());
    }

    /// Writes a folder that can be converted.
    pub fn write(&self, folder: &Path, floats: Floats) {
        self.write_around(folder);
        let tensors = self.tensors(floats);
        match floats {
            Floats::F32 => hugging_face::write_single(folder, &tensors),
            Floats::F16 => hugging_face::write_shards(folder, &tensors, 3),
        }
    }

    /// Tensor described by a line of `tensors.txt`: name, kind and shape.
    fn draw(&self, line: &str, floats: Floats) -> Tensor {
        let [name, kind, shape] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let shape: Vec<usize> = shape.split('x').map(|n| n.parse().unwrap()).collect();
        let n = shape.iter().product();
        let label = format!("{}/{name}", self.name);
        let drawn = |value: fn(i32) -> f32| weights::bell(&label).map(value).take(n).collect();
        let numbers: Vec<f32> = match kind {
            "gain" => drawn(|k| 1.0 + k as f32 / 1024.0),
            "weight" => drawn(|k| k as f32 / 2048.0),
            "slopes" => slopes(n),
            _ => panic!("{}: a tensor of kind {kind}", self.name),
        };
        match floats {
            Floats::F32 => Tensor::f32(name, &shape, &numbers),
            Floats::F16 => Tensor::f16(name, &shape, &numbers),
        }
    }
}

/// Slopes by `get_slopes` of the code beside the ALiBi paper (arXiv 2108.12409).
fn slopes(n_head: usize) -> Vec<f32> {
    let power = 1 << n_head.ilog2();
    let slope = |n: usize, i: usize| 2f64.powf(-8.0 / n as f64).powi(i as i32 + 1) as f32;
    let first = (0..power).map(|i| slope(power, i));
    first.chain((0..n_head - power).map(|i| slope(2 * power, 2 * i))).collect()
}

/// Reads the numbers of a NumPy file of floats.
pub fn read_npy(path: &Path) -> Vec<f32> {
    let npy = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let header = usize::from(u16::from_le_bytes([npy[8], npy[9]]));
    npy[10 + header..].as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Sets the largest exponent of the bias, which the file states, to almost 0.
pub fn zero_bias(path: &Path) {
    let mut file = fs::read(path).unwrap();
    let key = b".attention.max_alibi_bias";
    let at = file.windows(key.len()).position(|bytes| bytes == key).unwrap() + key.len();
    // The type of the value comes first: 6, float32.
    assert_eq!(file[at..at + 4], 6u32.to_le_bytes());
    file[at + 4..at + 8].copy_from_slice(&1e-9f32.to_le_bytes());
    fs::write(path, file).unwrap();
}
