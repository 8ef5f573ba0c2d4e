//! Counts what a thread asks of the allocator, to show that bytes from outside cannot make a reader ask for much.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes asked for by this thread; only ever grows.
    static BYTES_ASKED: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: usize) {
    // A thread that is ending has no cell any more, and nothing here measures it.
    let _ = BYTES_ASKED.try_with(|asked| asked.set(asked.get() + bytes as u64));
}

// SAFETY: every call is handed on unchanged to the system's allocator, which keeps the contract; counting touches a
// plain cell of this thread and allocates nothing itself.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above, with the caller's layout.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `System`, through `alloc` or `realloc` here.
        unsafe { System.dealloc(block, layout) }
    }

    // SAFETY: the caller keeps the contract of `GlobalAlloc::realloc`.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes);
        // SAFETY: the block came from `System`, and the caller vouches for layout and size.
        unsafe { System.realloc(block, layout, bytes) }
    }
}

/// What `work` makes, and how many bytes its thread asked for meanwhile, those already given back included.
pub fn bytes_asked_by<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = BYTES_ASKED.with(Cell::get);
    let made = work();
    (made, BYTES_ASKED.with(Cell::get) - before)
}
