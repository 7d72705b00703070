//! Rings in ordinary memory, for unit tests. They need no system call, so Miri can run them.

#![allow(unsafe_code)]

use crate::ring::{Area, DATA, Memory};
use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    ptr::NonNull,
    sync::Arc,
};

/// Zeroed memory, aligned to a page.
#[derive(Debug)]
struct Heap(NonNull<u8>, Layout);

// SAFETY: an allocation belongs to no thread.
unsafe impl Send for Heap {}
// SAFETY: through a shared reference one can only ask for its address.
unsafe impl Sync for Heap {}

impl Heap {
    fn new(len: usize) -> Self {
        let layout = Layout::from_size_align(len, DATA).expect("a small layout");
        assert!(len > 0);
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(layout) };
        Self(NonNull::new(start).expect("memory"), layout)
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: `new` allocated it with this layout. Whoever had a pointer kept the value alive.
        unsafe { dealloc(self.0.as_ptr(), self.1) };
    }
}

// SAFETY: the allocation is as long and aligned as its layout says, and only its address is handed out.
unsafe impl Memory for Heap {
    fn start(&self) -> NonNull<u8> {
        self.0
    }

    fn len(&self) -> usize {
        self.1.size()
    }
}

/// `len` bytes of zeroed memory.
pub fn zeroed(len: usize) -> Arc<dyn Memory> {
    Arc::new(Heap::new(len))
}

/// One direction with a data area of `capacity` bytes, in memory of its own.
pub fn area(capacity: u64) -> Area {
    Area::new(&zeroed(DATA + 2 * capacity as usize), 0, capacity)
}
