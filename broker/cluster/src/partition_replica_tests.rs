//! Tests of `PartitionReplica`.
