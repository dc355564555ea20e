//! Tests of planning what concerns plugins.
