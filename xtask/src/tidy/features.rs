//! What cargo really links, which no manifest shows: the simulator without an async runtime, the product without
//! the planted faults.

use super::Finding;
use crate::process;
use crate::step::Outcome;

/// The simulator is one thread over pure code. A runtime in its tree would mean that the core has grown one.
const FORBIDDEN_IN_SIM: &[&str] = &["tokio", "hyper", "rustls", "async-std", "smol", "mio"];

pub fn check() -> Outcome<Vec<Finding>> {
    let tree_of = |arguments: &[&str]| {
        process::output(
            process::cargo()
                .args(["tree", "--locked", "--prefix", "none"])
                .args(arguments),
        )
    };
    let sim = tree_of(&["-p", "holdfast-sim", "-e", "normal"])?;
    let product = tree_of(&["-p", "holdfast", "-e", "normal,features"])?;
    let mut findings = runtimes_in_the_simulator(&sim);
    findings.extend(planted_faults_in_the_product(&product));
    Ok(findings)
}

fn runtimes_in_the_simulator(tree: &str) -> Vec<Finding> {
    let crates = tree.lines().filter_map(|line| line.split_whitespace().next());
    let mut found: Vec<&str> = crates.filter(|name| FORBIDDEN_IN_SIM.contains(name)).collect();
    found.dedup();
    found
        .into_iter()
        .map(|name| {
            Finding::new(
                "crates/holdfast-sim/Cargo.toml",
                0,
                format!("its tree contains `{name}`: see `cargo tree -p holdfast-sim -i {name}`"),
            )
        })
        .collect()
}

fn planted_faults_in_the_product(tree: &str) -> Vec<Finding> {
    let planted = tree
        .lines()
        .any(|line| line.contains("holdfast-core feature \"planted\""));
    let what = "the product would be built with planted faults: only holdfast-sim may enable that feature";
    if planted {
        vec![Finding::new("crates/holdfast/Cargo.toml", 0, what)]
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_in_the_simulator_is_found() {
        assert_eq!(
            runtimes_in_the_simulator("holdfast-sim v0.1.0 (/x)\nbytes v1.12.0\ntokio-util v0.7\n"),
            []
        );
        assert_eq!(
            runtimes_in_the_simulator("holdfast-sim v0.1.0 (/x)\ntokio v1.54.1\nmio v1.0\n").len(),
            2
        );
    }

    #[test]
    fn planted_faults_in_the_product_are_found() {
        let clean = "holdfast v0.1.0 (/x)\nholdfast-core feature \"default\"\n";
        assert_eq!(planted_faults_in_the_product(clean), []);
        let planted = "holdfast v0.1.0 (/x)\nholdfast-core feature \"planted\"\n";
        assert_eq!(planted_faults_in_the_product(planted).len(), 1);
    }
}
