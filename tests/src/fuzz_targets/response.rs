//! What a broker sends, as a client reads it: answers, and the results of every method. Whatever is
//! accepted can be written again and read back.

use broker_protocol::api::fetch::{FetchResponse, FetchedData, FetchedRecords};
use broker_protocol::api::{
    alter_topic::AlterTopicRequest, crash_actor::CrashActorRequest,
    create_partitions::CreatePartitionsRequest, create_topic::CreateTopicRequest,
    delete_records::DeleteRecordsRequest, delete_topic::DeleteTopicRequest,
    deploy_plugin::DeployPluginRequest, describe_cluster::DescribeClusterRequest,
    describe_configs::DescribeConfigsRequest, describe_topic::DescribeTopicRequest,
    dry_run_plugin::DryRunPluginRequest, dry_run_status::DryRunStatusRequest, fetch::FetchRequest,
    hello::HelloRequest, list_actors::ListActorsRequest, list_offsets::ListOffsetsRequest,
    list_plugins::ListPluginsRequest, metadata::MetadataRequest,
    partition_for::PartitionForRequest, ping::PingRequest, plugin_history::PluginHistoryRequest,
    plugin_logs::PluginLogsRequest, plugin_module::PluginModuleRequest, produce::ProduceRequest,
    remove_plugin::RemovePluginRequest, resume_plugin::ResumePluginRequest,
    rollback_plugin::RollbackPluginRequest,
};
use broker_protocol::{Answer, Request, Response};
use broker_record::Batches;
use bytes::Bytes;

/// The first byte chooses the method whose answer the rest is, as a whole or as the result alone.
pub fn run(input: &[u8]) {
    let Some((which, rest)) = input.split_first() else {
        return;
    };
    let rest = Bytes::copy_from_slice(rest);
    let result = match Answer::parse(&rest) {
        Ok(answer) => match answer.outcome {
            Ok(result) => result,
            Err(error) => return drop(error.to_string()),
        },
        Err(bad) => {
            let _ = bad.to_string();
            rest
        }
    };
    result_of(*which, &result);
}

fn result_of(which: u8, result: &Bytes) {
    macro_rules! nth {
        ($($request:ty),* $(,)?) => {{
            let readers: &[fn(&Bytes)] = &[$(read::<<$request as Request>::Response>),*];
            if let Some(reader) = readers.get(usize::from(which) % readers.len()) {
                reader(result);
            }
        }};
    }
    nth!(
        FetchRequest,
        ProduceRequest,
        HelloRequest,
        MetadataRequest,
        AlterTopicRequest,
        CrashActorRequest,
        CreatePartitionsRequest,
        CreateTopicRequest,
        DeleteRecordsRequest,
        DeleteTopicRequest,
        DeployPluginRequest,
        DescribeClusterRequest,
        DescribeConfigsRequest,
        DescribeTopicRequest,
        DryRunPluginRequest,
        DryRunStatusRequest,
        ListActorsRequest,
        ListOffsetsRequest,
        ListPluginsRequest,
        PartitionForRequest,
        PingRequest,
        PluginHistoryRequest,
        PluginLogsRequest,
        PluginModuleRequest,
        RemovePluginRequest,
        ResumePluginRequest,
        RollbackPluginRequest,
    );
    if let Ok(fetched) = FetchResponse::decode(result) {
        records_of(fetched);
    }
}

fn read<R: Response>(result: &Bytes) {
    match R::decode(result) {
        Err(invalid) => drop(invalid.to_string()),
        Ok(response) => {
            let (mut once, mut twice) = (Vec::new(), Vec::new());
            response.encode(&mut once);
            let again = R::decode(&once.clone().into()).expect("what was written can be read");
            again.encode(&mut twice);
            assert_eq!(once, twice, "nothing was lost on the way");
        }
    }
}

fn records_of(fetched: FetchResponse) {
    for partition in fetched.partitions {
        match partition.data {
            FetchedData::Batch(run) => {
                for batch in Batches::new(run).flatten() {
                    if let Ok(records) = batch.records() {
                        records.iter().for_each(drop);
                    }
                }
            }
            FetchedData::Records(records) => decoded(&records),
        }
    }
}

fn decoded(records: &FetchedRecords) {
    for record in records.iter().flatten() {
        record.headers().for_each(drop);
    }
    for record in records.iter_decoded().flatten() {
        record.headers().for_each(drop);
    }
}
