//! `ProducedBatch`: a batch that was checked and is ready to be appended. Both ways to produce end
//! here, in the same bytes: *plain*, where the broker works out the header from the records, and
//! *opaque*, where the producer states it and the broker checks what it states.

use broker_model::limits::BATCH_RECORDS_MAX;
use broker_model::{LeaderEpoch, Offset, Timestamp};
use bytes::Bytes;

use crate::body_facts::BodyFacts;
use crate::{BatchHeader, Codec, InvalidBatch, LogMark, ProducerState, TimestampType, compression};

/// A checked batch. Base offset and leader epoch are 0 until the log sets them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducedBatch {
    /// The header to be stored, but for what the log assigns.
    pub header: BatchHeader,
    /// The body to be stored, exactly as it was received.
    pub body: Bytes,
    /// Bytes that the body unfolded to when it was checked; those of the body if it was not unfolded.
    pub unfolded_bytes: usize,
}

/// What a producer states about a body that it built itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpaqueClaims {
    /// How the body is compressed.
    pub codec: Codec,
    /// How many records it holds.
    pub record_count: u32,
    /// The timestamp of records that have none of their own; if all have one, the first record's.
    pub base_timestamp: Timestamp,
    /// The largest timestamp in the batch.
    pub max_timestamp: Timestamp,
    /// crc32 (IEEE) of the body as sent.
    pub body_crc: u32,
    /// The idempotent producer, if it is one.
    pub producer: Option<ProducerState>,
}

/// How far a producer's claims are believed (`batch.validation` of a topic).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validation {
    /// The body is decompressed and walked, and every claim checked against it.
    #[default]
    Full,
    /// Only the checksum is checked. A body that lies shows when it is read.
    Trust,
}

impl ProducedBatch {
    /// Takes the array of records as it lies in a produce request: walks it once and stores the
    /// very same bytes. Records without a timestamp get `default_timestamp`.
    ///
    /// # Errors
    /// Says what is wrong with the records, by index.
    pub fn plain(records: Bytes, default_timestamp: Timestamp) -> Result<Self, InvalidBatch> {
        let facts = BodyFacts::scan(&records)?;
        Self::from_facts(records, &facts, default_timestamp)
    }

    /// The same for records of which none has a key: nothing needs to be known of where each of them lies.
    /// `None` when one has, which is seen at the first of them.
    ///
    /// # Errors
    /// Says what is wrong with the records before the first key, by index.
    pub fn keyless(
        records: Bytes,
        default_timestamp: Timestamp,
    ) -> Result<Option<Self>, InvalidBatch> {
        let facts = BodyFacts::scan_keyless(&records)?;
        let batch = facts.map(|facts| Self::from_facts(records, &facts, default_timestamp));
        batch.transpose()
    }

    /// Puts the header before a body whose facts are known.
    pub(crate) fn from_facts(
        body: Bytes,
        facts: &BodyFacts,
        default_timestamp: Timestamp,
    ) -> Result<Self, InvalidBatch> {
        let base_timestamp = facts.timestamps.required_base();
        let base_timestamp = base_timestamp.unwrap_or(default_timestamp);
        let claims = OpaqueClaims {
            codec: Codec::None,
            record_count: facts.record_count,
            base_timestamp,
            max_timestamp: facts.timestamps.max(base_timestamp),
            body_crc: crc32fast::hash(&body),
            producer: None,
        };
        let unfolded_bytes = body.len();
        Self::from_claims(body, &claims, unfolded_bytes)
    }

    /// Takes a body that the producer built, compressed or not, with what it states about it.
    ///
    /// # Errors
    /// When a claim is not true, or the body is not an array of records, or unfolds to more than
    /// [`broker_model::limits::BATCH_DECOMPRESSED_BYTES_MAX`].
    pub fn opaque(
        body: Bytes,
        claims: OpaqueClaims,
        validation: Validation,
    ) -> Result<Self, InvalidBatch> {
        Self::opaque_within(body, claims, validation, usize::MAX)
    }

    /// The same for a body that may unfold to `unfolded_max` bytes.
    ///
    /// # Errors
    /// As above; [`InvalidBatch::is_for_lack_of_room`] tells whether a higher limit may help.
    pub fn opaque_within(
        body: Bytes,
        claims: OpaqueClaims,
        validation: Validation,
        unfolded_max: usize,
    ) -> Result<Self, InvalidBatch> {
        if body.is_empty() {
            return Err(InvalidBatch::Empty);
        }
        check_without_looking_inside(&claims)?;
        let actual = crc32fast::hash(&body);
        if actual != claims.body_crc {
            return Err(InvalidBatch::BadChecksum {
                expected: claims.body_crc,
                actual,
            });
        }
        let mut unfolded_bytes = body.len();
        if validation == Validation::Full {
            let scan = |unfolded: &[u8]| {
                unfolded_bytes = unfolded.len();
                BodyFacts::scan(unfolded)
            };
            let facts = compression::with_decompressed(claims.codec, &body, unfolded_max, scan)??;
            check_claims(&claims, &facts)?;
        }
        Self::from_claims(body, &claims, unfolded_bytes)
    }

    fn from_claims(
        body: Bytes,
        claims: &OpaqueClaims,
        unfolded_bytes: usize,
    ) -> Result<Self, InvalidBatch> {
        let bytes = body.len();
        let body_len = u32::try_from(bytes)
            .ok()
            .filter(|len| *len <= BatchHeader::BODY_LEN_MAX)
            .ok_or(InvalidBatch::TooLarge { bytes })?;
        let header = BatchHeader {
            base_offset: Offset::ZERO,
            leader_epoch: LeaderEpoch::new(0),
            codec: claims.codec,
            timestamp_type: TimestampType::CreateTime,
            record_count: claims.record_count,
            last_offset_delta: claims.record_count - 1,
            base_timestamp: claims.base_timestamp,
            max_timestamp: claims.max_timestamp,
            producer: claims.producer,
            log_mark: LogMark::default(),
            body_len,
            body_crc: claims.body_crc,
        };
        Ok(Self {
            header,
            body,
            unfolded_bytes,
        })
    }

    /// Bytes the batch takes on disk, header included.
    pub fn size(&self) -> usize {
        self.header.batch_len()
    }
}

/// What can be refused before the body is touched.
fn check_without_looking_inside(claims: &OpaqueClaims) -> Result<(), InvalidBatch> {
    match claims.record_count {
        0 => return Err(InvalidBatch::Empty),
        1..=BATCH_RECORDS_MAX => {}
        records => return Err(InvalidBatch::TooManyRecords { records }),
    }
    match claims.producer {
        Some(producer) if !producer.is_valid() => Err(InvalidBatch::Producer { producer }),
        _ => Ok(()),
    }
}

/// Compares what the producer states with what the body says.
fn check_claims(claims: &OpaqueClaims, facts: &BodyFacts) -> Result<(), InvalidBatch> {
    if claims.record_count != facts.record_count {
        return Err(InvalidBatch::CountMismatch {
            claimed: claims.record_count,
            actual: facts.record_count,
        });
    }
    let base = facts.timestamps.required_base();
    let base = base.unwrap_or(claims.base_timestamp);
    check_timestamp("base", claims.base_timestamp, base)?;
    check_timestamp("max", claims.max_timestamp, facts.timestamps.max(base))
}

fn check_timestamp(
    which: &'static str,
    claimed: Timestamp,
    actual: Timestamp,
) -> Result<(), InvalidBatch> {
    if claimed == actual {
        return Ok(());
    }
    Err(InvalidBatch::TimestampMismatch {
        which,
        claimed,
        actual,
    })
}

#[cfg(test)]
#[path = "produced_batch_tests.rs"]
mod tests;
