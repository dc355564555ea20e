//! `fetch`: reads partitions from given offsets, waiting for new records if asked to. The answer
//! has decoded records, or stored batches byte for byte; the latter may be spliced from files into
//! the socket, so the server's encoder works in pieces.

mod answer;
mod decoded;
mod records;
mod request;
mod response;

#[cfg(test)]
mod tests;

pub use answer::{FetchAnswer, FetchData, FetchFrame, Piece};
pub use decoded::{DecodedField, DecodedRecord, FieldError, FieldErrors};
pub use records::{FetchedHeaders, FetchedRecord, FetchedRecords, RecordsWriter};
pub use request::{FetchForm, FetchPartition, FetchRequest};
pub use response::{FetchResponse, FetchedData, FetchedPartition};
