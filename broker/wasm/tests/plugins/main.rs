//! Plugins as the broker runs them: the shipped ones, hostile ones, modules that are no plugins, and
//! manifests. One binary, because each one links the whole of wasmtime.

#![allow(clippy::unwrap_used)]

mod catalog;
mod events;
mod example;
mod failure_log;
mod harness;
mod hostile;
mod hostile_compaction;
mod hostile_kinds;
mod hostile_retention;
mod hostile_serializer;
mod keyless;
mod load_errors;
mod mutated;
mod samples;
mod shipped;
mod shipped_kinds;
mod shipped_memory;
mod subject;
mod suspension;
