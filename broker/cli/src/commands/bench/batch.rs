//! `EncodedBatch`: the batch that is sent over and over again, encoded once. Contents are
//! pseudo-random letters, the same in every run.

use broker_client::model::{PartitionId, Timestamp};
use broker_client::protocol::api::produce::{OpaqueBody, Payload, ProduceRequest};
use broker_client::protocol::request_frame;
use broker_client::{Acks, Codec};
use broker_record::{BatchBuilder, OpaqueClaims};
use bytes::Bytes;
use clap::ValueEnum;

use super::arguments::{BatchArgs, ValueForm};
use crate::failure::Failure;

/// How a batch travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// A body with its checksum, as fast clients send it
    Opaque,
    /// A plain list of records, as simple clients send it
    Plain,
}

impl Form {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Opaque => "opaque",
            Self::Plain => "plain",
        }
    }
}

/// A batch, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct EncodedBatch {
    body: Bytes,
    claims: OpaqueClaims,
    pub(super) records: u32,
    /// Bytes of keys and values in it.
    pub(super) payload_bytes: u64,
}

/// A request frame is for one id: it is made once and sent again each time it was answered.
pub(super) struct FrameSettings<'a> {
    pub(super) topic: &'a str,
    /// `None` leaves the choice to the partitioner.
    pub(super) partition: Option<PartitionId>,
    pub(super) acks: Acks,
    pub(super) form: Form,
}

impl EncodedBatch {
    pub(super) fn new(args: &BatchArgs) -> Result<Self, Failure> {
        let now = Timestamp::from_millis(jiff::Timestamp::now().as_millisecond());
        let mut letters = Letters(0x9E37_79B9_7F4A_7C15);
        let mut builder = BatchBuilder::new();
        let mut payload_bytes = 0;
        for record in 0..args.batch {
            let key = (args.keys > 0)
                .then(|| format!("key-{:08}", letters.next() % u64::from(args.keys)));
            let mut value = letters.text(args.record_size);
            if args.values == ValueForm::Json {
                value.insert(0, b'"');
                value.push(b'"');
            }
            payload_bytes += (value.len() + key.as_ref().map_or(0, String::len)) as u64;
            let key = key.as_ref().map(String::as_bytes);
            let pushed = builder.push(key, Some(&value), now, []);
            pushed
                .map_err(|error| Failure::usage(format!("record {record} of a batch: {error}")))?;
        }
        let built = builder.build(args.compression);
        let (body, claims) = built.map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Self {
            body,
            claims,
            records: args.batch,
            payload_bytes,
        })
    }

    /// Bytes of the body as it is sent and stored.
    pub(super) fn body_len(&self) -> usize {
        self.body.len()
    }

    /// The request frame for an id.
    pub(super) fn frame(&self, id: u64, settings: &FrameSettings<'_>) -> Result<Bytes, Failure> {
        let payload = match settings.form {
            Form::Plain => Payload::Plain(self.body.clone()),
            Form::Opaque => Payload::Opaque(OpaqueBody {
                body: self.body.clone(),
                codec: self.claims.codec.name().to_owned(),
                record_count: self.claims.record_count,
                base_timestamp_ms: self.claims.base_timestamp,
                max_timestamp_ms: self.claims.max_timestamp,
                crc: self.claims.body_crc,
                producer: None,
            }),
        };
        let mut request = ProduceRequest::new(settings.topic, payload);
        request.partition = settings.partition;
        request.acks = settings.acks;
        request_frame(id, &request).map_err(|error| {
            Failure::usage(format!(
                "a batch of that size does not fit a request: {error}"
            ))
        })
    }

    /// Whether a list of records can be sent: only without compression.
    pub(super) fn check_plain(&self) -> Result<(), Failure> {
        if self.claims.codec == Codec::None {
            return Ok(());
        }
        Err(Failure::usage(
            "compressed batches are sent to a partition and in opaque form",
        ))
    }
}

/// Pseudo-random letters (xorshift64).
struct Letters(u64);

impl Letters {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn text(&mut self, len: usize) -> Vec<u8> {
        const ALPHABET: &[u8; 64] =
            b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _";
        let mut text = Vec::with_capacity(len + 10);
        while text.len() < len {
            let bits = self.next();
            let letter = |shift: u32| ALPHABET[(bits >> shift & 63) as usize];
            text.extend((0..10).map(|place| letter(place * 6)));
        }
        text.truncate(len);
        text
    }
}

#[cfg(test)]
mod tests {
    use broker_record::{ProducedBatch, Validation};

    use super::*;

    fn args(compression: Codec) -> BatchArgs {
        BatchArgs {
            values: ValueForm::Letters,
            record_size: 100,
            batch: 50,
            compression,
            keys: 7,
        }
    }

    #[test]
    fn a_batch_is_what_the_broker_accepts() {
        for codec in Codec::ALL {
            let batch = EncodedBatch::new(&args(codec)).unwrap();
            let produced =
                ProducedBatch::opaque(batch.body.clone(), batch.claims, Validation::Full).unwrap();
            assert_eq!(produced.header.record_count, 50);
            assert_eq!(batch.payload_bytes, 50 * (100 + 12));
        }
    }

    #[test]
    fn only_an_uncompressed_batch_can_be_plain() {
        assert!(
            EncodedBatch::new(&args(Codec::None))
                .unwrap()
                .check_plain()
                .is_ok()
        );
        assert!(
            EncodedBatch::new(&args(Codec::Lz4))
                .unwrap()
                .check_plain()
                .is_err()
        );
    }
}
