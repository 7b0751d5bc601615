//! A program as instructions, taken from libbpf after it has relocated them, that can be loaded again
//! and again: each time with another map in the place of one that differs.
//!
//! What libbpf does for an object, it does for every object anew: it reads the ELF file, checks its types
//! and has the kernel check them, asks what the kernel can do, relocates. For programs that differ in
//! one map only, once is enough.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use libbpf_rs::libbpf_sys as raw;
use libbpf_rs::{AsRawLibbpf as _, MapCore as _, Object, ProgramMut};

use super::sys;
use crate::fault;

/// As `bridgewall.bpf.c` says; without it the kernel refuses most helpers.
const LICENSE: &CStr = c"GPL";

/// The first half of an instruction that loads 64 bits (`BPF_LD | BPF_IMM | BPF_DW`).
const LOAD_64: u8 = 0x18;

/// How much of the verifier's words is kept.
const LOG_BYTES: u32 = 1 << 20;

/// One program.
#[derive(Debug)]
pub(super) struct Instructions {
    name: CString,
    code: Vec<raw::bpf_insn>,
    /// Types of its functions, which the kernel wants for those that it verifies one by one.
    functions: Vec<raw::bpf_func_info>,
    /// Which instructions refer to which map, by name.
    references: Vec<(usize, String)>,
}

impl Instructions {
    /// Takes them from a program that libbpf has loaded as part of this object.
    pub(super) fn of(program: &ProgramMut<'_>, object: &Object) -> io::Result<Self> {
        let name = CString::new(program.name().as_encoded_bytes())?;
        let handle = program.as_libbpf_object().as_ptr();
        // SAFETY: the program lives; the kernel's limit for the number of instructions fits any usize.
        let code = unsafe {
            let count = raw::bpf_program__insn_cnt(handle) as usize;
            slice(raw::bpf_program__insns(handle), count)
        };
        // SAFETY: the program lives, and libbpf has as many records as it says.
        let functions = unsafe {
            let count = raw::bpf_program__func_info_cnt(handle) as usize;
            slice(raw::bpf_program__func_info(handle), count)
        };
        let mut references = Vec::new();
        let mut index = 0;
        while let Some(instruction) = code.get(index) {
            let is_wide = instruction.code == LOAD_64;
            let kind = u32::from(instruction.src_reg());
            if is_wide && [raw::BPF_PSEUDO_MAP_FD, raw::BPF_PSEUDO_MAP_VALUE].contains(&kind) {
                let map = object
                    .maps()
                    .find(|map| map.as_fd().as_raw_fd() == instruction.imm)
                    .ok_or_else(|| io::Error::other("an instruction refers to no known map"))?;
                references.push((index, map.name().to_string_lossy().into_owned()));
            }
            index += if is_wide { 2 } else { 1 };
        }
        Ok(Self {
            name,
            code,
            functions,
            references,
        })
    }

    /// Has the kernel verify and load them, with the maps that `find` gives for their names.
    pub(super) fn load<'m>(
        &self,
        types: BorrowedFd<'_>,
        find: impl Fn(&str) -> Option<BorrowedFd<'m>>,
    ) -> io::Result<OwnedFd> {
        let mut code = self.code.clone();
        for (index, name) in &self.references {
            let map = find(name).ok_or_else(|| io::Error::other(format!("no map {name}")))?;
            code[*index].imm = map.as_raw_fd();
        }
        self.submit(&code, types, &mut []).or_else(|_| {
            // Once more, with the verifier's words, if it says the same again.
            let mut words = vec![0; LOG_BYTES as usize];
            let again = self.submit(&code, types, &mut words);
            if again.is_err() {
                log::warn!("{}: {}", self.name.to_string_lossy(), last_words(&words));
            }
            again
        })
    }

    fn submit(
        &self,
        code: &[raw::bpf_insn],
        types: BorrowedFd<'_>,
        words: &mut [u8],
    ) -> io::Result<OwnedFd> {
        fault::step("load a template's program")?;
        let mut options = raw::bpf_prog_load_opts {
            sz: size_of::<raw::bpf_prog_load_opts>() as raw::size_t,
            prog_btf_fd: types.as_raw_fd() as u32,
            func_info: self.functions.as_ptr().cast(),
            func_info_cnt: self.functions.len() as u32,
            func_info_rec_size: size_of::<raw::bpf_func_info>() as u32,
            ..Default::default()
        };
        if !words.is_empty() {
            options.log_level = 1;
            options.log_size = words.len() as u32;
            options.log_buf = words.as_mut_ptr().cast();
        }
        // SAFETY: names are C strings; `options`, the instructions, the records and the buffer, each as
        // long as is said here, outlive the call.
        sys::descriptor(unsafe {
            raw::bpf_prog_load(
                raw::BPF_PROG_TYPE_SCHED_CLS,
                self.name.as_ptr(),
                LICENSE.as_ptr(),
                code.as_ptr(),
                code.len() as raw::size_t,
                &mut options,
            )
        })
    }
}

/// The end of what the verifier wrote.
fn last_words(words: &[u8]) -> String {
    const LINES: usize = 20;
    let text = CStr::from_bytes_until_nul(words).unwrap_or_default();
    let text = text.to_string_lossy();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// A copy of what libbpf has.
///
/// # Safety
/// `first` is null, or points to `count` values.
unsafe fn slice<T: Copy>(first: *const T, count: usize) -> Vec<T> {
    if first.is_null() {
        return Vec::new();
    }
    // SAFETY: as the caller promises.
    unsafe { std::slice::from_raw_parts(first, count) }.to_vec()
}

/// The types of a loaded object, for programs and maps that are made from what it has; nothing if the
/// kernel did not want them.
pub(super) fn types_of(object: &Object) -> io::Result<OwnedFd> {
    // SAFETY: the object lives, and its descriptor with it.
    let types = unsafe {
        let descriptor = raw::bpf_object__btf_fd(object.as_libbpf_object().as_ptr());
        if descriptor < 0 {
            return Err(io::Error::other("the kernel has not taken the types"));
        }
        BorrowedFd::borrow_raw(descriptor)
    };
    types.try_clone_to_owned()
}
