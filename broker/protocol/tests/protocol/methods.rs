//! Every method's decoders under one roof, by `Method`. The matches have no wildcard that succeeds,
//! so a method that is added without being added here fails the tests.

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
use broker_protocol::{InvalidValue, Method, Request, Response};
use bytes::Bytes;

/// What can be done with the bytes of a method without knowing its types.
#[derive(Clone, Copy)]
pub(crate) struct Codec {
    /// Decodes arguments and encodes them again.
    pub(crate) request: fn(&Bytes) -> Result<Vec<u8>, InvalidValue>,
    /// Decodes a result and encodes it again.
    pub(crate) response: fn(&Bytes) -> Result<Vec<u8>, InvalidValue>,
}

impl Codec {
    /// The codec of these arguments.
    pub(crate) fn of<R: Request>() -> Self {
        Self {
            request: |args| {
                let mut out = Vec::new();
                R::decode(args)?.encode(&mut out);
                Ok(out)
            },
            response: |result| {
                let mut out = Vec::new();
                R::Response::decode(result)?.encode(&mut out);
                Ok(out)
            },
        }
    }
}

/// The codec of a method.
pub(crate) fn codec(method: Method) -> Codec {
    match method {
        Method::Hello => Codec::of::<HelloRequest>(),
        Method::Ping => Codec::of::<PingRequest>(),
        Method::Metadata => Codec::of::<MetadataRequest>(),
        Method::CreateTopic => Codec::of::<CreateTopicRequest>(),
        Method::DeleteTopic => Codec::of::<DeleteTopicRequest>(),
        Method::AlterTopic => Codec::of::<AlterTopicRequest>(),
        Method::CreatePartitions => Codec::of::<CreatePartitionsRequest>(),
        Method::DescribeTopic => Codec::of::<DescribeTopicRequest>(),
        Method::DescribeConfigs => Codec::of::<DescribeConfigsRequest>(),
        Method::Produce => Codec::of::<ProduceRequest>(),
        Method::Fetch => Codec::of::<FetchRequest>(),
        Method::ListOffsets => Codec::of::<ListOffsetsRequest>(),
        Method::DeleteRecords => Codec::of::<DeleteRecordsRequest>(),
        Method::PartitionFor => Codec::of::<PartitionForRequest>(),
        Method::ListPlugins => Codec::of::<ListPluginsRequest>(),
        Method::DeployPlugin => Codec::of::<DeployPluginRequest>(),
        Method::RollbackPlugin => Codec::of::<RollbackPluginRequest>(),
        Method::RemovePlugin => Codec::of::<RemovePluginRequest>(),
        Method::ResumePlugin => Codec::of::<ResumePluginRequest>(),
        Method::PluginHistory => Codec::of::<PluginHistoryRequest>(),
        Method::PluginModule => Codec::of::<PluginModuleRequest>(),
        Method::PluginLogs => Codec::of::<PluginLogsRequest>(),
        Method::DryRunPlugin => Codec::of::<DryRunPluginRequest>(),
        Method::DryRunStatus => Codec::of::<DryRunStatusRequest>(),
        Method::DescribeCluster => Codec::of::<DescribeClusterRequest>(),
        Method::ListActors => Codec::of::<ListActorsRequest>(),
        Method::CrashActor => Codec::of::<CrashActorRequest>(),
        other => panic!("{other} is missing in tests/protocol/methods.rs"),
    }
}
