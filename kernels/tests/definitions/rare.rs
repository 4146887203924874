use nearfield_kernels::{Matrix, WeightType, scalar};

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// Compares with the numbers that ggml's own Python package gives for random blocks (`make_rare.py` wrote them): the same bits.
#[test]
fn rare_types_are_dequantized_as_gguf_does() {
    let mut n = 0;
    for line in include_str!("rare.txt").lines() {
        let [name, blocks, numbers] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let ty = *WeightType::ALL.iter().find(|ty| ty.name() == name).unwrap();
        let blocks = bytes(blocks);
        let mut got = vec![f32::NAN; 2 * ty.block_len()];
        scalar::dequantize_row(&Matrix::new(ty, 1, got.len(), &blocks).unwrap(), 0, &mut got);
        let want: Vec<f32> = bytes(numbers).as_chunks().0.iter().map(|&number| f32::from_le_bytes(number)).collect();
        assert_eq!(got.len(), want.len());
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            assert!(got.to_bits() == want.to_bits(), "{name}, number {i}: {got}, not {want}");
        }
        n += 1;
    }
    assert_eq!(n, 10);
}
