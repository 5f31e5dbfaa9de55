use super::*;
use proptest::prelude::*;

proptest! {
    /// Bytes come back as they went in, in any ranges; the pool gets every chunk back.
    #[test]
    fn a_body_is_its_bytes(records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40_000), 0..8)) {
        let mut pool = Pool::new(10 * CHUNK);
        let mut batch = Batch::new(0, Duration::ZERO);
        for record in &records {
            batch.body.writer(&mut pool).put(record);
            batch.end_record();
        }
        prop_assert_eq!(batch.records(), records.len());
        prop_assert_eq!(pool.used(), batch.body.chunks() * CHUNK);
        prop_assert_eq!(pool.is_full(), batch.body.chunks() >= 10);
        for start in 0..=records.len() {
            for end in start..=records.len() {
                let mut out = Vec::new();
                batch.body.copy_to(batch.bytes_of(&(start..end)), &mut out);
                prop_assert_eq!(&out, &records[start..end].concat());
            }
        }
        pool.give_back(batch.body);
        prop_assert_eq!(pool.used(), 0);
    }
}

#[test]
fn a_batch_knows_its_files() {
    let mut batch = Batch::new(3, Duration::ZERO);
    batch.firsts.push((7, 100));
    assert!(batch.has(7) && !batch.has(8) && batch.body.is_empty());
}
