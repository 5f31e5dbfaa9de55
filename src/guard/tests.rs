use super::*;
use crate::model::LabelSet;
use proptest::prelude::*;

fn allowed(default: &str, values: &[&str]) -> Allowed {
    let values = values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    Allowed {
        default: Some(default.to_owned()).filter(|text| !text.is_empty()),
        values: Some(values).filter(|values| !values.is_empty()),
    }
}

fn field(name: &str, slot: usize, allowed: Allowed) -> Rule {
    Rule::Field { name: name.to_owned(), slot, allowed }
}

fn constant(name: &str, value: &str) -> Rule {
    Rule::Constant { name: name.to_owned(), value: value.to_owned() }
}

fn budget(max_label_values: usize, max_streams: usize) -> Budget {
    Budget { max_label_values, max_streams }
}

/// Absent, or text.
fn values<'v>(values: &[&'v str]) -> Vec<Option<&'v str>> {
    values.iter().map(|value| (*value != "-").then_some(*value)).collect()
}

fn label_set(pairs: &[(&str, &str)]) -> LabelSet {
    LabelSet::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn told(labels: &LabelSet) -> String {
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// Decides on records of a file without values, one after the other, and compares labels and the reasons.
#[track_caller]
fn check(rules: Vec<Rule>, budget: Budget, records: &[(&[&str], &str, &[Why])]) {
    let mut admission = Admission::new(rules, budget);
    for (fields, expect, why) in records {
        check_next(&mut admission, fields, expect, why);
    }
}

#[track_caller]
fn check_next(admission: &mut Admission, fields: &[&str], expect: &str, why: &[Why]) {
    let admitted = admission.admit(&values(fields), &[None::<&str>; 0], &mut Vec::new());
    let reasons: Vec<_> = admitted.other.iter().map(|other| other.why).collect();
    assert_eq!((told(&admitted.labels).as_str(), reasons.as_slice()), (expect, why), "{fields:?}");
}

#[test]
fn every_kind_of_rule() {
    let rules = vec![
        field("event_type", 1, allowed("", &[])),
        field("tenant", 0, allowed("unknown", &[])),
        Rule::PerFile { name: "team".to_owned(), index: 1, allowed: Allowed::default() },
        constant("cluster", "eu-1"),
    ];
    let mut admission = Admission::new(rules, budget(10, 10));
    let mut decide = |fields: &[&str], per_file: &[&str]| {
        let admitted = admission.admit(&values(fields), &values(per_file), &mut Vec::new());
        assert_eq!(admitted.other, []);
        told(&admitted.labels)
    };
    assert_eq!(decide(&["acme", "login"], &["x", "red"]), "cluster=eu-1 event_type=login team=red tenant=acme");
    assert_eq!(decide(&["-", "-"], &["x", "-"]), "cluster=eu-1 tenant=unknown");
    assert_eq!(decide(&["", ""], &["", ""]), "cluster=eu-1 tenant=unknown");
    assert_eq!(decide(&[], &[]), "cluster=eu-1 tenant=unknown");
}

#[test]
fn values_over_the_budget_become_other() {
    check(
        vec![field("t", 0, allowed("none", &[])), field("u", 1, allowed("", &[]))],
        budget(2, 100),
        &[
            (&["a", "x"], "t=a u=x", &[]),
            (&["b", "x"], "t=b u=x", &[]),
            (&["c", "x"], "t=__other__ u=x", &[Why::TooManyValues]),
            (&["c", "y"], "t=__other__ u=y", &[Why::TooManyValues]),
            (&["-", "z"], "t=none u=__other__", &[Why::TooManyValues]),
            (&["none", "y"], "t=none u=y", &[]),
            (&["__other__", "y"], "t=__other__ u=y", &[]),
            (&["a", "-"], "t=a", &[]),
        ],
    );
}

#[test]
fn defaults_and_other_take_no_place() {
    check(
        vec![field("t", 0, allowed("none", &[]))],
        budget(1, 100),
        &[
            (&["-"], "t=none", &[]),
            (&["none"], "t=none", &[]),
            (&["__other__"], "t=__other__", &[]),
            (&["a"], "t=a", &[]),
            (&["b"], "t=__other__", &[Why::TooManyValues]),
        ],
    );
}

#[test]
fn closed_sets_take_no_place_and_admit_nothing_else() {
    check(
        vec![field("t", 0, allowed("none", &["a", "b", "c"]))],
        budget(1, 100),
        &[
            (&["a"], "t=a", &[]),
            (&["b"], "t=b", &[]),
            (&["c"], "t=c", &[]),
            (&["d"], "t=__other__", &[Why::NotInSet]),
            (&["-"], "t=none", &[]),
            (&["none"], "t=none", &[]),
        ],
    );
}

#[test]
fn unfit_values_become_other() {
    let long = "x".repeat(MAX_VALUE);
    check(
        vec![field("t", 0, allowed("", &[]))],
        budget(100, 100),
        &[
            (&["a\nb"], "t=__other__", &[Why::Unfit]),
            (&["a\u{85}b"], "t=__other__", &[Why::Unfit]),
            (&[&format!("{long}y")], "t=__other__", &[Why::Unfit]),
            (&[&long], &format!("t={long}"), &[]),
            (&["Zoë \u{1f600}"], "t=Zoë \u{1f600}", &[]),
        ],
    );
}

#[test]
fn combinations_over_the_budget_become_other_in_all_that_varies() {
    use Why::{NotInSet, TooManyStreams};
    let rules = || {
        vec![
            field("t", 0, allowed("", &[])),
            field("u", 1, allowed("none", &["x", "y"])),
            field("v", 2, allowed("", &[])),
            constant("c", "1"),
        ]
    };
    const FULL: &str = "c=1 t=__other__ u=__other__ v=__other__";
    check(
        rules(),
        budget(100, 2),
        &[
            (&["__other__", "__other__", "__other__"], FULL, &[]),
            (&["a", "x", "-"], "c=1 t=a u=x", &[]),
            (&["a", "-", "-"], "c=1 t=a u=none", &[]),
            (&["a", "y", "-"], FULL, &[TooManyStreams; 3]),
            (&["b", "z", "-"], FULL, &[NotInSet, TooManyStreams, TooManyStreams]),
            (&["a", "x", "-"], "c=1 t=a u=x", &[]),
        ],
    );
    let constants = || vec![constant("c", "1"), constant("d", "2")];
    check(constants(), budget(0, 0), &[(&["a"], "c=1 d=2", &[]), (&["b"], "c=1 d=2", &[])]);
}

#[test]
fn news_tells_what_is_admitted_once() {
    let rules = vec![field("t", 0, allowed("none", &[])), field("u", 1, allowed("", &["x"])), constant("c", "1")];
    let mut admission = Admission::new(rules, budget(2, 3));
    let mut news = |fields: &[&str]| {
        let mut news = Vec::new();
        admission.admit(&values(fields), &[None::<&str>; 0], &mut news);
        news
    };
    let value = |value: &str| News::Value { label: "t".to_owned(), value: value.to_owned() };
    let stream = |pairs: &[(&str, &str)]| News::Stream(label_set(pairs));
    assert_eq!(news(&["a", "x"]), [value("a"), stream(&[("t", "a"), ("u", "x")])]);
    assert_eq!(news(&["a", "x"]), []);
    assert_eq!(news(&["-", "x"]), [stream(&[("t", "none"), ("u", "x")])]);
    assert_eq!(news(&["a", "-"]), [stream(&[("t", "a")])]);
    // Refused with its combination, `b` takes no place either.
    assert_eq!(news(&["b", "-"]), []);
    assert_eq!(news(&["c", "x"]), []);
}

#[test]
fn what_is_restored_stays_beyond_a_smaller_budget() {
    let rules = || vec![field("t", 0, allowed("none", &[]))];
    let mut admission = Admission::new(rules(), budget(1, 2));
    for value in ["a", "b"] {
        admission.restore_value("t", value);
        admission.restore_stream(&label_set(&[("t", value)]));
    }
    admission.restore_stream(&label_set(&[("t", "none")]));
    check_next(&mut admission, &["a"], "t=a", &[]);
    check_next(&mut admission, &["b"], "t=b", &[]);
    check_next(&mut admission, &["-"], "t=none", &[]);
    check_next(&mut admission, &["c"], "t=__other__", &[Why::TooManyValues]);
}

#[test]
fn what_no_rule_can_make_takes_no_place() {
    let mut admission = Admission::new(vec![field("t", 0, allowed("none", &[]))], budget(1, 1));
    admission.restore_value("gone", "x");
    admission.restore_value("t", "none");
    admission.restore_stream(&label_set(&[("t", "a"), ("gone", "x")]));
    check_next(&mut admission, &["a"], "t=a", &[]);
}

#[test]
fn an_opened_set_counts_from_then_on() {
    let mut admission = Admission::new(vec![field("t", 0, allowed("", &[]))], budget(1, 9));
    // Its value was one of a closed set and never news.
    admission.restore_stream(&label_set(&[("t", "a")]));
    let mut news = Vec::new();
    admission.admit(&values(&["a"]), &[None::<&str>; 0], &mut news);
    assert_eq!(news, [News::Value { label: "t".to_owned(), value: "a".to_owned() }]);
    check_next(&mut admission, &["b"], "t=__other__", &[Why::TooManyValues]);
}

#[test]
fn streams_know_raw_values_and_number_label_sets() {
    let mut streams = Streams::new();
    let none = [None::<&str>; 0];
    let (one, two) = (label_set(&[("t", "a")]), label_set(&[("t", "b")]));
    assert_eq!(streams.lookup(&[Some("a")], &none), None);
    let first = streams.insert(&[Some("a")], &none, one.clone());
    let second = streams.insert(&[Some("b")], &none, two.clone());
    assert_eq!(streams.insert(&[Some("c")], &none, one.clone()), first);
    assert_eq!(streams.lookup(&[Some("a")], &none), Some(first));
    assert_eq!(streams.lookup(&[Some("b")], &none), Some(second));
    assert_eq!(streams.lookup(&[Some("c")], &none), Some(first));
    assert_eq!((streams.labels(first), streams.labels(second)), (&one, &two));
    assert_eq!((first.index(), second.index()), (0, 1));
}

#[test]
fn streams_keep_raw_values_apart() {
    let long = "x".repeat(MAX_VALUE);
    let raw: [(&[&str], &[&str]); 9] = [
        (&["a", "b"], &[]),
        (&["ab", ""], &[]),
        (&["", "ab"], &[]),
        (&["-", "ab"], &[]),
        (&["ab", "-"], &[]),
        (&["a"], &["c"]),
        (&["a"], &["d"]),
        (&["a\0\0\0\0"], &[]),
        (&[&long], &[]),
    ];
    let mut streams = Streams::new();
    for (i, (fields, per_file)) in raw.iter().enumerate() {
        let id = streams.insert(&values(fields), &values(per_file), label_set(&[("t", &i.to_string())]));
        assert_eq!(id.index(), i);
    }
    for (i, (fields, per_file)) in raw.iter().enumerate() {
        assert_eq!(streams.lookup(&values(fields), &values(per_file)).map(StreamId::index), Some(i));
    }
}

#[test]
fn streams_are_bounded_and_their_numbers_stable() {
    let mut streams = Streams::new();
    let none = [None::<&str>; 0];
    let other = label_set(&[("t", OTHER)]);
    let kept = streams.insert(&[Some("kept")], &none, label_set(&[("t", "kept")]));
    // Half of them long, so that both bounds are met.
    let raw = |i: usize| if i < 50_000 { i.to_string() } else { format!("{i:01000}") };
    let mut forgotten = 0;
    for i in 2..100_000 {
        forgotten += usize::from(streams.lookup(&[Some(raw(i - 2))], &none).is_none());
        let raw = raw(i);
        let id = streams.insert(&[Some(&raw)], &none, other.clone());
        assert_eq!(id.index(), 1);
        assert_eq!(streams.lookup(&[Some(&raw)], &none), Some(id));
        if i % 499 == 0 {
            let (keys, bytes) = streams.remembered();
            assert!(keys <= 16_384 && bytes <= 1 << 20, "{keys} keys of {bytes} bytes");
        }
    }
    assert!(forgotten < 100, "forgotten right away: {forgotten}");
    assert_eq!(streams.lookup(&[Some("kept")], &none), None);
    assert_eq!(streams.insert(&[Some("kept")], &none, label_set(&[("t", "kept")])), kept);
    // All too long values are one key.
    let long = |i: usize| format!("{i:02000}");
    let id = streams.insert(&[Some(long(1))], &none, other);
    assert_eq!(streams.lookup(&[Some(long(2))], &none), Some(id));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// After a crash that leaves any beginning of the news, all records whose news are among it get the labels that
    /// they had, in any order and with other records between them.
    #[test]
    fn decisions_are_stable(
        max in (0_usize..5, 0_usize..7),
        records in proptest::collection::vec(("[a-f]|-", "[u-z]|-", "[0-3]|-"), 1..60),
        durable in any::<proptest::sample::Index>(),
        later in proptest::collection::vec(any::<proptest::sample::Index>(), 1..120),
    ) {
        let rules = || vec![
            field("t", 0, allowed("a", &[])),
            field("u", 1, allowed("", &["u", "v", "w"])),
            Rule::PerFile { name: "f".to_owned(), index: 0, allowed: allowed("", &[]) },
            constant("c", "1"),
        ];
        let decide = |admission: &mut Admission, news: &mut Vec<News>, (t, u, f): &(String, String, String)| {
            admission.admit(&values(&[t, u]), &values(&[f]), news)
        };
        let mut news = Vec::new();
        let mut admission = Admission::new(rules(), budget(max.0, max.1));
        let mut decided = Vec::new();
        for record in &records {
            let admitted = decide(&mut admission, &mut news, record);
            decided.push((admitted.labels, news.len()));
        }
        news.truncate(durable.index(news.len() + 1));

        let mut again = Admission::new(rules(), budget(max.0, max.1));
        for item in &news {
            match item {
                News::Value { label, value } => again.restore_value(label, value),
                News::Stream(labels) => again.restore_stream(labels),
            }
        }
        for index in later {
            let i = index.index(records.len());
            let admitted = decide(&mut again, &mut Vec::new(), &records[i]);
            let (labels, needed) = &decided[i];
            if *needed <= news.len() {
                prop_assert_eq!(&admitted.labels, labels, "{:?}", records[i]);
            }
        }
    }

    /// Whatever comes, there are no more values and combinations than the budget says.
    #[test]
    fn budgets_hold(records in proptest::collection::vec(("[a-z]", "[a-z]"), 1..200)) {
        let rules = vec![field("t", 0, allowed("", &[])), field("u", 1, allowed("", &[]))];
        let mut admission = Admission::new(rules, budget(3, 5));
        let mut sets = std::collections::BTreeSet::new();
        for (t, u) in &records {
            sets.insert(admission.admit(&values(&[t, u]), &[None::<&str>; 0], &mut Vec::new()).labels);
        }
        for name in ["t", "u"] {
            let of_label = sets.iter().flat_map(|set| set.iter().filter(|(label, _)| *label == name));
            let distinct: std::collections::BTreeSet<_> = of_label.map(|(_, value)| value.to_owned()).collect();
            prop_assert!(distinct.iter().filter(|value| *value != OTHER).count() <= 3);
        }
        let all_other = |set: &&LabelSet| set.iter().all(|(_, value)| value == OTHER);
        prop_assert!(sets.len() - sets.iter().filter(all_other).count() <= 5);
    }
}
