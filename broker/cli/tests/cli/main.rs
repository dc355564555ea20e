//! Runs the binary `broker` from outside: help, exit codes, offline tools, and a broker of its own
//! for what needs one.

mod authoring;
mod configuration;
mod consuming;
mod deploying;
mod exit_codes;
mod fake_broker;
mod fixtures;
mod harness;
mod help;
mod logs;
mod measuring;
mod plugins;
mod producing;
mod serving;
mod topics;
mod typed;
