//! Real telemetry that nobody here wrote takes, column by column, no more than raw in either tier.
//!
//! The files lie in `../shared/data` beside the checkout (or where `FLEETLOG_DATA` says); without them the tests say so and pass.

use crate::codec::Tier;
use crate::model::{Column, MetricType, Presence, Values};
use crate::store::{Options, Store};

use super::testing::{data, options};
use super::{SamplesImport, import_samples};

const CHECKSUM_BYTES: usize = 8;
/// What a column takes beside its values: its checksum, the length and the code of its presence, and the code of its encoding.
const HEAD_BYTES: usize = CHECKSUM_BYTES + 2 + 1;

/// Bytes of a column as it is: 8 a number, one a boolean, the text itself and a length a text (and what a dictionary of one says of itself); and
/// a bit a row where not every row has one.
fn raw_bytes(column: &Column, rows: usize) -> usize {
    let presence = if column.presence == Presence::All { 0 } else { rows.div_ceil(8) + 1 };
    let values = match &column.values {
        Values::Float(values) => values.len() * 8,
        Values::Integer(values) => values.len() * 8,
        Values::Boolean(values) => values.len(),
        Values::Text(values) => 6 + (0..values.codes.len()).map(|place| 1 + values.get(place).len()).sum::<usize>(),
    };
    presence + values
}

/// Imports files, and looks at every column as it lies in the store and as a month of the cold tier writes it: none takes more than raw, and the
/// numbers of all take so many bytes each at most.
fn imported(files: &[(std::path::PathBuf, SamplesImport)], most: [f64; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Options::default()).unwrap();
    for (path, options) in files {
        import_samples(&store, path, options, None).unwrap();
    }
    let snapshot = store.snapshot().unwrap();
    let (mut bytes, mut numbers) = ([0; 2], 0);
    for reference in snapshot.segments() {
        let segment = reference.segment().unwrap();
        assert_eq!(segment.tier(), Tier::Fast);
        segment.describe(&mut |slice| {
            let slice = slice.unwrap();
            let (place, rows) = (slice.slice.place, slice.slice.rows as usize);
            let mut cold = Vec::new();
            Tier::Cold.encode_times(&segment.read_times(place).unwrap(), &mut cold);
            let of_times = [slice.blocks[0].bytes as usize, cold.len() + CHECKSUM_BYTES];
            assert!(of_times.iter().all(|bytes| *bytes <= HEAD_BYTES + rows * 8), "{rows} times: {of_times:?} bytes");
            for block in &slice.blocks[1..] {
                let (metric, metric_type) = block.metric.unwrap();
                let column = segment.read_column(place, metric).unwrap().unwrap();
                let [fast, cold] = [Tier::Fast, Tier::Cold].map(|tier| {
                    let mut encoded = Vec::new();
                    tier.encode_values(&column.values, &mut encoded).unwrap();
                    encoded.len()
                });
                let stored = block.bytes as usize;
                let of_column = [stored, stored - fast + cold];
                let (name, raw) =
                    (&snapshot.catalog().metric_by_handle(metric).unwrap().name, raw_bytes(&column, rows));
                assert!(
                    of_column.iter().all(|bytes| *bytes <= HEAD_BYTES + raw),
                    "{name}: {of_column:?} bytes, raw {raw}"
                );
                if matches!(metric_type, MetricType::Float | MetricType::Integer) {
                    (bytes[0], bytes[1]) = (bytes[0] + of_column[0], bytes[1] + of_column[1]);
                    numbers += column.values.len();
                }
            }
            true
        });
    }
    let each = bytes.map(|bytes| bytes as f64 / numbers as f64);
    assert!(each[0] <= most[0] && each[1] <= most[1], "{numbers} numbers of {each:?} bytes each, not {most:?}");
}

#[test]
fn no_column_of_azure_is_larger_than_raw() {
    let Some(path) = data("azure-pdm/PdM_telemetry_machines1-20_first90days.csv") else { return };
    imported(&[(path, options("machineID", "datetime"))], [6.2, 6.2]);
}

#[test]
fn no_column_of_nab_is_larger_than_raw() {
    let Some(folder) = data("nab/data") else { return };
    let parts = std::fs::read_dir(folder).unwrap().flat_map(|part| std::fs::read_dir(part.unwrap().path()).unwrap());
    let options = SamplesImport {
        device_from_file_name: true,
        time_column: Some("timestamp".into()),
        ..SamplesImport::default()
    };
    let files: Vec<_> = parts.map(|entry| (entry.unwrap().path(), options.clone())).collect();
    assert_eq!(files.len(), 58);
    imported(&files, [2.6, 1.6]);
}

#[test]
fn no_column_of_campusiot_is_larger_than_raw() {
    let Some(uplinks) = data("campusiot/uplinks.csv") else { return };
    let Some(receptions) = data("campusiot/refugegouter_d1d1e80000000033.csv") else { return };
    let mut of_uplinks = options("dev_eui", "time_utc");
    of_uplinks.sequence_column = Some("fcnt".into());
    let mut of_receptions = options("DevEUI", "Date Time");
    (of_receptions.delimiter, of_receptions.decimal) = (b';', b',');
    of_receptions.times.format = Some("%d/%m/%Y %H:%M".into());
    of_receptions.link_to = Some("Gateway".into());
    of_receptions.sequence_column = Some("Sequence".into());
    imported(&[(uplinks, of_uplinks), (receptions, of_receptions)], [0.5, 0.25]);
}
