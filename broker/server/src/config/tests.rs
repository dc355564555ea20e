//! Tests of the broker's configuration: layers, errors, sample and explanation.
