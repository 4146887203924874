//! Conversion: an error in a folder gives one line, and leaves no file behind.

use std::fs;

use nearfield::Gguf;
use nearfield::gguf::Value as Meta;
use serde_json::{Value, json};

use crate::hugging_face::{self, Tensor};
use crate::{Folder, text};

const N_VOCAB: usize = 320;
const N_EMBD: usize = 32;

/// Tensors of a GPT-2 of one layer; the names in the list lack the prefix `transformer.`.
fn tensors() -> Vec<Tensor> {
    let shapes: [(&str, &[usize]); 16] = [
        ("wte.weight", &[N_VOCAB, N_EMBD]),
        ("wpe.weight", &[64, N_EMBD]),
        ("h.0.ln_1.weight", &[N_EMBD]),
        ("h.0.ln_1.bias", &[N_EMBD]),
        ("h.0.attn.c_attn.weight", &[N_EMBD, 3 * N_EMBD]),
        ("h.0.attn.c_attn.bias", &[3 * N_EMBD]),
        ("h.0.attn.c_proj.weight", &[N_EMBD, N_EMBD]),
        ("h.0.attn.c_proj.bias", &[N_EMBD]),
        ("h.0.ln_2.weight", &[N_EMBD]),
        ("h.0.ln_2.bias", &[N_EMBD]),
        ("h.0.mlp.c_fc.weight", &[N_EMBD, 4 * N_EMBD]),
        ("h.0.mlp.c_fc.bias", &[4 * N_EMBD]),
        ("h.0.mlp.c_proj.weight", &[4 * N_EMBD, N_EMBD]),
        ("h.0.mlp.c_proj.bias", &[N_EMBD]),
        ("ln_f.weight", &[N_EMBD]),
        ("ln_f.bias", &[N_EMBD]),
    ];
    let tensor = |(name, shape): &(&str, &[usize])| {
        let n: usize = shape.iter().product();
        let numbers: Vec<f32> = (0..n).map(|i| ((i * 37 + shape.len()) % 101) as f32 / 64.0 - 0.75).collect();
        Tensor::f32(&format!("transformer.{name}"), shape, &numbers)
    };
    shapes.iter().map(tensor).collect()
}

fn config() -> Value {
    json!({
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": N_VOCAB, "n_positions": 64, "n_embd": N_EMBD,
        "n_layer": 1, "n_head": 4, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "bos_token_id": 0,
        "eos_token_id": 0,
    })
}

/// Folder with a `model` that can be converted.
fn folder() -> Folder {
    let f = Folder::new();
    let model = f.path().join("model");
    fs::create_dir(&model).unwrap();
    hugging_face::write_json(&model, "config.json", &config());
    hugging_face::write_json(&model, "tokenizer.json", &hugging_face::tokenizer());
    hugging_face::write_shards(&model, &tensors(), 3);
    f
}

/// Folder with a `model` without weights.
fn without_weights() -> Folder {
    let f = folder();
    for file in fs::read_dir(f.path().join("model")).unwrap().map(|entry| entry.unwrap().path()) {
        if file.to_str().unwrap().contains("safetensors") {
            fs::remove_file(file).unwrap();
        }
    }
    f
}

/// Checks that conversion fails with this error and leaves no file, whole or in part.
#[track_caller]
fn fails(f: &Folder, want: &str) {
    f.fails("convert model -o out.gguf", 1, want);
    assert_eq!(f.names(), ["model"]);
}

#[track_caller]
fn fails_with_config(edit: impl FnOnce(&mut Value), want: &str) {
    let f = folder();
    let mut config = config();
    edit(&mut config);
    hugging_face::write_json(&f.path().join("model"), "config.json", &config);
    fails(&f, want);
}

#[track_caller]
fn fails_with_tensors(edit: impl FnOnce(&mut Vec<Tensor>), want: &str) {
    let f = without_weights();
    let mut tensors = tensors();
    edit(&mut tensors);
    hugging_face::write_single(&f.path().join("model"), &tensors);
    fails(&f, want);
}

#[test]
fn a_model_is_converted_in_all_types_of_files() {
    let f = folder();
    for ty in ["f32", "f16", "bf16", "q8_0", "q4_0"] {
        let said = f.stderr(&format!("convert model -o {ty}.gguf --type {ty} --threads 2"));
        assert!(said.starts_with("read     model: GPT-2, 16 tensors\nwritten  "), "{said}");
        f.stdout(&format!("logits {ty}.gguf --tokens 1,2,3 -o out.npy --force"));
    }
    // One thread writes the same bytes.
    f.stderr("convert model -o one.gguf --type q4_0 --threads 1");
    let read = |name: &str| fs::read(f.path().join(name)).unwrap();
    assert!(read("one.gguf") == read("q4_0.gguf"));
    // Conversion and quantization give the tensors that conversion alone gives.
    f.stderr("quantize f32.gguf again.gguf q4_0");
    let (again, once) = (read("again.gguf"), read("q4_0.gguf"));
    let (again, once) = (Gguf::parse(&again).unwrap(), Gguf::parse(&once).unwrap());
    for (a, b) in again.tensors().zip(once.tensors()) {
        assert!(a.name == b.name && a.ty == b.ty, "{} {}, {} {}", a.name, a.ty, b.name, b.ty);
        let data = |gguf: &Gguf<'_>, offset, n| gguf.data(offset, n).unwrap().to_vec();
        assert!(
            data(&again, a.offset, a.n_bytes().unwrap()) == data(&once, b.offset, b.n_bytes().unwrap()),
            "{}",
            a.name
        );
    }
}

#[test]
fn from_the_folder_to_a_text() {
    let f = folder();
    f.stderr("convert model -o model.gguf");
    f.stderr("quantize model.gguf small.gguf q8_0");
    let inspected = f.stdout("inspect small.gguf");
    assert!(inspected.contains("\nshape\n  gpt2, 1 layer, width 32, 4 heads of 8"), "{inspected}");
    assert!(!inspected.contains("no text") && inspected.contains("to run it"), "{inspected}");
    let text = f.stdout("run small.gguf hello -n 8 --temp 0");
    assert!(text.starts_with("hello") && text.len() > "hello".len(), "{text:?}");
}

#[test]
fn one_file_and_three_shards_make_the_same() {
    let f = folder();
    f.stderr("convert model -o shards.gguf");
    let single = without_weights();
    hugging_face::write_single(&single.path().join("model"), &tensors());
    single.stderr("convert model -o single.gguf");
    let read = |f: &Folder, name: &str| fs::read(f.path().join(name)).unwrap();
    assert!(read(&f, "shards.gguf") == read(&single, "single.gguf"));
}

#[test]
fn the_file_says_what_the_folder_says() {
    let f = folder();
    f.stderr("convert model -o out.gguf");
    let file = fs::read(f.path().join("out.gguf")).unwrap();
    let gguf = Gguf::parse(&file).unwrap();
    let texts = [("general.architecture", "gpt2"), ("general.name", "model"), ("tokenizer.ggml.pre", "gpt-2")];
    for (key, want) in texts {
        assert!(matches!(gguf.get(key), Some(Meta::String(found)) if found == want.as_bytes()), "{key}");
    }
    let numbers = [
        ("general.file_type", 1),
        ("gpt2.context_length", 64),
        ("gpt2.embedding_length", 32),
        ("gpt2.block_count", 1),
        ("gpt2.feed_forward_length", 128),
        ("gpt2.attention.head_count", 4),
        ("gpt2.attention.head_count_kv", 4),
        ("tokenizer.ggml.bos_token_id", 0),
        ("tokenizer.ggml.eos_token_id", 0),
    ];
    for (key, want) in numbers {
        assert_eq!(gguf.get(key).and_then(Meta::as_u64), Some(want), "{key}");
    }
    assert!(matches!(gguf.get("gpt2.attention.max_alibi_bias"), Some(Meta::F32(0.0))));
    assert_eq!(f.stdout("tokenize out.gguf hello --special").trim(), f.stdout("tokenize out.gguf hello").trim());
    assert_eq!(f.stdout("detokenize out.gguf 0 --special"), "<|endoftext|>");
}

#[test]
fn folders_that_hold_no_model() {
    let f = Folder::new();
    f.fails("convert none -o out.gguf", 1, "cannot open none: No such file");
    f.fails("convert tiny.gguf -o out.gguf", 1, "tiny.gguf is a GGUF file already: `nearfield quantize` makes");
    f.write("model.safetensors", b"");
    f.fails(
        "convert model.safetensors -o out.gguf",
        1,
        "model.safetensors is not a directory: give the folder that holds",
    );
    fs::remove_file(f.path().join("model.safetensors")).unwrap();
    fs::create_dir(f.path().join("model")).unwrap();
    fails(&f, "cannot read model/config.json: No such file");
    f.write("model/config.json", b"{");
    fails(&f, "model/config.json is not JSON: EOF while parsing an object at line 1 column 1");
    f.write("model/config.json", b"[]");
    fails(&f, "model/config.json is not a JSON object");
}

#[test]
fn configurations_that_cannot_be_converted() {
    let class = |class: Value| move |config: &mut Value| config["architectures"] = class;
    fails_with_config(
        |config| {
            class(json!(["LlamaForCausalLM"]))(config);
            config["model_type"] = json!("llama");
        },
        "model/config.json: LlamaForCausalLM is no known architecture: known are BloomForCausalLM, MPTForCausalLM, ",
    );
    fails_with_config(
        |config| *config = json!({}),
        "model/config.json: neither `architectures` nor `model_type` says what it is",
    );
    let cases: [(&str, Value, &str); 7] = [
        ("n_embd", Value::Null, "model/config.json has no `n_embd` or `hidden_size`"),
        ("n_embd", json!("32"), "model/config.json: `n_embd` is \"32\", not a count"),
        ("n_layer", json!(-1), "model/config.json: `n_layer` is -1, not a count"),
        ("n_head", json!(0), "model/config.json: `n_head` or `num_attention_heads` is 0"),
        ("n_head", json!(5), "model/config.json: a width of 32 cannot be shared by 5 heads"),
        (
            "activation_function",
            json!("relu"),
            "model/config.json: `activation_function` is \"relu\": only \"gelu_new\" or \"gelu_pytorch_tanh\" or \"gelu_fast\"",
        ),
        (
            "scale_attn_weights",
            json!(false),
            "model/config.json: `scale_attn_weights` is false: only true can be converted",
        ),
    ];
    for (key, value, want) in cases {
        fails_with_config(|config| config[key] = value, want);
    }
    // Models without ALiBi in families that may have it.
    for (class, why) in [
        ("FalconForCausalLM", "`alibi` is not set: a Falcon with rotary positions"),
        ("MPTForCausalLM", "`alibi` is not set: an MPT with other positions"),
        ("BertModel", "no `alibi_starting_size`: a BERT with position embeddings cannot be converted"),
        ("JinaBertModel", "`position_embedding_type` is not \"alibi\": such a BERT cannot be converted"),
        ("JAISLMHeadModel", "`activation_function` is \"gelu_new\": only \"swiglu\" can be converted"),
    ] {
        fails_with_config(|config| config["architectures"] = json!([class]), &format!("model/config.json: {why}"));
    }
}

#[test]
fn weights_that_are_not_there() {
    let f = without_weights();
    fails(
        &f,
        "model holds no weights that can be read: a model has model.safetensors, or shards and model.safetensors.index",
    );
    f.write("model/pytorch_model.bin", b"x");
    fails(&f, "model holds no weights that can be read: PyTorch's .bin files can run any code when they are read: ");
    f.write("model/part.safetensors", b"x");
    fails(&f, "model holds no weights that can be read: its shards need model.safetensors.index.json");
    let f = folder();
    fs::remove_file(f.path().join("model/model-00002-of-00003.safetensors")).unwrap();
    fails(&f, "cannot open model/model-00002-of-00003.safetensors: No such file");
    let f = folder();
    hugging_face::write_json(
        &f.path().join("model"),
        "model.safetensors.index.json",
        &json!({"weight_map": {"x": "../y"}}),
    );
    fails(&f, "model/model.safetensors.index.json: the shard of x is \"../y\", not the name of a file");
    let f = folder();
    let index = json!({"weight_map": {"transformer.h.9.weight": "model-00001-of-00003.safetensors"}});
    hugging_face::write_json(&f.path().join("model"), "model.safetensors.index.json", &index);
    fails(
        &f,
        "model/model-00001-of-00003.safetensors has no tensor transformer.h.9.weight, which the index puts there",
    );
}

#[test]
fn weights_that_are_cut_off() {
    let f = without_weights();
    let whole = hugging_face::safetensors(&tensors());
    f.write("model/model.safetensors", &whole[..whole.len() - 1]);
    fails(&f, "model/model.safetensors: the file is cut off: the tensor transformer.ln_f.bias ends at byte ");
    f.write("model/model.safetensors", &whole[..100]);
    fails(&f, "model/model.safetensors: the file is cut off: its table has ");
    f.write("model/model.safetensors", b"");
    fails(&f, "cannot open model/model.safetensors: the file is empty");
    f.write("model/model.safetensors", b"not safetensors");
    fails(&f, "model/model.safetensors: not a safetensors file: its table would have ");
}

/// Git LFS pointer, which a repository holds in place of a large file.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";

#[test]
fn pointers_of_git_lfs() {
    let f = without_weights();
    f.write("model/model.safetensors", POINTER);
    fails(&f, "model/model.safetensors: a Git LFS pointer, not the file itself: `git lfs pull` fetches that");
    f.write("model/config.json", POINTER);
    fails(&f, "model/config.json: a Git LFS pointer, not the file itself: ");
    let f = folder();
    f.write("model/tokenizer.json", POINTER);
    fails(&f, "model/tokenizer.json: a Git LFS pointer, not the file itself: ");
    let f = folder();
    f.write("model/model-00002-of-00003.safetensors", POINTER);
    fails(&f, "model/model-00002-of-00003.safetensors: a Git LFS pointer, not the file itself: ");
    let f = folder();
    f.write("model/model.safetensors.index.json", POINTER);
    fails(&f, "model/model.safetensors.index.json: a Git LFS pointer, not the file itself: ");
}

/// Folders that are not a model's, and the remedy.
#[test]
fn folders_of_something_else() {
    let f = folder();
    f.write(
        "model/adapter_config.json",
        br#"{"peft_type": "LORA", "base_model_name_or_path": "bigscience/bloom-560m"}"#,
    );
    fails(
        &f,
        "model holds an adapter (LoRA) for bigscience/bloom-560m: merge it with peft's `merge_and_unload()`, and convert what",
    );
    fs::remove_file(f.path().join("model/config.json")).unwrap();
    fails(&f, "model holds an adapter (LoRA) for bigscience/bloom-560m: ");
    let f = folder();
    f.write("model/quantize_config.json", br#"{"bits": 4}"#);
    fails(&f, "model holds quantized weights, as quantize_config.json says: convert the model that they were made of");
    let quantization = |config: &mut Value| config["quantization_config"] = json!({"quant_method": "gptq", "bits": 4});
    fails_with_config(
        quantization,
        "model/config.json: the weights are quantized (gptq): convert the model that they were made of, and quantize the file",
    );
    let f = Folder::new();
    fs::create_dir_all(f.path().join("model/snapshots/0123abcd")).unwrap();
    fails(&f, "model is a folder of a cache: convert model/snapshots/0123abcd");
    let f = Folder::new();
    fs::create_dir(f.path().join("model")).unwrap();
    f.write("model/some-q4_0.gguf", b"GGUF");
    fails(&f, "model has no config.json: some-q4_0.gguf is a GGUF file already");
}

/// Conversion reads JSON as Python does: with NaN, infinities and a byte order mark.
#[test]
fn json_that_python_reads() {
    let f = folder();
    f.stderr("convert model -o want.gguf");
    let config = config().to_string();
    let with_constants = format!("\u{feff}{},\"of_no_matter\":[NaN,-Infinity]}}", &config[..config.len() - 1]);
    f.write("model/config.json", with_constants.as_bytes());
    f.stderr("convert model -o out.gguf");
    let read = |name: &str| fs::read(f.path().join(name)).unwrap();
    assert!(read("out.gguf") == read("want.gguf"));
    fs::remove_file(f.path().join("out.gguf")).unwrap();
    fs::remove_file(f.path().join("want.gguf")).unwrap();
    f.write("model/config.json", config.replace("1e-5", "NaN").replace("0.00001", "NaN").as_bytes());
    fails(&f, "model/config.json: `layer_norm_epsilon` is \"NaN\", not a number from 0 on");
    f.write("model/config.json", format!("{config} // of GPT-2").as_bytes());
    fails(&f, "model/config.json is not JSON: trailing characters at line 1");
    f.write("model/config.json", b"\xff\xfe{\0}\0");
    fails(&f, "model/config.json is UTF-16: save it as UTF-8");
}

/// Writes the tensors in three shards, and an index.
fn sharded(tensors: &[Tensor], edit: impl FnOnce(&Folder, &mut Value)) -> Folder {
    let f = without_weights();
    let model = f.path().join("model");
    hugging_face::write_shards(&model, tensors, 3);
    let path = model.join("model.safetensors.index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&f, &mut index["weight_map"]);
    hugging_face::write_json(&model, "model.safetensors.index.json", &index);
    f
}

#[test]
fn an_index_says_less_or_more_than_the_shards() {
    const HEAD: &str = "lm_head.weight";
    let (first, second, third) =
        ("model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors");
    let want = {
        let f = folder();
        f.stderr("convert model -o out.gguf");
        fs::read(f.path().join("out.gguf")).unwrap()
    };
    let converts = |f: &Folder| {
        let told = f.stderr("convert model -o out.gguf");
        assert!(fs::read(f.path().join("out.gguf")).unwrap() == want);
        told
    };
    let tied = |value: f32| {
        let mut head = tensors().swap_remove(0);
        head.bytes[..4].copy_from_slice(&value.to_le_bytes());
        Tensor { name: HEAD.into(), ..head }
    };
    let embedding = f32::from_le_bytes(*tensors()[0].bytes.first_chunk().unwrap());
    // One of two copies is used: of a matrix under two names, or of a tensor in two shards.
    let both: Vec<Tensor> = tensors().into_iter().chain([tied(embedding)]).collect();
    converts(&sharded(&both, |_, map| drop(map.as_object_mut().unwrap().remove(HEAD))));
    converts(&sharded(&both, |_, map| drop(map.as_object_mut().unwrap().remove("transformer.wte.weight"))));
    let twice = |edit: fn(&mut Tensor)| {
        move |f: &Folder, map: &mut Value| {
            let mut copy = tensors().swap_remove(0);
            edit(&mut copy);
            let name = "model-00004-of-00004.safetensors";
            f.write(&format!("model/{name}"), &hugging_face::safetensors(&[copy]));
            map["x.attn.bias"] = json!(name);
        }
    };
    converts(&sharded(&tensors(), twice(|_| {})));
    // If the copies differ, the one that the index names is used; if it names none, conversion fails.
    let changed: fn(&mut Tensor) = |copy| copy.bytes[0] ^= 1;
    converts(&sharded(&tensors(), twice(changed)));
    let f = sharded(&tensors(), |f, map| {
        twice(changed)(f, map);
        map.as_object_mut().unwrap().remove("transformer.wte.weight");
    });
    fails(
        &f,
        "model/model-00004-of-00004.safetensors: the tensor transformer.wte.weight is another one in model/model-00001-of-00003",
    );
    // The index may name a tied output or a mask that no shard holds, and may leave out tensors or put them elsewhere.
    converts(&sharded(&tensors(), |_, map| map[HEAD] = json!(third)));
    converts(&sharded(&tensors(), |_, map| map["transformer.h.0.attn.bias"] = json!(second)));
    converts(&sharded(&tensors(), |_, map| drop(map.as_object_mut().unwrap().remove("transformer.ln_f.bias"))));
    converts(&sharded(&tensors(), |_, map| map["transformer.wte.weight"] = json!(second)));
    // A missing tensor is an error.
    let f = sharded(&tensors()[..15], |_, map| map["transformer.ln_f.bias"] = json!(first));
    fails(&f, &format!("model/{first} has no tensor transformer.ln_f.bias, which the index puts there"));
    let f = sharded(&tensors(), |_, map| *map = json!({}));
    fails(&f, "model/model.safetensors.index.json: its `weight_map` is empty");
    // The single file is preferred to the shards, as in transformers.
    let f =
        sharded(&tensors(), |f, _| drop(f.write("model/model.safetensors", &hugging_face::safetensors(&tensors()))));
    fs::remove_file(f.path().join(format!("model/{second}"))).unwrap();
    let told = converts(&f);
    assert!(
        told.starts_with("note: model/model.safetensors is read, not the shards of model.safetensors.index.json\n"),
        "{told}"
    );
}

#[test]
fn weights_under_other_names_of_files() {
    let cases = [
        ("model.fp16.safetensors", "model.fp16.safetensors is a variant: give it the name model.safetensors"),
        ("consolidated.safetensors", "consolidated.safetensors has other names for its tensors: "),
        ("tf_model.h5", "tf_model.h5 is not PyTorch's: a model has model.safetensors, or shards and "),
        ("pytorch_model-00001-of-00002.bin", "PyTorch's .bin files can run any code when they are read: "),
        ("consolidated.00.pth", "consolidated.00.pth has other names for its tensors: "),
    ];
    for (name, want) in cases {
        let f = without_weights();
        f.write(&format!("model/{name}"), b"x");
        fails(&f, &format!("model holds no weights that can be read: {want}"));
    }
}

#[test]
fn tensors_that_do_not_fit() {
    fails_with_tensors(
        |tensors| drop(tensors.remove(6)),
        "model has no tensor transformer.h.0.attn.c_proj.weight, which a GPT-2 has",
    );
    fails_with_tensors(
        |tensors| drop(tensors.remove(5)),
        "model has no tensor transformer.h.0.attn.c_attn.bias, which a GPT-2 has",
    );
    fails_with_tensors(
        |tensors| tensors[4].shape.swap(0, 1),
        "model/model.safetensors: the tensor transformer.h.0.attn.c_attn.weight is [96, 32], by config.json it is [32, 96]",
    );
    fails_with_tensors(
        |tensors| tensors.push(Tensor::f32("transformer.h.0.attn.rotary.weight", &[1], &[1.0])),
        "model has a tensor transformer.h.0.attn.rotary.weight, for which a GPT-2 has no place",
    );
    fails_with_tensors(
        |tensors| tensors[0].dtype = "Q4",
        "model/model.safetensors: the tensor transformer.wte.weight is of type Q4, which is not known",
    );
    fails_with_tensors(
        |tensors| tensors[0].dtype = "I32",
        "model/model.safetensors: the tensor transformer.wte.weight is of type I32: F32, F16 and BF16 can be converted",
    );
    fails_with_tensors(
        |tensors| tensors[0].dtype = "F64",
        "model/model.safetensors: the tensor transformer.wte.weight has 40960 bytes: [320, 32] in F64 are 81920",
    );
    let retype = |dtype: &'static str, n_bytes: usize| {
        move |tensors: &mut Vec<Tensor>| (tensors[0].dtype, tensors[0].bytes) = (dtype, vec![0; 10_240 * n_bytes])
    };
    for (dtype, n_bytes, why) in [
        ("F64", 8, "; transformers saves it so after `model.float()`"),
        ("I8", 1, ", and not what was quantized"),
        ("F8_E4M3", 1, ", and not what was quantized"),
    ] {
        fails_with_tensors(
            retype(dtype, n_bytes),
            &format!(
                "model/model.safetensors: the tensor transformer.wte.weight is of type {dtype}: F32, F16 and BF16 can be converted{why}"
            ),
        );
    }
    fails_with_tensors(
        |tensors| (tensors[0].shape, tensors[0].bytes) = (vec![0], vec![]),
        "model/model.safetensors: the tensor transformer.wte.weight is [0], by config.json it is [320, 32]: it was left empty, as ",
    );
    fails_with_tensors(
        |tensors| tensors[0].bytes[..4].copy_from_slice(&1e6f32.to_le_bytes()),
        "token_embd.weight: row 0, column 0: a weight of 1e6, and F16 holds none beyond ",
    );
    fails_with_tensors(
        |tensors| tensors[0].bytes[4..8].copy_from_slice(&f32::NAN.to_le_bytes()),
        "token_embd.weight: row 0, column 1: a weight is NaN: the model is broken",
    );
}

/// Numbers that are not finite are found in norms, biases and matrices, for any type of file.
#[test]
fn numbers_that_are_none() {
    for (place, name) in [
        (1, "position_embd.weight"),
        (2, "blk.0.attn_norm.weight"),
        (5, "blk.0.attn_qkv.bias"),
        (14, "output_norm.weight"),
    ] {
        for (number, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
            let f = without_weights();
            let mut tensors = tensors();
            tensors[place].bytes[12..16].copy_from_slice(&number.to_le_bytes());
            hugging_face::write_single(&f.path().join("model"), &tensors);
            let want = format!("{name}: row 0, column 3: a weight is {shown}: the model is broken");
            f.fails("convert model -o out.gguf --type f32", 1, &want);
            fails(&f, &want);
        }
    }
}

/// A converted model can run: a model that the library refuses is refused before anything is written.
#[test]
fn what_could_not_run_is_not_written() {
    // The model has one head of 2048.
    let wide = 2048;
    let f = without_weights();
    let mut config = config();
    (config["n_embd"], config["n_head"], config["n_inner"]) = (json!(wide), json!(1), json!(1));
    hugging_face::write_json(&f.path().join("model"), "config.json", &config);
    let resized = |tensor: Tensor| {
        let shape: Vec<usize> = match &tensor.name["transformer.".len()..] {
            "h.0.mlp.c_fc.weight" => vec![wide, 1],
            "h.0.mlp.c_fc.bias" => vec![1],
            "h.0.mlp.c_proj.weight" => vec![1, wide],
            _ => tensor.shape.iter().map(|n| if n % 64 == 0 || *n == 320 { *n } else { n / N_EMBD * wide }).collect(),
        };
        Tensor::f32(&tensor.name, &shape, &vec![0.0; shape.iter().product()])
    };
    hugging_face::write_single(&f.path().join("model"), &tensors().into_iter().map(resized).collect::<Vec<_>>());
    fails(&f, "model: what it makes cannot run: a head is 2048 wide: up to 1024 can run");
}

#[test]
fn tokenizers_that_do_not_fit() {
    let f = folder();
    fs::remove_file(f.path().join("model/tokenizer.json")).unwrap();
    fails(&f, "model holds no tokenizer: tokenizer.json, tokenizer.model, vocab.json and merges.txt, or vocab.txt");
    let mut json = hugging_face::tokenizer();
    json["model"]["vocab"]["one more"] = json!(320);
    hugging_face::write_json(&f.path().join("model"), "tokenizer.json", &json);
    fails(&f, "model: the tokenizer has 321 tokens, config.json says 320");
    f.write("model/tokenizer.json", b"{}");
    fails(&f, "model/tokenizer.json: it has no `model`");
    fs::remove_file(f.path().join("model/tokenizer.json")).unwrap();
    f.write("model/vocab.json", br#"{"a": 0}"#);
    f.write("model/merges.txt", b"#version: 0.2\na\n");
    fails(&f, "model/merges.txt, line 2: \"a\" is not two texts with a space between them");
    f.write("model/tokenizer.model", b"x");
    fails(&f, "model/tokenizer.model is not a sentencepiece model that can be converted: ");
}

#[test]
fn a_file_that_is_there_stays() {
    let f = folder();
    f.write("out.gguf", b"mine");
    f.fails("convert model -o out.gguf", 1, "out.gguf is there already: ");
    assert_eq!(fs::read(f.path().join("out.gguf")).unwrap(), b"mine");
    f.stderr("convert model -o out.gguf --force");
    f.stdout("inspect out.gguf");
    f.fails("convert model -o none/out.gguf", 1, "cannot write none/out.gguf: there is no folder none");
    f.fails("convert model -o out.gguf --type q9", 2, "invalid value 'q9' for '--type <TYPE>'");
}

/// A limit on file sizes acts as a full disk.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_no_half_file() {
    let f = folder();
    let nearfield = env!("CARGO_BIN_EXE_nearfield");
    let script = format!("trap '' XFSZ; ulimit -f 32; exec {nearfield} convert model -o out.gguf");
    let output = std::process::Command::new("sh").current_dir(f.path()).args(["-c", &script]).output().unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with("nearfield: cannot write out.gguf, which takes "), "{error}");
    assert_eq!(f.names(), ["model"]);
}

/// Model that always writes one of the last two tokens, which are control tokens.
fn that_ends() -> Folder {
    let f = folder();
    let model = f.path().join("model");
    let mut tensors = tensors();
    let rows = tensors.iter_mut().find(|tensor| tensor.name == "transformer.wte.weight").unwrap();
    for (row, sign) in [(N_VOCAB - 2, 1.0f32), (N_VOCAB - 1, -1.0)] {
        let number = |i: usize| sign * (50.0 + i as f32);
        let bytes: Vec<u8> = (0..N_EMBD).flat_map(|i| number(i).to_le_bytes()).collect();
        rows.bytes[4 * row * N_EMBD..][..4 * N_EMBD].copy_from_slice(&bytes);
    }
    hugging_face::write_shards(&model, &tensors, 3);
    let mut tokenizer = hugging_face::tokenizer();
    let text = |id: usize| {
        let vocab = tokenizer["model"]["vocab"].as_object().unwrap();
        vocab.iter().find(|(_, found)| **found == json!(id)).unwrap().0.clone()
    };
    let added: Vec<Value> =
        [N_VOCAB - 2, N_VOCAB - 1].map(|id| json!({"id": id, "content": text(id), "special": true})).into();
    tokenizer["added_tokens"].as_array_mut().unwrap().extend(added);
    hugging_face::write_json(&model, "tokenizer.json", &tokenizer);
    f
}

/// Number of tokens that a run of at most eight writes.
fn n_written(f: &Folder, more: &str) -> usize {
    let report = f.stderr(&format!("run -m model.gguf the -n 8 --temp 0 {more}"));
    let line = report.lines().find_map(|line| line.strip_prefix("text ")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// All end tokens of the generation configuration are used, except a text token left over from another vocabulary.
#[test]
fn a_text_has_as_many_ends_as_the_configuration_says() {
    let f = that_ends();
    let (last, before) = (N_VOCAB - 1, N_VOCAB - 2);
    f.stderr("convert model -o model.gguf --type f32");
    assert_eq!(n_written(&f, ""), 8, "no end among them");
    for (name, ends) in
        [("generation_config.json", json!([0, last, before, 65])), ("config.json", json!([0, last, before]))]
    {
        let path = f.path().join("model").join(name);
        let mut json = fs::read(&path).map_or(json!({}), |text| serde_json::from_slice(&text).unwrap());
        json["eos_token_id"] = ends;
        hugging_face::write_json(&f.path().join("model"), name, &json);
        f.stderr("convert model -o model.gguf --type f32 --force");
        let bytes = fs::read(f.path().join("model.gguf")).unwrap();
        let gguf = Gguf::parse(&bytes).unwrap();
        assert!(matches!(gguf.get("tokenizer.ggml.eos_token_id"), Some(Meta::U32(0))), "{name}");
        assert_eq!(gguf.get("tokenizer.ggml.eot_token_id").and_then(Meta::as_u64), Some(last as u64), "{name}");
        let Some(Meta::Array(all)) = gguf.get("tokenizer.ggml.eos_token_ids") else { panic!("{name}") };
        let all: Vec<u64> = all.iter().filter_map(Meta::as_u64).collect();
        assert_eq!(all, [0, last as u64, before as u64], "{name}");
        assert_eq!(n_written(&f, ""), 0, "{name}");
        if name == "generation_config.json" {
            fs::remove_file(path).unwrap();
        }
    }
}

/// End tokens named by each of the files, and the keys that llama.cpp reads them from.
#[test]
fn all_files_name_ends_of_a_text() {
    let f = that_ends();
    let model = f.path().join("model");
    let (last, before) = (N_VOCAB - 1, N_VOCAB - 2);
    let ends = |generation: Value, in_config: Value, settings: Value| {
        hugging_face::write_json(&model, "generation_config.json", &generation);
        hugging_face::write_json(&model, "tokenizer_config.json", &settings);
        let mut config = config();
        config["eos_token_id"] = in_config;
        hugging_face::write_json(&model, "config.json", &config);
        f.stderr("convert model -o model.gguf --type f32 --force");
        let bytes = fs::read(f.path().join("model.gguf")).unwrap();
        let gguf = Gguf::parse(&bytes).unwrap();
        let id = |name: &str| gguf.get(&format!("tokenizer.ggml.{name}_token_id")).and_then(Meta::as_u64);
        let all = match gguf.get("tokenizer.ggml.eos_token_ids") {
            Some(Meta::Array(all)) => all.iter().filter_map(Meta::as_u64).map(|id| id as usize).collect(),
            _ => vec![],
        };
        (["eos", "eot", "eom"].map(|name| id(name).map(|id| id as usize)), all)
    };
    let want = |named: [Option<usize>; 3], all: &[usize]| (named, all.to_vec());
    let none = json!({});
    assert_eq!(ends(none.clone(), json!(0), none.clone()), want([Some(0), None, None], &[]));
    // Both files count; the first number is the end token itself.
    let (one, list) = (json!({"eos_token_id": last}), json!({"eos_token_id": [last, 0]}));
    assert_eq!(
        ends(one.clone(), json!([0, before]), none.clone()),
        want([Some(last), Some(0), Some(before)], &[last, 0, before])
    );
    assert_eq!(ends(list.clone(), json!(0), none.clone()), want([Some(last), Some(0), None], &[last, 0]));
    // The tokenizer's own end token comes before all numbers.
    let settings = json!({"eos_token": "<|endoftext|>"});
    assert_eq!(ends(list, json!(last), settings), want([Some(0), Some(last), None], &[0, last]));
    // A key for one kind of end counts; text tokens and numbers beyond the vocabulary do not.
    let kinds = json!({"eom_token_id": before, "eos_token_id": [0, 65, N_VOCAB]});
    assert_eq!(ends(kinds, json!(0), none), want([Some(0), None, Some(before)], &[0, before]));
}

/// A control token prints nothing, so its name never occurs in a generated text.
#[test]
fn a_stop_may_be_a_control_token() {
    let f = that_ends();
    f.stderr("convert model -o model.gguf --type f32");
    let bytes = fs::read(f.path().join("model.gguf")).unwrap();
    let gguf = Gguf::parse(&bytes).unwrap();
    let Some(Meta::Array(tokens)) = gguf.get("tokenizer.ggml.tokens") else { panic!("a vocabulary") };
    let names: Vec<String> = tokens
        .iter()
        .skip(N_VOCAB - 2)
        .map(|name| match name {
            Meta::String(name) => String::from_utf8_lossy(name).into_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(n_written(&f, ""), 8);
    assert_eq!(n_written(&f, &format!("--stop {} --stop {}", names[0], names[1])), 0);
}

/// Chat templates in every form in which they are published.
#[test]
fn templates_of_conversations_are_kept() {
    let f = folder();
    let model = f.path().join("model");
    let templates = || {
        f.stderr("convert model -o model.gguf --type f32 --force");
        let bytes = fs::read(f.path().join("model.gguf")).unwrap();
        let gguf = Gguf::parse(&bytes).unwrap();
        let text = |key: &str| match gguf.get(key) {
            Some(Meta::String(text)) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        };
        let names = match gguf.get("tokenizer.chat_templates") {
            Some(Meta::Array(names)) => names.len,
            _ => 0,
        };
        (text("tokenizer.chat_template"), text("tokenizer.chat_template.tool_use"), names)
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(templates(), (None, None, 0));
    hugging_face::write_json(&model, "tokenizer_config.json", &json!({"chat_template": "one"}));
    assert_eq!(templates(), (some("one"), None, 0));
    let list =
        json!({"chat_template": [{"name": "default", "template": "two"}, {"name": "tool-use", "template": "tools"}]});
    hugging_face::write_json(&model, "tokenizer_config.json", &list);
    assert_eq!(templates(), (some("two"), some("tools"), 1));
    fs::write(model.join("chat_template.jinja"), "three").unwrap();
    assert_eq!(templates(), (some("three"), some("tools"), 1));
    fs::create_dir(model.join("additional_chat_templates")).unwrap();
    fs::write(model.join("additional_chat_templates/tool_use.jinja"), "more tools").unwrap();
    hugging_face::write_json(&model, "tokenizer_config.json", &json!({}));
    assert_eq!(templates(), (some("three"), some("more tools"), 1));
    hugging_face::write_json(&model, "tokenizer_config.json", &json!({"chat_template": [{"name": "default"}]}));
    f.fails(
        "convert model -o other.gguf",
        1,
        "model/tokenizer_config.json: `chat_template` has {\"name\":\"default\"}",
    );
}
