//! The calls that administer plugins, as tests make them: deploy and friends, what is listed about one,
//! dry runs from start to end.

use std::fs;

use super::guests::sha256_of;
use super::value::{Value, map};
use super::waiting::eventually;
use super::wire::{Wire, WireError};

/// What to try in a dry run, and on which topic.
pub(crate) struct DryRun {
    args: Value,
}

impl DryRun {
    /// A module that nobody deployed.
    pub(crate) fn of_module(topic: &str, module: &[u8]) -> Self {
        let args = map! { "topic" => topic, "module" => module };
        Self { args }
    }

    /// A plugin by its name.
    pub(crate) fn of_plugin(topic: &str, plugin: &str) -> Self {
        let args = map! { "topic" => topic, "plugin" => plugin };
        Self { args }
    }

    /// A further argument.
    pub(crate) fn with(self, name: &str, value: impl Into<Value>) -> Self {
        let args = self.args.set(name, value);
        Self { args }
    }

    /// Starts it and answers the run's name.
    pub(crate) fn start(&self, wire: &mut Wire) -> Result<String, WireError> {
        let answer = wire.call("dry_run_plugin", self.args.clone())?;
        Ok(answer.get("run").text().to_owned())
    }

    /// Runs it to its end and answers the last status.
    #[track_caller]
    pub(crate) fn end(&self, wire: &mut Wire) -> Value {
        let run = self.start(wire).unwrap();
        eventually("the dry run ends", || {
            let status = wire
                .call("dry_run_status", map! { "run" => &*run })
                .unwrap();
            (status.get("state").text() != "running").then_some(status)
        })
    }

    /// The report about a kind of plugin.
    #[track_caller]
    pub(crate) fn report(&self, wire: &mut Wire, kind: &str) -> Value {
        let status = self.end(wire);
        assert_eq!(status.get("state").text(), "done", "{status:?}");
        assert_eq!(status.get("done"), status.get("total"), "{status:?}");
        let report = status.get("report").get(kind).clone();
        assert!(!report.is_nil(), "{status:?}");
        report
    }
}

impl Wire {
    /// Deploys a module; `more` are further arguments.
    pub(crate) fn deploy(
        &mut self,
        name: &str,
        module: &[u8],
        more: Value,
    ) -> Result<Value, WireError> {
        self.call(
            "deploy_plugin",
            more.set("name", name).set("module", module),
        )
    }

    /// A plugin as its name means it now, as `list_plugins` shows it; nil when it is not there.
    pub(crate) fn plugin(&mut self, name: &str) -> Value {
        let answer = self.call("list_plugins", map! {}).unwrap();
        let mut listed = answer.get("plugins").list().iter();
        let found = listed.find(|plugin| plugin.get("name").text() == name);
        found.cloned().unwrap_or(Value::Nil)
    }

    /// Sets configuration keys of a topic and answers the warnings.
    #[track_caller]
    pub(crate) fn alter(&mut self, topic: &str, set: &[(&str, &str)]) -> Vec<String> {
        let args = map! { "name" => topic, "set" => config_of(set) };
        let answer = self
            .call("alter_topic", args)
            .unwrap_or_else(|error| panic!("alter_topic {topic}: {error:?}"));
        let warnings = answer.get("warnings").list().iter();
        warnings.map(|warning| warning.text().to_owned()).collect()
    }

    /// The bindings that a topic's slot ever had, oldest first.
    #[track_caller]
    pub(crate) fn bindings(&mut self, topic: &str, slot: &str) -> Vec<Value> {
        let described = self.describe_topic(topic);
        let all = described.get("bindings").list().iter();
        all.filter(|binding| binding.get("slot").text() == slot)
            .cloned()
            .collect()
    }
}

/// Names and values as a map.
pub(crate) fn config_of(entries: &[(&str, &str)]) -> Value {
    let pairs = entries.iter();
    Value::Map(
        pairs
            .map(|(key, value)| (Value::from(*key), Value::from(*value)))
            .collect(),
    )
}

/// The digest of bytes, as `sha256sum` prints it.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    fs::write(file.path(), bytes).expect("it can be written");
    sha256_of(file.path())
}
