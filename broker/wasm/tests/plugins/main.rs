//! Plugins as the broker runs them: the shipped ones, hostile ones, modules that are no plugins, and
//! manifests. One binary, because each one links the whole of wasmtime.

#![allow(clippy::unwrap_used)]

mod catalog;
mod example;
mod harness;
mod hostile;
mod load_errors;
mod shipped;
