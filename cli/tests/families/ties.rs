//! Tied weights, of which a checkpoint stores one copy: `safetensors.torch.save_model` keeps the name that sorts first, which
//! is `lm_head.weight`, and transformers loads such a file as any other.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::hugging_face::{self, Tensor};
use crate::model::{self, Floats, Gives, Model};
use crate::{F32, nearfield, path, within};

/// Names of the embeddings, without their prefixes.
const EMBEDDINGS: [&str; 4] = ["wte.weight", "word_embeddings.weight", "embed_tokens.weight", "lm_head.weight"];

/// Converts the model in a folder of a fixed name, which the file states, so that the same folder gives the same bytes.
fn converted(folder: &Path, model: &Model, write: impl FnOnce(&Path)) -> Vec<u8> {
    let (directory, file) = (folder.join("model"), folder.join("model.gguf"));
    model.write_around(&directory);
    write(&directory);
    let done = nearfield(&["convert", path(&directory), "-o", path(&file), "--type", "f32", "--force"]);
    done.unwrap_or_else(|error| panic!("{}: {error}", model.name));
    fs::remove_dir_all(&directory).unwrap();
    fs::read(&file).unwrap()
}

fn single(directory: &Path, tensors: &[Tensor], metadata: &Value) {
    fs::write(directory.join("model.safetensors"), hugging_face::safetensors_with(tensors, metadata)).unwrap();
}

fn place_of_embedding(tensors: &[Tensor]) -> usize {
    let is_embedding = |tensor: &Tensor| EMBEDDINGS.iter().any(|name| tensor.name.ends_with(name));
    tensors.iter().position(is_embedding).unwrap()
}

#[test]
fn a_tied_matrix_is_found_under_its_other_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut n_ties = 0;
    for model in model::all() {
        let mut tensors = model.tensors(Floats::F32);
        let is_decoder = model.gives() == Gives::Logits;
        if tensors.iter().any(|tensor| tensor.name == "lm_head.weight") || model.gives() == Gives::Scores {
            continue;
        }
        n_ties += 1;
        let pt = json!({"format": "pt"});
        let want = converted(folder.path(), &model, |directory| single(directory, &tensors, &pt));
        let name = &mut tensors[place_of_embedding(&model.tensors(Floats::F32))].name;
        let other = if is_decoder { "lm_head.weight" } else { "cls.predictions.decoder.weight" };
        let embedding = std::mem::replace(name, other.into());
        // The metadata name the tie, as `save_model` writes it.
        let map = json!({"format": "pt", embedding.clone(): other});
        let mapped = converted(folder.path(), &model, |directory| single(directory, &tensors, &map));
        assert!(mapped == want, "{}", model.name);
        if is_decoder {
            within(F32, &model, &model.reference(), &folder.path().join("model.gguf"), &["--kv", "f32"]).unwrap();
        }
        // Without that metadata the tie follows from the configuration or its default.
        let unmapped = converted(folder.path(), &model, |directory| single(directory, &tensors, &pt));
        assert!(unmapped == want, "{}", model.name);
        // The shards' index still has the name that is not stored.
        let sharded = converted(folder.path(), &model, |directory| {
            hugging_face::write_shards(directory, &tensors, 3);
            let path = directory.join("model.safetensors.index.json");
            let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            index["weight_map"][&embedding] = index["weight_map"][other].clone();
            hugging_face::write_json(directory, "model.safetensors.index.json", &index);
        });
        assert!(sharded == want, "{}", model.name);
    }
    assert!(n_ties > 12, "{n_ties}");
}

/// The converted file has an output of its own where it needs one, even if the checkpoint leaves it out.
#[test]
fn an_output_of_its_own_is_made_of_a_tied_one() {
    let folder = tempfile::tempdir().unwrap();
    for model in model::all().into_iter().filter(|model| ["baichuan2-13b", "jais-13b"].contains(&&*model.name)) {
        let mut config = model.config().clone();
        // The scales of embeddings and output are removed.
        for key in ["embeddings_scale", "width_scale"] {
            config.as_object_mut().unwrap().remove(key);
        }
        let mut tensors = model.tensors(Floats::F32);
        tensors.retain(|tensor| tensor.name != "lm_head.weight");
        let mut write = |tied: bool, tensors: &[Tensor]| {
            converted(folder.path(), &model, |directory| {
                config["tie_word_embeddings"] = json!(tied);
                hugging_face::write_json(directory, "config.json", &config);
                single(directory, tensors, &json!({}));
            })
        };
        let tied = write(true, &tensors);
        let embedding = tensors[place_of_embedding(&tensors)].clone();
        tensors.push(Tensor { name: "lm_head.weight".into(), ..embedding });
        assert!(tied == write(false, &tensors), "{}", model.name);
        nearfield(&[
            "logits",
            path(&folder.path().join("model.gguf")),
            "--tokens",
            "1,2",
            "-o",
            path(&folder.path().join("x")),
            "--force",
        ])
        .unwrap();
    }
}
