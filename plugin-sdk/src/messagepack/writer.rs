//! Writes MessagePack: every value in its shortest form, so that equal values are equal bytes. Who writes
//! the head of an array or map has to write its elements too.

/// Adds nil.
pub fn write_nil(out: &mut Vec<u8>) {
    out.push(0xc0);
}

/// Adds true or false.
pub fn write_bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xc3 } else { 0xc2 });
}

/// Adds an integer.
pub fn write_int(out: &mut Vec<u8>, value: i64) {
    if let Ok(value) = u64::try_from(value) {
        write_uint(out, value);
    } else if let Ok(value) = i8::try_from(value) {
        if value < -32 {
            out.push(0xd0);
        }
        out.push(value.cast_unsigned());
    } else if let Ok(value) = i16::try_from(value) {
        out.push(0xd1);
        out.extend_from_slice(&value.to_be_bytes());
    } else if let Ok(value) = i32::try_from(value) {
        out.push(0xd2);
        out.extend_from_slice(&value.to_be_bytes());
    } else {
        out.push(0xd3);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Adds an integer that is not negative.
pub fn write_uint(out: &mut Vec<u8>, value: u64) {
    if let Ok(value) = u8::try_from(value) {
        if value > 0x7f {
            out.push(0xcc);
        }
        out.push(value);
    } else if let Ok(value) = u16::try_from(value) {
        out.push(0xcd);
        out.extend_from_slice(&value.to_be_bytes());
    } else if let Ok(value) = u32::try_from(value) {
        out.push(0xce);
        out.extend_from_slice(&value.to_be_bytes());
    } else {
        out.push(0xcf);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Adds a number of 32 bits.
pub fn write_f32(out: &mut Vec<u8>, value: f32) {
    out.push(0xca);
    out.extend_from_slice(&value.to_be_bytes());
}

/// Adds a number of 64 bits.
pub fn write_f64(out: &mut Vec<u8>, value: f64) {
    out.push(0xcb);
    out.extend_from_slice(&value.to_be_bytes());
}

/// Adds text.
pub fn write_str(out: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(len @ 0..32) => out.push(0xa0 | len),
        Ok(len) => out.extend_from_slice(&[0xd9, len]),
        Err(_) => write_long(out, text.len(), [0xda, 0xdb]),
    }
    out.extend_from_slice(text.as_bytes());
}

/// Adds bytes.
pub fn write_bin(out: &mut Vec<u8>, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(len) => out.extend_from_slice(&[0xc4, len]),
        Err(_) => write_long(out, bytes.len(), [0xc5, 0xc6]),
    }
    out.extend_from_slice(bytes);
}

/// Adds the head of an array: write so many values after it.
pub fn write_array_len(out: &mut Vec<u8>, len: usize) {
    match u8::try_from(len) {
        Ok(len @ 0..16) => out.push(0x90 | len),
        _ => write_long(out, len, [0xdc, 0xdd]),
    }
}

/// Adds the head of a map: write so many pairs of key and value after it.
pub fn write_map_len(out: &mut Vec<u8>, len: usize) {
    match u8::try_from(len) {
        Ok(len @ 0..16) => out.push(0x80 | len),
        _ => write_long(out, len, [0xde, 0xdf]),
    }
}

/// A length of two or four bytes behind its marker.
fn write_long(out: &mut Vec<u8>, len: usize, [short, long]: [u8; 2]) {
    if let Ok(len) = u16::try_from(len) {
        out.push(short);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        let len = u32::try_from(len).expect("a plugin's memory is smaller than 4 GiB");
        out.push(long);
        out.extend_from_slice(&len.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messagepack::{Reader, Value};

    #[test]
    fn what_was_written_is_read_back_in_its_shortest_form() {
        for (value, len) in [
            (0, 1),
            (127, 1),
            (128, 2),
            (255, 2),
            (256, 3),
            (65_535, 3),
            (65_536, 5),
            (1 << 32, 9),
            (i64::MAX, 9),
            (-1, 1),
            (-32, 1),
            (-33, 2),
            (-128, 2),
            (-129, 3),
            (-32_769, 5),
            (i64::MIN, 9),
        ] {
            let mut out = Vec::new();
            write_int(&mut out, value);
            assert_eq!(out.len(), len, "{value}");
            assert_eq!(Reader::new(&out).read(), Ok(Value::Int(value)));
        }
    }

    #[test]
    fn lengths_take_the_form_that_holds_them() {
        for (len, head) in [(0, 1), (31, 1), (32, 2), (255, 2), (256, 3), (65_536, 5)] {
            let mut out = Vec::new();
            write_str(&mut out, &"x".repeat(len));
            assert_eq!(out.len(), head + len);
            assert_eq!(Reader::new(&out).bytes().unwrap().unwrap().len(), len);
        }
        for (len, head) in [(0, 2), (255, 2), (256, 3), (65_536, 5)] {
            let mut out = Vec::new();
            write_bin(&mut out, &vec![0; len]);
            assert_eq!(out.len(), head + len);
            assert_eq!(Reader::new(&out).bytes().unwrap().unwrap().len(), len);
        }
        for len in [0, 15, 16, 65_535, 65_536] {
            let (mut array, mut map) = (Vec::new(), Vec::new());
            write_array_len(&mut array, len);
            write_map_len(&mut map, len);
            assert_eq!(Reader::new(&array).array_len().unwrap() as usize, len);
            assert_eq!(Reader::new(&map).map_len().unwrap() as usize, len);
        }
    }
}
