//! A serializer that answers nonsense: what is refused, in which words, and what the plugin may refuse.

use std::sync::Arc;
use std::time::Duration;

use broker_wasm::{
    BytesColumn, Limits, PluginError, PluginErrorKind, PluginKind, RowError, Serializer,
};

use crate::harness::engine;
use crate::subject::{behaviour, column, plugin};

const GO: &[Option<&[u8]>] = &[Some(b"\xa2go"), None, Some(b"\x07")];

fn bind(how: &str, output_bytes: usize) -> Serializer {
    let limits = Limits {
        deadline: Duration::from_secs(1),
        output_bytes,
        ..Limits::default_for(PluginKind::Serializer)
    };
    let plugin = Arc::new(plugin(PluginKind::Serializer).with_limits(limits));
    Serializer::new(engine(), &plugin, "orders", &behaviour(how)).unwrap()
}

/// Both directions, and then a harmless batch.
#[track_caller]
fn refused(how: &str, expected: &str) -> PluginError {
    let mut serializer = bind(how, 64 * 1024);
    let mut out = column(&[Some(b"from before")]);
    let error = serializer
        .deserialize(&column(GO), &mut out)
        .expect_err(how);
    assert_eq!(error.kind, PluginErrorKind::InvalidAnswer, "{error}");
    let text = format!("plugin hostile 6.6.6 answered nonsense: {expected}");
    assert_eq!(error.to_string(), text, "{how}");
    assert!(out.is_empty());
    let harmless = column(&[Some(b"\x01"), None]);
    assert_eq!(serializer.serialize(&harmless, &mut out), Ok(vec![]));
    assert_eq!(out, harmless);
    error
}

fn convert(how: &str) -> (Vec<RowError>, BytesColumn) {
    let mut out = BytesColumn::default();
    let errors = bind(how, 16 << 20).serialize(&column(GO), &mut out);
    (errors.unwrap(), out)
}

#[test]
fn an_answer_has_a_row_for_each_row_with_lengths_that_add_up() {
    refused("short-answer", "2 rows for 3 rows");
    refused("long-answer", "4 rows for 3 rows");
    refused("lengths", "4 bytes for rows of 5 bytes in all");
    refused("negative-length", "the row has a length of -2 (record 1)");
    refused(
        "huge-lengths",
        "4 bytes for rows of 6442450941 bytes in all",
    );
}

#[test]
fn null_stays_null_and_nothing_is_lost_without_a_reason() {
    let error = refused(
        "null-becomes-something",
        "the row was null and became something (record 1)",
    );
    assert_eq!((error.record, error.retriable), (Some(1), false));
    refused(
        "something-becomes-null",
        "the row became null and is not refused (record 0)",
    );
}

#[test]
fn the_list_of_refused_rows_is_held_to_its_rules() {
    refused(
        "refused-and-there",
        "the row is refused and not null (record 0)",
    );
    refused("error-out-of-range", "an error for row 3 of 3");
    refused("error-twice", "two errors for row 0");
    refused(
        "errors-out-of-order",
        "its errors are out of order at row 0",
    );
}

#[test]
fn what_is_deserialized_is_messagepack_and_nothing_else() {
    refused(
        "not-messagepack",
        "the row has a marker that MessagePack does not have (record 0)",
    );
    refused(
        "two-values",
        "the row has bytes behind its MessagePack value (record 0)",
    );
    // As stored bytes the same answer is good.
    let (errors, out) = convert("not-messagepack");
    assert_eq!((errors.len(), out.len()), (0, 3));
}

#[test]
fn an_answer_beyond_the_output_limit_is_refused() {
    let text = "more bytes than an answer, its refusals and log lines may have";
    refused("giant-answer", text);
    refused("giant-refusal", text);
    refused(
        "large-answer",
        "it made more than 65536 bytes of one batch, its output limit",
    );
}

#[test]
fn the_output_limit_is_for_the_whole_batch_and_not_for_a_part() {
    let rows = |count: usize| (0..count).map(|_| Some(&[7_u8; 1_000][..])).collect();
    let mut out = BytesColumn::default();
    let mut serializer = bind("", 640 * 1024);
    assert_eq!(serializer.serialize(&rows(600), &mut out), Ok(vec![]));
    let error = serializer.serialize(&rows(700), &mut out).unwrap_err();
    assert!(error.message.contains("more than 655360 bytes"), "{error}");
}

#[test]
fn a_refused_row_is_listed_with_a_clean_reason_and_the_others_go_through() {
    let (errors, out) = convert("refuse");
    let message = "not this one".to_owned();
    assert_eq!(errors, [RowError { row: 0, message }]);
    assert!(out.rows().eq([None, None, Some(&b"\x07"[..])]));
    let (errors, _) = convert("long-refusal");
    assert_eq!(errors[0].message, "é".repeat(128));
}

#[test]
fn a_record_that_is_too_large_for_the_guests_memory_is_refused_alone() {
    let large = vec![7; 3 << 20];
    let rows = column(&[Some(b"a"), Some(&large), None, Some(b"b")]);
    let mut serializer = bind("", 16 << 20);
    let mut out = BytesColumn::default();
    let errors = serializer.serialize(&rows, &mut out).unwrap();
    let message =
        "the record has 3145728 bytes, a plugin with this memory limit takes at most 2097152";
    let message = message.to_owned();
    assert_eq!(errors, [RowError { row: 1, message }]);
    assert!(out.rows().eq([Some(&b"a"[..]), None, None, Some(b"b")]));
    assert_eq!(serializer.plugin().counters().usage().traps, 0);
}

#[test]
fn a_large_batch_goes_in_parts_with_the_same_answer_and_the_right_rows_refused() {
    let go: &[u8] = b"\xa2go";
    // Parts have 512 rows at most; "refuse" refuses the first row of a part that begins with go.
    let rows: Vec<Option<&[u8]>> = (0..10_000)
        .map(|row| match row {
            2_048 | 6_144 => Some(go),
            row if row % 3 == 0 => None,
            _ => Some(&b"\x07"[..]),
        })
        .collect();
    let mut serializer = bind("refuse", 16 << 20);
    let mut out = BytesColumn::default();
    let errors = serializer.deserialize(&column(&rows), &mut out).unwrap();
    let refused: Vec<_> = errors.iter().map(|error| error.row).collect();
    assert_eq!(refused, [2_048, 6_144]);
    let expected = rows.iter().map(|row| row.filter(|row| *row != go));
    assert!(out.rows().eq(expected));
    let usage = serializer.plugin().counters().usage();
    assert_eq!((usage.calls, usage.records, usage.errors), (20, 10_000, 0));
    // The record of an error counts from the beginning of the batch.
    let error = bind("not-messagepack", 16 << 20)
        .deserialize(&column(&rows), &mut out)
        .unwrap_err();
    assert_eq!(error.record, Some(2_048));
}

#[test]
fn an_empty_batch_is_no_call() {
    let mut serializer = bind("", 16 << 20);
    let mut out = column(&[None]);
    assert_eq!(serializer.serialize(&column(&[]), &mut out), Ok(vec![]));
    assert!(out.is_empty());
    assert_eq!(serializer.plugin().counters().usage().calls, 0);
}
