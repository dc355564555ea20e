//! `broker ping`: whether a broker answers, and how quickly.

use std::time::{Duration, Instant};

use broker_client::protocol::api::ping::PingRequest;
use broker_client::{Bootstrap, ClientError, Connection, ConnectionOptions};
use clap::Args;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::duration;
use crate::runtime::block_on;
use crate::session::Session;

/// Ask each broker of --server whether it is there, and measure the round trip
///
/// Ends with an error as soon as one of them does not answer, so it serves as a health check. With
/// --wait it serves in scripts, between a broker's start and the first command that needs it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker ping
  broker ping --wait --timeout 1min
  broker ping --server 10.0.0.5:7420,10.0.0.6:7420 --timeout 1s
  broker ping --count 1000 --json")]
pub(crate) struct PingArgs {
    /// How many round trips to each broker
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,

    /// Wait for a broker that is not there yet, for as long as --timeout says
    #[arg(short, long)]
    wait: bool,
}

/// How long --wait waits before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

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
                let connection = self.connect(address, &options.connection).await?;
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

    /// A connection to the broker; with --wait also to one that comes within the time.
    async fn connect(
        &self,
        address: &str,
        options: &ConnectionOptions,
    ) -> Result<Connection, ClientError> {
        let give_up_at = Instant::now() + options.request_timeout;
        loop {
            let left = give_up_at.saturating_duration_since(Instant::now());
            let mut options = options.clone();
            if self.wait {
                options.connect_timeout = options.connect_timeout.min(left.max(LOOK_AGAIN));
            }
            match Connection::connect(address, options).await {
                Err(error) if self.wait && may_come(&error) && Instant::now() < give_up_at => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                connected => return connected,
            }
        }
    }
}

/// Whether the broker may answer after a while: it is not there yet, or has no place just now.
fn may_come(error: &ClientError) -> bool {
    matches!(error, ClientError::Connect { .. }) || error.is_retriable()
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}
