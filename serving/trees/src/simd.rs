//! Owns the few vector operations that kernels for AVX-512 share.
//!
//! Functions are compiled for instructions that the processor may lack, so only code that is compiled for them too can
//! call them without `unsafe`; a proof from `isa` leads there.

use std::arch::x86_64::*;

/// The 64 bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")]
#[inline]
pub(crate) fn load(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: the reference covers 64 bytes that may be read, and the instruction takes any alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// The 16 numbers.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")]
#[inline]
pub(crate) fn load_f32(numbers: &[f32; 16]) -> __m512 {
    // SAFETY: the reference covers 16 numbers that may be read, and the instruction takes any alignment.
    unsafe { _mm512_loadu_ps(numbers.as_ptr()) }
}

/// The vector's bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")]
#[inline]
pub(crate) fn store(vector: __m512i) -> [u8; 64] {
    let mut bytes = [0; 64];
    // SAFETY: the reference covers 64 bytes that may be written, and the instruction takes any alignment.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), vector) };
    bytes
}

/// Writes the vector's numbers.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")]
#[inline]
pub(crate) fn store_f32(vector: __m512, numbers: &mut [f32; 16]) {
    // SAFETY: the reference covers 16 numbers that may be written, and the instruction takes any alignment.
    unsafe { _mm512_storeu_ps(numbers.as_mut_ptr(), vector) };
}

/// How many of the numbers are at most the value.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")]
#[inline]
pub(crate) fn count(numbers: &[f32; 16], value: f32) -> u32 {
    u32::from(_mm512_cmp_ps_mask::<_CMP_LE_OQ>(
        load_f32(numbers),
        _mm512_set1_ps(value),
    ))
    .count_ones()
}

/// Numbers made of their binary digits, the first digit first: number i of bit i of each.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")]
#[inline]
pub(crate) fn numbers_of_digits<const N: usize>(digits: &[u64; N]) -> __m512i {
    let mut numbers = _mm512_setzero_si512();
    for (digit_idx, digit) in digits.iter().enumerate() {
        let weight = _mm512_set1_epi8(1 << (N - 1 - digit_idx) as u8);
        numbers = _mm512_mask_add_epi8(numbers, *digit, numbers, weight);
    }
    numbers
}

/// The bytes that come from memory together.
#[cfg(not(miri))]
pub(crate) const LINE: usize = 64;

/// Asks for the line where these values start.
#[cfg(not(miri))]
pub(crate) fn fetch(values: &[f32]) {
    // SAFETY: a prefetch is a hint; it reads nothing, and no address makes it fail. Every x86-64 has it.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(values.as_ptr().cast()) };
}
