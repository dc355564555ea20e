//! Does what its option `behaviour` says as soon as a batch begins with the key `go`; answers
//! partition 0 for every record of any other batch. Behaviours that begin with `keyless-` are for batches
//! without keys; with `keyless-apart` they go elsewhere as a whole than record by record, with `keyless-at-times`
//! the guest has no answer for every third of them, whatever it has said before.

use hostile_orders::Orders;
use plugin_sdk::{Batch, Config, Layout, Partitioner};

struct Hostile(Orders);

impl Partitioner for Hostile {
    fn new(config: &Config) -> Result<Self, String> {
        Orders::read(config).map(Hostile)
    }

    fn assign(&mut self, batch: &Batch, layout: &Layout) -> Result<Vec<u32>, String> {
        let mut answer = vec![0; batch.len()];
        if batch.keys().next() != Some(Some(b"go")) {
            return Ok(answer);
        }
        match self.0.obey() {
            "giant-answer" => answer.resize(2 << 20, 0),
            "short-answer" => drop(answer.pop()),
            "long-answer" => answer.push(0),
            "out-of-range" => answer[1] = layout.partitions,
            "refuse" => return Err(format!("not this batch: {}", "é".repeat(1_000))),
            "giant-refusal" => return Err("x".repeat(4 << 20)),
            _ => {}
        }
        Ok(answer)
    }

    fn keyless(&mut self, _count: u32, layout: &Layout) -> Option<u32> {
        match self.0.behaviour() {
            "keyless-beyond" if layout.batches == 0 => Some(layout.partitions),
            "keyless-panic" if layout.batches == 0 => panic!("no keys, no answer"),
            "keyless-apart" => Some(layout.partitions - 1),
            "keyless-at-times" => (layout.batches % 3 != 2).then_some(layout.partitions - 1),
            behaviour => behaviour.starts_with("keyless-").then_some(0),
        }
    }
}

plugin_sdk::export_partitioner!(Hostile);
