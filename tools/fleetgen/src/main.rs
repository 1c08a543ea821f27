//! The `fleetgen` command: writes a fleet and the truth about it into a folder.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use fleetgen::write::{Format, Order, write_fleet};
use fleetgen::{Config, Fleet};

/// Makes a fleet of telemetry devices that never was: samples, devices, attribute history, events, log lines, and the
/// truth about what is wrong with it. The same options give the same files.
#[derive(Debug, Parser)]
#[command(name = "fleetgen", version)]
struct Arguments {
    /// How many devices.
    #[arg(long, default_value_t = 100)]
    devices: u32,
    /// How many days.
    #[arg(long, default_value_t = 365)]
    days: u32,
    /// The seed of all chance.
    #[arg(long, default_value_t = 2025)]
    seed: u64,
    /// Time between two samples of a device: a number with ms, s, m or h.
    #[arg(long, default_value = "60s", value_parser = interval_ms)]
    interval: i64,
    /// When the first day begins: a date or RFC 3339.
    #[arg(long, default_value = "2025-01-01", value_parser = start_ms)]
    start: i64,
    /// How samples are written.
    #[arg(long, value_enum, default_value_t = FormatWord::Parquet)]
    format: FormatWord,
    /// In which order samples are written.
    #[arg(long, value_enum, default_value_t = OrderWord::Device)]
    order: OrderWord,
    /// Let every model report the same eight metrics.
    #[arg(long)]
    uniform: bool,
    /// The folder for the files; it is made where it is missing.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatWord {
    /// samples.parquet
    Parquet,
    /// samples.csv
    Csv,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OrderWord {
    /// By device, then by the device's own time.
    Device,
    /// By true time, then by device.
    Time,
    /// By device, then as they arrive, some late.
    Arrival,
}

fn interval_ms(text: &str) -> Result<i64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("write a number with its unit: 500ms, 60s, 10m, 1h".to_owned()),
    };
    let number = digits.parse::<i64>().ok().and_then(|number| number.checked_mul(unit_ms));
    number.ok_or_else(|| format!("'{digits}' is not a whole number of a possible size"))
}

fn start_ms(text: &str) -> Result<i64, String> {
    let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|date| date.and_hms_opt(0, 0, 0));
    date.map(|start| start.and_utc().timestamp_millis())
        .or_else(|| chrono::DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_millis()))
        .ok_or_else(|| "write a date (2025-01-01) or RFC 3339 (2025-01-01T00:00:00Z)".to_owned())
}

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to its user")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("fleetgen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<String, Box<dyn std::error::Error>> {
    let begun = Instant::now();
    let config = Config {
        devices: arguments.devices,
        days: arguments.days,
        seed: arguments.seed,
        interval_ms: arguments.interval,
        start_ms: arguments.start,
        uniform: arguments.uniform,
    };
    let format = match arguments.format {
        FormatWord::Parquet => Format::Parquet,
        FormatWord::Csv => Format::Csv,
    };
    let order = match arguments.order {
        OrderWord::Device => Order::Device,
        OrderWord::Time => Order::Time,
        OrderWord::Arrival => Order::Arrival,
    };
    let summary = write_fleet(&Fleet::new(config)?, &arguments.out, format, order)?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(format!(
        "{} rows ({} late), {} values, {} events, {} attribute changes, {} log lines in {seconds:.1} s ({:.2} M rows/s)",
        summary.rows,
        summary.late_rows,
        summary.values,
        summary.events,
        summary.attribute_changes,
        summary.log_lines,
        summary.rows as f64 / 1e6 / seconds.max(1e-9),
    ))
}
