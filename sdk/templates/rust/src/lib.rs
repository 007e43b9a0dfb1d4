// SPDX-License-Identifier: 0BSD
//! The hypervisor @NAME@: one VM, which does nothing yet. "Here" marks where a real one begins. A panic in any function
//! becomes a status and a message: it must not cross (MVM-P9).

mod abi;
mod wire;

use abi::{Api, Bytes, Done, Host, Instance, Sink, Status};
use std::os::raw::c_void;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};

/// A status and a sentence that starts with its subject.
type Failure = (Status, String);

struct Machine {
    host: *const Host,
    vm: Mutex<Option<String>>,
}

fn vm_info(name: &str) -> Vec<u8> {
    let mut info = Vec::new();
    wire::put_bytes(&mut info, 1, name.as_bytes());
    wire::put_number(&mut info, 2, 2); // VM_STATE_RUNNING
    info
}

impl Machine {
    /// HypervisorInfo{kernel_formats: [BZIMAGE, ELF, ARM64_IMAGE]}
    fn info(&self) -> Result<Vec<u8>, Failure> {
        let mut info = Vec::new();
        wire::put_bytes(&mut info, 1, &[1, 2, 3]);
        Ok(info)
    }

    fn boot(&self, spec: &[u8]) -> Result<Vec<u8>, Failure> {
        let not_a_spec = || (abi::INVALID, "spec: is no VmSpec with a name".to_string());
        let fields = wire::fields(spec).ok_or_else(not_a_spec)?;
        let name = wire::text(&fields, 1)
            .filter(|n| !n.is_empty())
            .ok_or_else(not_a_spec)?;
        if let Some(feature) = wire::text(&fields, 11) {
            return Err((
                abi::UNSUPPORTED,
                format!("feature {}: is not known here", feature),
            ));
        }
        if let Some(entry) = fields.iter().find(|f| f.number == 10) {
            let key = wire::fields(entry.bytes)
                .and_then(|f| wire::text(&f, 1))
                .unwrap_or_default();
            return Err((
                abi::INVALID,
                format!("option {}: is not known here: there are none", key),
            ));
        }
        let kernel = wire::text(&fields, 2).unwrap_or_default();
        std::fs::File::open(&kernel)
            .map_err(|e| (abi::NOT_FOUND, format!("kernel {}: {}", kernel, e)))?;
        let mut vm = self.vm.lock().unwrap_or_else(PoisonError::into_inner);
        if vm.is_some() {
            return Err((abi::BUSY, format!("vm {}: one is running already", name)));
        }
        *vm = Some(name.clone()); // Here: start it, on a thread of yours if that takes time.
        Ok(vm_info(&name))
    }

    fn stop(&self, request: &[u8]) -> Result<Vec<u8>, Failure> {
        let fields = wire::fields(request)
            .ok_or((abi::INVALID, "request: is no StopRequest".to_string()))?;
        let name = wire::text(&fields, 1).unwrap_or_default();
        let mut vm = self.vm.lock().unwrap_or_else(PoisonError::into_inner);
        if vm.as_deref() != Some(&name) {
            return Err((abi::NOT_FOUND, format!("vm {}: is not there", name)));
        }
        *vm = None; // Here: end it.
        let mut event = Vec::new(); // VmEvent{name, exited{reason: EXIT_REASON_HOST_STOP}}
        wire::put_bytes(&mut event, 1, name.as_bytes());
        wire::put_bytes(&mut event, 2, &[0x08, 0x04]);
        unsafe {
            if let Some(tell) = (*self.host).event {
                tell(self.host, Bytes::of(&event));
            }
        }
        Ok(Vec::new())
    }

    fn list(&self) -> Result<Vec<u8>, Failure> {
        let mut list = Vec::new();
        if let Some(name) = &*self.vm.lock().unwrap_or_else(PoisonError::into_inner) {
            wire::put_bytes(&mut list, 1, &vm_info(name));
        }
        Ok(list)
    }
}

// ---- the boundary

fn guarded(call: impl FnOnce() -> Result<Vec<u8>, Failure>) -> Result<Vec<u8>, Failure> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err((abi::INTERNAL, "plugin: panicked".to_string())))
}

unsafe fn write(sink: *const Sink, bytes: &[u8]) -> bool {
    !sink.is_null() && ((*sink).write)(sink, bytes.as_ptr().cast(), bytes.len()) == 0
}

unsafe fn read(
    out: *const Sink,
    error: *const Sink,
    call: impl FnOnce() -> Result<Vec<u8>, Failure>,
) -> Status {
    match guarded(call) {
        Ok(bytes) if write(out, &bytes) => abi::OK,
        Ok(_) => abi::INTERNAL,
        Err((status, words)) => {
            write(error, words.as_bytes());
            status
        }
    }
}

unsafe fn answer(done: Done, user: *mut c_void, call: impl FnOnce() -> Result<Vec<u8>, Failure>) {
    match guarded(call) {
        Ok(reply) => done(user, abi::OK, Bytes::of(&reply), Bytes::of(&[])),
        Err((status, words)) => done(user, status, Bytes::of(&[]), Bytes::of(words.as_bytes())),
    }
}

unsafe fn machine<'a>(hv: *mut Instance) -> &'a Machine {
    &*hv.cast::<Machine>()
}

unsafe extern "C" fn info(hv: *mut Instance, out: *const Sink, error: *const Sink) -> Status {
    read(out, error, || machine(hv).info())
}

unsafe extern "C" fn list(hv: *mut Instance, out: *const Sink, error: *const Sink) -> Status {
    read(out, error, || machine(hv).list())
}

unsafe extern "C" fn boot(hv: *mut Instance, spec: Bytes, done: Done, user: *mut c_void) {
    answer(done, user, || machine(hv).boot(spec.as_slice()))
}

unsafe extern "C" fn stop(hv: *mut Instance, request: Bytes, done: Done, user: *mut c_void) {
    answer(done, user, || machine(hv).stop(request.as_slice()))
}

unsafe extern "C" fn destroy(hv: *mut Instance) {
    drop(Box::from_raw(hv.cast::<Machine>()));
}

static TABLE: Api = Api {
    size: std::mem::size_of::<Api>(),
    info: Some(info),
    destroy: Some(destroy),
    boot: Some(boot),
    stop: Some(stop),
    list: Some(list),
    vsock_connect: None,
    share_dir: None,
    get_extension: None,
};

unsafe extern "C" fn create(
    host: *const Host,
    _config: Bytes,
    hv: *mut *mut Instance,
    api: *mut *const Api,
    _error: *const Sink,
) -> Status {
    *hv = Box::into_raw(Box::new(Machine {
        host,
        vm: Mutex::new(None),
    }))
    .cast();
    *api = &TABLE;
    abi::OK
}

/// # Safety
/// Called by a host, as mvm/abi.h says.
#[no_mangle]
pub unsafe extern "C" fn mvm_plugin_negotiate(
    offer: *const abi::Offer,
    answer: *mut abi::Answer,
    error: *const Sink,
) -> Status {
    if (*offer).size < 16 || (*answer).size < std::mem::size_of::<abi::Answer>() {
        write(
            error,
            b"negotiation: the host's tables are too small (MVM-H2)",
        );
        return abi::ABI;
    }
    if (*offer).min_major > abi::MAJOR || (*offer).max_major < abi::MAJOR {
        write(
            error,
            b"negotiation: no common ABI: this plugin speaks ABI 1 (MVM-P2)",
        );
        return abi::ABI;
    }
    let put = |to: &mut [u8], text: &str| to[..text.len()].copy_from_slice(text.as_bytes());
    (*answer).major = abi::MAJOR;
    (*answer).minor = abi::MINOR;
    put(&mut (*answer).name, "@NAME@\0");
    put(
        &mut (*answer).version,
        concat!(env!("CARGO_PKG_VERSION"), "\0"),
    );
    put(&mut (*answer).vendor, "the author\0");
    (*answer).create = Some(create);
    abi::OK
}
