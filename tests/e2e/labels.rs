//! Labels and tenants, as they arrive.

use crate::rig::{Attempt, Destination, Meeting, Site, append, check, event, eventually, lines, seconds};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    time::SystemTime,
};

fn label_strings(destination: &Destination) -> BTreeSet<String> {
    destination.attempts().iter().map(|attempt| attempt.labels.clone()).collect()
}

#[test]
fn labels_come_from_all_their_sources() {
    let destination = Destination::new();
    let mut site = Site::new();
    site.labels = "team = { path = \"/logs/(?<v>[^/]+)/\" }\nhost = { meta = \"host\" }\n\
                   name = { meta = \"filename\" }\nfrom = { meta = \"source\" }\ncluster = \"eu-1\"\n\
                   kind = { field = [\"kind\", \"event_type\"] }\ntenant = { field = [\"org\"], default = \"none\" }"
        .into();
    site.glob = "*/*.jsonl".into();
    fs::create_dir(site.log("payments")).unwrap();
    let truth = vec![event("one", "login", "acme")];
    append(&site.log("payments/app.jsonl"), &truth);
    let done = site.once(&destination, &[]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let expect = "{cluster=\"eu-1\", from=\"app\", host=\"test-host\", kind=\"login\", name=\"app.jsonl\", \
                  service_name=\"auditship\", team=\"payments\", tenant=\"none\"}";
    assert_eq!(label_strings(&destination), BTreeSet::from([expect.to_owned()]));
    check(&destination, &truth);
}

#[test]
fn values_over_the_budget_are_other_and_stay_so() {
    over_budget("max_label_values = 3");
}

#[test]
fn streams_over_the_budget_are_other_and_stay_so() {
    over_budget("max_streams = 3");
}

fn over_budget(guard: &str) {
    let destination = Destination::new();
    // It has everything and says so for nothing: all of it is sent again by the next life.
    destination.script(|_| Meeting::LoseAnswer);
    let mut site = Site::new();
    site.guard = guard.into();
    site.labels = "kind = { field = [\"event_type\"] }".into();
    let of_kinds = |name: &str, kinds: &[&str]| {
        kinds.iter().map(|kind| event(&format!("{name}-{kind}"), kind, "acme")).collect::<Vec<_>>()
    };
    let mut truth = of_kinds("first", &["k1", "k2", "k3", "k4", "k5"]);
    append(&site.log("first.jsonl"), &truth);
    // Every record has been sent before the end.
    let done = site.once(&destination, &["--timeout", "6s"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(destination.stored(), truth.len());

    // The next life meets the others first: an older file is read before a newer one.
    let second = of_kinds("second", &["k5", "k4", "k1"]);
    append(&site.log("second.jsonl"), &second);
    truth.extend(second);
    let old = SystemTime::now() - seconds(3600);
    File::options().append(true).open(site.log("second.jsonl")).unwrap().set_modified(old).unwrap();
    destination.script(|_| Meeting::Pass);
    let done = site.once(&destination, &[]);
    assert_eq!(done.code, Some(0), "{done:?}");
    // The check compares labels too: k4 and k5 are what they were.
    let tally = check(&destination, &truth);
    assert!(tally.resent_lines >= 5, "{tally:?}");
    let kind = |name: &str| format!("{{kind=\"{name}\", service_name=\"auditship\"}}");
    assert_eq!(label_strings(&destination), ["__other__", "k1", "k2", "k3"].map(kind).into());
    let said = done.stderr.lines().filter(|line| line.contains("further values become __other__")).count();
    assert_eq!(said, 1, "{}", done.stderr);
}

/// Tenants of all pushes.
fn tenants(destination: &Destination) -> BTreeSet<Option<String>> {
    destination.attempts().iter().map(|attempt| attempt.tenant.clone()).collect()
}

#[test]
fn a_fixed_tenant_is_sent_with_every_push() {
    let destination = Destination::multi_tenant();
    let mut site = Site::new();
    site.output.push_str("\ntenant_id = \"team-a\"");
    let truth = lines("a", 20);
    append(&site.log("app.jsonl"), &truth);
    let done = site.once(&destination, &[]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(tenants(&destination), BTreeSet::from([Some("team-a".to_owned())]));
    check(&destination, &truth);
}

#[test]
fn a_tenant_by_label_goes_where_its_records_belong() {
    let destination = Destination::multi_tenant();
    let mut site = Site::new();
    site.output.push_str("\ntenant_id = { label = \"tenant\" }");
    let truth = lines("a", 40);
    append(&site.log("app.jsonl"), &truth);
    let done = site.once(&destination, &[]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(tenants(&destination), ["acme", "umbrella"].map(|name| Some(name.to_owned())).into());
    let is_right = |attempt: &Attempt| {
        let tenant = attempt.tenant.as_deref().unwrap_or_default();
        let field = format!("\"tenant\":\"{tenant}\"");
        attempt.labels.contains(&format!("tenant=\"{tenant}\""))
            && attempt.entries.iter().all(|seen| memchr::memmem::find(&seen.line, field.as_bytes()).is_some())
    };
    assert!(destination.attempts().iter().all(is_right));
    check(&destination, &truth);
}

#[test]
fn a_missing_tenant_is_a_stall_that_says_so() {
    let destination = Destination::multi_tenant();
    let site = Site::new();
    let truth = lines("a", 20);
    append(&site.log("app.jsonl"), &truth);
    let agent = site.start(&destination);
    eventually(seconds(20), "it is said", || !agent.alarms().is_empty());
    let alarm = &agent.alarms()[0];
    assert_eq!(alarm["cause"], "Setup");
    assert!(alarm["message"].as_str().unwrap().contains("no org id"), "{alarm}");
    assert!(site.behind() > 0);
    assert_eq!(destination.stored(), 0);
}
