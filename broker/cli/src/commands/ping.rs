//! `broker ping`: whether a broker answers, and how quickly.

use std::time::{Duration, Instant};

use broker_client::protocol::api::ping::PingRequest;
use broker_client::{Bootstrap, Connection};
use clap::Args;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::duration;
use crate::runtime::block_on;
use crate::session::Session;

/// Ask each broker of --server whether it is there, and measure the round trip
///
/// Ends with an error as soon as one of them does not answer, so it serves as a health check.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker ping
  broker ping --server 10.0.0.5:7420,10.0.0.6:7420 --timeout 1s
  broker ping --count 1000 --json")]
pub(crate) struct PingArgs {
    /// How many round trips to each broker
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
}

#[derive(Serialize)]
struct Pong {
    address: String,
    broker_id: u32,
    cluster_id: String,
    version: String,
    protocol: u32,
    round_trips: u32,
    round_trip_min_us: f64,
    round_trip_median_us: f64,
}

impl PingArgs {
    pub(crate) fn run(self, session: &Session) -> Result<(), Failure> {
        let options = session.client_options()?;
        let bootstrap: &Bootstrap = &options.bootstrap;
        block_on(async {
            for address in bootstrap.addresses() {
                let connection = Connection::connect(address, options.connection.clone()).await?;
                let mut times = Vec::new();
                for _ in 0..self.count {
                    let sent = Instant::now();
                    connection.request(&PingRequest {}).await?;
                    times.push(sent.elapsed());
                }
                times.sort();
                let (Some(least), Some(median)) = (times.first(), times.get(times.len() / 2))
                else {
                    continue;
                };
                let hello = connection.hello();
                let pong = Pong {
                    address: address.clone(),
                    broker_id: hello.broker_id.get(),
                    cluster_id: hello.cluster_id.clone(),
                    version: hello.broker_version.clone(),
                    protocol: hello.protocol,
                    round_trips: self.count,
                    round_trip_min_us: micros(*least),
                    round_trip_median_us: micros(*median),
                };
                session.output.show(&pong, |pong| {
                    format!(
                        "{}: broker {} version {}, cluster {}, round trip {} (least {})",
                        pong.address,
                        pong.broker_id,
                        pong.version,
                        pong.cluster_id,
                        duration(*median),
                        duration(*least)
                    )
                })?;
            }
            Ok(())
        })
    }
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}
