//! nftables without a process for each change: its library, kept open.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::NonNull;

use nix::libc;

use crate::common::namespace::Namespace;

const LIBRARY: &CStr = c"libnftables.so.1";

type Make = unsafe extern "C" fn(u32) -> *mut c_void;
type Run = unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int;
type Free = unsafe extern "C" fn(*mut c_void);

/// A context of libnftables(3), in one network namespace.
pub struct Library {
    context: NonNull<c_void>,
    run: Run,
    free: Free,
}

// SAFETY: a context belongs to no thread, and is used by one at a time: all that is public takes `&mut`.
unsafe impl Send for Library {}

impl Library {
    /// `None`: the library is not on this machine.
    pub fn open(namespace: &Namespace) -> Option<Self> {
        namespace.inside(|| {
            // SAFETY: the name ends with a zero byte; the library is never closed again.
            let library = NonNull::new(unsafe { libc::dlopen(LIBRARY.as_ptr(), libc::RTLD_NOW) })?;
            let symbol = |name: &CStr| {
                // SAFETY: the library is open, and the name ends with a zero byte.
                NonNull::new(unsafe { libc::dlsym(library.as_ptr(), name.as_ptr()) })
            };
            // SAFETY: the types are those that libnftables(3) declares for these names.
            let (make, run, free) = unsafe {
                (
                    std::mem::transmute::<*mut c_void, Make>(symbol(c"nft_ctx_new")?.as_ptr()),
                    std::mem::transmute::<*mut c_void, Run>(
                        symbol(c"nft_run_cmd_from_buffer")?.as_ptr(),
                    ),
                    std::mem::transmute::<*mut c_void, Free>(symbol(c"nft_ctx_free")?.as_ptr()),
                )
            };
            // SAFETY: 0 is NFT_CTX_DEFAULT.
            let context = NonNull::new(unsafe { make(0) })?;
            Some(Self { context, run, free })
        })
    }

    /// Runs a command.
    pub fn run(&mut self, command: &str) {
        let text = CString::new(command).expect("no zero byte");
        // SAFETY: the context is there as long as `self`, and the text for as long as the call.
        let result = unsafe { (self.run)(self.context.as_ptr(), text.as_ptr()) };
        assert_eq!(result, 0, "libnftables: {command:.200}");
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: nobody else has the context.
        unsafe { (self.free)(self.context.as_ptr()) }
    }
}
