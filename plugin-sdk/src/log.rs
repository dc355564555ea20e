//! Lines that a plugin writes to the broker's log: rate-limited, cut to a length, and marked with the
//! plugin and the topic by the broker. In a native test they go to standard error.

use std::sync::Once;

pub use crate::generated::partitioner_plugin::broker::plugin::log::Level;

/// Something failed. The broker keeps the last of these to explain a trap that follows.
pub fn error(message: &str) {
    write(Level::Error, message);
}

/// Something looks wrong, and the plugin goes on.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Something an operator may want to know.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Something for the plugin's author.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// Writes one line at `level`.
pub fn write(level: Level, message: &str) {
    if cfg!(target_arch = "wasm32") {
        crate::generated::partitioner_plugin::broker::plugin::log::write(level, message);
    } else {
        eprintln!("{level:?}: {message}");
    }
}

/// Sends the text of a panic to the broker before the instance traps.
pub(crate) fn report_panics() {
    static INSTALLED: Once = Once::new();
    if cfg!(target_arch = "wasm32") {
        INSTALLED.call_once(|| std::panic::set_hook(Box::new(|panic| error(&panic.to_string()))));
    }
}
