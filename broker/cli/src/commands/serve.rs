//! `broker serve`: puts the layers of the configuration together, sets up the log, and hands over
//! to the server.

use std::path::PathBuf;

use broker_server::config::{
    BrokerConfig, ConfigError, ConfigFile, ConfigLayers, LoggingFormat, names, parse_assignment,
    process_environment,
};
use broker_server::{Server, StartError};
use clap::Args;
use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::exit_status::ExitStatus;
use crate::failure::Failure;
use crate::output::{JsonLog, LogWriter, Shape};
use crate::session::Session;

/// Run a broker in the foreground
///
/// Reads the configuration file, then the environment (BROKER__LOG__DIR is log.dir), then these
/// options; each wins over the one before. SIGTERM, Ctrl-C and SIGHUP (unless it is ignored, as under
/// nohup) stop it in good order, a second SIGTERM or Ctrl-C at once, with exit code 143 or 130. The
/// log goes to standard error; when connections are accepted there is one line `listening on
/// HOST:PORT` per listener on standard output.
///
/// Defaults: 127.0.0.1:7420, data in ./broker-data, the plugins that come with the broker.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker serve
  broker serve --data-dir /var/lib/broker --listen 0.0.0.0:7420 -o advertised.listeners=my-host:7420
  broker serve --plugins plugins.toml -o log.retention.ms=3d -o num.partitions=4
  broker serve --config /etc/broker.toml --check")]
pub(crate) struct ServeArgs {
    /// The configuration file [default: ./broker.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Addresses to listen on; port 0 takes a free one (sets listeners)
    #[arg(long, value_name = "HOST:PORT,…")]
    listen: Option<String>,

    /// The directory that holds all data, made when it is missing (sets log.dir)
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,

    /// The plugin manifest (sets plugin.manifest)
    #[arg(long, value_name = "FILE")]
    plugins: Option<String>,

    /// The number of this broker in the cluster (sets broker.id)
    #[arg(long, value_name = "ID")]
    broker_id: Option<u32>,

    /// Any configuration key; may be repeated (see `broker config list`)
    #[arg(short = 'o', long = "option", value_name = "KEY=VALUE", value_parser = option)]
    options: Vec<(String, String)>,

    /// Check the configuration, the plugins of the manifest, the directories and the addresses, and exit
    #[arg(long)]
    check: bool,
}

fn option(text: &str) -> Result<(String, String), String> {
    parse_assignment(text).map_err(|error| error.to_string())
}

impl ServeArgs {
    pub(crate) fn run(self, session: &Session) -> Result<(), Failure> {
        let check = self.check;
        let config = BrokerConfig::load(&self.into_layers()).map_err(config_failure)?;
        if check {
            broker_server::check_plugins(&config).map_err(start_failure)?;
            let of_machine = broker_server::check_machine(&config).map_err(start_failure)?;
            for doubt in config.doubts().into_iter().chain(of_machine) {
                session.output.warn(doubt);
            }
            let ok = json!({ "ok": true, "listeners": config.listeners });
            return session
                .output
                .show(&ok, |_| "the configuration is fine".to_owned());
        }
        start_log(&config, session);
        let output = session.output;
        let announce = |server: &Server| {
            for address in server.addresses() {
                let line =
                    json!({ "listening": address, "cluster_id": server.cluster_id().to_string() });
                // Whoever started the broker may not care to read; the log says it too.
                let _ = output.show(&line, |_| format!("listening on {address}"));
            }
        };
        broker_server::run(config, announce).map_err(start_failure)
    }

    fn into_layers(self) -> ConfigLayers {
        let file = match self.config {
            Some(path) => ConfigFile::Required(path),
            None => ConfigFile::IfPresent(PathBuf::from("broker.toml")),
        };
        let named = [
            (names::LISTENERS, self.listen),
            (names::LOG_DIR, self.data_dir),
            (names::PLUGIN_MANIFEST, self.plugins),
            (names::BROKER_ID, self.broker_id.map(|id| id.to_string())),
        ];
        let named = named
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)));
        ConfigLayers {
            file,
            environment: process_environment(),
            command_line: self.options.into_iter().chain(named).collect(),
        }
    }
}

/// A wrong configuration: all problems at once.
pub(crate) fn config_failure(error: ConfigError) -> Failure {
    Failure::new(ExitStatus::InvalidConfig, error.to_string())
        .with_hint("`broker config explain KEY` has the meaning and range of a key")
}

fn start_failure(error: StartError) -> Failure {
    Failure::failed(error.to_string()).after("the broker does not start")
}

fn start_log(config: &BrokerConfig, session: &Session) {
    let level = match session.verbosity {
        ..0 => "warn",
        0 => config.logging_level.as_str(),
        1 => "debug",
        _ => "trace",
    };
    // The libraries below, the plugin compiler above all, say a lot at debug: only their warnings count.
    let ours = format!("warn,broker={level}");
    let filter = EnvFilter::try_from_env("BROKER_LOG").unwrap_or_else(|_| EnvFilter::new(ours));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // A log that cannot be written, on a full disk, is lost; to say so would panic.
        .log_internal_errors(false)
        .with_writer(LogWriter::default());
    // Fails only when there is a subscriber already, which then does the job.
    let _ = match (config.logging_format, session.output.shape) {
        (LoggingFormat::Json, _) => log.json().try_init(),
        (LoggingFormat::Text, Shape::Json) => log.event_format(JsonLog::with_time()).try_init(),
        (LoggingFormat::Text, Shape::Text) => {
            use std::io::IsTerminal;
            log.with_ansi(std::io::stderr().is_terminal()).try_init()
        }
    };
}
