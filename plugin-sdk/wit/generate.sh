#!/bin/sh
# Makes plugin-sdk/src/generated/*_plugin.rs out of plugin.wit. Needs the generator of this version:
#   cargo install wit-bindgen-cli@0.61.1
set -eu
cd "$(dirname "$0")/.."

shared=crate::generated::partitioner_plugin::broker::plugin
reuse="broker:plugin/types@0.1.0=$shared::types,broker:plugin/log@0.1.0=$shared::log"

generate() {
    world=$1
    shift
    wit-bindgen rust wit --world "$world-plugin" --format --pub-export-macro \
        --export-macro-name "__export_$world" \
        --default-bindings-module "plugin_sdk::generated::${world}_plugin" \
        --out-dir src/generated "$@"
}

generate partitioner
generate serializer --with "$reuse"
generate retention --with "$reuse"
generate compaction --with "$reuse"
