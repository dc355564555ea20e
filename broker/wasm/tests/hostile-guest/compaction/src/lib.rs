//! Does what its option `behaviour` says as soon as a batch begins with the key `go`: in the second pass
//! if the behaviour begins with `late-`, else in the first. Takes in and keeps everything else. Two
//! behaviours are about what it says of the first pass.

use std::hint::black_box;

use hostile_orders::Orders;
use plugin_sdk::{Batch, Bitmap, CompactionPolicy, Config, Environment, Scope};

struct Hostile {
    orders: Orders,
    seen: u64,
}

impl CompactionPolicy for Hostile {
    fn new(config: &Config, _: &Environment) -> Result<Self, String> {
        Orders::read(config).map(|orders| Hostile { orders, seen: 0 })
    }

    fn scope(&self) -> Scope {
        match self.orders.behaviour() {
            "whole-log" => Scope::WholeLog,
            "panic-about-scope" => panic!("no scope"),
            _ => Scope::NewRecords,
        }
    }

    fn observe(&mut self, batch: &Batch) -> usize {
        let (seen, records) = (self.seen, batch.len());
        self.seen += records as u64;
        match self.orders.behaviour() {
            "full-at-20000" => return (20_000 - seen).min(records as u64) as usize,
            "spin" => (0..200_000_u32).for_each(|turn| {
                black_box(turn);
            }),
            _ => {}
        }
        if batch.keys().next() != Some(Some(b"go")) {
            return records;
        }
        match self.orders.obey() {
            "takes-too-much" => records + 1,
            _ => records,
        }
    }

    fn retain(&mut self, batch: &Batch) -> Bitmap {
        let records = batch.len();
        if self.orders.behaviour() == "every-third" {
            let offsets = batch.offsets();
            return offsets.map(|offset| offset % 3 == 0).collect();
        }
        if batch.keys().next() != Some(Some(b"go")) {
            return Bitmap::all(records);
        }
        match self.orders.behaviour() {
            "late-panic" => panic!("too late"),
            "late-loop" => loop {
                black_box(0);
            },
            "late-short" => Bitmap::all(records - 1),
            "late-long" => Bitmap::all(records + 8),
            "late-beyond" => {
                let mut bits = Bitmap::none(records + 1);
                bits.keep(records);
                bits
            }
            "late-giant" => Bitmap::all(64 << 20),
            _ => Bitmap::all(records),
        }
    }
}

plugin_sdk::export_compaction!(Hostile);
