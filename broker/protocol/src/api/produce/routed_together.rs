//! Result of `produce` without a partition when all records went to one: on the wire what [`Routed`] is, but
//! made without a number in memory for each record.

use broker_model::{Offset, PartitionId};
use bytes::Bytes;

use super::{ProduceResponse, Routed};
use crate::call::{InvalidValue, Response};
use crate::numbers::shortest_len;
use crate::writer::{MapWriter, write_array_len};

/// Where the records of a request without a partition went that went to one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutedTogether {
    /// The partition of all of them.
    pub partition: PartitionId,
    /// Offset of the first one, the others follow without gaps; absent with acks none.
    pub base_offset: Option<Offset>,
    /// How many records there are.
    pub record_count: u32,
}

impl From<RoutedTogether> for Routed {
    fn from(together: RoutedTogether) -> Self {
        let records = 0..u64::from(together.record_count);
        let offset = |index| together.base_offset.map(|base| base.plus(index));
        Self {
            partitions: vec![Some(together.partition); together.record_count as usize],
            offsets: records.map(offset).collect(),
            ..Self::default()
        }
    }
}

impl Response for RoutedTogether {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut map = MapWriter::new(out);
        let partition = u64::from(self.partition.get());
        map.same_unsigned("partitions", Some(partition), self.record_count);
        match self.base_offset {
            Some(base) => map.rising_unsigned("offsets", base.get(), self.record_count),
            None => map.same_unsigned("offsets", None, self.record_count),
        }
        map.key("errors");
        write_array_len(0, map.raw());
        map.finish();
    }

    fn encoded_len_max(&self) -> usize {
        /// The map's marker, three names, and the lengths of three arrays.
        const FIXED: usize = 1 + 11 + 8 + 7 + 3 * 5;
        let last = |base: Offset| base.get().saturating_add(u64::from(self.record_count));
        let a_record = shortest_len(u64::from(self.partition.get()))
            + self.base_offset.map_or(1, |base| shortest_len(last(base)));
        FIXED + self.record_count as usize * a_record
    }

    fn decode(result: &Bytes) -> Result<Self, InvalidValue> {
        let together = match ProduceResponse::decode(result)? {
            ProduceResponse::Routed(routed) => Self::of(&routed),
            ProduceResponse::Appended(_) => None,
        };
        let message = "not the answer about records that went to one partition";
        together.ok_or_else(|| InvalidValue::new(message))
    }
}

impl RoutedTogether {
    /// The same in short, if they did.
    fn of(routed: &Routed) -> Option<Self> {
        let together = Self {
            partition: (*routed.partitions.first()?)?,
            base_offset: *routed.offsets.first()?,
            record_count: u32::try_from(routed.partitions.len()).ok()?,
        };
        if let Some(base) = together.base_offset {
            base.checked_plus(u64::from(together.record_count))?;
        }
        (Routed::from(together) == *routed).then_some(together)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(response: &impl Response) -> Vec<u8> {
        let mut out = Vec::new();
        response.encode(&mut out);
        out
    }

    #[test]
    fn records_that_went_together_are_written_as_any_others() {
        let edges = [0, 0x7E, 0xFE, 0xFFFE, 0xFFFF_FFFE, u64::MAX >> 1];
        let offsets = edges
            .into_iter()
            .flat_map(|edge| [edge, edge + 1, edge + 2]);
        for base_offset in offsets.map(|base| Some(Offset::new(base))).chain([None]) {
            for (record_count, partition) in [(1, 0), (2, 127), (15, 128), (16, 255), (70_000, 256)]
            {
                let together = RoutedTogether {
                    partition: PartitionId::new(partition),
                    base_offset,
                    record_count,
                };
                let routed = ProduceResponse::Routed(together.into());
                assert_eq!(encoded(&together), encoded(&routed), "{together:?}");
                assert!(encoded(&together).len() <= together.encoded_len_max());
                let decoded = RoutedTogether::decode(&encoded(&together).into());
                assert_eq!(decoded, Ok(together));
            }
        }
    }

    #[test]
    fn records_that_went_apart_are_no_such_answer() {
        let to = |id| Some(PartitionId::new(id));
        let apart = Routed {
            partitions: vec![to(1), to(2)],
            offsets: vec![Some(Offset::new(7)), Some(Offset::new(8))],
            ..Routed::default()
        };
        let with_gaps = Routed {
            partitions: vec![to(1), to(1)],
            offsets: vec![Some(Offset::new(7)), Some(Offset::new(9))],
            ..Routed::default()
        };
        let without_end = Routed {
            partitions: vec![to(1), to(1)],
            offsets: vec![Some(Offset::new(u64::MAX)), None],
            ..Routed::default()
        };
        for routed in [apart, with_gaps, without_end, Routed::default()] {
            let result = encoded(&ProduceResponse::Routed(routed)).into();
            assert!(RoutedTogether::decode(&result).is_err());
        }
    }
}
