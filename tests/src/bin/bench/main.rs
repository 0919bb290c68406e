//! `cargo xtask bench`: the figures of `docs/performance.md`.
//!
//! Ratios are taken within one run from alternating pairs, because the machines that this runs on
//! are shared and noisy. One module measures one figure.

mod api;
mod arguments;
mod bare;
mod bundle;
mod command_line;
mod direct;
mod figure;
mod guest_agent;
mod guest_boot;
mod guest_memory;
mod guest_program;
mod held;
mod host_memory;
mod network;
mod phases;
mod qmp;
mod recipe;
mod report;
mod runc;
mod setting;
mod sizes;
mod slow_reader;
mod start_to_exit;
mod throughput;

use std::process::ExitCode;

use anyhow::Result;

use arguments::{Arguments, Format};
use figure::Row;
use setting::Setting;

/// Measures one figure, which may take several rows.
type Measure = fn(&Setting) -> Result<Vec<Row>>;

/// All figures, by the name that a filter selects.
const FIGURES: &[(&str, Measure)] = &[
    ("sizes", sizes::measure),
    ("api", api::measure),
    ("phases", phases::measure),
    ("start-to-exit", start_to_exit::measure),
    ("guest-boot", guest_boot::measure),
    ("cli", command_line::measure),
    ("host-memory", host_memory::measure),
    ("guest-memory", guest_memory::measure),
    ("guest-agent", guest_agent::measure),
    ("throughput", throughput::measure),
    ("network-set-up", network::set_up::measure),
    ("network-start", network::start::measure),
    ("network-traffic", network::traffic::measure),
    ("slow-reader", slow_reader::measure),
];

fn main() -> Result<ExitCode> {
    if api::memory::hold_if_asked()? {
        return Ok(ExitCode::SUCCESS);
    }
    let names: Vec<&str> = FIGURES.iter().map(|(name, _)| *name).collect();
    let Some(arguments) = Arguments::parse(std::env::args().skip(1), &names)? else {
        return Ok(ExitCode::SUCCESS);
    };
    let setting = Setting::from_environment(arguments.quick)?;
    let mut rows = Vec::new();
    let mut failed = false;
    for (name, measure) in FIGURES {
        if !arguments.selects(name) {
            continue;
        }
        eprintln!("bench: {name}");
        match measure(&setting) {
            Ok(measured) => rows.extend(measured),
            Err(error) => {
                eprintln!("bench: {name} cannot be measured: {error:#}");
                failed = true;
            }
        }
    }
    match arguments.format {
        Format::Table => print!("{}", report::table(&rows)),
        Format::Json => println!("{}", report::json(&rows)),
    }
    Ok(match failed {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}
