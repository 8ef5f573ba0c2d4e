//! Reading one object as a stream: a header with everything known, then its bytes.
//!
//! The first bytes are read before the header leaves, so that a body that cannot be read is a plain error most of the time; what
//! fails later ends the stream with a status in place of OK.

use std::ops::Range;

use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use holdfast_core::bucket::Conflict;
use holdfast_core::ids::Dot;
use holdfast_core::request::{Got, WantedBodies};
use holdfast_proto::v1;
use holdfast_proto::v1::get_object_response::Part;
use http::StatusCode;
use http_body_util::BodyDataStream;
use tonic::Status;

use super::shape::{self, Place};
use super::status::insert;
use super::{Shared, copies};
use crate::answer_body::AnswerBody;
use crate::claims::check_key;
use crate::dots::parse_dot;
use crate::objects::GetObject;
use crate::problem::{Answer, Problem};

/// Bytes in one message at most. More would only lie longer in buffers, and clients take 4 MiB unless told otherwise.
const PIECE_BYTES_MAX: usize = 256 * 1024;

type Parts = BoxStream<'static, Result<v1::GetObjectResponse, Status>>;

pub(super) async fn get(app: &Shared, asked: v1::GetObjectRequest) -> Result<Parts, Status> {
    check_key(&asked.key)?;
    let wanted_dot = wanted_dot(asked.sibling.as_deref())?;
    let bucket = app.bucket(&asked.bucket).await?;
    let get = GetObject {
        r: copies(asked.r)?,
        bodies: match wanted_dot {
            None => WantedBodies::Newest,
            Some(_) => WantedBodies::All,
        },
    };
    let got = app.objects.get(&bucket, &asked.key, get).await;
    let mut got = got.map_err(|fault| Problem::read(&fault))?;
    let place = Place {
        objects: &*app.objects,
        bucket: &bucket,
        key: &asked.key,
    };
    let found = place.found(&got);
    if wanted_dot.is_none() && bucket.conflict == Conflict::Siblings && got.record.sibling_count() > 1 {
        return Ok(choices(found));
    }
    let chosen = match wanted_dot {
        None => got.record.visible(),
        Some(dot) => got.record.find(dot).filter(|version| !version.content.is_deletion()),
    };
    let Some(chosen) = chosen.cloned() else {
        // The context of a key that is gone is worth having: a put with it is not concurrent with the deletion.
        return Err(with_context(Problem::no_such_object(&asked.key), &found.context));
    };
    let range = cut(&asked, chosen.content.size)?;
    let row = take_row(&mut got, chosen.dot);
    let header = v1::ObjectHeader {
        found: Some(found),
        version: Some(shape::version(&chosen)),
        offset: range.start,
        length: range.end - range.start,
    };
    let length = header.length;
    let body = app.objects.read_body(&bucket, chosen.content.body, row, range);
    let body = AnswerBody::begin(body, length).await;
    let body = body.map_err(|fault| Problem::read(&fault))?;
    Ok(first(header).chain(pieces(body)).boxed())
}

fn wanted_dot(text: Option<&str>) -> Answer<Option<Dot>> {
    let Some(text) = text else { return Ok(None) };
    match parse_dot(text) {
        Some(dot) => Ok(Some(dot)),
        None => Err(Problem::bad_request(
            "sibling is not a dot",
            "use one of the dots that Objects.Stat lists",
        )),
    }
}

fn first(header: v1::ObjectHeader) -> stream::Iter<std::array::IntoIter<Result<v1::GetObjectResponse, Status>, 1>> {
    stream::iter([Ok(v1::GetObjectResponse {
        part: Some(Part::Header(header)),
    })])
}

/// All versions, and then an error: who does not look would take nothing for the object.
fn choices(found: v1::Found) -> Parts {
    let problem = Problem::new(
        StatusCode::CONFLICT,
        "siblings",
        "the key has concurrent versions",
        "read each with its dot in `sibling`, and write the resolved value with the context",
    );
    let status = with_context(problem, &found.context);
    let header = v1::ObjectHeader {
        found: Some(found),
        version: None,
        offset: 0,
        length: 0,
    };
    first(header).chain(stream::iter([Err(status)])).boxed()
}

fn with_context(problem: Problem, token: &str) -> Status {
    let mut status = Status::from(problem);
    insert(status.metadata_mut(), "holdfast-context", token);
    status
}

/// The bytes wanted of so many.
fn cut(asked: &v1::GetObjectRequest, size: u64) -> Answer<Range<u64>> {
    if let Some(last) = asked.last {
        if asked.offset != 0 || asked.length.is_some() {
            return Err(Problem::bad_request(
                "`last` is given beside `offset` or `length`",
                "give one or the other",
            ));
        }
        return Ok(size.saturating_sub(last)..size);
    }
    if asked.offset > size {
        return Err(Problem::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "range_not_satisfiable",
            format!("the object has {size} bytes"),
            "ask for bytes it has",
        ));
    }
    let length = asked.length.unwrap_or(u64::MAX);
    Ok(asked.offset..asked.offset.saturating_add(length).min(size))
}

fn take_row(got: &mut Got, dot: Dot) -> Bytes {
    let at = got.bodies.iter().position(|(of, _)| *of == dot);
    at.map(|at| got.bodies.swap_remove(at).1).unwrap_or_default()
}

/// The body in messages. A piece is cut without copying it.
fn pieces(body: AnswerBody) -> impl futures_core::Stream<Item = Result<v1::GetObjectResponse, Status>> + Send {
    let state = (BodyDataStream::new(body), Bytes::new());
    stream::try_unfold(state, |(mut body, mut piece)| async move {
        while piece.is_empty() {
            match body.next().await {
                None => return Ok(None),
                Some(Ok(next)) => piece = next,
                Some(Err(broken)) => return Err(Status::from(Problem::read(&broken.0))),
            }
        }
        let data = piece.split_to(piece.len().min(PIECE_BYTES_MAX));
        let message = v1::GetObjectResponse {
            part: Some(Part::Data(data)),
        };
        Ok(Some((message, (body, piece))))
    })
}

#[cfg(test)]
mod tests {
    use holdfast_proto::v1::GetObjectRequest;

    use super::cut;

    fn asked(offset: u64, length: Option<u64>, last: Option<u64>) -> GetObjectRequest {
        GetObjectRequest {
            offset,
            length,
            last,
            ..GetObjectRequest::default()
        }
    }

    #[test]
    fn ranges_are_cut_to_what_there_is() {
        let of_ten = |offset, length, last| cut(&asked(offset, length, last), 10).ok();
        assert_eq!(of_ten(0, None, None), Some(0..10));
        assert_eq!(of_ten(3, Some(4), None), Some(3..7));
        assert_eq!(of_ten(3, Some(u64::MAX), None), Some(3..10));
        assert_eq!(of_ten(10, None, None), Some(10..10));
        assert_eq!(of_ten(11, None, None), None);
        assert_eq!(of_ten(0, Some(0), None), Some(0..0));
        assert_eq!(of_ten(0, None, Some(3)), Some(7..10));
        assert_eq!(of_ten(0, None, Some(11)), Some(0..10));
        assert_eq!(of_ten(1, None, Some(3)), None);
        assert_eq!(cut(&asked(0, None, None), 0).ok(), Some(0..0));
    }
}
