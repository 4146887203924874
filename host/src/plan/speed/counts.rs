//! Counts of a token, read from the tables that the emulators' programs write.

use super::load::Load;

/// Table of `measure/flash-reads/run --write`.
const FLASH_READS: &str = include_str!("../../../../measure/flash-reads/counts");
/// Instructions of a token on each emulated board, by `tests/boards/run`.
const INSTRUCTIONS: &str = include_str!("../../../../tests/boards/counts");
/// Bytes of a cache line of a Cortex-A53.
const A53_LINE: f64 = 64.0;

/// Counts of a token, and the load of the model that it belongs to. The names are those of `measure/flash-reads/flash.c`.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Counts {
    pub load: Load,
    pub instructions: f64,
    pub reads: f64,
    pub writes: f64,
    pub behind: f64,
    pub taken: f64,
    pub fma: f64,
    pub div: f64,
    pub code: f64,
    pub code_next: f64,
    pub data: f64,
    pub data_next: f64,
    pub ram: f64,
}

/// Counts of a board, from the row of its name.
pub fn of(board: &str) -> Option<Counts> {
    let mut rows = FLASH_READS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let names = rows.next()?;
    let row = rows.find(|row| row.first() == Some(&board))?;
    let cell = |name: &str| row.get(names.iter().position(|&other| other == name)?).copied();
    let number = |name| cell(name)?.parse().ok();
    Some(Counts {
        load: Load::of_embedded(cell("model")?)?,
        instructions: number("instructions")?,
        reads: number("reads")?,
        writes: number("writes")?,
        behind: number("behind")?,
        taken: number("taken")?,
        fma: number("fma")?,
        div: number("div")?,
        code: number("code")?,
        code_next: number("code_next")?,
        data: number("data")?,
        data_next: number("data_next")?,
        ram: number("ram")?,
    })
}

/// Instructions of a token of this row of `tests/boards/counts`.
pub fn instructions(row: &str) -> Option<f64> {
    let mut rows = INSTRUCTIONS.lines().map(str::split_whitespace);
    rows.find_map(|mut words| (words.next() == Some(row)).then(|| words.nth(1)?.parse().ok()))?
}

/// Counts of the Raspberry Pi 3: instructions of the command under Linux, whose kernels are the firmware's, and each line of the weights once,
/// one behind the other.
pub fn of_raspi3() -> Option<Counts> {
    let load = Load::of_embedded("stories")?;
    let lines = load.bytes / A53_LINE;
    let instructions = instructions("linux-cortex-a53")?;
    let [reads, writes, behind, taken, fma, div, code, code_next, ram] = [0.0; 9];
    Some(Counts {
        load,
        instructions,
        reads,
        writes,
        behind,
        taken,
        fma,
        div,
        code,
        code_next,
        data: lines,
        data_next: lines,
        ram,
    })
}
