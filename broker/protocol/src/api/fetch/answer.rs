//! The answer to `fetch`, as the broker writes it. Stored batches may lie in files: the frame comes
//! out as pieces, bytes and references in turn, with every length inside the frame computed up
//! front. Generic over the reference, because what a file region is concerns the server alone.

use broker_model::{Offset, PartitionId};
use bytes::Bytes;

use crate::call::encode_map;
use crate::envelope::response_prefix;
use crate::frame::{FRAME_HEADER_LEN, FrameTooLarge, frame_header};
use crate::wire_error::WireError;
use crate::writer::{MapWriter, write_array_len};

/// Records up to this size are copied into what is said around them; more are a piece of their own, for a copy of
/// megabytes holds up whoever makes it, and takes their memory once more.
const COPIED_RECORDS_BYTES_MAX: usize = 16 * 1024;

/// A part of a frame, to be sent in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<F> {
    /// These bytes.
    Bytes(Bytes),
    /// Exactly `len` bytes from elsewhere.
    External {
        /// How many.
        len: u64,
        /// From where.
        source: F,
    },
}

/// What is answered about one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchAnswer<F> {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: PartitionId,
    /// Why nothing could be read.
    pub error: Option<WireError>,
    /// First offset that can be read.
    pub log_start: Offset,
    /// Records below it can be read.
    pub high_watermark: Offset,
    /// Offset the next record will get.
    pub log_end: Offset,
    /// Where to read on.
    pub next_offset: Offset,
    /// The records.
    pub data: FetchData<F>,
}

/// Records of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchData<F> {
    /// Form `records`: the array that `RecordsWriter` built.
    Records(Bytes),
    /// Form `batch`: whole stored batches, in order, each source with its length.
    Batch(Vec<(u64, F)>),
}

/// A response frame while it is written: for very many partitions that takes long, and can be done a few at a time.
#[derive(Debug)]
pub struct FetchFrame<F> {
    pieces: Vec<Piece<F>>,
    /// What follows them.
    out: Vec<u8>,
}

impl<F> FetchAnswer<F> {
    /// The whole response frame, in pieces.
    ///
    /// # Errors
    /// When it is larger than a frame may be.
    pub fn response_frame(id: u64, answers: Vec<Self>) -> Result<Vec<Piece<F>>, FrameTooLarge> {
        let mut frame = FetchFrame::begin(id, answers.len());
        for answer in answers {
            frame.push(answer);
        }
        frame.finish()
    }

    /// `apart` gets what is not copied into `out`.
    fn encode(self, out: &mut Vec<u8>, apart: &mut impl FnMut(&mut Vec<u8>, Piece<F>)) {
        let mut map = MapWriter::new(out);
        map.text("topic", &self.topic);
        map.unsigned("partition", u64::from(self.partition.get()));
        if let Some(error) = &self.error {
            map.key("error");
            encode_map(error, map.raw());
        }
        map.unsigned("log_start", self.log_start.get());
        map.unsigned("high_watermark", self.high_watermark.get());
        map.unsigned("log_end", self.log_end.get());
        map.unsigned("next_offset", self.next_offset.get());
        match self.data {
            FetchData::Records(array) => {
                map.key("records");
                map.finish();
                if array.len() > COPIED_RECORDS_BYTES_MAX {
                    apart(out, Piece::Bytes(array));
                } else {
                    out.extend_from_slice(&array);
                }
            }
            FetchData::Batch(sources) => {
                let len = sources
                    .iter()
                    .fold(0_u64, |sum, (len, _)| sum.saturating_add(*len));
                map.key("batch");
                map.bin_len(usize::try_from(len).unwrap_or(usize::MAX));
                map.finish();
                for (len, source) in sources {
                    apart(out, Piece::External { len, source });
                }
            }
        }
    }
}

impl<F> FetchFrame<F> {
    /// Begins one that answers about so many partitions.
    pub fn begin(id: u64, partitions: usize) -> Self {
        let mut out = vec![0; FRAME_HEADER_LEN];
        response_prefix(id, &mut out);
        begin_result(partitions, &mut out);
        Self {
            pieces: Vec::new(),
            out,
        }
    }

    /// What is answered about the next.
    pub fn push(&mut self, answer: FetchAnswer<F>) {
        let pieces = &mut self.pieces;
        answer.encode(&mut self.out, &mut |out, piece| {
            if !out.is_empty() {
                pieces.push(Piece::Bytes(Bytes::from(std::mem::take(out))));
            }
            pieces.push(piece);
        });
    }

    /// The whole frame, in pieces.
    ///
    /// # Errors
    /// When it is larger than a frame may be.
    pub fn finish(self) -> Result<Vec<Piece<F>>, FrameTooLarge> {
        let Self { mut pieces, out } = self;
        if !out.is_empty() {
            pieces.push(Piece::Bytes(out.into()));
        }
        let bytes = pieces
            .iter()
            .fold(0_u64, |sum, piece| sum.saturating_add(piece.len()));
        let header = frame_header(bytes - FRAME_HEADER_LEN as u64)?;
        if let Some(Piece::Bytes(first)) = pieces.first_mut() {
            let mut patched = Vec::from(std::mem::take(first));
            if let Some(room) = patched.first_chunk_mut() {
                *room = header;
            }
            *first = patched.into();
        }
        Ok(pieces)
    }
}

impl<F> Piece<F> {
    /// How many bytes it adds to the frame.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::External { len, .. } => *len,
        }
    }

    /// Whether it adds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The result map with sources that are written right away.
pub(super) fn encode_result<F>(
    answers: Vec<FetchAnswer<F>>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(&mut Vec<u8>, F),
) {
    begin_result(answers.len(), out);
    for answer in answers {
        answer.encode(out, &mut |out, piece| match piece {
            Piece::Bytes(bytes) => out.extend_from_slice(&bytes),
            Piece::External { source, .. } => write(out, source),
        });
    }
}

/// Up to the first of so many partitions.
fn begin_result(partitions: usize, out: &mut Vec<u8>) {
    let mut map = MapWriter::new(out);
    map.key("partitions");
    map.finish();
    write_array_len(partitions, out);
}
