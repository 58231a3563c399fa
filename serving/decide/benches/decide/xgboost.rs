//! Owns libxgboost as a peer: the few functions of its C API that predict one row in place, on one thread.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{null, null_mut};

// From xgboost/c_api.h of XGBoost 3. Every function returns 0, or −1 after setting the thread's last error.
unsafe extern "C" {
    fn XGBGetLastError() -> *const c_char;
    fn XGBoosterCreate(matrices: *const *mut c_void, n_matrices: u64, out: *mut *mut c_void) -> c_int;
    fn XGBoosterFree(booster: *mut c_void) -> c_int;
    fn XGBoosterLoadModelFromBuffer(booster: *mut c_void, model: *const c_void, n_bytes: u64) -> c_int;
    fn XGBoosterSetParam(booster: *mut c_void, name: *const c_char, value: *const c_char) -> c_int;
    fn XGBoosterPredictFromDense(
        booster: *mut c_void,
        values: *const c_char,
        config: *const c_char,
        matrix: *mut c_void,
        out_shape: *mut *const u64,
        out_dim: *mut u64,
        out_result: *mut *const f32,
    ) -> c_int;
}

/// A loaded model with the row that it predicts from.
pub struct Booster {
    handle: *mut c_void,
    row: Box<[f32]>,
    /// The array interface of `row`, written once: its memory never moves.
    interface: CString,
    config: CString,
}

impl Booster {
    pub fn load(model: &[u8], n_features: usize) -> Self {
        let row = vec![0.0_f32; n_features].into_boxed_slice();
        let interface = format!(
            r#"{{"data": [{}, true], "shape": [1, {n_features}], "typestr": "<f4", "version": 3}}"#,
            row.as_ptr().addr()
        );
        let config = r#"{"type": 0, "training": false, "iteration_begin": 0, "iteration_end": 0,
            "strict_shape": false, "cache_id": 0, "missing": NaN}"#;
        let mut handle = null_mut();
        // SAFETY: no matrices are passed, so none are read; `handle` is valid for one write.
        check(unsafe { XGBoosterCreate(null(), 0, &mut handle) });
        // SAFETY: the handle was just made, and the pointer is valid for `model.len()` bytes during the call.
        check(unsafe { XGBoosterLoadModelFromBuffer(handle, model.as_ptr().cast(), model.len() as u64) });
        // SAFETY: the handle is live and both texts end in a zero byte.
        check(unsafe { XGBoosterSetParam(handle, c"nthread".as_ptr(), c"1".as_ptr()) });
        let text = |text: &str| CString::new(text).unwrap();
        Self {
            handle,
            row,
            interface: text(&interface),
            config: text(config),
        }
    }

    /// The prediction of one row of the model's width.
    pub fn predict(&mut self, row: &[f32]) -> f32 {
        self.row.copy_from_slice(row);
        let (mut shape, mut n_dims, mut result) = (null(), 0, null());
        // SAFETY: the handle is live; both texts end in a zero byte; the interface names the address, type and shape of
        // `self.row`, which lives as long as `self` and is not written during the call; the outputs are valid for one
        // write each.
        check(unsafe {
            XGBoosterPredictFromDense(
                self.handle,
                self.interface.as_ptr(),
                self.config.as_ptr(),
                null_mut(),
                &mut shape,
                &mut n_dims,
                &mut result,
            )
        });
        // SAFETY: after success the result holds one prediction for the one row, and stays valid until the next call.
        unsafe { *result }
    }
}

impl Drop for Booster {
    fn drop(&mut self) {
        // SAFETY: the handle is live and not used again.
        unsafe { XGBoosterFree(self.handle) };
    }
}

fn check(status: c_int) {
    // SAFETY: libxgboost returns a text that ends in a zero byte and stays valid until its next call on this thread.
    let message = || {
        unsafe { CStr::from_ptr(XGBGetLastError()) }
            .to_string_lossy()
            .into_owned()
    };
    assert_eq!(status, 0, "{}", message());
}
