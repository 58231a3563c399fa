//! Times a model on rows: one row, small batches, and a million rows, by each technique and by the plan.
//!
//! `trees MODEL ROWS.npy [quick]` prints a line for each measurement, `NAME VALUE UNIT`; `quick` only those that are
//! compared with other evaluators. One thread; rows are taken in turns, so that none is predicted twice in a row.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use lakeloop_trees::{Choice, Ensemble, Technique};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [model, rows, rest @ ..] = args.as_slice() else {
        return Err("usage: trees MODEL ROWS.npy [quick]".into());
    };
    let (model, rows) = (std::fs::read(model)?, npy(&std::fs::read(rows)?)?);

    let started = Instant::now();
    let mut clock = || started.elapsed().as_nanos() as u64;
    let ensemble = Ensemble::from_bytes_by(&model, Choice::Measured(&mut clock))?;
    time_of_rows("row", &ensemble, &rows);
    million_rows("batch", &ensemble, &rows);
    if rest.iter().any(|arg| arg == "quick") {
        return Ok(());
    }

    println!("plan_measured {:?} -", ensemble.plan());
    println!("plan_estimated {:?} -", Ensemble::from_bytes(&model)?.plan());
    println!("model_bytes {} B", ensemble.n_bytes());
    println!(
        "load {:.2} ms",
        least_us(20, || drop(black_box(Ensemble::from_bytes(&model)))) / 1e3
    );
    let load = || drop(black_box(Ensemble::from_bytes_by(&model, Choice::Measured(&mut clock))));
    println!("load_measured {:.2} ms", least_us(20, load) / 1e3);
    for n_rows in [1, 2, 4, 8, 12, 16, 24, 32, 64, 100, 128] {
        println!("rows_{n_rows} {:.3} us", batch_us(&ensemble, &rows, n_rows));
    }
    for technique in Technique::available() {
        let ensemble = Ensemble::from_bytes_by(&model, Choice::Only(technique))?;
        println!("# {technique}: {} B", ensemble.n_bytes());
        time_of_rows("row", &ensemble, &rows);
        million_rows("batch", &ensemble, &rows);
    }
    Ok(())
}

/// The median and the 99th of 100 of single predictions.
fn time_of_rows(name: &str, ensemble: &Ensemble, rows: &[f32]) {
    let mut out = vec![0.0; ensemble.n_outputs()];
    let mut times = Vec::new();
    for row in rows.chunks_exact(ensemble.n_features()).cycle().take(200_000) {
        let start = Instant::now();
        black_box(ensemble.predict_into(black_box(row), &mut out).is_ok());
        times.push(start.elapsed().as_nanos() as f64 / 1e3);
    }
    times.sort_unstable_by(f64::total_cmp);
    println!("{name}_p50 {:.3} us", times[times.len() / 2]);
    println!("{name}_p99 {:.3} us", times[times.len() * 99 / 100]);
}

/// A million rows from memory, predictions out.
fn million_rows(name: &str, ensemble: &Ensemble, rows: &[f32]) {
    const N_ROWS: usize = 1_000_000;
    let values: Vec<f32> = rows
        .iter()
        .copied()
        .cycle()
        .take(N_ROWS * ensemble.n_features())
        .collect();
    let mut out = vec![0.0; N_ROWS * ensemble.n_outputs()];
    let us = least_us(3, || {
        black_box(ensemble.predict_into(&values, &mut out).is_ok());
    });
    println!("{name}_rows_per_s {:.0} 1/s", N_ROWS as f64 / us * 1e6);
}

/// The median of calls with so many rows.
fn batch_us(ensemble: &Ensemble, rows: &[f32], n_rows: usize) -> f64 {
    let mut out = vec![0.0; n_rows * ensemble.n_outputs()];
    let mut times = Vec::new();
    for rows in rows.chunks_exact(n_rows * ensemble.n_features()).cycle().take(5_000) {
        let start = Instant::now();
        black_box(ensemble.predict_into(rows, &mut out).is_ok());
        times.push(start.elapsed().as_nanos() as f64 / 1e3);
    }
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

fn least_us(n_rounds: usize, mut run: impl FnMut()) -> f64 {
    let times = (0..n_rounds).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed().as_nanos() as f64 / 1e3
    });
    times.fold(f64::INFINITY, f64::min)
}

/// The numbers of a .npy file of little-endian f32 in row order: a magic of 6 bytes, a version of 2, the header's length, the header.
fn npy(bytes: &[u8]) -> Result<Vec<f32>, String> {
    let [b'\x93', b'N', b'U', b'M', b'P', b'Y', 1, _, low, high, rest @ ..] = bytes else {
        return Err("the rows are no .npy file of version 1".into());
    };
    let (header, numbers) = rest
        .split_at_checked(usize::from(u16::from_le_bytes([*low, *high])))
        .ok_or("the .npy file ends within its header")?;
    let header = String::from_utf8_lossy(header);
    if !header.contains("'<f4'") || !header.contains("'fortran_order': False") {
        return Err(format!("the .npy file is {header}, expected rows of '<f4'"));
    }
    Ok(numbers
        .as_chunks::<4>()
        .0
        .iter()
        .map(|number| f32::from_le_bytes(*number))
        .collect())
}
