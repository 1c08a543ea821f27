//! A loop over the devices of a cohort: in parallel by waves, results in the order of the devices' ids, with progress and
//! cancellation between them.

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::catalog::DeviceEntry;
use crate::error::Result;
use crate::store::{Progress, Store};

use super::looks::look;

/// Devices that are worked on before their results are taken.
pub(super) const WAVE: usize = 32;

/// Works on each device and takes the results in order.
pub(super) fn by_device<R: Send>(
    store: &Store,
    devices: &[&DeviceEntry],
    progress: Option<&Progress>,
    work: impl Fn(&DeviceEntry) -> Result<R> + Sync,
    mut take: impl FnMut(R) -> Result<()>,
) -> Result<()> {
    progress.inspect(|progress| progress.set_total(devices.len() as u64));
    for wave in devices.chunks(WAVE) {
        let results: Vec<Result<R>> = store.install(|| {
            wave.into_par_iter()
                .map(|device| {
                    look(progress)?;
                    work(device)
                })
                .collect()
        });
        for result in results {
            take(result?)?;
        }
        progress.inspect(|progress| progress.advance(wave.len() as u64));
    }
    Ok(())
}
