//! What the floors above rely on, tried on real folders.

use std::collections::BTreeMap;
use std::fs;

use super::*;

const OPTIONS: KvOptions = KvOptions { memory_bytes: 8 << 20, threads: 2 };

fn put(kv: &Kv, family: Family, key: &[u8], value: &[u8]) {
    let mut batch = KvBatch::default();
    batch.put(family, key, value);
    kv.write(batch, true).unwrap();
}

fn keys(kv: &Kv, from: &[u8], to: Option<&[u8]>) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    kv.scan(Family::Log, from, to, &mut |key, _| {
        found.push(key.to_vec());
        Ok(true)
    })
    .unwrap();
    found
}

#[test]
fn scans_go_in_order_from_the_first_bound_to_before_the_second() {
    let folder = tempfile::tempdir().unwrap();
    let kv = Kv::open(folder.path(), true, &OPTIONS).unwrap();
    for key in [3_u64, 1, 300, 2] {
        put(&kv, Family::Log, &key.to_be_bytes(), b"x");
    }
    put(&kv, Family::Meta, b"other", b"family");
    let be = |key: u64| key.to_be_bytes().to_vec();
    assert_eq!(keys(&kv, &[], None), [be(1), be(2), be(3), be(300)]);
    assert_eq!(keys(&kv, &be(2), Some(&be(300))), [be(2), be(3)]);
    assert_eq!(keys(&kv, &be(5), Some(&be(5))), Vec::<Vec<u8>>::new());
    let mut batch = KvBatch::default();
    batch.delete_range(Family::Log, be(1), be(3));
    kv.write(batch, true).unwrap();
    assert_eq!(keys(&kv, &[], None), [be(3), be(300)]);
    assert_eq!(kv.get(Family::Meta, b"other").unwrap().as_deref(), Some(&b"family"[..]));
}

#[test]
fn what_was_written_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    put(&Kv::open(folder.path(), true, &OPTIONS).unwrap(), Family::Log, b"a", b"1");
    let kv = Kv::open(folder.path(), false, &OPTIONS).unwrap();
    assert_eq!(kv.get(Family::Log, b"a").unwrap().as_deref(), Some(&b"1"[..]));
}

#[test]
fn a_second_writer_is_refused_and_absence_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    assert_eq!(Kv::open(&absent, false, &OPTIONS).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(Kv::open_read_only(&absent, &OPTIONS, None).unwrap_err().kind(), ErrorKind::NotFound);
    let _first = Kv::open(folder.path(), true, &OPTIONS).unwrap();
    assert_eq!(Kv::open(folder.path(), true, &OPTIONS).unwrap_err().kind(), ErrorKind::StoreHeld);
}

/// Names and contents of all files.
fn listing(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect()
}

#[test]
fn a_reader_beside_a_writer_sees_its_moment_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Kv::open(folder.path(), true, &OPTIONS).unwrap();
    put(&writer, Family::Log, b"a", b"1");
    let before = listing(folder.path());
    let scratch = tempfile::tempdir().unwrap();
    let reader = Kv::open_read_only(folder.path(), &OPTIONS, Some(scratch.path())).unwrap();
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1, "its own folder is where it was told");
    assert_eq!(reader.get(Family::Log, b"a").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(reader.write(KvBatch::default(), true).unwrap_err().kind(), ErrorKind::ReadOnly);
    assert!(listing(folder.path()) == before, "the reader changed the folder");
    put(&writer, Family::Log, b"b", b"2");
    writer.flush().unwrap();
    assert_eq!(keys(&reader, &[], None), [b"a".to_vec()]);
    drop(reader);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    let absent = folder.path().join("absent");
    let error = Kv::open_read_only(folder.path(), &OPTIONS, Some(&absent)).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::NotFound, Some(absent.as_path())));
}

fn count_of(kv: &Kv) -> Result<u64> {
    let mut count = 0;
    kv.scan(Family::Log, &[], None, &mut |key, value| {
        assert_eq!(value, [key[7]; 1_000]);
        count += 1;
        Ok(true)
    })?;
    Ok(count)
}

#[test]
fn a_flipped_bit_in_a_file_is_an_error_and_never_fewer_keys() {
    let folder = tempfile::tempdir().unwrap();
    {
        let kv = Kv::open(folder.path(), true, &OPTIONS).unwrap();
        for key in 0..200_u64 {
            put(&kv, Family::Log, &key.to_be_bytes(), &[key as u8; 1_000]);
        }
        kv.flush().unwrap();
    }
    let biggest = |folder: &Path| {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let tables = files.filter(|path| path.extension().is_some_and(|extension| extension == "sst"));
        tables.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
    };
    let table = biggest(folder.path());
    let whole = fs::read(&table).unwrap();
    let mut noticed = 0;
    for part in 1..10 {
        let mut damaged = whole.clone();
        damaged[whole.len() * part / 12] ^= 0x10;
        fs::write(&table, &damaged).unwrap();
        for opened in [Kv::open_read_only(folder.path(), &OPTIONS, None), Kv::open(folder.path(), false, &OPTIONS)] {
            match opened.and_then(|kv| count_of(&kv)) {
                Ok(count) => assert_eq!(count, 200),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corruption);
                    noticed += 1;
                }
            }
        }
    }
    assert!(noticed > 0, "no damage was noticed");
    // The end of a file, where its index is found; and a file cut or gone.
    let length = whole.len();
    let mut at_the_end = whole.clone();
    at_the_end[length - 20] ^= 0x10;
    for damaged in [Some(&at_the_end[..]), Some(&whole[..length / 2]), Some(&[]), None] {
        match damaged {
            Some(bytes) => fs::write(&table, bytes).unwrap(),
            None => fs::remove_file(&table).unwrap(),
        }
        let read = Kv::open_read_only(folder.path(), &OPTIONS, None).and_then(|kv| count_of(&kv));
        let error = read.map(|count| panic!("{count} keys of a damaged file")).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Io), "{error}");
    }
}
