//! A literal GGUF writer, versions 2 and 3: what is put in comes out in that order, right or wrong.

/// A metadata value. An array names its element type, so it may be empty.
#[derive(Clone, Debug)]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    Array(u32, Vec<Value>),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl Value {
    pub fn string(text: &str) -> Self {
        Self::String(text.into())
    }

    /// An array of strings.
    pub fn strings(items: &[String]) -> Self {
        Self::Array(8, items.iter().cloned().map(Self::String).collect())
    }

    /// An array of `i32`.
    pub fn i32s(items: &[i32]) -> Self {
        Self::Array(5, items.iter().copied().map(Self::I32).collect())
    }

    /// `gguf_metadata_value_type`.
    pub fn type_number(&self) -> u32 {
        match self {
            Self::U8(_) => 0,
            Self::I8(_) => 1,
            Self::U16(_) => 2,
            Self::I16(_) => 3,
            Self::U32(_) => 4,
            Self::I32(_) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::String(_) => 8,
            Self::Array(..) => 9,
            Self::U64(_) => 10,
            Self::I64(_) => 11,
            Self::F64(_) => 12,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::U8(v) => out.push(*v),
            Self::I8(v) => out.extend(v.to_le_bytes()),
            Self::U16(v) => out.extend(v.to_le_bytes()),
            Self::I16(v) => out.extend(v.to_le_bytes()),
            Self::U32(v) => out.extend(v.to_le_bytes()),
            Self::I32(v) => out.extend(v.to_le_bytes()),
            Self::F32(v) => out.extend(v.to_le_bytes()),
            Self::Bool(v) => out.push(u8::from(*v)),
            Self::String(v) => put_string(out, v),
            Self::Array(element, items) => {
                out.extend(element.to_le_bytes());
                out.extend((items.len() as u64).to_le_bytes());
                items.iter().for_each(|item| item.put(out));
            }
            Self::U64(v) => out.extend(v.to_le_bytes()),
            Self::I64(v) => out.extend(v.to_le_bytes()),
            Self::F64(v) => out.extend(v.to_le_bytes()),
        }
    }
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

struct Tensor {
    name: String,
    /// Fastest first, as GGUF has them: the columns of a matrix, then its rows.
    dims: Vec<u64>,
    type_number: u32,
    bytes: Vec<u8>,
}

/// A file in the making.
pub struct Writer {
    version: u32,
    alignment: usize,
    metadata: Vec<(String, Value)>,
    tensors: Vec<Tensor>,
}

impl Writer {
    pub fn new(version: u32) -> Self {
        Self { version, alignment: 32, metadata: Vec::new(), tensors: Vec::new() }
    }

    pub fn meta(mut self, key: &str, value: Value) -> Self {
        self.metadata.push((key.into(), value));
        self
    }

    /// Pads tensor data to this many bytes, and says so in the metadata. 32 without it.
    pub fn alignment(mut self, bytes: u32) -> Self {
        self.alignment = bytes as usize;
        self.meta("general.alignment", Value::U32(bytes))
    }

    /// `shape`: rows, then columns, as one writes a matrix.
    pub fn tensor(mut self, name: &str, shape: &[usize], type_number: u32, bytes: Vec<u8>) -> Self {
        let dims = shape.iter().rev().map(|&n| n as u64).collect();
        self.tensors.push(Tensor { name: name.into(), dims, type_number, bytes });
        self
    }

    /// The bytes of the file.
    pub fn finish(self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            put_string(&mut out, key);
            out.extend(value.type_number().to_le_bytes());
            value.put(&mut out);
        }
        let mut offset = 0;
        for tensor in &self.tensors {
            self.put_info(&mut out, tensor, offset);
            offset = (offset + tensor.bytes.len()).next_multiple_of(self.alignment);
        }
        for tensor in &self.tensors {
            out.resize(out.len().next_multiple_of(self.alignment), 0);
            out.extend(&tensor.bytes);
        }
        // Also after the last one: llama.cpp reads whole paddings.
        out.resize(out.len().next_multiple_of(self.alignment), 0);
        out
    }

    fn put_info(&self, out: &mut Vec<u8>, tensor: &Tensor, offset: usize) {
        put_string(out, &tensor.name);
        out.extend((tensor.dims.len() as u32).to_le_bytes());
        tensor.dims.iter().for_each(|n| out.extend(n.to_le_bytes()));
        out.extend(tensor.type_number.to_le_bytes());
        out.extend((offset as u64).to_le_bytes());
    }
}
