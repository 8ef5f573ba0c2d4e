//! What a step is told as: a line for people, an object for programs.

use crate::load::Measured;
use crate::procfs::Usage;
use serde::Serialize;

const MIB: f64 = 1024.0 * 1024.0;
const GIB: f64 = 1024.0 * MIB;

#[derive(Debug, Serialize)]
pub struct StepReport {
    pub name: &'static str,
    pub clients: usize,
    pub operations: u64,
    pub errors: u64,
    pub seconds: f64,
    pub per_second: f64,
    pub mib_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    /// Absent when no process ids were given.
    pub server: Option<ServerReport>,
    /// What the generator itself took from the same cores.
    pub generator_cpu_s: f64,
    pub first_error: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct ServerReport {
    pub cpu_s: f64,
    pub cpu_ms_per_operation: f64,
    /// Only where bodies are large enough to be what is paid for.
    pub cpu_s_per_gib: Option<f64>,
    pub peak_mib: f64,
    pub written_mib: f64,
}

#[derive(Debug, Serialize)]
pub struct IdleReport {
    pub waited_s: u64,
    pub measured_s: u64,
    pub resident_mib: f64,
    pub cpu_percent_of_a_core: f64,
    pub written_bytes: u64,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub keys_loaded: u64,
    pub endpoints: usize,
    pub steps: Vec<StepReport>,
    pub idle: Option<IdleReport>,
}

/// What the servers had spent before a step and after it.
pub struct Spent {
    pub before: Usage,
    pub after: Usage,
}

impl StepReport {
    pub fn new(
        name: &'static str,
        clients: usize,
        measured: &Measured,
        spent: Option<&Spent>,
        generator_cpu_s: f64,
    ) -> Self {
        let seconds = measured.elapsed.as_secs_f64().max(1e-9);
        let operations = measured.operations.max(1) as f64;
        let large = measured.bytes as f64 / operations >= MIB;
        let server = spent.map(|spent| {
            let cpu_s = spent.after.cpu_s - spent.before.cpu_s;
            ServerReport {
                cpu_s,
                cpu_ms_per_operation: cpu_s * 1e3 / operations,
                cpu_s_per_gib: large.then(|| cpu_s * GIB / measured.bytes as f64),
                peak_mib: spent.after.peak_bytes_max as f64 / MIB,
                written_mib: spent.after.written_bytes.saturating_sub(spent.before.written_bytes) as f64 / MIB,
            }
        });
        Self {
            name,
            clients,
            operations: measured.operations,
            errors: measured.errors,
            seconds,
            per_second: measured.operations as f64 / seconds,
            mib_per_second: measured.bytes as f64 / MIB / seconds,
            p50_ms: measured.latencies.quantile_ms(0.5),
            p99_ms: measured.latencies.quantile_ms(0.99),
            p999_ms: measured.latencies.quantile_ms(0.999),
            server,
            generator_cpu_s,
            first_error: measured.first_error.clone(),
        }
    }

    pub fn print(&self) {
        let server = self.server.as_ref().map_or_else(String::new, |server| {
            let per_gib = server
                .cpu_s_per_gib
                .map_or_else(|| "-".to_owned(), |s| format!("{s:.2} s/GiB"));
            format!(
                "  server cpu {:.3} ms/op {per_gib:>12}  peak {:.0} MiB  wrote {:.0} MiB",
                server.cpu_ms_per_operation, server.peak_mib, server.written_mib
            )
        });
        println!(
            "{:<12} {:>3} clients {:>9} ops {:>9.1}/s {:>8.1} MiB/s  p50 {:>8.2} p99 {:>8.2} p99.9 {:>8.2} ms  errors {}{server}",
            self.name,
            self.clients,
            self.operations,
            self.per_second,
            self.mib_per_second,
            self.p50_ms,
            self.p99_ms,
            self.p999_ms,
            self.errors,
        );
        if let Some(error) = &self.first_error {
            println!("             the first error: {error}");
        }
    }
}

impl IdleReport {
    pub fn new(waited_s: u64, measured_s: u64, before: &Usage, after: &Usage) -> Self {
        Self {
            waited_s,
            measured_s,
            resident_mib: after.resident_bytes_max as f64 / MIB,
            cpu_percent_of_a_core: (after.cpu_s - before.cpu_s) * 100.0 / measured_s.max(1) as f64,
            written_bytes: after.written_bytes.saturating_sub(before.written_bytes),
        }
    }

    pub fn print(&self) {
        println!(
            "idle         {} s later, over {} s: resident {:.1} MiB at most, {:.2} % of a core over all nodes, {} bytes written",
            self.waited_s, self.measured_s, self.resident_mib, self.cpu_percent_of_a_core, self.written_bytes
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histogram;
    use std::time::Duration;

    #[test]
    fn server_cpu_is_told_per_operation_and_for_large_bodies_per_gib() {
        let measured = |bytes: u64| Measured {
            operations: 512,
            bytes,
            errors: 0,
            first_error: None,
            elapsed: Duration::from_secs(2),
            latencies: Histogram::new(),
        };
        let after = Usage {
            cpu_s: 3.0,
            written_bytes: 1 << 20,
            resident_bytes_max: 0,
            peak_bytes_max: 1 << 20,
        };
        let spent = Spent {
            before: Usage {
                cpu_s: 1.0,
                ..Usage::default()
            },
            after,
        };
        let large = StepReport::new("x", 1, &measured(512 << 20), Some(&spent), 0.1)
            .server
            .unwrap();
        assert!((large.cpu_ms_per_operation - 2_000.0 / 512.0).abs() < 1e-9);
        assert!((large.cpu_s_per_gib.unwrap() - 4.0).abs() < 1e-9);
        assert!(
            StepReport::new("x", 1, &measured(512 << 10), Some(&spent), 0.1)
                .server
                .unwrap()
                .cpu_s_per_gib
                .is_none()
        );
        assert!((StepReport::new("x", 1, &measured(0), None, 0.1).per_second - 256.0).abs() < 1e-6);
    }
}
