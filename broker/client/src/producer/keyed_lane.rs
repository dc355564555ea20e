//! The lane of a topic whose records are compressed: a compressed batch has one partition, so the
//! broker's partitioner is asked first where the keys go, one question for a batch, and the records
//! move on to the lanes of their partitions, in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_model::PartitionId;
use broker_protocol::api::partition_for::PartitionForRequest;
use tokio::time::Instant;

use super::attempts::Attempts;
use super::batch::{Batch, Gathered, KeptRecord};
use super::delivery::{Delivery, Outcome};
use super::lane::Lane;
use super::lanes::Lanes;
use crate::cluster::Retries;
use crate::error::ClientError;

/// Moves the lane's records on until it is closed and empty.
pub(super) async fn run(lane: Arc<Lane>, lanes: Arc<Lanes>) {
    while let Some(batch) = lane.next_batch().await {
        let Batch {
            gathered,
            opened_at,
            sender,
            cost,
            ..
        } = batch;
        let Gathered::Records(records) = gathered else {
            let error = ClientError::invalid("records that wait for a partition are kept");
            lane.resolve(sender, Outcome::Failed(error), cost);
            continue;
        };
        match partitions_of(&lane, &records, opened_at).await {
            Ok(partitions) => {
                let deliveries = move_on(&lanes, &lane, (records, partitions), opened_at);
                // The room in the buffer went along with the records.
                lane.resolve(sender, Outcome::Moved(deliveries), 0);
            }
            Err(error) => lane.resolve(sender, Outcome::Failed(error), cost),
        }
    }
}

/// Asks the topic's partitioner, again as long as that can help.
async fn partitions_of(
    lane: &Lane,
    records: &[KeptRecord],
    opened_at: Instant,
) -> Result<Vec<PartitionId>, ClientError> {
    let context = lane.context();
    let mut attempts = Attempts::new(opened_at, context.options.delivery_timeout);
    let mut backoff = context.backoff();
    let request = PartitionForRequest {
        topic: lane.target.topic.to_string(),
        topic_id: None,
        encode: false,
        keys: records.iter().map(|kept| kept.record.key.clone()).collect(),
    };
    loop {
        let error = match ask(lane, &request).await {
            Ok(partitions) => return Ok(partitions),
            Err(error) => error,
        };
        let topic = lane.target.topic.as_str();
        context.client.note_topic_failure(topic, None, &error);
        // Nothing is written by asking, so every outcome is as good as definite.
        let mut options = context.options.clone();
        options.retries = Retries::AtLeastOnce;
        let error = attempts.after(error, &lane.target, &options)?;
        let waiting = attempts.waiting();
        context.notice.sending_again(&lane.target, waiting, &error);
        backoff.wait().await;
    }
}

async fn ask(lane: &Lane, request: &PartitionForRequest) -> Result<Vec<PartitionId>, ClientError> {
    let client = &lane.context().client;
    client.topic(lane.target.topic.as_str()).await?;
    let connection = client.any_broker().await?;
    let partitions = connection.request(request).await?.partitions;
    if partitions.len() == request.keys.len() {
        return Ok(partitions);
    }
    Err(ClientError::Malformed {
        call: connection.call("partition_for"),
        reason: format!(
            "{} keys, {} partitions",
            request.keys.len(),
            partitions.len()
        )
        .into(),
    })
}

/// Puts each record into the lane of its partition; answers their deliveries in the old order.
fn move_on(
    lanes: &Arc<Lanes>,
    from: &Lane,
    (records, partitions): (Vec<KeptRecord>, Vec<PartitionId>),
    opened_at: Instant,
) -> Vec<Delivery> {
    let mut groups: BTreeMap<PartitionId, Vec<(usize, KeptRecord)>> = BTreeMap::new();
    let count = records.len();
    for (index, (kept, partition)) in records.into_iter().zip(partitions).enumerate() {
        groups.entry(partition).or_default().push((index, kept));
    }
    let mut deliveries: Vec<Option<Delivery>> = vec![None; count];
    for (partition, group) in groups {
        let (indexes, records): (Vec<usize>, Vec<KeptRecord>) = group.into_iter().unzip();
        let moved = lanes.move_to(&from.target.topic, partition, (records, opened_at));
        for (index, delivery) in indexes.into_iter().zip(moved) {
            if let Some(slot) = deliveries.get_mut(index) {
                *slot = Some(delivery);
            }
        }
    }
    deliveries.into_iter().flatten().collect()
}
