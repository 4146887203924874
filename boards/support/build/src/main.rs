//! Prints the features that a model needs, as cargo takes them for a firmware: `nearfield-firmware-build MODEL.gguf`.

use std::process::ExitCode;
use std::{env, fs};

use nearfield::{Gguf, features};
use nearfield_firmware_build::cargo_features;

fn main() -> ExitCode {
    let Some(path) = env::args_os().nth(1) else {
        eprintln!("nearfield-firmware-build MODEL.gguf");
        return ExitCode::from(2);
    };
    let needed = fs::read(&path).map_err(|error| error.to_string()).and_then(|file| {
        let gguf = Gguf::parse(&file).map_err(|error| error.to_string())?;
        Ok(cargo_features(&features::of_model(&gguf).map_err(|error| error.to_string())?.collect::<Vec<_>>()))
    });
    match needed {
        Ok(needed) => println!("{needed}"),
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
