//! Where a joining node looks for the founder: addresses, names that stand for several, files that list them.
//!
//! Names are resolved and files read anew at each try: in a cluster of containers a name begins to exist after the node that
//! asks for it, and means another address tomorrow.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::timeout;

/// A resolver that does not answer must not hold up the other seeds for long.
const RESOLVE_WITHIN: Duration = Duration::from_secs(5);
/// A list longer than this is some other file.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// As many nodes as found a cluster.
const ADDRESSES_MAX: usize = 1024;

/// One place to look.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Seed {
    /// `host:port`.
    Address(String),
    /// A file with one seed a line.
    File(PathBuf),
}

/// Places to look for the founder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seeds {
    seeds: Vec<Seed>,
    port: u16,
}

/// An address to dial, and the seed that led to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeedAddress {
    /// As the operator wrote it.
    pub seed: String,
    /// What it means at present.
    pub address: SocketAddr,
}

impl std::fmt::Display for SeedAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.seed == self.address.to_string() {
            f.write_str(&self.seed)
        } else {
            write!(f, "{} ({})", self.seed, self.address)
        }
    }
}

impl Seeds {
    /// Seeds with commas or spaces between them: `host:port`, `host` (then `port` is meant), `@FILE` or `file:PATH`.
    pub fn parse(text: &str, port: u16) -> Result<Self, String> {
        let words = text.split([',', ' ', '\t', '\n']).filter(|word| !word.is_empty());
        let seeds = words.map(|word| match word.strip_prefix('@').or(word.strip_prefix("file:")) {
            Some("") => Err(format!("`{word}` names no file")),
            Some(path) => Ok(Seed::File(path.into())),
            None => with_port(word, port).map(Seed::Address),
        });
        let seeds = seeds.collect::<Result<Vec<Seed>, String>>()?;
        if seeds.is_empty() {
            return Err("no seed is named".into());
        }
        Ok(Self { seeds, port })
    }

    /// The first, if it is an address.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        match self.seeds.first() {
            Some(Seed::Address(address)) => Some(address),
            _ => None,
        }
    }

    /// Every address that they mean at present, in their order, `own` left out; and why others mean none.
    pub async fn addresses(&self, own: &str) -> (Vec<SeedAddress>, Vec<String>) {
        let (mut seeds, mut problems) = (Vec::new(), Vec::new());
        for seed in &self.seeds {
            match seed {
                Seed::Address(address) => seeds.push(address.clone()),
                Seed::File(path) => match read(path, self.port) {
                    Ok(more) => seeds.extend(more),
                    Err(why) => problems.push(why),
                },
            }
        }
        let (mut addresses, mut known) = (Vec::new(), BTreeSet::new());
        for seed in seeds
            .into_iter()
            .filter(|seed| !same_address(seed, own))
            .take(ADDRESSES_MAX)
        {
            match timeout(RESOLVE_WITHIN, lookup_host(seed.as_str())).await {
                Ok(Ok(found)) => {
                    let found: Vec<SocketAddr> = found.collect();
                    if found.is_empty() {
                        problems.push(format!("{seed} has no address"));
                    }
                    // Two names may mean one address.
                    let new = found.into_iter().filter(|address| known.insert(*address));
                    addresses.extend(new.map(|address| SeedAddress {
                        seed: seed.clone(),
                        address,
                    }));
                }
                Ok(Err(error)) => problems.push(format!("{seed} cannot be resolved: {error}")),
                Err(_) => problems.push(format!("{seed} was not resolved within {} s", RESOLVE_WITHIN.as_secs())),
            }
        }
        addresses.truncate(ADDRESSES_MAX);
        if addresses.is_empty() && problems.is_empty() {
            problems.push("no seed is another node than this one".into());
        }
        (addresses, problems)
    }
}

impl std::fmt::Display for Seeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, seed) in self.seeds.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match seed {
                Seed::Address(address) => write!(f, "{comma}{address}")?,
                Seed::File(path) => write!(f, "{comma}@{}", path.display())?,
            }
        }
        Ok(())
    }
}

/// Whether two `host:port` are written alike; names know no case, and may end with a dot.
#[must_use]
pub fn same_address(one: &str, other: &str) -> bool {
    let parts = |address: &str| {
        let (host, port) = address.rsplit_once(':')?;
        Some((host.trim_end_matches('.').to_ascii_lowercase(), port.to_owned()))
    };
    parts(one).is_some_and(|one| Some(one) == parts(other))
}

/// The seeds of a file: one a line, `#` begins a comment.
fn read(path: &Path, port: u16) -> Result<Vec<String>, String> {
    use std::io::Read as _;
    let cannot = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("{} is not there yet", path.display()),
        _ => format!("{} cannot be read: {error}", path.display()),
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    let length = file
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(cannot)?;
    if length as u64 > FILE_BYTES_MAX {
        return Err(format!("{} is too long to be a list of seeds", path.display()));
    }
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    let seeds = lines.filter(|line| !line.is_empty()).map(|line| with_port(line, port));
    let seeds = seeds.collect::<Result<Vec<String>, String>>();
    match seeds.map_err(|why| format!("{}: {why}", path.display()))? {
        seeds if seeds.is_empty() => Err(format!("{} names no seed", path.display())),
        seeds => Ok(seeds),
    }
}

/// `host:port`, whatever of it was left out.
fn with_port(seed: &str, port: u16) -> Result<String, String> {
    let whole = match seed.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        Ok(ip) => format!("{ip}:{port}"),
        Err(_) if seed.contains("://") => return Err(format!("`{seed}` is a URL; write host:port")),
        Err(_) if seed.ends_with(']') || !seed.contains(':') => format!("{seed}:{port}"),
        Err(_) => seed.to_owned(),
    };
    let fits = whole.rsplit_once(':').is_some_and(|(host, port)| {
        let bracketed = host.starts_with('[') && host.ends_with(']');
        !host.is_empty() && (bracketed || !host.contains(':')) && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    if fits {
        Ok(whole)
    } else {
        Err(format!("`{seed}` is not of the form host:port"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Seeds, same_address};

    const PORT: u16 = 9002;

    fn shown(text: &str) -> String {
        Seeds::parse(text, PORT).expect("seeds").to_string()
    }

    #[test]
    fn seeds_are_written_in_several_ways() {
        assert_eq!(shown("a, b:7 @/etc/seeds,file:x"), "a:9002,b:7,@/etc/seeds,@x");
        assert_eq!(
            shown("2001:db8::7,[::1],[::1]:7"),
            "[2001:db8::7]:9002,[::1]:9002,[::1]:7"
        );
        assert_eq!(Seeds::parse("a,b", PORT).expect("seeds").first(), Some("a:9002"));
        assert_eq!(Seeds::parse("@f,b", PORT).expect("seeds").first(), None);
        for wrong in [
            "",
            " , ",
            "a:b",
            "a:0",
            "a:70000",
            ":9002",
            "http://a:9002",
            "@",
            "a:1:2",
        ] {
            assert!(Seeds::parse(wrong, PORT).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_are_compared_as_names_are() {
        assert!(same_address("A.example.:9002", "a.EXAMPLE:9002"));
        assert!(!same_address("a:9002", "a:9003"));
        assert!(!same_address("a", "a"));
    }

    #[tokio::test]
    async fn a_name_stands_for_all_its_addresses_and_a_file_for_its_lines() {
        let path = std::env::temp_dir().join(format!("holdfast-seeds-{}", std::process::id()));
        let seeds = Seeds::parse(&format!("127.0.0.1:7,@{},own:9002", path.display()), PORT).expect("seeds");
        let (addresses, problems) = seeds.addresses("own:9002").await;
        assert_eq!(addresses.len(), 1);
        assert!(problems[0].contains("is not there yet"), "{problems:?}");
        std::fs::write(&path, "# ours\n127.0.0.2:8 # two\n\n127.0.0.1:7\nnobody.invalid\n").expect("writes");
        let (addresses, problems) = seeds.addresses("own:9002").await;
        let dialled: Vec<String> = addresses.iter().map(|seed| seed.address.to_string()).collect();
        assert_eq!(dialled, ["127.0.0.1:7", "127.0.0.2:8"], "each once");
        assert!(
            problems[0].contains("nobody.invalid:9002 cannot be resolved"),
            "{problems:?}"
        );
        std::fs::remove_file(path).expect("removes");
        let (none, why) = Seeds::parse("own", PORT).expect("seeds").addresses("own:9002").await;
        assert!(none.is_empty() && why[0].contains("another node"), "{why:?}");
    }
}
