//! Serializer plugins at work: one call a field and batch. On produce, values become stored bytes or bytes
//! that arrive serialized are checked; on fetch, stored bytes become values. A record that is refused or
//! cannot be decoded says so by its index and disturbs no other.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_cluster::PluginSlot;
use broker_model::limits::DECODED_VALUE_DEPTH_MAX;
use broker_protocol::api::fetch::DecodedField as WireField;
use broker_record::{DecodedField, FieldForm, RecordView, SerializableRecords, bytes_in_value};
use broker_wasm::{BytesColumn, PluginError, RowError, Serializer};
use bytes::Bytes;

use super::topic_plugins::BoundSlot;
use super::{Plugins, SlotError, instances};
use crate::topics::HostedTopic;

/// MessagePack's nil.
const NIL: u8 = 0xc0;

/// A part of a record that serializers work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    Key,
    Value,
}

impl Field {
    /// The name on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
        }
    }

    fn slot(self) -> PluginSlot {
        match self {
            Self::Key => PluginSlot::KeySerializer,
            Self::Value => PluginSlot::ValueSerializer,
        }
    }
}

/// A record that was refused on produce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefusedRecord {
    pub(crate) index: u32,
    pub(crate) field: Field,
    pub(crate) reason: String,
    /// Whose judgement it is; none where the topic has no serializer for the field.
    pub(crate) plugin: Option<String>,
}

/// What serializers made of the records of a request.
#[derive(Debug, Default)]
pub(crate) struct Serialized {
    /// By index; a record may be there for its key and for its value.
    pub(crate) refused: Vec<RefusedRecord>,
    /// The bytes to be stored, where they are not those of the request.
    pub(crate) keys: Option<BytesColumn>,
    pub(crate) values: Option<BytesColumn>,
}

impl Serialized {
    /// Whether the request's own bytes can be stored as they are.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.refused.is_empty() && self.keys.is_none() && self.values.is_none()
    }
}

/// One field of some records of a stored batch, decoded.
#[derive(Debug)]
pub(crate) enum DecodedColumn {
    /// The topic has no serializer for it.
    Stored,
    Decoded {
        rows: Vec<Option<Vec<u8>>>,
        faults: BTreeMap<u32, Fault>,
    },
    /// The plugin did not answer: every one of them is given raw.
    Failed(Fault),
}

/// Why a field could not be decoded.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) plugin: String,
    pub(crate) reason: String,
    pub(crate) kind: FaultKind,
}

/// What kept a field from being decoded.
#[derive(Clone, Debug)]
pub(crate) enum FaultKind {
    /// The plugin refused this record.
    Refused,
    /// The value has more levels than fit an answer.
    TooDeep,
    /// The plugin as a whole failed.
    Failed(SlotError),
}

impl DecodedColumn {
    /// What stands in the answer for row `index`, whose stored bytes are `raw`.
    pub(crate) fn field<'a>(
        &'a self,
        index: u32,
        raw: Option<&'a [u8]>,
    ) -> (DecodedField<'a>, Option<&'a Fault>) {
        match self {
            Self::Stored => (DecodedField::Bytes(raw), None),
            Self::Failed(fault) => (DecodedField::Bytes(raw), Some(fault)),
            Self::Decoded { rows, faults } => {
                if let Some(fault) = faults.get(&index) {
                    return (DecodedField::Bytes(raw), Some(fault));
                }
                let row = rows.get(index as usize).and_then(Option::as_deref);
                (row.map_or(DecodedField::NULL, DecodedField::Value), None)
            }
        }
    }
}

impl Plugins {
    /// Puts the records of a request through the topic's serializers.
    pub(crate) fn serialize(
        &self,
        topic: &HostedTopic,
        records: &SerializableRecords,
        form: FieldForm,
    ) -> Result<Serialized, SlotError> {
        let mut refused = Vec::new();
        let mut keys = None;
        let mut values = None;
        for field in [Field::Key, Field::Value] {
            let slot = topic.plugins.slot(field.slot())?;
            let column = match (slot, field) {
                (None, _) if form == FieldForm::Bytes => continue,
                (None, Field::Key) => take_bytes(records.keys(), field, &mut refused),
                (None, Field::Value) => take_bytes(records.values(), field, &mut refused),
                (Some(slot), _) => {
                    let rows: BytesColumn = match field {
                        Field::Key => records.keys().collect(),
                        Field::Value => records.values().collect(),
                    };
                    let mut out = BytesColumn::default();
                    let errors = self.run(topic, slot, |serializer| match form {
                        FieldForm::Value => serializer.serialize(&rows, &mut out),
                        FieldForm::Bytes => serializer.deserialize(&rows, &mut out),
                    })?;
                    let plugin = slot.plugin.name();
                    refused.extend(errors.into_iter().map(|error| RefusedRecord {
                        index: error.row,
                        field,
                        reason: error.message,
                        plugin: Some(plugin.to_owned()),
                    }));
                    if form == FieldForm::Bytes {
                        continue;
                    }
                    out
                }
            };
            match field {
                Field::Key => keys = Some(column),
                Field::Value => values = Some(column),
            }
        }
        refused.sort_by_key(|refused| (refused.index, refused.field));
        Ok(Serialized {
            refused,
            keys,
            values,
        })
    }

    /// Decodes one field of some records of a stored batch. Never fails as a whole: the consumer goes on.
    pub(crate) fn decode(
        &self,
        topic: &HostedTopic,
        field: Field,
        records: &[RecordView<'_>],
    ) -> DecodedColumn {
        let failed = |plugin: &str, error: SlotError| {
            DecodedColumn::Failed(Fault {
                plugin: plugin.to_owned(),
                reason: error.to_string(),
                kind: FaultKind::Failed(error),
            })
        };
        let slot = match topic.plugins.slot(field.slot()) {
            Ok(None) => return DecodedColumn::Stored,
            Ok(Some(slot)) => slot,
            Err(error) => return failed(error.plugin_name(), error.clone()),
        };
        let parts = records.iter().map(|record| match field {
            Field::Key => record.key,
            Field::Value => record.value,
        });
        let rows: BytesColumn = parts.collect();
        let mut out = BytesColumn::default();
        let errors = self.run(topic, slot, |serializer| {
            serializer.deserialize(&rows, &mut out)
        });
        match errors {
            Err(error) => failed(slot.plugin.name(), error),
            Ok(errors) => DecodedColumn::Decoded {
                faults: too_deep(slot, &out)
                    .chain(
                        errors
                            .into_iter()
                            .map(|error| (error.row, fault(slot, error))),
                    )
                    .collect(),
                rows: out.rows().map(|row| row.map(<[u8]>::to_vec)).collect(),
            },
        }
    }

    /// The bytes of keys that are encoded MessagePack values; the first that is refused refuses all.
    pub(crate) fn serialize_keys(
        &self,
        topic: &HostedTopic,
        keys: &[Option<Bytes>],
    ) -> Result<Vec<Option<Bytes>>, SlotError> {
        let rows = keys
            .iter()
            .map(|key| key.as_deref().filter(|key| *key != [NIL]));
        let mut refused = Vec::new();
        let column = match topic.plugins.slot(PluginSlot::KeySerializer)? {
            None => take_bytes(rows, Field::Key, &mut refused),
            Some(slot) => {
                let rows: BytesColumn = rows.collect();
                let mut out = BytesColumn::default();
                let errors = self.run(topic, slot, |serializer| {
                    serializer.serialize(&rows, &mut out)
                })?;
                let plugin = slot.plugin.name();
                refused.extend(errors.into_iter().map(|error| RefusedRecord {
                    index: error.row,
                    field: Field::Key,
                    reason: error.message,
                    plugin: Some(plugin.to_owned()),
                }));
                out
            }
        };
        if let Some(first) = refused.into_iter().next() {
            return Err(SlotError::KeyRefused(first));
        }
        let rows = column.rows();
        Ok(rows.map(|row| row.map(Bytes::copy_from_slice)).collect())
    }

    fn run<R>(
        &self,
        topic: &HostedTopic,
        slot: &Arc<BoundSlot>,
        work: impl FnOnce(&mut Serializer) -> Result<R, PluginError>,
    ) -> Result<R, SlotError> {
        instances::with(|instances| {
            let serializer = instances.serializers.get(topic.id, slot, || {
                let name = topic.name.as_str();
                Serializer::new(&self.engine, &slot.plugin, name, &slot.options)
            })?;
            Ok(slot.pace.of(|| work(serializer))?)
        })
    }
}

/// Values that are nested too deep for an answer around them.
fn too_deep<'a>(
    slot: &'a BoundSlot,
    values: &'a BytesColumn,
) -> impl Iterator<Item = (u32, Fault)> + 'a {
    let rows = (0..).zip(values.rows());
    let deep = rows.filter(|(_, row)| row.is_some_and(|value| !WireField::fits(value)));
    deep.map(|(row, _)| {
        let reason = format!("the value is nested deeper than {DECODED_VALUE_DEPTH_MAX} levels");
        let fault = Fault {
            plugin: slot.plugin.name().to_owned(),
            reason,
            kind: FaultKind::TooDeep,
        };
        (row, fault)
    })
}

fn fault(slot: &BoundSlot, error: RowError) -> Fault {
    Fault {
        plugin: slot.plugin.name().to_owned(),
        reason: error.message,
        kind: FaultKind::Refused,
    }
}

/// The stored bytes of values that no serializer takes: they have to be bytes already.
fn take_bytes<'a>(
    rows: impl Iterator<Item = Option<&'a [u8]>>,
    field: Field,
    refused: &mut Vec<RefusedRecord>,
) -> BytesColumn {
    let mut column = BytesColumn::default();
    for (index, row) in (0..).zip(rows) {
        let bytes = row.map(bytes_in_value);
        if bytes == Some(None) {
            let name = field.name();
            refused.push(RefusedRecord {
                index,
                field,
                reason: format!(
                    "the topic has no {name}.serializer, so the {name} has to be bin, str or nil"
                ),
                plugin: None,
            });
        }
        column.push(bytes.flatten());
    }
    column
}
