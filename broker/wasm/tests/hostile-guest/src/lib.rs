//! Does what its option `behaviour` says as soon as a batch begins with the key `go`; answers
//! partition 0 for every record of any other batch.

use std::hint::black_box;

use plugin_sdk::{Batch, Config, Layout, Partitioner, log};

struct Hostile {
    behaviour: String,
    hoard: Vec<Vec<u8>>,
}

impl Partitioner for Hostile {
    fn new(config: &Config) -> Result<Self, String> {
        config.allow_only(&["behaviour"])?;
        let behaviour = config.option("behaviour").unwrap_or_default().to_owned();
        match behaviour.as_str() {
            "refuse-to-start" => Err("no.\n".repeat(200)),
            "panic-at-start" => panic!("cannot even start"),
            "loop-at-start" => loop {
                black_box(0);
            },
            _ => Ok(Hostile {
                behaviour,
                hoard: Vec::new(),
            }),
        }
    }

    fn assign(&mut self, batch: &Batch, layout: &Layout) -> Result<Vec<u32>, String> {
        let mut answer = vec![0; batch.len()];
        if batch.keys().next() != Some(Some(b"go")) {
            return Ok(answer);
        }
        match self.behaviour.as_str() {
            "loop" => loop {
                black_box(0);
            },
            "panic" => panic!("the\nroof is on fire {}", "!".repeat(1_000)),
            "divide" => answer[0] = 1 / black_box(0_u32),
            "index" => answer[0] = answer[black_box(usize::MAX)],
            "bomb" => loop {
                self.hoard.push(vec![1; 1 << 20]);
            },
            "huge-allocation" => self.hoard.push(vec![1; 1 << 30]),
            "leak" => self.hoard.push(vec![1; 5 << 20]),
            "recurse" => answer[0] = recurse(1),
            "giant-answer" => answer.resize(2 << 20, 0),
            "short-answer" => drop(answer.pop()),
            "long-answer" => answer.push(0),
            "out-of-range" => answer[1] = layout.partitions,
            "refuse" => return Err(format!("not this batch: {}", "é".repeat(1_000))),
            "giant-refusal" => return Err("x".repeat(4 << 20)),
            "flood" => (0..10_000).for_each(|line| log::warn(&format!("line {line}\u{7}"))),
            "giant-line" => log::warn(&"x".repeat(4 << 20)),
            "long-line" => log::warn(&"x".repeat(10_000)),
            other => return Err(format!("no such behaviour: {other}")),
        }
        Ok(answer)
    }
}

/// Not a tail call, so that every level stays on the stack.
#[inline(never)]
fn recurse(depth: u32) -> u32 {
    let below = recurse(black_box(depth).wrapping_add(1));
    black_box(below) ^ depth
}

plugin_sdk::export_partitioner!(Hostile);
