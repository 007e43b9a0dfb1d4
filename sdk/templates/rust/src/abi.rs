// SPDX-License-Identifier: 0BSD
//! mvm/abi.h, version 1.0: what crosses, and nothing else. Tables grow at their ends only.
#![allow(dead_code)]

use std::os::raw::{c_char, c_int, c_void};

pub type Status = i32;
pub const OK: Status = 0;
pub const INVALID: Status = -1;
pub const UNSUPPORTED: Status = -2;
pub const NOT_FOUND: Status = -3;
pub const BUSY: Status = -4;
pub const ABI: Status = -9;
pub const INTERNAL: Status = -10;

pub const MAJOR: u32 = 1;
pub const MINOR: u32 = 0;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bytes {
    pub data: *const c_void,
    pub size: usize,
}

impl Bytes {
    pub fn of(slice: &[u8]) -> Bytes {
        Bytes {
            data: slice.as_ptr().cast(),
            size: slice.len(),
        }
    }

    /// # Safety
    /// The bytes are borrowed for the call that they came with.
    pub unsafe fn as_slice<'a>(self) -> &'a [u8] {
        if self.data.is_null() {
            return &[];
        }
        std::slice::from_raw_parts(self.data.cast(), self.size)
    }
}

#[repr(C)]
pub struct Sink {
    pub size: usize,
    pub ctx: *mut c_void,
    pub write: unsafe extern "C" fn(*const Sink, *const c_void, usize) -> i32,
}

pub type Done = unsafe extern "C" fn(user: *mut c_void, Status, reply: Bytes, error: Bytes);
pub type FdDone = unsafe extern "C" fn(user: *mut c_void, Status, fd: c_int, error: Bytes);

#[repr(C)]
pub struct Host {
    pub size: usize,
    pub abi_major: u32,
    pub abi_minor: u32,
    pub ctx: *mut c_void,
    pub log_enabled: Option<unsafe extern "C" fn(*const Host, i32) -> i32>,
    pub log: Option<unsafe extern "C" fn(*const Host, *const c_void)>,
    pub event: Option<unsafe extern "C" fn(*const Host, Bytes)>,
    pub console_open: Option<unsafe extern "C" fn(*const Host, Bytes, *mut c_int) -> Status>,
    pub get_extension: Option<unsafe extern "C" fn(*const Host, *const c_char) -> *const c_void>,
}

#[repr(C)]
pub struct Instance {
    private: [u8; 0],
}

pub type Read = unsafe extern "C" fn(*mut Instance, out: *const Sink, error: *const Sink) -> Status;
pub type Verb = unsafe extern "C" fn(*mut Instance, request: Bytes, Done, user: *mut c_void);

/// None is unsupported; info, destroy, boot and stop are not None (MVM-P2).
#[repr(C)]
pub struct Api {
    pub size: usize,
    pub info: Option<Read>,
    pub destroy: Option<unsafe extern "C" fn(*mut Instance)>,
    pub boot: Option<Verb>,
    pub stop: Option<Verb>,
    pub list: Option<Read>,
    pub vsock_connect: Option<unsafe extern "C" fn(*mut Instance, Bytes, FdDone, *mut c_void)>,
    pub share_dir: Option<Verb>,
    pub get_extension: Option<unsafe extern "C" fn(*mut Instance, *const c_char) -> *const c_void>,
}

#[repr(C)]
pub struct Offer {
    pub size: usize,
    pub min_major: u32,
    pub max_major: u32,
    pub max_minor: u32,
}

pub type Create = unsafe extern "C" fn(
    *const Host,
    config: Bytes,
    *mut *mut Instance,
    *mut *const Api,
    error: *const Sink,
) -> Status;

#[repr(C)]
pub struct Answer {
    pub size: usize,
    pub major: u32,
    pub minor: u32,
    pub name: [u8; 33],
    pub version: [u8; 33],
    pub vendor: [u8; 65],
    pub create: Option<Create>,
}
