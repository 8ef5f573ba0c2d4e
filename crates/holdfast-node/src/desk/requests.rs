//! Requests whose answers are of one kind.

use holdfast_core::bucket::Settings;
use holdfast_core::ids::RequestId;
use holdfast_core::request::{
    Answer, Count, Get, Got, List, Page, Put, PutOutcome, ReadFault, Request, StateChange, Upload, UploadStep,
    WriteError, WriteFault,
};

use super::Desk;
use crate::shell::random_u128;

/// How long a read is worked on, in milliseconds. Shorter than the patience of any SDK, so that the client gets a reason
/// and not a broken connection.
const READ_DEADLINE_MS: u32 = 20_000;
/// How long a write is worked on, in milliseconds.
const WRITE_DEADLINE_MS: u32 = 30_000;

impl Desk {
    /// A request whose answer must be a write's.
    async fn write<T>(
        &self,
        request: RequestId,
        what: Request,
        pick: impl FnOnce(Answer) -> Option<T>,
    ) -> Result<T, WriteError> {
        match self.ask(request, WRITE_DEADLINE_MS, what).await {
            None => Err(WriteError {
                state: StateChange::Unchanged,
                fault: WriteFault::Overloaded,
            }),
            Some(Answer::WriteFailed(error)) => Err(error),
            Some(answer) => pick(answer).ok_or(WriteError {
                state: StateChange::Unknown,
                fault: WriteFault::Damaged,
            }),
        }
    }

    /// A request whose answer must be a read's.
    async fn read<T>(&self, what: Request, pick: impl FnOnce(Answer) -> Option<T>) -> Result<T, ReadFault> {
        match self.ask(RequestId(0), READ_DEADLINE_MS, what).await {
            None => Err(ReadFault::Overloaded),
            Some(Answer::ReadFailed(fault)) => Err(fault),
            Some(answer) => pick(answer).ok_or(ReadFault::Damaged),
        }
    }

    /// Writes a version.
    pub async fn put(&self, request: RequestId, put: Put) -> Result<PutOutcome, WriteError> {
        let pick = |answer| {
            if let Answer::Put(outcome) = answer {
                Some(outcome)
            } else {
                None
            }
        };
        self.write(request, Request::Put(put), pick).await
    }

    /// Reads a record.
    pub async fn get(&self, get: Get) -> Result<Got, ReadFault> {
        let pick = |answer| if let Answer::Got(got) = answer { Some(got) } else { None };
        self.read(Request::Get(get), pick).await
    }

    /// Reads a page of keys.
    pub async fn list(&self, list: List) -> Result<Page, ReadFault> {
        let pick = |answer| {
            if let Answer::Page(page) = answer {
                Some(page)
            } else {
                None
            }
        };
        self.read(Request::List(list), pick).await
    }

    /// Objects and bytes of a bucket.
    pub async fn count(&self, settings: Settings) -> Result<Count, ReadFault> {
        let pick = |answer| {
            if let Answer::Counted(count) = answer {
                Some(count)
            } else {
                None
            }
        };
        self.read(Request::Count(settings), pick).await
    }

    /// A step of a multipart upload that writes.
    pub async fn upload_write(&self, upload: Upload) -> Result<Option<PutOutcome>, WriteError> {
        let request = match &upload.step {
            UploadStep::Complete { id, .. } => RequestId(id.0),
            _ => RequestId(random_u128()),
        };
        let pick = |answer| match answer {
            Answer::Put(outcome) => Some(Some(outcome)),
            Answer::UploadCreated | Answer::PartStored | Answer::UploadAborted => Some(None),
            _ => None,
        };
        self.write(request, Request::Upload(upload), pick).await
    }

    /// A step of a multipart upload that reads.
    pub async fn upload_read(&self, upload: Upload) -> Result<Answer, ReadFault> {
        self.read(Request::Upload(upload), Some).await
    }
}
