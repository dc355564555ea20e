//! A record as a fetch with `decode` answers it: key and value as MessagePack values where a serializer
//! plugin decoded them, as bytes where none did, and beside them why a field could not be decoded.

use crate::RecordView;
use crate::msgpack::{put_array_len, put_bin_or_nil, put_int, put_str, put_uint};

/// What stands for a key or a value in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodedField<'a> {
    /// The stored bytes, as bin, or nil.
    Bytes(Option<&'a [u8]>),
    /// One encoded MessagePack value, spliced in as it is.
    Value(&'a [u8]),
}

impl DecodedField<'_> {
    /// Nil.
    pub const NULL: DecodedField<'static> = DecodedField::Bytes(None);

    fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::Bytes(bytes) => put_bin_or_nil(out, bytes),
            Self::Value(value) => out.extend_from_slice(value),
        }
    }
}

impl RecordView<'_> {
    /// Appends the record as the MessagePack array `[offset, timestamp, key, value, headers]`, or with a
    /// sixth element: `errors`, one encoded map that says which fields could not be decoded and why.
    pub fn encode_decoded(
        &self,
        key: DecodedField<'_>,
        value: DecodedField<'_>,
        errors: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) {
        put_array_len(out, if errors.is_some() { 6 } else { 5 });
        put_uint(out, self.offset.get());
        put_int(out, self.timestamp.as_millis());
        key.put(out);
        value.put(out);
        put_array_len(out, self.headers().count_left());
        for (name, value) in self.headers() {
            put_array_len(out, 2);
            put_str(out, name);
            put_bin_or_nil(out, value);
        }
        if let Some(errors) = errors {
            out.extend_from_slice(errors);
        }
    }
}

#[cfg(test)]
mod tests {
    use broker_model::Timestamp;

    use super::*;
    use crate::{BatchBuilder, Codec, ProducedBatch, StoredBatch, Validation};

    #[test]
    fn values_are_spliced_in_and_errors_make_a_sixth_element() {
        let mut builder = BatchBuilder::new();
        let time = Timestamp::from_millis(9);
        builder
            .push(Some(b"k"), Some(b"{}"), time, [("h", Some(&b"1"[..]))])
            .unwrap();
        let (body, claims) = builder.build(Codec::None).unwrap();
        let batch = ProducedBatch::opaque(body, claims, Validation::Full).unwrap();
        let batch = StoredBatch {
            header: batch.header,
            body: batch.body,
        };
        let records = batch.records().unwrap();
        let record = records.iter().next().unwrap().unwrap();
        let mut out = Vec::new();
        record.encode_decoded(
            DecodedField::NULL,
            DecodedField::Value(b"\x80"),
            None,
            &mut out,
        );
        assert_eq!(out, b"\x95\x00\x09\xc0\x80\x91\x92\xa1h\xc4\x011");
        out.clear();
        let bytes = DecodedField::Bytes(record.value);
        record.encode_decoded(DecodedField::NULL, bytes, Some(b"\x80"), &mut out);
        assert_eq!(out, b"\x96\x00\x09\xc0\xc4\x02{}\x91\x92\xa1h\xc4\x011\x80");
    }
}
