//! What front ends whisper to each other: small JSON objects with one field that says what it is.
//!
//! They come from members, since whispers are sealed with the cluster's secret, and are bounded by the datagram; what is not
//! understood is passed over, for it may be of a newer version.

use holdfast_core::ids::NodeId;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use crate::objects::{Ring, Sample, SampledVerb};
use crate::rest::one_of;

/// Longest bucket and key, together, of a request that is shown: several fit into one datagram.
const NAME_BYTES_MAX: usize = 240;

/// Requests in one whisper, which must fit into a datagram.
pub(super) const REQUESTS_MAX: usize = 3;

/// Something whispered.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Words {
    /// Somebody watches there: tell your figures.
    Watching,
    /// The teller's figures.
    Stats(Value),
    /// Requests that the teller answered.
    Requests(Vec<Value>),
    /// Something that the teller saw happen.
    Happened(Value),
    /// A session of the console was ended.
    SignedOut(String),
}

impl Words {
    pub(super) fn encode(&self) -> Vec<u8> {
        let value = match self {
            Self::Watching => json!({ "watching": true }),
            Self::Stats(stats) => json!({ "stats": stats }),
            Self::Requests(requests) => json!({ "requests": requests }),
            Self::Happened(event) => json!({ "happened": event }),
            Self::SignedOut(session) => json!({ "signed_out": session }),
        };
        value.to_string().into_bytes()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let Ok(Value::Object(mut fields)) = serde_json::from_slice(bytes) else {
            return None;
        };
        let mut take = |name: &str| fields.remove(name);
        if take("watching").is_some() {
            return Some(Self::Watching);
        }
        if let Some(stats @ Value::Object(_)) = take("stats") {
            return Some(Self::Stats(stats));
        }
        if let Some(Value::Array(requests)) = take("requests") {
            return Some(Self::Requests(requests));
        }
        if let Some(event @ Value::Object(_)) = take("happened") {
            return Some(Self::Happened(event));
        }
        match take("signed_out") {
            Some(Value::String(session)) => Some(Self::SignedOut(session)),
            _ => None,
        }
    }
}

/// A request that a node answered: members by their index in `GET /v1/layout`
#[derive(Serialize, ToSchema)]
pub(crate) struct Request {
    #[schema(schema_with = verbs)]
    verb: &'static str,
    bucket: String,
    key: String,
    /// The arc of the ring that holds the key
    partition: u16,
    /// Who was asked
    via: Option<usize>,
    coordinator: Option<usize>,
    homes: Vec<usize>,
    /// Homes that have answered in time
    answered: Vec<usize>,
    /// Homes that could not be reached
    down: Vec<usize>,
    /// Pairs of a home and who holds the write for it
    hinted: Vec<[usize; 2]>,
    took_us: u64,
}

const PUT: &str = "put";
const GET: &str = "get";
const DELETE: &str = "delete";

fn verbs() -> Object {
    one_of([PUT, GET, DELETE])
}

/// A [`Request`]. `None` when its name is too long to show.
pub(super) fn request(sample: &Sample, via: NodeId, ring: &Ring) -> Option<Value> {
    if sample.bucket.len() + sample.key.len() > NAME_BYTES_MAX {
        return None;
    }
    let index = |id: &NodeId| ring.members.binary_search(id).ok();
    let indexes = |ids: &[NodeId]| ids.iter().filter_map(index).collect();
    let hinted = sample.hinted.iter();
    let shown = Request {
        verb: match sample.verb {
            SampledVerb::Put => PUT,
            SampledVerb::Get => GET,
            SampledVerb::Delete => DELETE,
        },
        bucket: sample.bucket.clone(),
        key: sample.key.clone(),
        partition: sample.partition,
        via: index(&via),
        coordinator: index(&sample.coordinator),
        homes: indexes(&sample.homes),
        answered: indexes(&sample.answered),
        down: indexes(&sample.down),
        hinted: hinted
            .filter_map(|(home, at)| Some([index(home)?, index(at)?]))
            .collect(),
        took_us: sample.took_us,
    };
    serde_json::to_value(shown).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Words;

    #[test]
    fn words_are_understood_and_others_passed_over() {
        for words in [
            Words::Watching,
            Words::Stats(json!({"a": 1})),
            Words::Requests(vec![json!(1)]),
            Words::Happened(json!({"event": "up"})),
            Words::SignedOut("aa".to_owned()),
        ] {
            assert_eq!(Words::decode(&words.encode()), Some(words));
        }
        for other in ["", "{}", "[]", "{\"stats\":3}", "{\"later\":{}}", "\u{1}\u{2}"] {
            assert_eq!(Words::decode(other.as_bytes()), None, "{other}");
        }
    }
}
