//! Work of a token by the weights that it reads.

use nearfield::Model;
use nearfield_kernels::block::WeightType;

/// Instructions of a multiply-accumulate, by core, kernels and weight type.
const KERNEL_COUNTS: &str = include_str!("../../../../tests/boards/kernel-counts");
/// Instructions of a Cortex-M4F for each row of a matrix beyond its products: attention, norms, activations and the sampler. 170 for the
/// pocket model and 193 for the micro model, by tests/boards/counts.
const PER_ROW: f64 = 180.0;

/// Weights that a token reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// Weights of each type that are multiplied.
    pub macs: Vec<(WeightType, u64)>,
    /// Rows of all matrices that are multiplied.
    pub rows: u64,
    /// Bytes of the weights.
    pub bytes: f64,
}

impl Load {
    /// Load of a decoder; `None` if a matrix has a type that was not counted.
    pub fn of(model: &Model<'_>) -> Option<Self> {
        let mut load = Self { macs: Vec::new(), rows: 0, bytes: model.bytes_per_token() as f64 };
        let is_tied = !model.gguf().tensors().any(|tensor| tensor.name == "output.weight");
        for tensor in model.gguf().tensors().filter(|tensor| tensor.n_dims == 2) {
            let is_looked_up = tensor.name == "token_embd.weight" && !is_tied || tensor.name == "position_embd.weight";
            if !is_looked_up {
                let ty = WeightType::from_gguf(tensor.ty)?;
                rate(ty)?;
                load.macs.push((ty, tensor.dims[0] * tensor.dims[1]));
                load.rows += tensor.dims[1];
            }
        }
        Some(load)
    }

    /// Load of an embedded model.
    pub fn of_embedded(model: &str) -> Option<Self> {
        let (macs, rows, bytes) = match model {
            "pocket" => (vec![(WeightType::Q4_0, 909_312), (WeightType::Q5_0, 131_072)], 6208, 608_256.0),
            "micro" => (vec![(WeightType::Q4_0, 405_504)], 2880, 231_680.0),
            "stories" => (vec![(WeightType::Q8_0, 2_457_600)], 10_112, 2_621_184.0),
            _ => return None,
        };
        Some(Self { macs, rows, bytes })
    }

    /// Instructions of a Cortex-M4F for the products.
    fn in_matrices(&self) -> f64 {
        self.macs.iter().map(|&(ty, n)| n as f64 * rate(ty).unwrap_or(f64::NAN)).sum()
    }

    /// Instructions of a Cortex-M4F for a token.
    pub fn instructions(&self) -> f64 {
        self.in_matrices() + PER_ROW * self.rows as f64
    }

    /// Share of the instructions that cores divide among each other: the products. (Heads of attention come on top.)
    pub fn matrix_share(&self) -> f64 {
        self.in_matrices() / self.instructions()
    }
}

/// Instructions of a multiply-accumulate on a Cortex-M4F, in a matrix with 1024 columns and with the token's quantization; `None` for types
/// that were not counted.
fn rate(ty: WeightType) -> Option<f64> {
    let is_row = |line: &&str| line.split_whitespace().take(3).eq(["mps2-an386", "dsp", ty.name()]);
    KERNEL_COUNTS.lines().find(is_row)?.split_whitespace().nth(6)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::counts;
    use super::*;

    #[test]
    fn embedded_models_are_those_of_the_files() {
        let files: [(&str, &[u8]); 3] = [
            ("pocket", nearfield::include_model!("../../../../models/pocket.gguf")),
            ("micro", nearfield::include_model!("../../../../models/micro.gguf")),
            ("stories", nearfield::include_model!("../../../../models/stories.gguf")),
        ];
        for (name, file) in files {
            let (found, known) =
                (Load::of(&Model::from_gguf(file).unwrap()).unwrap(), Load::of_embedded(name).unwrap());
            assert_eq!((found.rows, found.bytes), (known.rows, known.bytes), "{name}");
            let of =
                |ty: WeightType, load: &Load| load.macs.iter().filter(|mac| mac.0 == ty).map(|mac| mac.1).sum::<u64>();
            for &ty in WeightType::ALL {
                assert_eq!(of(ty, &found), of(ty, &known), "{name}: {}", ty.name());
            }
        }
        assert_eq!(Load::of_embedded("other"), None);
    }

    /// One rate for each row gives the counts of two models within 5 %.
    #[test]
    fn instructions_are_those_counted() {
        for (board, model) in [("stm32f405", "pocket"), ("stm32f411", "micro")] {
            let (estimate, counted) =
                (Load::of_embedded(model).unwrap().instructions(), counts::instructions(board).unwrap());
            assert!((estimate / counted - 1.0).abs() < 0.05, "{model}: {estimate}, counted {counted}");
        }
    }

    #[test]
    fn types_that_were_not_counted_have_no_rate() {
        assert_eq!(rate(WeightType::F32), None);
        assert!((2.0..3.0).contains(&rate(WeightType::Q5_0).unwrap()));
    }
}
