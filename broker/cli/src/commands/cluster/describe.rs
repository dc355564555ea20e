//! `broker cluster describe`.

use std::fmt::Write;
use std::time::Duration;

use broker_client::protocol::api::describe_cluster::DescribeClusterResponse;
use clap::Args;

use crate::failure::Failure;
use crate::output::{Align, Table, attention, bytes, duration, number};
use crate::session::Session;

/// Describe the cluster: what needs attention, brokers, controller, log directories
///
/// What needs attention comes first: directories that are full, failed or slow, partitions that are
/// offline or damaged, records that were lost, plugins that are suspended or missing while topics need
/// them, a clock in doubt.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker cluster describe
  broker cluster describe --json --server 10.0.0.5:7420")]
pub(super) struct DescribeArgs {}

impl DescribeArgs {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.connect().await?;
        let cluster = client.admin().describe_cluster().await?;
        session.output.show(&cluster, text)
    }
}

fn text(cluster: &DescribeClusterResponse) -> String {
    let controller = cluster
        .controller_id
        .map_or_else(|| "none".to_owned(), |id| id.to_string());
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "cluster {}   controller {controller}   {} topic(s), {} partition(s)\n",
        cluster.cluster_id,
        number(cluster.topics),
        number(cluster.partitions)
    );
    let _ = writeln!(text, "{}", attention(&cluster.warnings));
    let mut brokers = Table::new(&[
        ("BROKER", Align::Right),
        ("ADDRESS", Align::Left),
        ("VERSION", Align::Left),
        ("UPTIME", Align::Right),
        ("PARTITIONS", Align::Right),
        ("LEADS", Align::Right),
        ("CONNECTIONS", Align::Right),
    ]);
    let mut dirs = Table::new(&[
        ("BROKER", Align::Right),
        ("LOG DIRECTORY", Align::Left),
        ("STATE", Align::Left),
        ("USED", Align::Right),
        ("FREE", Align::Right),
        ("OF", Align::Right),
        ("KEPT FREE", Align::Right),
    ]);
    for broker in &cluster.brokers {
        brokers.row([
            broker.broker_id.to_string(),
            format!("{}:{}", broker.host, broker.port),
            broker.version.clone(),
            duration(Duration::from_millis(broker.uptime_ms)),
            number(broker.partitions),
            number(broker.leaders),
            number(broker.connections),
        ]);
        for dir in &broker.log_dirs {
            dirs.row([
                broker.broker_id.to_string(),
                dir.path.clone(),
                dir.state.clone(),
                bytes(dir.used_bytes),
                bytes(dir.free_bytes),
                bytes(dir.total_bytes),
                bytes(dir.min_free_bytes),
            ]);
        }
    }
    let _ = write!(text, "{brokers}\n{dirs}");
    text
}
