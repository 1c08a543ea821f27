//! The store against a naive model: any writes, deletes, bulk loads, renames, merges, seals, compactions and reopens, in any order,
//! read back as a sorted map of every write says; a snapshot shows its moment through all that comes after.

mod model;

use model::run::Run;
use proptest::prelude::*;

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_is_a_sorted_map_of_every_write(actions in proptest::collection::vec(model::action(), 1..25)) {
        let folder = tempfile::tempdir().unwrap();
        let mut run = Run::new(&folder.path().join("store"));
        for action in &actions {
            run.act(action);
        }
        run.check();
        // The law: seal and compaction change no answer.
        run.store().seal().unwrap();
        run.check();
        run.store().compact(true, None).unwrap();
        run.check();
        run.act(&model::Action::Reopen);
        run.check();
    }
}
