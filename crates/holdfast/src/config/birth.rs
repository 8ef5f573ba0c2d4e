//! How a node with an empty data directory comes to its cluster, out of what the settings say (rule L7).
//!
//! `--found` and `--join` say it for each node. `--cluster-of` is for clusters whose nodes all start with the same words, out of
//! one image: the first of `--join` founds, and a node recognises itself in it by its own advertised address. That is compared
//! as text and not resolved: two nodes that both took an address for their own would found two clusters.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use holdfast_node::founding::{Seeds, same_address};

use crate::config::Settings;
use crate::config::resolve::NODE_PORT;
use crate::failure::Failure;

/// How a node with an empty data directory comes to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Birth {
    /// It founds one of itself alone.
    Alone,
    /// It waits until so many nodes, itself included, have registered, and founds with them.
    Found {
        /// Members of the founding, this one included.
        members: u32,
        /// Where its token goes, beside the data directory.
        token_file: Option<PathBuf>,
        /// The secret that all nodes were given.
        secret_file: Option<PathBuf>,
    },
    /// It registers with the founder.
    Join {
        /// Where that may be.
        seeds: Seeds,
        /// By what it is let in.
        pass: Pass,
    },
}

/// By what a founder lets a node in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pass {
    /// The token that the founder made.
    Token(String),
    /// The file that will hold it.
    TokenFile(PathBuf),
    /// The file with the secret that all nodes were given.
    SecretFile(PathBuf),
}

const MAKE_SECRET: &str = "make a secret with `openssl rand -hex 32`, put it into a file on every node, and give that with \
                           --cluster-secret-file";

/// Decides it.
pub fn birth(settings: &Settings, own_address: &str) -> Result<Birth, Failure> {
    let found = |members| Birth::Found {
        members,
        token_file: settings.token_file.clone(),
        secret_file: settings.cluster_secret_file.clone(),
    };
    match (settings.found, settings.cluster_of, &settings.join, &settings.token) {
        (Some(0), ..) | (_, Some(0), ..) => Err(Failure::usage(
            "a cluster of no nodes cannot be founded",
            "give --found or --cluster-of 1 or more",
        )),
        (Some(_), Some(_), ..) => Err(Failure::usage(
            "--found and --cluster-of both say how the cluster is founded",
            "give --cluster-of N to all nodes, or --found N to one and --join to the others",
        )),
        (Some(_), None, Some(_), _) => Err(Failure::usage(
            "a node either founds a cluster or joins one",
            "give --found N to one node, and --join ADDR --token TOKEN to the others; or --cluster-of N and --join ADDR to all",
        )),
        (Some(_), None, None, Some(_)) => Err(Failure::usage(
            "the founder makes the join token; it cannot be given one",
            "leave --token out here, and give what the founder prints to the nodes that --join",
        )),
        (Some(members), None, None, None) => Ok(found(members)),
        (None, Some(members), join, None) => {
            let seeds = match join {
                Some(join) => seeds(join)?,
                None if members == 1 => return Ok(found(1)),
                None => {
                    return Err(Failure::usage(
                        "--cluster-of does not say which node founds",
                        "name it in --join HOST:PORT, the same on every node",
                    ));
                }
            };
            match seeds.first() {
                None => Err(Failure::usage(
                    "--cluster-of does not say which node founds: the first of --join is a file",
                    "put the address of the node that founds before it",
                )),
                Some(first) if same_address(first, own_address) => {
                    pass(settings)?;
                    Ok(found(members))
                }
                Some(_) => Ok(Birth::Join {
                    pass: pass(settings)?,
                    seeds,
                }),
            }
        }
        (None, Some(_), _, Some(_)) => Err(Failure::usage(
            "a token is made by the node that founds; it cannot be given to all",
            MAKE_SECRET,
        )),
        (None, None, Some(join), _) => Ok(Birth::Join {
            seeds: seeds(join)?,
            pass: pass(settings)?,
        }),
        (None, None, None, _) if settings.token_file.is_some() || settings.cluster_secret_file.is_some() => {
            Err(Failure::usage(
                "there is a token or secret, but nothing to found or join with it",
                "give --cluster-of N and --join to all nodes, or --found N to one and --join to the others",
            ))
        }
        (None, None, None, _) => Ok(Birth::Alone),
    }
}

fn seeds(join: &str) -> Result<Seeds, Failure> {
    Seeds::parse(join, NODE_PORT).map_err(|why| {
        Failure::usage(
            format!("--join: {why}"),
            "write for example a.example.org:9002,b.example.org or @/etc/holdfast/seeds",
        )
    })
}

/// By what this node is let in: one thing, or nobody knows which counts.
fn pass(settings: &Settings) -> Result<Pass, Failure> {
    let given = [
        settings.token.clone().map(Pass::Token),
        settings.token_file.clone().map(Pass::TokenFile),
        settings.cluster_secret_file.clone().map(Pass::SecretFile),
    ];
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next(), settings.cluster_of) {
        (Some(pass), None, _) => Ok(pass),
        (None, _, Some(_)) => Err(Failure::usage("nothing lets the nodes of this cluster in", MAKE_SECRET)),
        (None, _, None) => Err(Failure::usage(
            "joining needs the cluster's token, or a secret that all nodes share",
            "copy --token from the founder's DIR/join-token; or give --token-file or --cluster-secret-file",
        )),
        (Some(_), Some(_), _) => Err(Failure::usage(
            "a token and a secret, or a token and its file, are given",
            "give one of --token, --token-file and --cluster-secret-file",
        )),
    }
}

/// A cluster of several nodes whose members tell each other `0.0.0.0` would never meet, nor one of nodes that all call themselves
/// 127.0.0.1 and look for another.
pub fn check_reachable(birth: &Birth, node_bind: SocketAddr, settings: &Settings) -> Result<(), Failure> {
    let several = !matches!(birth, Birth::Alone | Birth::Found { members: 1, .. });
    let told = settings.advertise.is_some() || settings.node_advertise.is_some();
    // Nodes that start with the same words cannot each be told its address; they go by the names of their hosts.
    if several && node_bind.ip().is_unspecified() && !told && settings.cluster_of.is_none() {
        return Err(Failure::usage(
            format!("the other nodes cannot dial {node_bind}"),
            "give --advertise HOST, the name or address under which they reach this node",
        ));
    }
    if let Birth::Join { seeds, .. } = birth
        && settings.cluster_of.is_some()
        && node_bind.ip().is_loopback()
        && !seeds.first().is_some_and(is_here)
    {
        return Err(Failure::usage(
            format!("the other nodes cannot dial {node_bind}"),
            "give --bind 0.0.0.0 or --bind ::",
        ));
    }
    Ok(())
}

/// Whether an address is one of this machine alone.
fn is_here(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolve;

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn seeds(text: &str) -> Seeds {
        Seeds::parse(text, NODE_PORT).expect("seeds")
    }

    fn of(settings: Settings) -> Birth {
        resolve(settings).expect("valid").birth
    }

    /// What every node of a cluster of five is started with, and the name of one's host.
    fn alike(host: &str) -> Settings {
        Settings {
            cluster_of: Some(5),
            join: text("holdfast-0.holdfast, holdfast-1.holdfast"),
            cluster_secret_file: Some("/run/secret".into()),
            bind: Some("0.0.0.0".parse().expect("an address")),
            advertise: text(host),
            ..Settings::default()
        }
    }

    #[test]
    fn founding_and_joining_are_told_apart() {
        let found = of(Settings {
            found: Some(3),
            token_file: Some("t".into()),
            ..Settings::default()
        });
        let expected = Birth::Found {
            members: 3,
            token_file: Some("t".into()),
            secret_file: None,
        };
        assert_eq!(found, expected);
        let join = of(Settings {
            join: text("a:1"),
            token: text("t"),
            ..Settings::default()
        });
        let (seeds, pass) = (seeds("a:1"), Pass::Token("t".to_owned()));
        assert_eq!(join, Birth::Join { seeds, pass });
    }

    #[test]
    fn of_nodes_that_start_alike_the_first_seed_founds() {
        let founder = Birth::Found {
            members: 5,
            token_file: None,
            secret_file: Some("/run/secret".into()),
        };
        assert_eq!(of(alike("holdfast-0.holdfast")), founder);
        assert_eq!(of(alike("HOLDFAST-0.holdfast.")), founder);
        for other in ["holdfast-1.holdfast", "holdfast-4.holdfast", "holdfast-0"] {
            let joins = Birth::Join {
                seeds: seeds("holdfast-0.holdfast,holdfast-1.holdfast"),
                pass: Pass::SecretFile("/run/secret".into()),
            };
            assert_eq!(of(alike(other)), joins, "{other}");
        }
        let by_hostname = Settings {
            advertise: None,
            ..alike("")
        };
        assert!(resolve(by_hostname).is_ok(), "the name of the host will do");
    }

    #[test]
    fn what_cannot_come_about_is_refused() {
        let wrong: [fn(&mut Settings); 10] = [
            |node| node.found = Some(5),
            |node| node.cluster_of = Some(0),
            |node| node.join = None,
            |node| node.join = text("@/etc/seeds"),
            |node| node.join = text("http://a"),
            |node| node.cluster_secret_file = None,
            |node| node.token_file = Some("t".into()),
            |node| node.token = text("hf1-00"),
            |node| (node.bind, node.advertise) = (None, None),
            |node| (node.cluster_of, node.join) = (None, None),
        ];
        for spoil in wrong {
            let mut settings = alike("holdfast-1.holdfast");
            spoil(&mut settings);
            let failure = resolve(settings.clone()).expect_err(&format!("{settings:?}"));
            assert_eq!(failure.exit, crate::failure::Exit::Usage);
        }
    }
}
