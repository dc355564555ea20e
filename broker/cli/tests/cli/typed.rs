//! Values of a topic's serializers: `produce --encode`, `consume --decode`, refused records.

use crate::harness::Broker;

fn broker_with(topic: &str, config: &str) -> Broker {
    let broker = Broker::start();
    broker.run(&["topic", "create", topic, "-c", config]).ok();
    broker
}

#[test]
fn values_go_through_the_topics_serializers_and_come_back() {
    let broker = broker_with("orders", "value.serializer=json");
    let lines = "a\t{\"b\":1,\"a\":\"x\"}\nb\t[1,null]\nc\tnull\n";
    broker
        .run_with_input(
            &["produce", "orders", "--encode", "--key-separator", "\\t"],
            lines.as_bytes(),
        )
        .ok();
    let stored = broker.run(&["consume", "orders"]).ok().text();
    assert_eq!(stored, "{\"b\":1,\"a\":\"x\"}\n[1,null]\n<null>\n");
    let decoded = broker.run(&[
        "consume",
        "orders",
        "--decode",
        "--format",
        "text",
        "--columns",
        "key,value",
    ]);
    let text = decoded.ok().text();
    assert!(
        text.contains("{\"b\":1,\"a\":\"x\"}") && text.contains("<null>"),
        "{text}"
    );
    let json = broker
        .run(&["consume", "orders", "--decode", "--json", "-n", "1"])
        .ok()
        .json();
    assert_eq!(json["value"], serde_json::json!({ "b": 1, "a": "x" }));
    assert!(json.get("undecoded").is_none(), "{json}");
    let picked = broker
        .run(&[
            "consume",
            "orders",
            "--decode",
            "-n",
            "1",
            "--template",
            "{{ json.a }}",
        ])
        .ok();
    assert_eq!(picked.text(), "x\n");
}

#[test]
fn refused_records_are_listed_with_their_lines() {
    let broker = broker_with("texts", "value.serializer=string");
    let input = b"\"fine\"\n7\n\"good\"\n[1]\n";
    broker
        .run_with_input(&["produce", "texts", "--encode"], input)
        .ended(1)
        .says(&[
            "standard input:2",
            "0 record(s) were stored",
            "--partial accept",
        ]);
    let ran = broker
        .run_with_input(
            &["produce", "texts", "--encode", "--partial", "accept"],
            input,
        )
        .ended(4);
    let ran = ran.says(&[
        "refused: standard input:2",
        "refused: standard input:4",
        "(string)",
        "2 record(s) were refused",
    ]);
    assert!(
        !ran.stderr.contains("input:1:") && !ran.stderr.contains("input:3:"),
        "{ran:?}"
    );
    assert_eq!(
        broker.run(&["consume", "texts"]).ok().text(),
        "fine\ngood\n"
    );
    let ran = broker
        .run_with_input(
            &[
                "produce",
                "texts",
                "--encode",
                "--on-error",
                "skip",
                "--json",
            ],
            input,
        )
        .ended(4);
    let summary = ran.json();
    assert_eq!(
        (&summary["records"], &summary["refused"]),
        (&2.into(), &2.into())
    );
    assert_eq!(summary["refused_records"][0]["line"], 2);
    assert_eq!(summary["refused_records"][1]["field"], "value");
}

#[test]
fn what_is_no_json_never_leaves_the_command() {
    let broker = broker_with("texts", "value.serializer=string");
    broker
        .run_with_input(&["produce", "texts", "--encode"], b"plain\n")
        .ended(1)
        .says(&["standard input:1", "not JSON"]);
    broker
        .run_with_input(
            &["produce", "texts", "--encode", "--compression", "lz4"],
            b"",
        )
        .ended(2)
        .says(&["--compression", "--encode"]);
}

#[test]
fn what_cannot_be_decoded_is_shown_as_it_is_with_the_reason() {
    let broker = Broker::start();
    broker.topic("mixed", 1);
    broker
        .run_with_input(&["produce", "mixed"], b"plain\n{\"x\":1}\n")
        .ok();
    broker
        .run(&["topic", "alter", "mixed", "-c", "value.serializer=json"])
        .ok();
    let ran = broker.run(&["consume", "mixed", "--decode"]).ok();
    assert_eq!(ran.text(), "plain\n{\"x\":1}\n");
    ran.says(&["mixed-0 offset 0: the value cannot be decoded", "(json,"]);
    let json = broker
        .run(&["consume", "mixed", "--decode", "--json", "-n", "1"])
        .ok()
        .json();
    assert_eq!(json["value"], "plain");
    assert_eq!(json["undecoded"]["value"]["plugin"], "json");
}
