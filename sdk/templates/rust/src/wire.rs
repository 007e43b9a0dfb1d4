// SPDX-License-Identifier: 0BSD
//! Protobuf's wire format: as much of it as the messages of mvm/v1/hypervisor.proto take.

/// A field's number, and its bytes where it is a string, bytes or a message.
pub struct Field<'a> {
    pub number: u64,
    pub bytes: &'a [u8],
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for n in 0..10 {
        let byte = *rest.get(n)?;
        value |= u64::from(byte & 0x7f).checked_shl(7 * n as u32)?;
        if byte < 0x80 {
            *rest = &rest[n + 1..];
            return Some(value);
        }
    }
    None
}

/// The fields of a message; None where these bytes are none.
pub fn fields(mut rest: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut all = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        let size = match tag & 7 {
            0 => varint(&mut rest).map(|_| 0)?,
            1 => 8,
            2 => usize::try_from(varint(&mut rest)?).ok()?,
            5 => 4,
            _ => return None,
        };
        if tag >> 3 == 0 || tag >> 3 > 0x1fff_ffff || size > rest.len() {
            return None;
        }
        let (bytes, after) = rest.split_at(size);
        all.push(Field {
            number: tag >> 3,
            bytes,
        });
        rest = after;
    }
    Some(all)
}

/// The last field of that number, as text.
pub fn text(fields: &[Field], number: u64) -> Option<String> {
    let field = fields.iter().rev().find(|f| f.number == number)?;
    Some(String::from_utf8_lossy(field.bytes).into_owned())
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub fn put_bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub fn put_number(out: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(out, number << 3);
    put_varint(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut message = Vec::new();
        put_bytes(&mut message, 1, &[b'x'; 300]);
        put_number(&mut message, 2, 1 << 40);
        put_bytes(&mut message, 11, b"feature");
        let read = fields(&message).unwrap();
        assert_eq!(read.len(), 3);
        assert_eq!(text(&read, 1).unwrap().len(), 300);
        assert_eq!(text(&read, 11).unwrap(), "feature");
        assert!(text(&read, 3).is_none());
    }

    #[test]
    fn what_is_cut_short_is_no_message() {
        let mut message = Vec::new();
        put_bytes(&mut message, 1, b"demo");
        for size in 1..message.len() {
            assert!(fields(&message[..size]).is_none());
        }
        assert!(fields(b"\xff\xff\xff\xff\xff garbage").is_none());
    }
}
