//! What the cluster answers when asked where to move bytes: read by name, like every answer, and not believed beyond its bounds.

use reqwest::Method;
use serde_json::Value;

use crate::client::direct::ask::Ask;
use crate::client::direct::peers::Peer;
use crate::client::place::Remote;
use crate::client::rest::{list, number, text};
use crate::failure::Failure;

/// Chunks are asked for one at a time and kept in memory until they are whole; a longer one is asked for in pieces.
pub const PIECE_BYTES_MAX: u64 = 4 << 20;
/// Grants asked for at once when sending.
pub const GRANTS_AT_ONCE: u64 = 32;

/// A version, and where some of its parts are.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The version.
    pub dot: String,
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its length.
    pub size: u64,
    /// Its CRC64-NVME over all bytes, where it has one.
    pub crc: Option<String>,
    /// When its source was last changed, if its metadata say.
    pub mtime: Option<String>,
    /// Whether there are nodes to go to.
    pub is_direct: bool,
    /// The parts in order.
    pub parts: Vec<Part>,
    /// Where to ask on from.
    pub next: Option<u64>,
    nodes: Vec<Peer>,
}

/// One part of the version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// Where it begins in the whole.
    pub offset: u64,
    /// Its length.
    pub size: u64,
    /// Its CRC64-NVME, where it has one.
    pub crc: Option<String>,
    grant: String,
    chunk_bytes: u64,
    /// The homes of each of its chunks.
    homes: Vec<Vec<usize>>,
}

/// A range that is asked for at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The part's place in its page.
    pub part: usize,
    /// Where it begins in the whole.
    pub offset: u64,
    /// Its length.
    pub length: u64,
}

impl Page {
    /// Asks any node for the parts that begin at a byte or later.
    pub async fn ask(ask: &Ask, from: &Remote, at: u64) -> Result<Self, Failure> {
        let at = at.to_string();
        let path = ["buckets", &from.bucket, "transfers", &from.key];
        let answer = ask.send(Method::GET, &path, &[("from", &at)]).await?;
        Self::parse(&answer).ok_or_else(nonsense)
    }

    fn parse(answer: &Value) -> Option<Self> {
        let headers = answer.get("headers")?;
        let crc = text(headers, "x-amz-checksum-crc64nvme");
        let page = Self {
            dot: text(answer, "dot")?.to_owned(),
            etag: text(answer, "etag")?.to_owned(),
            size: answer.get("size")?.as_u64()?,
            crc: crc.filter(|crc| !crc.contains('-')).map(str::to_owned),
            mtime: text(headers, crate::client::mtime::HEADER).map(str::to_owned),
            is_direct: answer.get("direct")?.as_bool()?,
            next: answer.get("next").and_then(Value::as_u64),
            nodes: list(answer, "nodes").iter().map(peer).collect(),
            parts: list(answer, "parts").iter().map(part).collect::<Option<_>>()?,
        };
        page.is_sound().then_some(page)
    }

    /// Whether the parts follow each other and lie within the whole.
    fn is_sound(&self) -> bool {
        let mut at = self.parts.first().map_or(0, |part| part.offset);
        let follow = self.parts.iter().all(|part| {
            let follows = part.offset == at;
            at = at.saturating_add(part.size);
            follows && at <= self.size
        });
        follow && self.next.is_none_or(|next| next == at && !self.parts.is_empty())
    }

    /// The pieces of a part, each within one of its chunks.
    pub fn pieces(&self, part: usize) -> Vec<Piece> {
        let Some(found) = self.parts.get(part) else {
            return Vec::new();
        };
        let mut pieces = Vec::new();
        let mut at = 0;
        while at < found.size {
            let chunk_end = (at / found.chunk_bytes + 1) * found.chunk_bytes;
            let length = (chunk_end - at).min(found.size - at).min(PIECE_BYTES_MAX);
            pieces.push(Piece {
                part,
                offset: found.offset + at,
                length,
            });
            at += length;
        }
        pieces
    }

    /// The nodes that have a piece, and the others that were named.
    pub fn peers(&self, piece: &Piece) -> (Vec<&Peer>, Vec<&Peer>) {
        let homes = self.parts.get(piece.part).and_then(|part| {
            let index = (piece.offset - part.offset) / part.chunk_bytes;
            part.homes.get(usize::try_from(index).ok()?)
        });
        let homes: &[usize] = homes.map_or(&[], Vec::as_slice);
        let at = |index: &usize| self.nodes.get(*index);
        let others = self
            .nodes
            .iter()
            .enumerate()
            .filter(|(index, _)| !homes.contains(index));
        (
            homes.iter().filter_map(at).collect(),
            others.map(|(_, peer)| peer).collect(),
        )
    }

    /// The grant for a piece, and the piece's place within its part.
    pub fn grant(&self, piece: &Piece) -> Option<(&str, u64)> {
        let part = self.parts.get(piece.part)?;
        Some((&part.grant, piece.offset - part.offset))
    }

    /// Takes over the grants of a later answer about the same parts; false when they are others.
    pub fn renew(&mut self, later: Self) -> bool {
        let same = self.dot == later.dot
            && self.parts.len() == later.parts.len()
            && self
                .parts
                .iter()
                .zip(&later.parts)
                .all(|(ours, theirs)| (ours.offset, ours.size) == (theirs.offset, theirs.size));
        if same {
            self.nodes = later.nodes;
            self.parts = later.parts;
        }
        same
    }
}

/// Where a part of an upload should go, and the grant for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    /// The part.
    pub number: u64,
    /// What lets it in.
    pub grant: String,
    /// Who was chosen to hold it.
    pub chosen: Peer,
    /// Others that were named.
    pub others: Vec<Peer>,
}

impl Sending {
    /// Asks any node who should take some parts of an upload, none of them longer than `part_bytes`.
    pub async fn ask(
        ask: &Ask,
        to: &Remote,
        upload: &str,
        numbers: std::ops::RangeInclusive<u64>,
        part_bytes: u64,
    ) -> Result<Vec<Self>, Failure> {
        let count = (numbers.end() + 1 - numbers.start()).to_string();
        let (first, part_bytes) = (numbers.start().to_string(), part_bytes.to_string());
        let path = ["buckets", &to.bucket, "transfers", &to.key];
        let query = [
            ("upload", upload),
            ("part", &first),
            ("count", &count),
            ("part_bytes", &part_bytes),
        ];
        let answer = ask.send(Method::POST, &path, &query).await?;
        let nodes: Vec<Peer> = list(&answer, "nodes").iter().map(peer).collect();
        let sendings = list(&answer, "parts").iter().map(|part| {
            let chosen = usize::try_from(number(part, "node")).ok()?;
            Some(Self {
                number: number(part, "number"),
                grant: text(part, "grant")?.to_owned(),
                chosen: nodes.get(chosen)?.clone(),
                others: nodes.clone(),
            })
        });
        let sendings: Option<Vec<Self>> = sendings.collect();
        sendings.ok_or_else(nonsense)
    }
}

fn peer(node: &Value) -> Peer {
    let is_up = node.get("up").and_then(Value::as_bool).unwrap_or(true);
    // Whoever is down is not worth a connection; the name stays for the order of the list.
    let rest = text(node, "rest").filter(|_| is_up).unwrap_or_default();
    Peer {
        rest: rest.trim_end_matches('/').to_owned(),
        name: text(node, "name").unwrap_or_default().to_owned(),
    }
}

fn part(part: &Value) -> Option<Part> {
    let homes = list(part, "homes").iter().map(|homes| {
        let homes = homes.as_array()?.iter();
        homes.map(|home| usize::try_from(home.as_u64()?).ok()).collect()
    });
    Some(Part {
        offset: part.get("offset")?.as_u64()?,
        size: part.get("size")?.as_u64()?,
        crc: text(part, "crc64nvme").map(str::to_owned),
        grant: text(part, "grant")?.to_owned(),
        chunk_bytes: part.get("chunk_bytes")?.as_u64()?.max(1),
        homes: homes.collect::<Option<_>>()?,
    })
}

fn nonsense() -> Failure {
    Failure::new(
        "the answer to where the data lie makes no sense",
        "copy with --via-one-node",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer() -> Value {
        json!({
            "dot": "1-2-3", "etag": "e", "size": 25, "direct": true, "next": null,
            "headers": { "x-amz-checksum-crc64nvme": "AAAAAAAAAAA=" },
            "nodes": [
                { "id": "1", "name": "node-1", "rest": "http://a:1/", "up": true },
                { "id": "2", "name": "node-2", "rest": "http://b:1", "up": false },
                { "id": "3", "name": "node-3", "rest": "http://c:1", "up": true },
            ],
            "parts": [
                { "number": 1, "offset": 0, "size": 15, "chunk_bytes": 10, "crc64nvme": null, "grant": "g1", "homes": [[1, 2], [2]] },
                { "number": 2, "offset": 15, "size": 10, "chunk_bytes": 10, "crc64nvme": "x", "grant": "g2", "homes": [[0]] },
            ],
        })
    }

    #[test]
    fn pieces_cover_every_part_and_know_their_homes() {
        let page = Page::parse(&answer()).expect("sound");
        let pieces: Vec<Piece> = (0..2).flat_map(|part| page.pieces(part)).collect();
        let ranges: Vec<(u64, u64)> = pieces.iter().map(|piece| (piece.offset, piece.length)).collect();
        assert_eq!(ranges, [(0, 10), (10, 5), (15, 10)]);
        let (homes, others) = page.peers(&pieces[1]);
        assert_eq!((homes[0].name.as_str(), homes.len(), others.len()), ("node-3", 1, 2));
        let (homes, _) = page.peers(&pieces[0]);
        // One that is down keeps its place and is not gone to.
        assert_eq!((homes[0].rest.as_str(), homes[1].rest.as_str()), ("", "http://c:1"));
        assert_eq!(page.grant(&pieces[1]), Some(("g1", 10)));
        assert_eq!(page.crc.as_deref(), Some("AAAAAAAAAAA="));
    }

    #[test]
    fn answers_out_of_bounds_are_not_believed() {
        let cases: [fn(&mut Value); 5] = [
            |answer| answer["size"] = json!(24),
            |answer| answer["parts"][1]["offset"] = json!(16),
            |answer| answer["next"] = json!(3),
            |answer| answer["parts"][0]["size"] = json!(u64::MAX),
            |answer| answer["dot"] = Value::Null,
        ];
        for (at, spoil) in cases.into_iter().enumerate() {
            let mut answer = answer();
            spoil(&mut answer);
            assert!(Page::parse(&answer).is_none(), "{at}");
        }
    }

    #[test]
    fn a_long_chunk_is_asked_for_in_pieces() {
        let mut answer = answer();
        answer["size"] = json!(10 << 20);
        answer["parts"] = json!([{ "number": 1, "offset": 0, "size": 10 << 20, "chunk_bytes": 10 << 20, "grant": "g", "homes": [[0]] }]);
        let page = Page::parse(&answer).expect("sound");
        let lengths: Vec<u64> = page.pieces(0).iter().map(|piece| piece.length).collect();
        assert_eq!(lengths, [4 << 20, 4 << 20, 2 << 20]);
    }

    #[test]
    fn grants_are_renewed_for_the_same_version_only() {
        let mut page = Page::parse(&answer()).expect("sound");
        let mut later = answer();
        later["parts"][0]["grant"] = json!("new");
        assert!(page.renew(Page::parse(&later).expect("sound")));
        assert_eq!(page.grant(&page.pieces(0)[0]), Some(("new", 0)));
        later["dot"] = json!("other");
        assert!(!page.renew(Page::parse(&later).expect("sound")));
    }
}
