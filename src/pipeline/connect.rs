//! Trying an output without sending it anything.

use super::{
    plan::{self, Labelling, Plan, wall_clock},
    receipts,
    settings::Settings,
};
use crate::{
    batch::{Bases, Batch, Form, Records, Selection},
    model::LabelSet,
    output::{Scratch, Verdict},
    send::Client,
};
use std::{io, time::Duration};

/// Whether an output accepts what we would send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The output's name.
    pub output: String,
    /// Why not; `None` when it does.
    pub problem: Option<String>,
}

/// Sends each output a request without records: Loki answers 204 to a stream without entries, Elasticsearch and Splunk say
/// that there is nothing in it once they know who asks, Datadog takes an empty list. Where acknowledgement is needed, it is
/// asked for too.
pub fn try_outputs(mut settings: Settings) -> io::Result<Vec<Connection>> {
    let (labelling, _) = Labelling::new(&settings);
    // A tenant that comes from a label needs one; nothing is stored under it.
    let labels = LabelSet::new(settings.labels.iter().map(|label| (label.name.clone(), "check".to_owned())));
    let plans = plan::plans(&mut settings, labelling);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let connection = |plan: &Plan| {
        let problem = match runtime.block_on(try_output(plan, &labels)) {
            Verdict::Accepted | Verdict::Queued { .. } | Verdict::Items(_) => None,
            Verdict::Refused { reason } | Verdict::TooLarge { reason } | Verdict::RefusedAt { reason, .. } => {
                Some(reason)
            }
            Verdict::Untimely(untimely) => Some(untimely.reason),
            Verdict::Stall(stall) => Some(stall.text),
        };
        Connection { output: plan.name.clone(), problem }
    };
    Ok(plans.iter().map(connection).collect())
}

async fn try_output(plan: &Plan, labels: &LabelSet) -> Verdict {
    let client = match Client::new(&plan.http, 1) {
        Ok(client) => client,
        Err(stall) => return Verdict::Stall(stall),
    };
    let head = plan.output.stream(labels);
    let (batch, selection) = (Batch::new(0, Duration::ZERO), Selection::of(0..0, Form::Full));
    let records = Records { batch: &batch, selection: &selection, bases: &Bases::default() };
    let mut request = plan.output.request(&head, records, &mut Scratch::default());
    let channel = receipts::new_channel();
    if plan.output.has_receipts() {
        request.headers.push((receipts::CHANNEL, channel.clone()));
    }
    let verdict = match client.post(request).await {
        Ok(answer) => plan.output.reply(answer.at(wall_clock()), 0),
        Err(stall) => Verdict::Stall(stall),
    };
    if verdict != Verdict::Accepted || !plan.output.needs_receipts() {
        return verdict;
    }
    // Nothing was sent under this number: the question is whether it may be asked.
    match receipts::ask(&plan.output, &client, &[0], &channel).await {
        Ok(_) => verdict,
        Err(verdict) => verdict,
    }
}
