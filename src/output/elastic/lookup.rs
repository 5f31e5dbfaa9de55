//! Whether records are stored already.
//!
//! A data stream writes to its newest backing index, and an `_id` is unique in one backing index only: what is sent
//! again after a rollover is stored twice. So a batch of which nobody knows whether it was taken is looked up before
//! it is sent again: first [`refresh`], since a search does not see what was written a moment ago, then [`lookup`].

use super::{
    Target,
    describe::id,
    reply::{common, error, garbled},
};
use crate::{
    batch::Records,
    output::{Answer, Cause, Request, Scope, Verdict},
};
use serde::{Deserialize, de::DeserializeOwned};
use std::collections::HashSet;

#[cfg(test)]
mod tests;

/// The most hits that a search can have (`index.max_result_window`). More than there are records, because a record can
/// be in several backing indices.
const MAX_HITS: usize = 10_000;

#[derive(Deserialize)]
struct Found {
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    #[serde(default)]
    hits: Hits,
}

#[derive(Deserialize)]
struct Refreshed {
    #[serde(rename = "_shards")]
    shards: Shards,
}

#[derive(Deserialize)]
struct Shards {
    failed: u64,
}

/// `filter_path` leaves out what is empty.
#[derive(Deserialize, Default)]
struct Hits {
    #[serde(default)]
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(rename = "_id")]
    id: String,
}

/// Makes all that is stored visible to searches. Needs the privilege `maintenance`.
pub(super) fn refresh(target: &Target) -> Request {
    post(format!("/{}/_refresh?filter_path=_shards.failed", target.path()), Vec::new())
}

/// Asks which of the records are stored. Needs the privilege `read`.
pub(super) fn lookup(target: &Target, records: Records<'_>) -> Request {
    let query = serde_json::json!({
        "size": MAX_HITS,
        "_source": false,
        "track_total_hits": false,
        "query": { "ids": { "values": ids(records) } },
    });
    let path = format!(
        "/{}/_search?filter_path=hits.hits._id,timed_out,_shards.failed&allow_partial_search_results=false",
        target.path()
    );
    post(path, query.to_string().into_bytes())
}

/// The ids of the records, in their order. A record that cannot be read has an empty one, which nothing is stored under.
pub fn ids(records: Records<'_>) -> Vec<String> {
    let mut ids = Vec::with_capacity(records.count());
    records.each(|encoded| ids.push(id(encoded).unwrap_or_default()));
    ids
}

/// What the answer to [`refresh`] says: nothing, or why it did not work.
pub fn refreshed(answer: Answer<'_>) -> Result<(), Verdict> {
    match read::<Refreshed>(answer)? {
        Some(Refreshed { shards }) if shards.failed > 0 => Err(unsure(answer)),
        _ => Ok(()),
    }
}

/// What the answer to [`lookup`] says: for each of these ids, in their order, whether it is stored. An answer that may
/// not be complete is a stall.
pub fn found(answer: Answer<'_>, ids: &[String]) -> Result<Vec<bool>, Verdict> {
    let hits = match read::<Found>(answer)? {
        None => return Ok(vec![false; ids.len()]),
        Some(Found { timed_out, shards, .. }) if timed_out || shards.failed > 0 => return Err(unsure(answer)),
        Some(found) => found.hits.hits,
    };
    let stored: HashSet<&str> = hits.iter().map(|hit| hit.id.as_str()).collect();
    Ok(ids.iter().map(|id| stored.contains(id.as_str())).collect())
}

/// The answer's body; nothing when there is no such data stream yet, so that nothing can be stored in it.
fn read<T: DeserializeOwned>(answer: Answer<'_>) -> Result<Option<T>, Verdict> {
    match answer.status {
        200 => serde_json::from_slice(answer.body).map(Some).map_err(|error| garbled(answer, &error)),
        404 if error(answer.body).is_some_and(|error| error.kind == "index_not_found_exception") => Ok(None),
        _ => Err(common(answer)),
    }
}

fn unsure(answer: Answer<'_>) -> Verdict {
    answer.stall(Cause::ServerError, Scope::Output, "not all shards have answered")
}

fn post(path: String, body: Vec<u8>) -> Request {
    Request { path: path.into(), content_type: "application/json", encoding: None, headers: Vec::new(), body }
}
