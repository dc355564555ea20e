//! A serializer's answer as it comes out of a guest: what is accepted has a row for each row, and each is one
//! value that the protocol can carry, or null where that was said.

use arbitrary::{Result, Unstructured};
use broker_protocol::shape;
use broker_wasm::{BytesColumn, RawAnswer};

/// Rows that were given, lengths and refusals of the answer, then its bytes.
pub fn run(input: &[u8]) {
    // Too few bytes are no answer.
    let _ = answer(Unstructured::new(input));
}

fn answer(mut u: Unstructured<'_>) -> Result<()> {
    let rows = u.int_in_range(0..=12_usize)?;
    let mut given = BytesColumn::default();
    for _ in 0..rows {
        given.push(u.arbitrary::<bool>()?.then_some(&b"stored"[..]));
    }
    let lens: Vec<i32> = u
        .arbitrary_iter::<i8>()?
        .take(14)
        .map(|len| len.map(i32::from))
        .collect::<Result<_>>()?;
    let refused: Vec<u32> = u
        .arbitrary_iter::<u8>()?
        .take(14)
        .map(|row| row.map(u32::from))
        .collect::<Result<_>>()?;
    let answer = RawAnswer {
        data: u.take_rest().to_vec(),
        lens,
        refused: refused.clone(),
    };
    match answer.check(&given) {
        Err(problem) => assert!(!problem.is_empty()),
        Ok(answered) => {
            assert_eq!(answered.len(), rows);
            for ((row, given), answered) in (0..).zip(given.rows()).zip(answered.rows()) {
                let is_value = given.is_some() && !refused.contains(&row);
                assert_eq!(answered.is_some(), is_value, "row {row}");
                if let Some(value) = answered {
                    assert_eq!(shape::check(value), Ok(()), "row {row}");
                }
            }
        }
    }
    Ok(())
}
