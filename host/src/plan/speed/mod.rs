//! Tokens per second of a board, computed from counts of an emulator and facts of its datasheets. docs/boards-speed.md explains the model.
//!
//! - `counts`: instructions and flash reads of a token, counted
//! - `load`: work of a model beside that of the counted one
//! - `part`: clock, core and memory of each board

mod counts;
mod load;
mod part;

use std::fmt;

use nearfield::Model;

use counts::Counts;
use load::Load;
use part::Part;

/// Least and most of a quantity that no source states as one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Least value.
    pub least: f64,
    /// Greatest value.
    pub most: f64,
}

impl Range {
    const ZERO: Self = Self { least: 0.0, most: 0.0 };

    const fn exact(value: f64) -> Self {
        Self { least: value, most: value }
    }

    const fn new(least: f64, most: f64) -> Self {
        Self { least, most }
    }

    fn times(self, factor: f64) -> Self {
        Self { least: self.least * factor, most: self.most * factor }
    }

    fn plus(self, other: Self) -> Self {
        Self { least: self.least + other.least, most: self.most + other.most }
    }
}

/// Tokens per second at the beginning of a text: computed, not measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Least and most tokens per second.
    pub tokens: Range,
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [least, most] = [self.tokens.least, self.tokens.most].map(two_digits);
        if least == most { write!(f, "about {least} tokens/s") } else { write!(f, "{least} to {most} tokens/s") }
    }
}

/// Rounds to two digits, since the model knows no more.
fn two_digits(value: f64) -> String {
    let unit = 10f64.powi(value.log10().floor() as i32 - 1);
    let decimals = if unit < 1.0 { (-unit.log10()).round() as usize } else { 0 };
    format!("{:.decimals$}", (value / unit).round() * unit)
}

/// Speed of a model on the board of this name; `None` for a board without figures, and for weights whose kernels were not counted.
pub fn of(board: &str, model: &Model<'_>) -> Option<Speed> {
    let part = part::find(board)?;
    let counts = (part.counts)()?;
    Some(compute(part, &counts, &Load::of(model)?))
}

/// Speed of a part whose counts belong to the model that they name.
fn compute(part: &Part, counts: &Counts, load: &Load) -> Speed {
    let counted = &counts.load;
    let work = load.instructions() / counted.instructions();
    let core = part.core.cycles(counts).plus(part.memory.code(counts)).times(work);
    let weights = part.memory.weights(counts).times(load.bytes / counted.bytes);
    let seconds = shared(core, weights, load.matrix_share(), part.n_cores).times(1e-6 / part.megahertz);
    Speed { tokens: Range::new(1.0 / seconds.most, 1.0 / seconds.least) }
}

/// Cycles of a token on `n_cores` that share the matrices' part of the work and one flash.
///
/// At most, no fetch of a core is hidden behind the other's work; at least, all are, but the flash serves one core at a time.
fn shared(core: Range, weights: Range, share: f64, n_cores: f64) -> Range {
    let alone = core.times(1.0 - share);
    let matrices = core.times(share / n_cores);
    let overlapped = weights.least.max(matrices.least + weights.least / n_cores);
    alone.plus(Range::new(overlapped, matrices.most + weights.most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use part::{Core, Memory};

    fn counts() -> Counts {
        let load = Load { macs: vec![(nearfield_kernels::block::WeightType::Q8_0, 1000)], rows: 10, bytes: 1000.0 };
        Counts {
            load,
            instructions: 10_000.0,
            reads: 3000.0,
            writes: 500.0,
            behind: 1000.0,
            taken: 1000.0,
            fma: 100.0,
            div: 10.0,
            code: 50.0,
            code_next: 20.0,
            data: 125.0,
            data_next: 25.0,
            ram: 0.0,
        }
    }

    /// An M0+ at 1 MHz: 10,000 instructions, 3,500 accesses and 1,000 jumps take 14,500 cycles; 50 lines of code at 60 cycles 3,000, and 125
    /// lines of weights, of which 25 follow each other for 30 cycles, 6,750. In all 24,250.
    #[test]
    fn a_case_by_hand() {
        let line = Range::exact(60.0);
        let memory =
            Memory { code: line, code_next: line, data: line, data_next: Range::exact(30.0), ram: Range::ZERO };
        let part = Part { board: "", megahertz: 1.0, n_cores: 1.0, core: Core::M0Plus, memory, counts: || None };
        let speed = compute(&part, &counts(), &counts().load);
        for tokens in [speed.tokens.least, speed.tokens.most] {
            assert!((tokens - 1e6 / 24_250.0).abs() < 1e-9, "{tokens}");
        }
        assert_eq!(speed.to_string(), "about 41 tokens/s");
        // Twice the matrices and twice the bytes.
        let mut twice = counts().load;
        (twice.macs[0].1, twice.rows, twice.bytes) = (2000, 20, 2000.0);
        let tokens = compute(&part, &counts(), &twice).tokens.least;
        assert!((tokens - 1e6 / 48_500.0).abs() < 1e-9, "{tokens}");
    }

    #[test]
    fn cores_share_the_matrices_and_the_flash() {
        let (core, weights) = (Range::exact(100.0), Range::exact(40.0));
        assert_eq!(shared(core, weights, 0.6, 1.0), Range::exact(140.0));
        // 40 alone; 30 for each core; 40 for the flash, of which half is hidden at best.
        assert_eq!(shared(core, weights, 0.6, 2.0), Range::new(90.0, 110.0));
        // The flash alone takes longer than the cores.
        assert_eq!(shared(core, Range::exact(200.0), 0.6, 2.0), Range::new(240.0, 270.0));
    }

    #[test]
    fn two_digits_of_each_size() {
        let cases = [
            (4.567, "4.6"),
            (16.4, "16"),
            (96.6, "97"),
            (99.7, "100"),
            (143.0, "140"),
            (0.123, "0.12"),
            (9.96, "10.0"),
        ];
        for (value, want) in cases {
            assert_eq!(two_digits(value), want);
        }
        let speed = |least, most| Speed { tokens: Range::new(least, most) }.to_string();
        assert_eq!(speed(19.4, 27.0), "19 to 27 tokens/s");
        assert_eq!(speed(15.9, 16.2), "about 16 tokens/s");
    }

    #[test]
    fn boards_on_a_desk_have_a_speed() {
        let pocket = nearfield::include_model!("../../../../models/pocket.gguf");
        let micro = nearfield::include_model!("../../../../models/micro.gguf");
        let [pocket, micro] = [pocket, micro].map(|file| Model::from_gguf(file).unwrap());
        for board in [
            "pico",
            "pico2",
            "nrf52840-dk",
            "nrf52840-usb",
            "microbit-v2",
            "nucleo-h743zi",
            "stm32f405",
            "stm32f411",
            "raspi3",
        ] {
            assert!(crate::plan::boards::find(board).is_some(), "{board}");
            let [pocket, micro] = [&pocket, &micro].map(|model| of(board, model).unwrap().tokens);
            assert!(0.0 < pocket.least && pocket.least <= pocket.most, "{board}: {pocket:?}");
            // The micro model has 0.39 of the pocket model's weights and 0.46 of its rows.
            let ratio = micro.least / pocket.least;
            assert!((2.0..3.0).contains(&ratio), "{board}: {ratio}");
        }
        assert_eq!(of("mps2-an386", &pocket), None);
    }
}
