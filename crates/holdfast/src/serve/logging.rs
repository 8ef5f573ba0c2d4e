//! Log lines: to standard error, for people or one JSON object each.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use crate::config::{Config, LogFormat};
use crate::failure::Failure;

/// Starts logging as configured.
pub fn start(config: &Config) -> Result<(), Failure> {
    let filter = filter(&config.log)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_timer(SystemTime)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match config.log_format {
        LogFormat::Plain => lines.try_init(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .try_init(),
    };
    started.map_err(|error| Failure::new(format!("logging could not be started: {error}"), "report this"))?;
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::force_capture();
        tracing::error!(%backtrace, "a bug: {panic}");
    }));
    Ok(())
}

/// The engine below the store tells of every table it writes.
const STORE_DIRECTIVES: &str = "fjall=warn,lsm_tree=warn";

/// The user's directives first; those of the libraries stand where the user says nothing of them.
fn filter(written: &str) -> Result<EnvFilter, Failure> {
    let directives = format!("{STORE_DIRECTIVES},{},{written}", holdfast_api::serve::LOG_DIRECTIVES);
    EnvFilter::try_new(directives).map_err(|error| {
        Failure::usage(
            format!("`{written}` is not a log filter: {error}"),
            "write for example info, warn or info,holdfast_node=debug",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_or_refused() {
        assert!(filter("info").is_ok());
        assert!(filter("warn,holdfast_node=debug").is_ok());
        assert!(filter("holdfast=loud").is_err());
    }
}
