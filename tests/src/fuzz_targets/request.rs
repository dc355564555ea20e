//! What a client sends: envelopes, and the arguments of every method. Whatever is accepted can be
//! written again and read back; whatever is refused gets an answer of bounded size.

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
use broker_protocol::{Envelope, Method, Request, WireError, error_frame};
use bytes::Bytes;

/// Largest answer to bad arguments, its frame included.
const REFUSAL_BYTES_MAX: usize = 17 * 1024;

/// Either a whole body, or (first byte) a method and then its arguments.
pub fn run(input: &[u8]) {
    let body = Bytes::copy_from_slice(input);
    match Envelope::parse(&body) {
        Ok(Envelope::Request { id, method, args }) => match Method::parse(method) {
            Ok(method) => arguments(method, &body.slice_ref(args)),
            Err(error) => refused(Some(id), &error),
        },
        Ok(Envelope::Notification { method, args }) => {
            if let Some(method) = Method::from_name(method) {
                arguments(method, &body.slice_ref(args));
            }
        }
        Ok(Envelope::Response { .. }) => {}
        Err(bad) => refused(bad.id, &bad.error),
    }
    if let Some(first) = body.first() {
        let method = usize::from(*first) % Method::ALL.len();
        if let Some(method) = Method::ALL.get(method) {
            arguments(*method, &body.slice(1..));
        }
    }
}

fn refused(id: Option<u64>, error: &WireError) {
    assert!(error_frame(id, error).len() < REFUSAL_BYTES_MAX);
}

fn arguments(method: Method, args: &Bytes) {
    macro_rules! by_method {
        ($($request:ty),* $(,)?) => {
            match method {
                $(method if method == <$request>::METHOD => read::<$request>(args),)*
                method => panic!("the target does not know {method}"),
            }
        };
    }
    by_method!(
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
        FetchRequest,
        HelloRequest,
        ListActorsRequest,
        ListOffsetsRequest,
        ListPluginsRequest,
        MetadataRequest,
        PartitionForRequest,
        PingRequest,
        PluginHistoryRequest,
        PluginLogsRequest,
        PluginModuleRequest,
        ProduceRequest,
        RemovePluginRequest,
        ResumePluginRequest,
        RollbackPluginRequest,
    );
}

fn read<R: Request>(args: &Bytes) {
    match R::decode(args) {
        Err(invalid) => refused(Some(1), &WireError::from(invalid)),
        Ok(request) => {
            let (mut once, mut twice) = (Vec::new(), Vec::new());
            request.encode(&mut once);
            let again = R::decode(&once.clone().into()).expect("what was written can be read");
            again.encode(&mut twice);
            assert_eq!(once, twice, "nothing was lost on the way");
        }
    }
}
