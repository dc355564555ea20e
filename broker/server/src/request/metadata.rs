//! `metadata`: the brokers, and where the partitions of topics are. Of every topic once, however often it is asked
//! about.

use std::collections::HashSet;
use std::sync::Arc;

use broker_cluster::{NewTopic, Topic};
use broker_model::limits::TOPICS_PER_REQUEST_MAX;
use broker_model::{PartitionId, TopicName};
use broker_protocol::api::metadata::{
    BrokerEndpoint, MetadataRequest, MetadataResponse, PartitionMetadata, TopicMetadata,
};
use broker_protocol::{ErrorCode, WireError};

use tracing::debug;

use super::lookup;
use crate::context::Context;
use crate::controller::{Intent, Plan};

/// Answers from the published metadata.
pub(super) async fn handle(
    context: Arc<Context>,
    request: MetadataRequest,
) -> Result<MetadataResponse, WireError> {
    if let Some(names) = request
        .topics
        .as_ref()
        .filter(|names| context.config.auto_create_topics && names.len() <= TOPICS_PER_REQUEST_MAX)
    {
        create_missing(&context, names).await;
    }
    let metadata = context.metadata.load();
    let topics = match request.topics {
        None => metadata
            .topics()
            .map(|topic| describe(&context, topic))
            .collect(),
        Some(names) if names.len() > TOPICS_PER_REQUEST_MAX => {
            let message = format!(
                "a metadata request names at most {TOPICS_PER_REQUEST_MAX} topics, not {}",
                names.len()
            );
            return Err(WireError::new(ErrorCode::InvalidRequest, message));
        }
        Some(names) => once_each(names)
            .map(|name| match metadata.topic(&name) {
                Some(topic) => describe(&context, topic),
                None => missing(name),
            })
            .collect(),
    };
    Ok(MetadataResponse {
        cluster_id: context.cluster_id.to_string(),
        controller_id: Some(context.broker_id),
        brokers: endpoints(&context),
        topics,
    })
}

/// `auto.create.topics.enable`: a topic that a client asks about is created with the defaults. One that
/// cannot be is answered like any other that does not exist.
async fn create_missing(context: &Context, names: &[String]) {
    for name in names {
        if context.metadata.load().topic(name).is_none() {
            let new = NewTopic {
                name: name.clone(),
                ..NewTopic::default()
            };
            let share = context.controller.on_demand();
            if let Err(error) = context
                .controller
                .propose(Plan::CreateTopic(new), Intent::CarryOut, share)
                .await
            {
                debug!(name, ?error, "a topic was not created on demand");
            }
        }
    }
}

/// Each name where it stands first: an answer grows with what it is about, not with how often that is named.
fn once_each(names: Vec<String>) -> impl Iterator<Item = String> {
    let mut seen = HashSet::new();
    names
        .into_iter()
        .filter(move |name| seen.insert(name.clone()))
}

/// Every broker with where it can be reached.
pub(super) fn endpoints(context: &Context) -> Vec<BrokerEndpoint> {
    let metadata = context.metadata.load();
    let brokers = metadata.brokers().iter();
    brokers
        .filter_map(|(id, registration)| {
            // Of this one the address is known, also when there was no room to enter it.
            let address = match *id == context.broker_id {
                true => &context.advertised,
                false => &registration.address,
            };
            let (host, port) = address.rsplit_once(':')?;
            let host = host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned();
            Some(BrokerEndpoint {
                broker_id: *id,
                host,
                port: port.parse().ok()?,
            })
        })
        .collect()
}

fn describe(context: &Context, topic: &Topic) -> TopicMetadata {
    let hosted = context.topics.get(topic.name.as_str());
    let partitions = topic
        .numbered()
        .map(|(partition, state)| PartitionMetadata {
            partition,
            leader: state.leader,
            leader_epoch: state.leader_epoch,
            replicas: state.replicas.clone(),
            isr: state.isr.clone(),
            error: hosted
                .as_ref()
                .and_then(|hosted| problem(hosted, partition)),
        });
    TopicMetadata {
        name: topic.name.to_string(),
        topic_id: Some(topic.id),
        internal: topic.name.is_reserved(),
        error: None,
        partitions: partitions.collect(),
    }
}

fn problem(hosted: &crate::topics::HostedTopic, partition: PartitionId) -> Option<WireError> {
    lookup::partition(hosted, partition).err()
}

fn missing(name: String) -> TopicMetadata {
    let error = match TopicName::new(&name) {
        Ok(_) => lookup::unknown_topic(&name),
        Err(invalid) => WireError::new(ErrorCode::InvalidTopic, invalid.to_string()),
    };
    TopicMetadata {
        name,
        topic_id: None,
        internal: false,
        error: Some(error),
        partitions: Vec::new(),
    }
}
