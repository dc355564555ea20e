//! Does what its option `behaviour` says when the log ends at offset 666; lets half of the segments of
//! any other log go, rounded down.

use hostile_orders::Orders;
use plugin_sdk::{Bounds, Config, LogView, RetentionPolicy};

struct Hostile(Orders);

impl RetentionPolicy for Hostile {
    fn new(config: &Config, _: &Bounds) -> Result<Self, String> {
        Orders::read(config).map(Hostile)
    }

    fn expired(&mut self, log: &LogView) -> usize {
        let segments = log.segments.len();
        match self.0.behaviour() {
            // For logs of many segments: what is given.
            "everything" => return segments,
            "below-600" => return log.segments.iter().filter(|s| s.base_offset < 600).count(),
            _ => {}
        }
        if log.log_end != 666 {
            return segments / 2;
        }
        match self.0.obey() {
            "prefix-too-long" => segments + 1,
            "far-too-long" => usize::MAX,
            _ => segments / 2,
        }
    }
}

plugin_sdk::export_retention!(Hostile);
