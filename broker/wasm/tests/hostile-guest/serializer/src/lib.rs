//! Does what its option `behaviour` says as soon as a batch begins with the MessagePack text `go`, in
//! both directions; answers the rows of any other batch as they are.

mod convert;

use hostile_orders::Orders;
use plugin_sdk::{BytesColumn, Config, Outcome, Serializer};

struct Hostile(Orders);

impl Serializer for Hostile {
    fn new(config: &Config) -> Result<Self, String> {
        Orders::read(config).map(Hostile)
    }

    fn serialize(&mut self, rows: &BytesColumn) -> Outcome {
        self.convert(rows)
    }

    fn deserialize(&mut self, rows: &BytesColumn) -> Outcome {
        self.convert(rows)
    }
}

plugin_sdk::export_serializer!(Hostile);
