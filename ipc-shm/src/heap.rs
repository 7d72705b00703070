//! A ring in ordinary memory, for unit tests: they need no system call, and so Miri can run them.

#![allow(unsafe_code)]

use crate::{
    protocol::{Consumer, Producer},
    ring::{self, Memory, Side, Size},
};
use ipc_core::{Options, Wait};
use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    ptr::NonNull,
    sync::Arc,
};

/// Zeroed memory, aligned to a page.
#[derive(Debug)]
pub struct Heap(NonNull<u8>, Layout);

// SAFETY: an allocation belongs to no thread.
unsafe impl Send for Heap {}
// SAFETY: all that can be done through a shared reference is to ask for its address.
unsafe impl Sync for Heap {}

impl Heap {
    pub fn new(len: usize) -> Self {
        let layout = Layout::from_size_align(len, 4096).expect("a small layout");
        assert!(len > 0);
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(layout) };
        Self(NonNull::new(start).expect("memory"), layout)
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout; whoever had a pointer kept the value alive.
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

/// The smallest ring, and memory with its header.
pub fn smallest(wait: Wait) -> (Arc<dyn Memory>, Size) {
    let size = Size::of(&Options { capacity: Some(1), ..Options::default() }).expect("a size");
    let memory = Heap::new(size.mapping_len());
    ring::initialize(&memory, size, wait);
    (Arc::new(memory), size)
}

/// Both ends over the smallest ring.
pub fn pair(wait: Wait) -> [(Producer, Consumer); 2] {
    let (memory, size) = smallest(wait);
    [Side::First, Side::Second].map(|side| ring::open(&memory, side, size, wait).expect("opened"))
}
