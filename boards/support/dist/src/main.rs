//! Writes a linked firmware in the format of a boot loader:
//!
//! ```text
//! nearfield-dist ELF FILE.uf2 FAMILY      rp2040, rp2350-arm-s or nrf52840
//! nearfield-dist ELF FILE.hex
//! nearfield-dist ELF FILE.dfu             for the boot ROM of the STM32
//! nearfield-dist ELF FILE.img             raw
//! ```

use std::error::Error;
use std::process::ExitCode;
use std::{env, fs};

use nearfield_dist::{Device, Family, Image, dfuse, hex, uf2};

const USAGE: &str = "nearfield-dist ELF FILE.uf2 rp2040|rp2350-arm-s|nrf52840, or ELF FILE.hex|FILE.dfu|FILE.img";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nearfield-dist: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let (elf, to, family) = match *arguments {
        [elf, to] => (elf, to, None),
        [elf, to, family] => (elf, to, Some(Family::named(family).ok_or(USAGE)?)),
        _ => return Err(USAGE.into()),
    };
    let file = fs::read(elf).map_err(|error| format!("{elf}: {error}"))?;
    let image = Image::from_elf(&file).map_err(|error| format!("{elf}: {error}"))?;
    let bytes = match (to.rsplit_once('.').map(|(_, format)| format), family) {
        (Some("uf2"), Some(family)) => uf2(&image, family),
        (Some("hex"), None) => hex(&image).into_bytes(),
        (Some("dfu"), None) => dfuse(&image, Device::STM32),
        (Some("img"), None) => image.raw()?,
        _ => return Err(USAGE.into()),
    };
    fs::write(to, bytes).map_err(|error| format!("{to}: {error}"))?;
    Ok(())
}
