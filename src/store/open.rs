//! Opening: what lies in the folder becomes a state again, or the reason why it can not.
//!
//! The judgement about the log: RocksDB recovers it to a point in time. What came back must be one chain, commit by commit
//! and hash by hash, from what is sealed on; and it must reach the watermark. Below it acknowledged commits are missing:
//! [`ErrorKind::DataLoss`]. Above it a torn tail is the normal end of a crash.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex};

use crate::catalog::{Catalog, Intent, Manifest};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Mark, WATERMARK_BYTES, Watermark, decode_commit, decode_record, decode_watermark};
use crate::hot::ChunkBuilder;
use crate::index::AttributeIndex;
use crate::io::{FileSystem, FolderHold};
use crate::kv::{Family, Kv, KvBatch, KvOptions};
use crate::model::{SegmentId, Sequence};
use crate::segment::{PageCache, file_name, id_of_file, temporary_name};
use crate::time::TimeRange;

use super::core::{Core, Counters, Lag, Queue, State, lock};
use super::event_load::remove_load_events;
use super::layout::{AttributeRecord, Layout, Meta, log_key};
use super::options::Options;
use super::progress::Progress;
use super::segment_ref::SegmentRef;
use super::spare::SpareLists;

/// The most threads that queries of one store may have.
const THREADS_MAX: usize = 1_024;
/// What share of the memory budget room that questions leave may take: what the parts and rows of an answer leave of it.
const SPARE_SHARE: usize = 8;
/// How often a reader begins again when the writer changed segments while it opened.
const READER_TRIES: usize = 200;
/// How often it does so when the log that it read has a hole.
const READER_LOG_TRIES: usize = 20;

/// Opens for writing. Nothing in the folder is changed before all of it was judged.
pub(super) fn open_writer(path: &Path, options: Options) -> Result<Core> {
    let layout = Layout::new(path);
    let fs = Arc::clone(&options.file_system);
    let pages = Arc::new(PageCache::new(options.pages_bytes()));
    let create = prepare_folder(&layout, fs.as_ref(), options.create)?;
    let hold = fs.hold(path)?;
    let kv = Kv::open(&layout.database(), create, &kv_options(&options)).map_err(|error| named(error, path))?;
    let known = Meta::load(&kv, path)?;
    let mark = read_mark(&layout, fs.as_ref())?;
    let meta = match known {
        Some(meta) => meta,
        None => init(&kv, &layout, (create || options.create, mark))?,
    };
    let (manifest, intents) = load_manifest(&kv, meta.sealed.sequence)?;
    check_segments(&layout, fs.as_ref(), &manifest)?;
    let segments = segment_refs(&layout, &fs, &pages, &manifest);
    let (state, end) = recover(&layout, &kv, meta, manifest, segments, (mark, options.wait_bytes()))?;
    finish_intents(&layout, fs.as_ref(), &kv, &state.manifest, &intents, meta.next_segment)?;
    let watermark = Watermark::open(fs.open_in_place(&layout.watermark(), WATERMARK_BYTES)?)
        .map_err(|error| error.at_path(layout.watermark()))?;
    let lag = Lag { watermark, durable: end, batches: u32::from(end != mark.unwrap_or_default()), unflushed: false };
    let core = build(layout, options, kv, (fs, pages), state, Some((lag, hold)))?;
    seal_what_has_no_room(&core, end)?;
    Ok(core)
}

/// Opens for reading beside a writer, or where there is none. Every segment's file is opened at once, so that nothing which
/// the writer removes later is missed.
pub(super) fn open_reader(path: &Path, options: Options) -> Result<Core> {
    let layout = Layout::new(path);
    let fs = Arc::clone(&options.file_system);
    let pages = Arc::new(PageCache::new(options.pages_bytes()));
    if !layout.exists(fs.as_ref())? {
        return Err(absent(&layout, fs.as_ref())?);
    }
    let mut tries = 0;
    loop {
        tries += 1;
        match read_moment(&layout, (&fs, &pages), &options) {
            // The writer took segments away, or a part of the log, while the moment was read: the next try sees it whole.
            Err(error) if error.kind() == ErrorKind::NotFound && tries < READER_TRIES => {}
            Err(error) if error.kind() == ErrorKind::DataLoss && tries < READER_LOG_TRIES => {}
            Err(error) => return Err(still_missing(error, &layout)),
            Ok((state, kv)) => return build(layout, options, kv, (fs, pages), state, None),
        }
    }
}

/// What is not there after so many tries is not on its way out: a segment that the manifest names is missing.
fn still_missing(error: Error, layout: &Layout) -> Error {
    match error.path().filter(|path| error.kind() == ErrorKind::NotFound && path.starts_with(layout.segments())) {
        None => error,
        Some(path) => Error::new(ErrorKind::Corruption, "a segment that the manifest names is missing")
            .at_path(path)
            .advise("restore the file from a backup"),
    }
}

/// Opens again what a writer beside it may just have changed. What is still not there after some tries is missing.
pub(super) fn open_again(mut open: impl FnMut() -> Result<Kv>) -> Result<Kv> {
    for _ in 1..READER_LOG_TRIES {
        match open() {
            Err(error) if matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Io) => {}
            opened => return opened,
        }
    }
    open()
}

fn read_moment(
    layout: &Layout,
    (fs, pages): (&Arc<dyn FileSystem>, &Arc<PageCache>),
    options: &Options,
) -> Result<(State, Kv)> {
    // The mark first: the log that is read after it may have gone on since, never back.
    let mark = read_mark(layout, fs.as_ref())?;
    let (database, settings, scratch) = (layout.database(), kv_options(options), options.scratch_folder.as_deref());
    let kv = open_again(|| Kv::open_read_only(&database, &settings, scratch))?;
    let meta = Meta::load(&kv, &layout.root)?.ok_or_else(|| without_meta(layout, mark))?;
    let (manifest, _) = load_manifest(&kv, meta.sealed.sequence)?;
    let segments = segment_refs(layout, fs, pages, &manifest);
    segments.iter().try_for_each(|segment| segment.segment().map(|_| ()))?;
    let (state, end) = recover(layout, &kv, meta, manifest, segments, (mark, options.memory_bytes / 8 * 5))?;
    if end.sequence > state.sequence {
        return Err(Error::new(
            ErrorKind::LimitExceeded,
            format!("what is not sealed yet takes more than {} MiB", (options.memory_bytes / 8 * 5) >> 20),
        )
        .at_path(&layout.root)
        .advise("allow as much memory as the writer has, or seal the store"));
    }
    Ok((state, kv))
}

fn segment_refs(
    layout: &Layout,
    fs: &Arc<dyn FileSystem>,
    pages: &Arc<PageCache>,
    manifest: &Manifest,
) -> Vec<Arc<SegmentRef>> {
    let entries = manifest.segments.iter();
    entries.map(|entry| Arc::new(SegmentRef::new(fs, pages, layout.segments(), Arc::clone(entry)))).collect()
}

pub(super) fn kv_options(options: &Options) -> KvOptions {
    KvOptions { memory_bytes: options.kv_bytes(), threads: if options.threads == 1 { 1 } else { 2 } }
}

fn named(error: Error, path: &Path) -> Error {
    if error.kind() == ErrorKind::NotFound { not_a_store(path) } else { error }
}

/// Why there is no database: there is no store, or its root file is gone. The watermark is made after it.
fn absent(layout: &Layout, fs: &dyn FileSystem) -> Result<Error> {
    if !fs.exists(&layout.watermark())? {
        return Ok(not_a_store(&layout.root));
    }
    Ok(Error::new(ErrorKind::Corruption, "the file that names the present state of the database is missing")
        .at_path(layout.database().join("CURRENT"))
        .advise("restore the store from a backup"))
}

fn not_a_store(path: &Path) -> Error {
    Error::new(ErrorKind::NotFound, "there is no store here")
        .at_path(path)
        .advise("make one with `init`, or with `Options::create`")
}

/// A database that knows nothing of a store: it was never finished, or its log was lost from the first commit on.
fn without_meta(layout: &Layout, mark: Option<Mark>) -> Error {
    match mark.filter(|mark| mark.sequence > Sequence::ZERO) {
        Some(mark) => missing(&layout.root, Sequence::ZERO, mark.sequence),
        None => not_a_store(&layout.root),
    }
}

fn missing(path: &Path, have: Sequence, want: Sequence) -> Error {
    Error::new(ErrorKind::DataLoss, format!("acknowledged commits {} to {want} are missing from the log", have.next()))
        .at_path(path)
        .advise("restore the store from a backup")
}

/// Makes the folder where it may be made; says whether the key-value store is to be created.
fn prepare_folder(layout: &Layout, fs: &dyn FileSystem, create: bool) -> Result<bool> {
    if layout.exists(fs)? {
        fs.create_folder(&layout.segments())?;
        return Ok(false);
    }
    if !create || fs.exists(&layout.watermark())? {
        return Err(absent(layout, fs)?);
    }
    if fs.exists(&layout.root)? && !is_ours_to_make(layout, fs).unwrap_or(false) {
        return Err(Error::new(ErrorKind::AlreadyExists, "the folder is not empty, and holds no store")
            .at_path(&layout.root)
            .advise("name a folder that is empty or not there yet"));
    }
    fs.create_folder(&layout.root)?;
    fs.create_folder(&layout.segments())?;
    Ok(true)
}

/// Empty, or left by a creation that was killed.
fn is_ours_to_make(layout: &Layout, fs: &dyn FileSystem) -> Result<bool> {
    let begun = [layout.segments(), layout.database()];
    Ok(fs.list(&layout.root)?.iter().all(|path| begun.contains(path)))
}

fn init(kv: &Kv, layout: &Layout, (create, mark): (bool, Option<Mark>)) -> Result<Meta> {
    if mark.is_some_and(|mark| mark.sequence > Sequence::ZERO) {
        return Err(without_meta(layout, mark));
    }
    let mut used = false;
    kv.scan(Family::Log, &[], None, &mut |_, _| {
        used = true;
        Ok(false)
    })?;
    if used || !create {
        return Err(Error::new(ErrorKind::Corruption, "the store does not say its version").at_path(&layout.root));
    }
    let mut batch = KvBatch::default();
    let meta = Meta::init(&mut batch)?;
    kv.write(batch, true)?;
    Ok(meta)
}

/// The mark of the watermark file; `None` where there is no whole one: its making may have been cut short.
pub(super) fn read_mark(layout: &Layout, fs: &dyn FileSystem) -> Result<Option<Mark>> {
    if !fs.exists(&layout.watermark())? {
        return Ok(None);
    }
    let file = fs.open(&layout.watermark())?;
    if file.len() < WATERMARK_BYTES {
        return Ok(None);
    }
    let mut bytes = vec![0; WATERMARK_BYTES as usize];
    file.read_at(0, &mut bytes)?;
    let newest = decode_watermark(&bytes).map_err(|error| error.at_path(layout.watermark()))?;
    Ok(Some(newest.map(|(_, mark)| mark).unwrap_or_default()))
}

/// Every file that the manifest names is there.
fn check_segments(layout: &Layout, fs: &dyn FileSystem, manifest: &Manifest) -> Result<()> {
    let present: HashSet<PathBuf> = fs.list(&layout.segments())?.into_iter().collect();
    let path_of = |id: SegmentId| layout.segments().join(file_name(id));
    match manifest.segments.iter().find(|entry| !present.contains(&path_of(entry.id))) {
        None => Ok(()),
        Some(entry) => Err(Error::new(
            ErrorKind::Corruption,
            format!("segment {} is missing: {} rows of it can not be read", entry.id, entry.rows),
        )
        .at_path(path_of(entry.id))
        .advise("restore the file from a backup; nothing was changed")),
    }
}

fn records(kv: &Kv, family: Family) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut records = Vec::new();
    kv.scan(family, &[], None, &mut |key, value| {
        records.push((key.to_vec(), value.to_vec()));
        Ok(true)
    })?;
    Ok(records)
}

fn load_manifest(kv: &Kv, sealed_through: Sequence) -> Result<(Manifest, Vec<Intent>)> {
    let mut all = records(kv, Family::Manifest)?.into_iter().map(Ok);
    let (mut manifest, intents) = Manifest::load(&mut all)?;
    manifest.sealed_through = sealed_through;
    Ok((manifest, intents))
}

/// Removes events and files of unfinished intents, and files of segments that the manifest has let go; what no intent ever named is moved
/// aside, never deleted.
fn finish_intents(
    layout: &Layout,
    fs: &dyn FileSystem,
    kv: &Kv,
    manifest: &Manifest,
    intents: &[Intent],
    next: u64,
) -> Result<()> {
    let known: HashSet<SegmentId> = manifest.segments.iter().map(|entry| entry.id).collect();
    for path in fs.list(&layout.segments())? {
        match id_of_file(&path) {
            Some(id) if known.contains(&id) && path.ends_with(file_name(id)) => {}
            Some(id) if id.0 < next && (path.ends_with(file_name(id)) || path.ends_with(temporary_name(id))) => {
                fs.remove(&path)?
            }
            _ => quarantine(layout, fs, &path)?,
        }
    }
    fs.sync_folder(&layout.segments())?;
    if intents.is_empty() {
        return Ok(());
    }
    remove_load_events(kv, TimeRange::ALL, &|load| intents.iter().any(|intent| intent.first == load))?;
    let mut batch = KvBatch::default();
    intents.iter().for_each(|intent| batch.delete(Family::Manifest, intent.key()));
    kv.write(batch, true)
}

fn quarantine(layout: &Layout, fs: &dyn FileSystem, path: &Path) -> Result<()> {
    let folder = layout.quarantine();
    fs.create_folder(&folder)?;
    let name = path.file_name().unwrap_or_default();
    let mut aside = folder.join(name);
    let mut round = 1;
    while fs.exists(&aside)? {
        let mut numbered = name.to_os_string();
        numbered.push(format!(".{round}"));
        aside = folder.join(numbered);
        round += 1;
    }
    tracing::warn!(file = %path.display(), to = %aside.display(), "a file that no seal, compaction or bulk load wrote is moved aside");
    fs.publish(path, &aside)
}

/// Rebuilds the state, and judges what came back of the log; gives its last commit, too. The rows of the first commits, as
/// many as may be held, are in the state.
fn recover(
    layout: &Layout,
    kv: &Kv,
    meta: Meta,
    manifest: Manifest,
    segments: Vec<Arc<SegmentRef>>,
    (mark, most_bytes): (Option<Mark>, usize),
) -> Result<(State, Mark)> {
    let catalog = Arc::new(Catalog::load(&mut records(kv, Family::Catalog)?.into_iter().map(Ok))?);
    let attributes = Arc::new(load_attributes(kv)?);
    let sealed = meta.sealed;
    let later = |sequence: &Sequence| *sequence > sealed.sequence;
    let deletes = manifest.tombstones.iter().map(|tombstone| tombstone.sequence);
    let loads = manifest.segments.iter().map(|entry| entry.sequences.0);
    let barriers = deletes.chain(loads).filter(later).collect();
    let queue = Queue {
        pending: Vec::new(),
        sequence: sealed.sequence,
        hash: sealed.hash,
        catalog: Arc::clone(&catalog),
        attributes: Arc::clone(&attributes),
        next_segment: meta.next_segment,
        keys: HashMap::new(),
        events: HashSet::new(),
    };
    let mut state = State {
        sequence: sealed.sequence,
        hash: sealed.hash,
        catalog,
        attributes,
        manifest: Arc::new(manifest),
        deletes: Arc::default(),
        segments: Arc::new(segments),
        active: ChunkBuilder::new(),
        frozen: Vec::new(),
        unsealed_since: None,
        barriers,
        snapshots: Vec::new(),
        queue,
        closing: false,
        look_for_merges: true,
        compactions_waiting: 0,
        seal_failure: None,
    };
    let end = replay(layout, kv, &mut state, (mark, most_bytes))?;
    match mark {
        Some(mark) if end.sequence < mark.sequence => return Err(missing(&layout.root, end.sequence, mark.sequence)),
        None if end.sequence > Sequence::ZERO => {
            return Err(Error::new(
                ErrorKind::DataLoss,
                "the watermark is missing or cut: whether the log is whole is unknown",
            )
            .at_path(layout.watermark())
            .advise("restore the file, or the store, from a backup"));
        }
        _ => {}
    }
    (state.queue.sequence, state.queue.hash) = (end.sequence, end.hash);
    Ok((state, end))
}

fn load_attributes(kv: &Kv) -> Result<AttributeIndex> {
    let mut index = AttributeIndex::default();
    kv.scan(Family::Attributes, &[], None, &mut |_, value| {
        match decode_record("a statement of the attribute history", value)? {
            AttributeRecord::Assertion(assertion) => index.assert(&assertion),
            AttributeRecord::Merge { from, into } => index.merge(from, into),
        }
        Ok(true)
    })?;
    Ok(index)
}

/// Reads the log from the state's commit on; gives its last commit. All of it must be one chain that goes through the mark; its
/// rows come back into memory up to the commit with which they hold so many bytes.
fn replay(layout: &Layout, kv: &Kv, state: &mut State, (mark, most_bytes): (Option<Mark>, usize)) -> Result<Mark> {
    let broken = |what: String| {
        Error::new(ErrorKind::DataLoss, what).at_path(&layout.root).advise("restore the store from a backup")
    };
    let check = |at: Mark| match mark {
        Some(mark) if mark.sequence == at.sequence && mark.sequence > Sequence::ZERO && mark.hash != at.hash => {
            Err(broken(format!("commit {} is not the one that was acknowledged", mark.sequence)))
        }
        _ => Ok(()),
    };
    let mut end = Mark { sequence: state.sequence, hash: state.hash };
    let mut has_room = true;
    check(end)?;
    kv.scan(Family::Log, &log_key(end.sequence.next()), None, &mut |key, value| {
        let (commit, hash) = decode_commit(value).map_err(|error| error.at_path(&layout.root))?;
        let expected = end.sequence.next();
        if key != log_key(expected) || commit.sequence != expected || commit.previous_hash != end.hash {
            return Err(broken(format!(
                "the log breaks at commit {expected}: the next one in it is {}",
                commit.sequence
            )));
        }
        end = Mark { sequence: expected, hash };
        check(end)?;
        if !has_room {
            return Ok(true);
        }
        if state.barriers.contains(&expected) {
            state.freeze()?;
        }
        state.note_unsealed(commit.recorded_at);
        if !commit.times.is_empty() || !commit.logs.is_empty() {
            state.active.append(expected, &commit.devices, &commit.times, &commit.columns, commit.logs)?;
        }
        (state.sequence, state.hash) = (expected, hash);
        has_room = state.hot_bytes() <= most_bytes;
        Ok(true)
    })?;
    Ok(end)
}

/// Seals what came back of the log where that is more than may wait in memory, until the rest has room.
fn seal_what_has_no_room(core: &Core, end: Mark) -> Result<()> {
    while lock(&core.state).sequence < end.sequence {
        core.seal()?;
        let mut state = lock(&core.state);
        replay(&core.layout, &core.kv, &mut state, (None, core.options.wait_bytes()))?;
    }
    Ok(())
}

fn build(
    layout: Layout,
    options: Options,
    kv: Kv,
    (fs, pages): (Arc<dyn FileSystem>, Arc<PageCache>),
    state: State,
    writer: Option<(Lag, FolderHold)>,
) -> Result<Core> {
    if options.threads > THREADS_MAX {
        let message = format!("{} threads are more than {THREADS_MAX}", options.threads);
        return Err(
            Error::new(ErrorKind::InvalidInput, message).advise("leave `Options::threads` at 0: one for each core")
        );
    }
    let (lag, hold) = writer.unzip();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .thread_name(|place| format!("fleetlog-{place}"))
        .build()
        .map_err(|error| Error::new(ErrorKind::LimitExceeded, format!("starting threads: {error}")))?;
    let spare = Arc::new(SpareLists::new(options.memory_bytes / SPARE_SHARE));
    let lagging = lag.as_ref().is_some_and(|lag| lag.batches > 0);
    let core = Core {
        layout,
        options,
        kv,
        fs,
        pages,
        pool,
        spare,
        read_only: lag.is_none(),
        sealing: Mutex::new(()),
        compacting: Mutex::new(()),
        order: Mutex::default(),
        log: Mutex::new(lag),
        state: Mutex::new(state),
        changed: Condvar::new(),
        poisoned: AtomicBool::new(false),
        closed: AtomicBool::new(false),
        lagging: AtomicBool::new(lagging),
        background: Progress::default(),
        counters: Counters::default(),
        hold,
    };
    Ok(core)
}
