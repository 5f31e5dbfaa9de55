use super::*;
use crate::model::Mark;
use proptest::prelude::*;

fn point(at: u64) -> Point {
    Point {
        rewind: at,
        at,
        seq: at,
        chain: crate::model::Chain([0; 32]),
        time: None,
        mark: Mark::default(),
        at_mark: Mark::default(),
        within: [false; 2],
    }
}

/// (open first offsets, scanned to, settled firsts) → (safe, pending)
fn check(opened: &[u64], scanned: u64, settled: &[u64], expect: (u64, u64)) {
    let mut ledger = Ledger::default();
    ledger.begin(1, point(0));
    for &first in opened {
        ledger.open(1, point(first), Nanos(first as i64));
    }
    ledger.scanned(1, point(scanned));
    for &first in settled {
        ledger.settle(1, first);
    }
    assert_eq!((ledger.safe(1).map_or(0, |p| p.at), ledger.pending()), expect);
    let oldest = opened.iter().filter(|first| !settled.contains(first)).min();
    assert_eq!(ledger.oldest(1), oldest.map(|first| Nanos(*first as i64)));
}

#[test]
fn the_lowest_unsettled_first_offset_is_safe() {
    check(&[], 50, &[], (50, 0));
    check(&[0, 10, 20], 50, &[], (0, 50));
    check(&[0, 10, 20], 50, &[10, 20], (0, 50));
    check(&[0, 10, 20], 50, &[0], (10, 40));
    check(&[0, 10, 20], 50, &[20, 0], (10, 40));
    check(&[0, 10, 20], 50, &[0, 10, 20], (50, 0));
    check(&[5], 50, &[5, 5, 99], (50, 0));
}

/// Records, each put into one of a few batches; batches are sealed and settled in any order.
#[derive(Debug, Clone)]
enum Act {
    Read { file: u32, len: u64, batch: usize, is_passed: bool },
    Settle { nth: usize },
}

/// An open batch: its number, and file and first offset of what is in it.
type Open = (u64, Vec<(u32, u64)>);

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0u32..3, 1u64..40, 0usize..4, any::<bool>())
            .prop_map(|(file, len, batch, is_passed)| Act::Read { file, len, batch, is_passed }),
        1 => any::<usize>().prop_map(|nth| Act::Settle { nth }),
    ];
    prop::collection::vec(act, 0..200)
}

proptest! {
    /// Never ahead of the acknowledged prefix, never backwards, at most `window` between, and at the end when all
    /// is settled.
    #[test]
    fn the_safe_position_follows_the_proof(acts in acts(), window in 50u64..200) {
        let mut ledger = Ledger::default();
        let mut at = [0u64; 3];
        // The model: every record with its batch; a batch is settled or not.
        let mut records: Vec<(u32, u64, u64, u64)> = Vec::new();
        let mut settled = std::collections::HashSet::new();
        let mut open: Vec<Option<Open>> = vec![None; 4];
        let mut next_batch = 0;
        let mut last_safe = [0u64; 3];
        for file in 0..3 {
            ledger.begin(file, point(0));
        }
        for act in acts {
            match act {
                Act::Read { file, len, batch, is_passed } => {
                    if ledger.pending() + len > window {
                        continue;
                    }
                    let start = at[file as usize];
                    at[file as usize] += len;
                    if !is_passed {
                        let slot = open[batch].get_or_insert_with(|| { next_batch += 1; (next_batch, Vec::new()) });
                        if !slot.1.iter().any(|(f, _)| *f == file) {
                            slot.1.push((file, start));
                            ledger.open(file, point(start), Nanos::default());
                        }
                        records.push((file, start, start + len, slot.0));
                    }
                    ledger.scanned(file, point(start + len));
                }
                Act::Settle { nth } => {
                    let slot = nth % open.len();
                    if let Some((batch, files)) = open[slot].take() {
                        settled.insert(batch);
                        for (file, first) in files { ledger.settle(file, first); }
                    }
                }
            }
            prop_assert!(ledger.pending() <= window);
            for file in 0..3u32 {
                let safe = ledger.safe(file).map_or(0, |p| p.at);
                let acknowledged = records.iter()
                    .filter(|r| r.0 == file && !settled.contains(&r.3)).map(|r| r.1).min().unwrap_or(at[file as usize]);
                prop_assert!(safe <= acknowledged, "ahead of the acknowledged prefix");
                prop_assert!(safe >= last_safe[file as usize], "backwards");
                last_safe[file as usize] = safe;
            }
        }
        for (_, files) in open.into_iter().flatten() {
            for (file, first) in files { ledger.settle(file, first); }
        }
        prop_assert_eq!(ledger.pending(), 0);
        for file in 0..3u32 {
            prop_assert_eq!(ledger.safe(file).map(|p| p.at), Some(at[file as usize]));
            prop_assert!(ledger.is_settled(file));
        }
    }
}
