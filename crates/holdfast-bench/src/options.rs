//! What is asked of one run, with defaults that make the published table.

use clap::Parser;
use std::path::PathBuf;

#[derive(Debug, Clone, Parser)]
#[command(
    name = "holdfast-bench",
    about = "Measures an S3 endpoint: rates, latencies, and what the servers spent"
)]
pub struct Options {
    /// An endpoint such as http://127.0.0.1:9000; several are used in turn by the clients.
    #[arg(long = "endpoint", required = true, value_name = "URL")]
    pub endpoints: Vec<String>,
    #[arg(long, env = "AWS_ACCESS_KEY_ID", hide_env_values = true)]
    pub access_key: String,
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true)]
    pub secret_key: String,
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
    pub region: String,
    /// The servers' process ids, whose CPU, memory and disk writes are to be told.
    #[arg(long, value_delimiter = ',')]
    pub pids: Vec<u32>,
    #[arg(long, default_value = "holdfast-bench")]
    pub bucket: String,
    /// Objects of 4 KiB that are there before anything is measured.
    #[arg(long, default_value_t = 1_000_000)]
    pub keys: u64,
    /// How long each step goes on.
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// No step with large bodies writes more than this.
    #[arg(long, default_value_t = 2_048)]
    pub large_mib_max: u64,
    /// Seconds to wait after the load before the idle servers are measured for a minute; 0 leaves that out.
    #[arg(long, default_value_t = 60)]
    pub idle_after: u64,
    /// Few keys, few seconds: shows that everything works, measures nothing worth telling.
    #[arg(long)]
    pub quick: bool,
    /// Only these steps, by name; loading the keys beforehand is one of them, `load`.
    #[arg(long = "step", value_name = "NAME")]
    pub steps: Vec<String>,
    /// Writes the results for programs.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl Options {
    /// Fills in what `--quick` means.
    pub fn settled(mut self) -> Self {
        if self.quick {
            self.keys = self.keys.min(2_000);
            self.seconds = self.seconds.min(3);
            self.large_mib_max = self.large_mib_max.min(256);
            self.idle_after = self.idle_after.min(5);
        }
        self
    }

    pub fn wants(&self, step: &str) -> bool {
        self.steps.is_empty() || self.steps.iter().any(|name| name == step)
    }
}
