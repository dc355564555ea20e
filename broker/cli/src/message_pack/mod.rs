//! MessagePack values and JSON: what `broker produce --encode` and fixtures write as JSON becomes
//! MessagePack, and what a serializer makes of stored bytes is shown as JSON. Names keep their order,
//! whole numbers keep their digits.

mod from_json;
mod to_json;

pub(crate) use self::from_json::{Packed, bytes_of, from_json_text, text_value};
pub(crate) use self::to_json::{BinForm, json_text};

/// How deep values may be nested; the broker takes no more either.
const DEPTH_MAX: usize = broker_client::model::limits::NESTING_DEPTH_MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn there_and_back(json: &str) -> String {
        let packed = from_json_text(json).unwrap();
        json_text(&packed, BinForm::Marked).unwrap()
    }

    #[test]
    fn json_survives_the_way_to_messagepack_and_back() {
        let values = [
            "null",
            "true",
            "-1",
            "18446744073709551615",
            "-9223372036854775808",
            "0.5",
            r#""naïve\n""#,
            r#"{"b":1,"a":[{},[],"x"],"long":70000}"#,
        ];
        for value in values {
            assert_eq!(there_and_back(value), value);
        }
    }

    #[test]
    fn integers_take_their_shortest_form() {
        assert_eq!(from_json_text("7").unwrap(), [7]);
        assert_eq!(from_json_text("-1").unwrap(), [0xff]);
        assert_eq!(from_json_text("200").unwrap(), [0xcc, 200]);
    }

    #[test]
    fn bytes_are_marked_in_fixtures_and_text_where_they_can_be_for_people() {
        let packed: Packed = serde_json::from_str(r#"[{"hex":"00ff"},{"base64":"aGk="}]"#).unwrap();
        assert_eq!(packed.0, [0x92, 0xc4, 2, 0, 0xff, 0xc4, 2, b'h', b'i']);
        let marked = json_text(&packed.0, BinForm::Marked).unwrap();
        assert_eq!(marked, r#"[{"hex":"00ff"},{"hex":"6869"}]"#);
        let readable = json_text(&packed.0, BinForm::Readable).unwrap();
        assert_eq!(readable, r#"[{"hex":"00ff"},"hi"]"#);
    }

    #[test]
    fn what_a_producer_sends_is_taken_as_it_is() {
        assert_eq!(there_and_back(r#"{"hex":"00ff"}"#), r#"{"hex":"00ff"}"#);
    }

    #[test]
    fn names_that_are_not_text_and_numbers_that_json_has_not_are_shown() {
        // {1: NaN}
        let packed = [0x81, 1, 0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0];
        let shown = json_text(&packed, BinForm::Readable).unwrap();
        assert_eq!(shown, r#"{"1":"NaN"}"#);
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
        for (bad, reason) in [("{", "EOF"), ("1 2", "trailing"), (&deep, "nested")] {
            let error = from_json_text(bad).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        for bad in [
            &[][..],
            &[0x92, 1],
            &[1, 1],
            &[0xa2, 0xff, 0xff],
            &[0xc1],
            &[0xd4, 1, 1],
            &[0x91; 40],
        ] {
            assert!(json_text(bad, BinForm::Readable).is_err(), "{bad:?}");
        }
        let error = serde_json::from_str::<Packed>(r#"{"hex":"0"}"#).unwrap_err();
        assert!(error.to_string().contains("two digits"), "{error}");
    }
}
