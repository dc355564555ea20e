//! What a guest of any kind can do wrong: the option `behaviour` says what, and a kind's own trigger says
//! when.

use std::hint::black_box;

use plugin_sdk::{Config, log};

/// A guest's orders, and the memory it holds on to.
pub struct Orders {
    behaviour: String,
    hoard: Vec<Vec<u8>>,
}

impl Orders {
    /// Reads the option; misbehaves already here if it says so.
    pub fn read(config: &Config) -> Result<Self, String> {
        config.allow_only(&["behaviour"])?;
        let behaviour = config.option("behaviour").unwrap_or_default().to_owned();
        match behaviour.as_str() {
            "refuse-to-start" => Err("no.\n".repeat(200)),
            "giant-refusal-to-start" => Err("x".repeat(4 << 20)),
            "panic-at-start" => panic!("cannot even start"),
            "loop-at-start" => loop {
                black_box(0);
            },
            "bomb-at-start" => loop {
                black_box(vec![1; 1 << 20].leak());
            },
            _ => Ok(Orders {
                behaviour,
                hoard: Vec::new(),
            }),
        }
    }

    /// The behaviour that is left to the kind, after one that every kind has was carried out.
    pub fn obey(&mut self) -> &str {
        match self.behaviour.as_str() {
            "loop" => loop {
                black_box(0);
            },
            "panic" => panic!("the\nroof is on fire {}", "!".repeat(1_000)),
            "divide" => drop(black_box(1 / black_box(0_u32))),
            "index" => drop(black_box([0, 1][black_box(usize::MAX)])),
            "bomb" => loop {
                self.hoard.push(vec![1; 1 << 20]);
            },
            "huge-allocation" => self.hoard.push(vec![1; 1 << 30]),
            "leak" => self.hoard.push(vec![1; 5 << 20]),
            "recurse" => drop(black_box(recurse(1))),
            "flood" => (0..10_000).for_each(|line| log::warn(&format!("line {line}\u{7}"))),
            "giant-line" => log::warn(&"x".repeat(4 << 20)),
            "long-line" => log::warn(&"x".repeat(10_000)),
            _ => {}
        }
        &self.behaviour
    }

    /// What the option says.
    pub fn behaviour(&self) -> &str {
        &self.behaviour
    }
}

/// Not a tail call, so that every level stays on the stack.
#[inline(never)]
#[allow(unconditional_recursion)]
fn recurse(depth: u32) -> u32 {
    let below = recurse(black_box(depth).wrapping_add(1));
    black_box(below) ^ depth
}
