//! The daemon's own memory.

/// Gives back what was freed but is kept for later. A policy with long lists takes several times as much
/// while it is made as afterwards, in pieces that the allocator would keep.
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: glibc's allocator may be told so at any time, from any thread.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}
