//! Owns what the processor can do: the instruction sets that kernels are written for, as proofs of their presence.
//!
//! A value of [`Avx2`] or [`Avx512`] is only made by asking the processor, so that whoever holds one may call what is
//! compiled for it. Code without such a proof is compiled for the target's baseline: SSE2 on x86-64, NEON on AArch64.

use std::fmt;

/// The instructions that a kernel uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstructionSet {
    /// Those that every processor of the target has: SSE2 on x86-64, NEON on AArch64.
    Baseline,
    /// 256-bit integers.
    Avx2(Avx2),
    /// 512-bit bytes with masks and full permutations.
    Avx512(Avx512),
}

/// The processor has AVX2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx2(());

/// The processor has AVX-512 F, BW, DQ, VL and VBMI (Intel since Ice Lake, AMD since Zen 4), and popcnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx512(());

impl InstructionSet {
    /// Those of this processor, the widest last.
    pub fn available() -> Vec<Self> {
        let avx2 = Avx2::detected().map(Self::Avx2);
        let avx512 = Avx512::detected().map(Self::Avx512);
        [Some(Self::Baseline), avx2, avx512].into_iter().flatten().collect()
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Baseline => "baseline",
            Self::Avx2(_) => "avx2",
            Self::Avx512(_) => "avx512",
        })
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
impl Avx2 {
    fn detected() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
impl Avx512 {
    fn detected() -> Option<Self> {
        let present = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("popcnt");
        present.then_some(Self(()))
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
impl Avx2 {
    fn detected() -> Option<Self> {
        None
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
impl Avx512 {
    fn detected() -> Option<Self> {
        None
    }
}
