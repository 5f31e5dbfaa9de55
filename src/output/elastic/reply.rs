//! What the answer to a bulk request means. Statuses, types and texts are those of Elasticsearch 7 to 9
//! (`action/bulk/BulkItemResponse.java`, `rest/action/document/RestBulkAction.java`, `ingest/IngestService.java`,
//! `cluster/block/ClusterBlockException.java`); OpenSearch has kept them.
//!
//! What an error says may quote a record, and so be anyone's words. Its `type` is never a record's, and neither is
//! the beginning of its `reason`: only these two are looked at.

use crate::output::{Answer, Cause, Item, Scope, Verdict, answer};
use serde::Deserialize;

#[cfg(test)]
mod tests;

/// The answer to a bulk request that was taken.
#[derive(Deserialize)]
struct Bulk {
    /// Whether one of the items has an error. Only a bulk's answer has it.
    errors: bool,
    /// In the order of the request. An answer to no items may have none at all, since `filter_path` leaves out what is
    /// empty.
    #[serde(default)]
    items: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    create: Outcome,
}

#[derive(Deserialize)]
struct Outcome {
    status: u16,
    error: Option<Error>,
    failure_store: Option<String>,
}

/// The answer to a request that was refused.
#[derive(Deserialize)]
struct Refused {
    error: Error,
}

/// An error of a request or of an item.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Error {
    #[serde(rename = "type")]
    pub(super) kind: String,
    reason: Option<String>,
    caused_by: Option<Box<Error>>,
}

/// The verdict on a bulk request of so many records.
///
/// - 200 is a receipt for the items that say so, when there are as many of them as records.
/// - A request without records, by which `check --connect` looks whether there is a server that knows us, is refused
///   for having none after the credentials were looked at; that is what it takes for success.
pub fn reply(answer: Answer<'_>, records: usize) -> Verdict {
    if answer.status == 200 {
        return taken(answer, records);
    }
    let error = error(answer.body);
    let is_of = |kind: &str| error.as_ref().is_some_and(|error| error.kind == kind);
    match answer.status {
        400 if error.as_ref().is_some_and(Error::is_empty_request) => match records {
            0 => Verdict::Accepted,
            _ => answer.stall(Cause::Broken, Scope::Output, "the records got lost on the way: is there a proxy?"),
        },
        400 => match error {
            Some(error) if error.is_unfinished() => answer.stall(Cause::Broken, Scope::Output, ""),
            Some(error) if error.is_unreadable() => {
                answer.stall(Cause::Setup, Scope::Output, "does the server know this compression?")
            }
            Some(error) if error.is_about_setup() => answer.stall(Cause::Setup, Scope::Output, ""),
            Some(error) if !error.kind.is_empty() && records > 0 => Verdict::Refused { reason: answer.told() },
            _ => answer.stall(Cause::Setup, Scope::Output, "not an answer of _bulk; is the URL right?"),
        },
        403 | 429 | 503 if is_of(BLOCK) => answer.stall(Cause::Blocked, Scope::Output, ""),
        406 | 415 => answer.stall(Cause::Setup, Scope::Output, ""),
        _ => common(answer),
    }
}

/// What a status means that is not `_bulk`'s own.
pub(super) fn common(answer: Answer<'_>) -> Verdict {
    answer.common().unwrap_or_else(|| answer.stall(Cause::Unexpected, Scope::Output, ""))
}

/// What a body that was not understood means. One that ends too early came over a connection that broke.
pub(super) fn garbled(answer: Answer<'_>, error: &serde_json::Error) -> Verdict {
    if error.is_eof() {
        return answer.stall(Cause::Broken, Scope::Output, "the answer is cut off");
    }
    answer.stall(Cause::Unexpected, Scope::Output, "not an answer of Elasticsearch; is the URL right?")
}

/// The error of a request that was refused, when it is one of Elasticsearch's.
pub(super) fn error(body: &[u8]) -> Option<Error> {
    serde_json::from_slice(body).ok().map(|Refused { error }| error)
}

fn taken(answer: Answer<'_>, records: usize) -> Verdict {
    let Bulk { errors, items } = match serde_json::from_slice(answer.body) {
        Ok(bulk) => bulk,
        Err(error) => return garbled(answer, &error),
    };
    if items.len() != records {
        let words = format!("{} items for {records} records", items.len());
        return Verdict::Stall(answer.as_stall(Cause::Unexpected, Scope::Output, &words, "is there a proxy?"));
    }
    if !errors && items.iter().any(|entry| entry.create.error.is_some()) {
        let words = "an item has an error, and the answer says that none has";
        return Verdict::Stall(answer.as_stall(Cause::Unexpected, Scope::Output, words, ""));
    }
    let items: Vec<Item> = items.iter().map(|entry| judged(answer, &entry.create)).collect();
    if items.iter().all(|item| *item == Item::Stored) {
        return Verdict::Accepted;
    }
    // All of them have to wait: so has the output.
    let is_again = |item: &Item| matches!(item, Item::Again(_));
    if let Some(Item::Again(stall)) = items.first()
        && items.iter().all(is_again)
    {
        return Verdict::Stall(stall.clone());
    }
    Verdict::Items(items)
}

fn judged(answer: Answer<'_>, outcome: &Outcome) -> Item {
    let error = outcome.error.as_ref();
    let kind = error.map_or("", |error| error.kind.as_str());
    let words = error.map(Error::words).unwrap_or_default();
    // As if it were the answer to a request of this record alone.
    let answer = Answer { status: outcome.status, body: words.as_bytes(), ..answer };
    let again = |cause| Item::Again(answer.as_stall(cause, Scope::Output, &answer::words(answer.body), ""));
    let refused = |hint: &str| Item::Refused { reason: format!("{}{hint}", answer.told()) };
    let store = outcome.failure_store.as_deref();
    match outcome.status {
        200 | 201 if error.is_none() => match store {
            // The words for "there is no failure store in this".
            None | Some("not_enabled" | "not_applicable_or_unknown") => Item::Stored,
            Some("used") => refused("; it lies in the failure store, not in the data stream"),
            Some(_) => again(Cause::Unexpected),
        },
        // The id is made of the record, so it is the record that is there.
        409 if matches!(kind, "" | "version_conflict_engine_exception") => Item::Stored,
        _ if kind == BLOCK => again(Cause::Blocked),
        401 | 403 => again(Cause::Credentials),
        404 | 405 | 410 => again(Cause::Setup),
        408 | 500..=599 => again(Cause::ServerError),
        429 => again(Cause::RateLimited),
        400 | 413 => match error {
            Some(error) if error.is_about_setup() => again(Cause::Setup),
            Some(error) if !error.kind.is_empty() => match store {
                Some("failed") => refused("; the failure store did not take it either"),
                _ => refused(""),
            },
            _ => again(Cause::Unexpected),
        },
        _ => again(Cause::Unexpected),
    }
}

impl Error {
    fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or_default()
    }

    /// For people: `type: reason: the cause's reason`.
    fn words(&self) -> String {
        let mut words = format!("{}: {}", self.kind, self.reason());
        if let Some(cause) = &self.caused_by {
            words.push_str(": ");
            words.push_str(cause.reason());
        }
        words
    }

    fn is_one_of(&self, known: &[(&str, &str)]) -> bool {
        known.iter().any(|(kind, reason)| self.kind == *kind && self.reason().starts_with(reason))
    }

    /// Whether the request had no body when it arrived.
    fn is_empty_request(&self) -> bool {
        self.is_one_of(&[
            // RestRequest.requiredContent.
            ("parse_exception", "request body is required"),
            ("parsing_exception", "request body is required"),
            // BulkRequest.validate.
            ("action_request_validation_exception", "Validation Failed: 1: no requests added"),
        ])
    }

    /// Whether the request did not arrive whole (BulkRequestParser).
    fn is_unfinished(&self) -> bool {
        self.is_one_of(&[("illegal_argument_exception", "The bulk request must be terminated by a newline")])
    }

    /// Whether not even the first byte of a line could be read, which is `{` in all of ours: a compressed body was taken
    /// as it is. So Elasticsearch does with zstd (<https://github.com/elastic/elasticsearch/issues/146526>).
    fn is_unreadable(&self) -> bool {
        self.is_one_of(&[
            ("x_content_parse_exception", "[1:1] "),
            // Version 7 and OpenSearch name the byte instead: the first of zstd, the first of gzip.
            ("json_parse_exception", "Unexpected character ('(' "),
            ("json_parse_exception", "Illegal character ((CTRL-CHAR, code 31))"),
        ])
    }

    /// Whether it says something of the cluster, the index or the request that it would say of any record.
    fn is_about_setup(&self) -> bool {
        self.is_one_of(&[
            // ingest/IngestService.
            ("illegal_argument_exception", "pipeline with id ["),
            // BaseRestHandler: a parameter that this version does not know, such as require_data_stream.
            ("illegal_argument_exception", "request ["),
            // cluster/metadata/IndexAbstractionResolver, IndexNameExpressionResolver: an alias that cannot be written to.
            ("illegal_argument_exception", "no write index is defined for alias ["),
            ("illegal_argument_exception", "alias ["),
            ("illegal_argument_exception", "Alias ["),
            // BulkRequestParser, RestBulkAction: `rest.action.multi.allow_explicit_index`.
            ("illegal_argument_exception", "explicit index in bulk is not allowed"),
            // Transport of documents: a stream's template was removed; an index has as many documents as Lucene takes.
            ("illegal_argument_exception", "no matching index template found for data stream"),
            ("illegal_argument_exception", "number of documents in the index cannot exceed"),
            ("illegal_argument_exception", "Number of documents in the index can't exceed"),
            ("invalid_index_name_exception", ""),
            ("index_closed_exception", ""),
            // indices/ShardLimitValidator: the cluster takes no more shards, so there is no index for them.
            ("validation_exception", ""),
            ("media_type_header_exception", ""),
            ("content_type_header_exception", ""),
        ])
    }
}

/// A block of an index or the cluster: read-only, or a disk that is full, whatever the status.
const BLOCK: &str = "cluster_block_exception";
