//! `partition_for`: asks the topic's partitioner where keys go, without writing anything. For
//! clients that send per partition, such as idempotent producers. Written by hand, because keys may
//! be values of any type.

use broker_model::limits::REQUEST_ELEMENTS_MAX;
use broker_model::{PartitionId, TopicId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::produce::read_topic_id;
use crate::call::{InvalidValue, Request, Response, decode_map, encode_map};
use crate::method::Method;
use crate::reader::Reader;
use crate::wire;
use crate::writer::{MapWriter, write_array_len, write_optional_bin};

/// Arguments of `partition_for`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionForRequest {
    /// The topic.
    pub topic: String,
    /// Its id, if the client knows it.
    pub topic_id: Option<TopicId>,
    /// Whether keys are MessagePack values that the topic's serializer turns into bytes. Default false.
    pub encode: bool,
    /// Keys: byte strings, or with `encode` one encoded MessagePack value each. `None` is nil.
    pub keys: Vec<Option<Bytes>>,
}

/// Result of `partition_for`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PartitionForResponse {
    /// One partition for each key, in order.
    #[serde(with = "wire")]
    pub partitions: Vec<PartitionId>,
}

impl Request for PartitionForRequest {
    const METHOD: Method = Method::PartitionFor;
    type Response = PartitionForResponse;

    fn encode(&self, out: &mut Vec<u8>) {
        let mut map = MapWriter::new(out);
        map.text("topic", &self.topic);
        if let Some(topic_id) = self.topic_id {
            map.text("topic_id", &topic_id.to_string());
        }
        if self.encode {
            map.bool("encode", true);
        }
        map.key("keys");
        map.finish();
        write_array_len(self.keys.len(), out);
        for key in &self.keys {
            match key {
                Some(value) if self.encode => out.extend_from_slice(value),
                key => write_optional_bin(key.as_deref(), out),
            }
        }
    }

    fn decode(args: &Bytes) -> Result<Self, InvalidValue> {
        let mut request = Self::default();
        let (mut topic, mut keys) = (None, None);
        let mut reader = Reader::new(args);
        for _ in 0..reader.read_map_len()? {
            let name = reader.read_key()?;
            if reader.take_nil()? {
                continue;
            }
            let read = match name {
                "topic" => reader.read_str().map(|text| topic = Some(text.to_owned())),
                "topic_id" => read_topic_id(&mut reader).map(|id| request.topic_id = Some(id)),
                "encode" => reader.read_bool().map(|encode| request.encode = encode),
                "keys" => reader.read_raw().map(|array| keys = Some(array)),
                _ => reader.read_raw().map(drop),
            };
            read.map_err(|invalid| invalid.inside(name))?;
        }
        let missing = |name: &str| InvalidValue::new(format!("missing field `{name}`"));
        request.topic = topic.ok_or_else(|| missing("topic"))?;
        let keys = keys.ok_or_else(|| missing("keys"))?;
        let form = match request.encode {
            true => KeyForm::Value,
            false => KeyForm::Bytes,
        };
        request.keys = read_keys(keys, form, args).map_err(|invalid| invalid.inside("keys"))?;
        Ok(request)
    }
}

#[derive(Clone, Copy)]
enum KeyForm {
    Bytes,
    Value,
}

/// Which kind of keys they are may stand behind them, so they are read last.
fn read_keys(
    array: &[u8],
    form: KeyForm,
    frame: &Bytes,
) -> Result<Vec<Option<Bytes>>, InvalidValue> {
    let mut reader = Reader::new(array);
    let count = reader.read_array_len()?;
    if count > REQUEST_ELEMENTS_MAX {
        return Err(InvalidValue::new(format!("{count} keys are too many")));
    }
    let mut keys = Vec::new();
    for index in 0..count {
        let key = match form {
            KeyForm::Bytes => reader.read_optional_bytes(),
            KeyForm::Value if reader.take_nil()? => Ok(None),
            KeyForm::Value => reader.read_raw().map(Some),
        };
        let key = key.map_err(|invalid| invalid.at(index))?;
        keys.push(key.map(|bytes| frame.slice_ref(bytes)));
    }
    Ok(keys)
}

impl Response for PartitionForResponse {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_map(self, out);
    }

    fn decode(result: &Bytes) -> Result<Self, InvalidValue> {
        decode_map(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Request;

    #[test]
    fn keys_are_byte_strings_of_either_kind_or_nil() {
        let args = b"\x82\xA5topic\xA1t\xA4keys\x94\xC4\x02k1\xA2k2\xC0\xA0";
        let request = PartitionForRequest::decode(&args[..].into()).unwrap();
        let keys: Vec<_> = request.keys.iter().map(|key| key.as_deref()).collect();
        assert_eq!(keys, [Some(&b"k1"[..]), Some(b"k2"), None, Some(b"")]);
    }

    #[test]
    fn keys_are_any_values_where_they_are_to_be_encoded() {
        let args = b"\x83\xA5topic\xA1t\xA4keys\x94\x81\xA1k\x07\x05\xC0\xA1k\xA6encode\xC3";
        let request = PartitionForRequest::decode(&args[..].into()).unwrap();
        let keys: Vec<_> = request.keys.iter().map(|key| key.as_deref()).collect();
        let values: [Option<&[u8]>; 4] =
            [Some(b"\x81\xA1k\x07"), Some(b"\x05"), None, Some(b"\xA1k")];
        assert_eq!(keys, values);
        let mut out = Vec::new();
        request.encode(&mut out);
        assert_eq!(PartitionForRequest::decode(&out.into()), Ok(request));
    }

    #[test]
    fn what_is_missing_is_said() {
        let message = |args: &'static [u8]| {
            let error = PartitionForRequest::decode(&args.into()).unwrap_err();
            error.to_string()
        };
        assert_eq!(message(b"\x81\xA4keys\x90"), "missing field `topic`");
        assert_eq!(message(b"\x81\xA5topic\xA1t"), "missing field `keys`");
        assert_eq!(
            message(b"\x82\xA5topic\xA1t\xA4keys\x05"),
            "`keys`: expected an array, found an integer"
        );
    }

    #[test]
    fn a_key_of_another_kind_is_refused_by_its_index() {
        let args = b"\x82\xA5topic\xA1t\xA4keys\x92\xA1k\x07";
        let error = PartitionForRequest::decode(&args[..].into()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`keys[1]`: expected binary or text, found an integer"
        );
    }
}
