//! Operators against the naive model, in every layout: as-of alignment, downsampling, histograms, top groups, and the other verbs.

mod align;
mod downsample;
mod histogram;
mod top;
mod verbs;

use crate::model::{self, run::Run};

/// Acts, and checks a claim unsealed, sealed, and compacted into the fast tier and into the cold one.
fn in_every_layout(actions: &[model::Action], check: impl Fn(&Run)) {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::new(&folder.path().join("store"));
    for action in actions {
        run.act(action);
    }
    run.moments.clear();
    crate::count_up(&run);
    check(&run);
    run.store().seal().unwrap();
    check(&run);
    for cold in [false, true] {
        run.store().compact(cold, None).unwrap();
        check(&run);
    }
}
