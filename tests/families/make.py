#!/usr/bin/env python3
"""Makes the tiny models of all families and the numbers of their reference code (README.md).

  make.py [NAME...]            write config.json, tensors.txt, about.txt and the reference's numbers of each model
  make.py --hf DIR [NAME...]   write each model as a Hugging Face directory, DIR/NAME: config.json and model.safetensors
"""
import argparse
import importlib
import json
import os
import pkgutil
import numpy as np
import reference
from reference.common import draw

HERE = os.path.dirname(os.path.abspath(__file__))


def all_models():
    modules = (importlib.import_module(f"reference.{module.name}") for module in pkgutil.iter_modules(reference.__path__))
    return {name: model for module in modules for name, model in getattr(module, "MODELS", {}).items()}


def state_of(name, model):
    import torch
    return {tensor: torch.from_numpy(np.array(draw(name, tensor, *shape))) for tensor, shape in model.tensors.items()}


def write_config(folder, model):
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/config.json", "w") as file:
        json.dump(model.config, file, indent=2, sort_keys=True)
        file.write("\n")


def write_reference(name, model):
    import torch
    import transformers
    folder = f"{HERE}/{name}"
    write_config(folder, model)
    with open(f"{folder}/tensors.txt", "w") as file:
        file.writelines(f"{tensor} {kind} {'x'.join(map(str, shape))}\n" for tensor, (kind, shape) in model.tensors.items())
    with open(f"{folder}/about.txt", "w") as file:
        file.write(model.about.format(transformers=transformers.__version__, torch=torch.__version__) + "\n")
    for file, x in model.run(model.config, state_of(name, model)).items():
        np.save(f"{folder}/{file}", x.astype(np.float32))
        print(f"{name}/{file}: {x.shape}, standard deviation {x.std():.3f}")


def write_hf(folder, name, model):
    from safetensors.torch import save_file
    write_config(folder, model)
    save_file(state_of(name, model), f"{folder}/model.safetensors", metadata={"format": "pt"})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hf", metavar="DIR")
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    models = all_models()
    if unknown := set(args.names) - set(models):
        parser.error(f"no model {', '.join(sorted(unknown))}: there are {', '.join(models)}")
    for name in args.names or models:
        if args.hf:
            write_hf(f"{args.hf}/{name}", name, models[name])
        else:
            write_reference(name, models[name])


if __name__ == "__main__":
    main()
