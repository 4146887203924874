//! Data in pieces: the tensors are those of the whole file, and none may lie in two pieces.

use nearfield::gguf::Pieces;
use nearfield::{Gguf, GgufError, Model};

#[repr(C, align(64))]
struct Aligned<B: ?Sized>(B);

static ALIGNED: &Aligned<[u8]> = &Aligned(*include_bytes!("../models/pocket.gguf"));
static FILE: &[u8] = &ALIGNED.0;

/// The data of a file, cut at these offsets.
#[derive(Debug)]
struct Cut<'f> {
    data: &'f [u8],
    at: Vec<usize>,
}

impl Pieces for Cut<'_> {
    fn data_from(&self, offset: u64) -> &[u8] {
        let from = offset as usize;
        let until = self.at.iter().copied().find(|&at| at > from).unwrap_or(self.data.len());
        self.data.get(from..until.min(self.data.len())).unwrap_or_default()
    }
}

#[test]
fn tensors_are_those_of_the_whole_file() {
    let whole = Gguf::parse(FILE).unwrap();
    let offsets: Vec<usize> = whole.tensors().map(|tensor| tensor.offset as usize).collect();
    for at in [vec![], vec![offsets[1]], vec![offsets[3], offsets[4], offsets[20]], offsets.clone()] {
        let pieces = Cut { data: whole.data_from(0), at };
        let gguf = Gguf::parse_in_pieces(whole.tables(), &pieces).unwrap();
        assert_eq!(gguf.n_data(), whole.n_data());
        for (tensor, want) in gguf.tensors().zip(whole.tensors()) {
            let n = want.n_bytes().unwrap();
            assert_eq!((tensor.name, tensor.offset), (want.name, want.offset));
            assert_eq!(gguf.data(tensor.offset, n).unwrap(), whole.data(want.offset, n).unwrap(), "{}", want.name);
        }
        assert_eq!(gguf.data(whole.n_data(), 1), None);
        let model = Model::from_tables(gguf).unwrap();
        assert_eq!(model.shape(), Model::from_gguf(FILE).unwrap().shape());
    }
}

#[test]
fn no_tensor_lies_in_two_pieces() {
    let whole = Gguf::parse(FILE).unwrap();
    let tensor = whole.tensors().nth(5).unwrap();
    let (start, n) = (tensor.offset as usize, tensor.n_bytes().unwrap() as usize);
    for at in [start + 1, start + n / 2, start + n - 1] {
        let pieces = Cut { data: whole.data_from(0), at: vec![at] };
        let error = Gguf::parse_in_pieces(whole.tables(), &pieces).unwrap_err();
        assert!(matches!(error, GgufError::TensorPieces { name } if name.as_str() == tensor.name), "{error}");
    }
    let data = whole.data_from(0);
    let pieces = Cut { data: &data[..data.len() - 1], at: vec![start] };
    let error = Gguf::parse_in_pieces(whole.tables(), &pieces).unwrap_err();
    assert!(matches!(error, GgufError::TensorBounds { .. }), "{error}");
}
