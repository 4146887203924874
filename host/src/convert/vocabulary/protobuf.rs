//! Protocol buffers, as far as a sentencepiece model needs them: the fields of a message, one after the other.
//!
//! A field is a key, `number << 3 | wire type`, and a value: a varint (0), 8 bytes (1), a length and as many bytes (2), or 4
//! bytes (5). Source: protobuf.dev, "Encoding".

use crate::error::{Context, Result, bail};

/// Value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Field<'m> {
    Number(u64),
    /// Four bytes, such as the bits of a float.
    Fixed32(u32),
    Fixed64(u64),
    /// String, bytes, or a message.
    Bytes(&'m [u8]),
}

/// Calls `each` with the number and value of every field, in the order of the message.
pub fn fields<'m>(mut message: &'m [u8], mut each: impl FnMut(u64, Field<'m>) -> Result<()>) -> Result<()> {
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let value = match key & 7 {
            0 => Field::Number(varint(&mut message)?),
            1 => Field::Fixed64(u64::from_le_bytes(*fixed(&mut message)?)),
            2 => {
                let n = usize::try_from(varint(&mut message)?).ok();
                let (bytes, rest) = n.and_then(|n| message.split_at_checked(n)).context(CUT_OFF)?;
                message = rest;
                Field::Bytes(bytes)
            }
            5 => Field::Fixed32(u32::from_le_bytes(*fixed(&mut message)?)),
            other => bail!("a field of wire type {other}, which is not known"),
        };
        each(key >> 3, value)?;
    }
    Ok(())
}

const CUT_OFF: &str = "the file is cut off in the middle of a field";

fn fixed<'m, const N: usize>(message: &mut &'m [u8]) -> Result<&'m [u8; N]> {
    let (bytes, rest) = message.split_first_chunk().context(CUT_OFF)?;
    *message = rest;
    Ok(bytes)
}

/// Reads a varint: seven bits in each byte, the lowest first; the eighth bit is set if more follow.
fn varint(message: &mut &[u8]) -> Result<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first().context(CUT_OFF)?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    bail!("a number of more than 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(message: &[u8]) -> Result<Vec<(u64, Field<'_>)>> {
        let mut found = Vec::new();
        fields(message, |number, field| {
            found.push((number, field));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn fields_of_all_kinds() {
        let message = b"\x08\x96\x01\x12\x02hi\x1d\x00\x00\x80\x3f\x21\x01\x00\x00\x00\x00\x00\x00\x00";
        let want = [
            (1, Field::Number(150)),
            (2, Field::Bytes(b"hi")),
            (3, Field::Fixed32(1f32.to_bits())),
            (4, Field::Fixed64(1)),
        ];
        assert_eq!(all(message).unwrap(), want);
        let n_whole = (0..message.len()).filter(|&len| all(&message[..len]).is_ok()).count();
        // Whole messages end after no field, the first, the second and the third.
        assert_eq!(n_whole, 4);
    }

    #[test]
    fn broken_messages_are_errors() {
        for message in [&b"\x0b"[..], b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x12\xff\xff\xff\xff\x0f"]
        {
            assert!(all(message).is_err(), "{message:?}");
        }
    }
}
