//! Tests of `ClusterMetadata`.
