//! The broker's configuration: any file, variable or assignment is understood or refused by name.

use std::path::PathBuf;
use std::sync::LazyLock;

use broker_server::config::{BrokerConfig, ConfigFile, ConfigLayers, parse_assignment};

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let name = format!("broker-fuzz-{}.toml", std::process::id());
    std::env::temp_dir().join(name)
});

/// The text of a file; lines that begin with `@` are assignments of the command line instead, with `$`
/// of the environment.
pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (mut layers, mut file) = (ConfigLayers::default(), String::new());
    for line in text.lines() {
        match line.as_bytes().first() {
            Some(b'@') => match parse_assignment(&line[1..]) {
                Ok(assignment) => layers.command_line.push(assignment),
                Err(error) => drop(error.to_string()),
            },
            Some(b'$') => {
                let (name, value) = line[1..].split_once('=').unwrap_or((&line[1..], ""));
                layers.environment.push((name.to_owned(), value.to_owned()));
            }
            _ => {
                file.push_str(line);
                file.push('\n');
            }
        }
    }
    std::fs::write(&*FILE, &file).expect("there is room for a small file");
    layers.file = ConfigFile::Required(FILE.clone());
    match BrokerConfig::load(&layers) {
        Ok(config) => assert!(!config.describe().is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    std::fs::remove_file(&*FILE).expect("it was just written");
}
