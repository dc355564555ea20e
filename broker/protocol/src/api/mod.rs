//! One file per method: its arguments, its result, and what is particular about their encoding.
//! Topic names are plain text in here: checking them is part of carrying a request out.

pub mod alter_topic;
pub mod crash_actor;
pub mod create_partitions;
pub mod create_topic;
pub mod delete_records;
pub mod delete_topic;
pub mod deploy_plugin;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_topic;
pub mod dry_run_plugin;
pub mod dry_run_status;
pub mod fetch;
pub mod hello;
pub mod list_actors;
pub mod list_offsets;
pub mod list_plugins;
pub mod metadata;
pub mod partition_for;
pub mod ping;
pub mod plugin_history;
pub mod plugin_logs;
pub mod plugin_module;
pub mod produce;
pub mod remove_plugin;
pub mod resume_plugin;
pub mod rollback_plugin;
