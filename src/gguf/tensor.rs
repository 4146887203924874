//! Entries of tensors.

use nearfield_kernels::Layout;

use super::cursor::Cursor;
use super::error::{GgufError, Name};
use crate::const_math::attempt;

/// Greatest number of dimensions of a tensor, as in ggml.
pub(super) const MAX_DIMS: usize = 4;
/// Greatest length of a name in bytes, as in ggml (`GGML_MAX_NAME` counts a zero behind it).
const MAX_NAME: u64 = 63;
const NAME: &str = "a tensor's name";

/// Entry of a tensor in the file.
#[derive(Clone, Copy, Debug)]
pub struct TensorInfo<'f> {
    /// Name, for example `blk.0.attn_qkv.weight`.
    pub name: &'f str,
    /// Number of dimensions; further `dims` are 1.
    pub n_dims: usize,
    /// Dimensions, fastest first: `[n_cols, n_rows, ...]`.
    pub dims: [u64; MAX_DIMS],
    /// GGUF's number of the weight type and its layout, which the runtime may not know: [`Layout::from_gguf`].
    pub ty: u32,
    /// Offset from the start of the data.
    pub offset: u64,
    /// Offset of this entry in the file.
    pub(super) at: u64,
}

impl<'f> TensorInfo<'f> {
    /// Reads the entry at the cursor.
    pub(super) const fn read(cursor: &mut Cursor<'f>) -> Result<Self, GgufError> {
        let at = cursor.at() as u64;
        let name = attempt!(cursor.name(NAME, MAX_NAME));
        let found = attempt!(cursor.u32("a tensor's dimensions"));
        if found as usize > MAX_DIMS {
            return Err(GgufError::Dimensions { name: Name::new(name), found });
        }
        let n_dims = found as usize;
        let mut dims = [1; MAX_DIMS];
        let mut i = 0;
        while i < n_dims {
            dims[i] = attempt!(cursor.u64("a tensor's dimensions"));
            i += 1;
        }
        let ty = attempt!(cursor.u32("a tensor's type"));
        let offset = attempt!(cursor.u64("a tensor's offset"));
        Ok(Self { name, n_dims, dims, ty, offset, at })
    }

    /// Reads only the name of the entry at the cursor, and moves to the next entry.
    pub(super) const fn skip(cursor: &mut Cursor<'f>) -> Result<&'f [u8], GgufError> {
        let name = attempt!(cursor.string(NAME));
        let n_dims = attempt!(cursor.u32("a tensor's dimensions"));
        attempt!(cursor.take(8 * n_dims as u64 + 4 + 8, "a tensor"));
        Ok(name)
    }

    /// Layer that the tensor belongs to, by its name `blk.N.`; `None` for one outside the layers.
    pub const fn layer(&self) -> Option<usize> {
        let [b'b', b'l', b'k', b'.', rest @ ..] = self.name.as_bytes() else { return None };
        let (mut rest, mut layer) = (rest, None);
        while let [digit @ b'0'..=b'9', behind @ ..] = rest {
            let before = match layer {
                Some(before) => before,
                None => 0usize,
            };
            let Some(times) = before.checked_mul(10) else { return None };
            let Some(sum) = times.checked_add((*digit - b'0') as usize) else { return None };
            (layer, rest) = (Some(sum), behind);
        }
        match rest {
            [b'.', ..] => layer,
            _ => None,
        }
    }

    /// Offset in the file of the byte behind this entry.
    pub const fn end(&self) -> u64 {
        self.type_at() + 4 + 8
    }

    /// Offset in the file of the type's number.
    pub const fn type_at(&self) -> u64 {
        // The entry: name with its length, number of dimensions, dimensions, type, offset.
        self.at + 8 + self.name.len() as u64 + 4 + 8 * self.n_dims as u64
    }

    /// Bytes of the tensor; `None` for a type that the runtime does not know.
    pub const fn n_bytes(&self) -> Option<u64> {
        match self.size() {
            Ok(n) => n,
            Err(_) => None,
        }
    }

    /// Bytes of the tensor; `Ok(None)` for an unknown type.
    ///
    /// # Errors
    ///
    /// [`GgufError::TensorSize`] if the dimensions overflow 63 bits or rows are no whole number of blocks.
    pub(super) const fn size(&self) -> Result<Option<u64>, GgufError> {
        // ggml counts elements in 63 bits.
        if product(self.dims[0], self.dims).is_none() {
            return Err(GgufError::TensorSize { name: Name::new(self.name) });
        }
        let Some((ty, _)) = Layout::from_gguf(self.ty) else { return Ok(None) };
        let block_len = ty.block_len() as u64;
        let row = (self.dims[0] / block_len).checked_mul(ty.block_bytes() as u64);
        match row {
            Some(row) if self.dims[0].is_multiple_of(block_len) => match product(row, self.dims) {
                Some(n) => Ok(Some(n)),
                None => Err(GgufError::TensorSize { name: Name::new(self.name) }),
            },
            _ => Err(GgufError::TensorSize { name: Name::new(self.name) }),
        }
    }
}

/// Product of `row` and all dimensions but the first; `None` above 63 bits.
const fn product(row: u64, dims: [u64; MAX_DIMS]) -> Option<u64> {
    let (mut n, mut i) = (row, 1);
    while i < MAX_DIMS {
        n = match n.checked_mul(dims[i]) {
            Some(n) => n,
            None => return None,
        };
        i += 1;
    }
    if n <= i64::MAX as u64 { Some(n) } else { None }
}
