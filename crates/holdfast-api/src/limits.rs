//! Limits that S3 makes part of its interface. What an administrator may choose is in [`crate::serve::Limits`].

/// Largest object: 5 TiB.
pub const OBJECT_BYTES_MAX: u64 = 5 << 40;

/// Largest body of one put, part or copy: 5 GiB.
pub const BODY_BYTES_MAX: u64 = 5 << 30;

/// Smallest part of a multipart upload other than the last: 5 MiB.
pub const PART_BYTES_MIN: u64 = 5 << 20;

/// Highest part number.
pub const PART_NUMBER_MAX: u16 = 10_000;

/// Most keys in one page of a listing, and in one multi-delete.
pub const PAGE_ENTRIES_MAX: u32 = 1_000;

/// Names and values of `x-amz-meta-*` together.
pub const USER_METADATA_BYTES_MAX: usize = 2 * 1024;
