//! What really happened to multipart uploads.

use std::collections::BTreeMap;

use holdfast_core::ids::{PartId, UploadId};

use super::KeyIx;

/// A part that a client named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartTruth {
    /// Its number.
    pub number: u16,
    /// The attempt whose chunks hold it.
    pub part: PartId,
    /// Its length.
    pub size: u64,
    /// When the client first named it.
    pub invoked_us: u64,
    /// When the client knew that it was named.
    pub acked_us: Option<u64>,
    /// Some attempt ended without a certain answer: it may take effect late.
    pub abandoned: bool,
}

/// One upload; a single client works on it.
#[derive(Clone, Debug)]
pub struct UploadTruth {
    /// The key it will become.
    pub key: KeyIx,
    /// When the client knew that it was open.
    pub created_us: Option<u64>,
    /// When the client first tried to close it.
    pub closing_us: Option<u64>,
    /// When the client knew that it was closed.
    pub closed_us: Option<u64>,
    /// Parts in the order in which they were named.
    pub parts: Vec<PartTruth>,
}

/// All uploads.
#[derive(Clone, Debug, Default)]
pub struct UploadsTruth {
    by_id: BTreeMap<UploadId, UploadTruth>,
}

impl UploadsTruth {
    /// A client wants to begin an upload of a key.
    pub fn begin(&mut self, id: UploadId, key: KeyIx) {
        let upload = UploadTruth {
            key,
            created_us: None,
            closing_us: None,
            closed_us: None,
            parts: Vec::new(),
        };
        self.by_id.insert(id, upload);
    }

    /// An upload, to note what happened to it.
    pub fn get_mut(&mut self, id: UploadId) -> Option<&mut UploadTruth> {
        self.by_id.get_mut(&id)
    }

    /// An upload, if anybody tried to begin it.
    #[must_use]
    pub fn get(&self, id: UploadId) -> Option<&UploadTruth> {
        self.by_id.get(&id)
    }

    /// All uploads by id.
    pub fn all(&self) -> impl Iterator<Item = (UploadId, &UploadTruth)> {
        self.by_id.iter().map(|(id, upload)| (*id, upload))
    }
}
