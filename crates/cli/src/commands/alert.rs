//! `llmops alert`: what is wrong, and who is told of it.

use clap::Subcommand;
use llmops_api::alerts::{AlertQuery, AlertStatus, CreateSilence, DeliveryQuery, TestChannels};
use llmops_domain::alert::{Alert, AlertType, Delivery, DeliveryStatus, Matcher, Severity, Silence};
use llmops_domain::config::duration::HumanDuration;

use super::{Context, More};
use crate::failure::{Failure, Kind, Outcome};
use crate::project::Project;
use crate::terminal::{self, Cell, Column, Look, Tone};
use crate::times;

/// What is wrong, and who is told of it.
#[derive(Debug, Subcommand)]
pub(crate) enum AlertCommand {
    /// List alerts, newest first
    List(ListArgs),
    /// Show an alert with its evidence
    Show {
        /// The alert: an id or the beginning of one
        alert: String,
    },
    /// Say that you have seen it: channels hear no more of it unless it becomes worse
    Ack {
        /// The alert: an id or the beginning of one
        alert: String,
    },
    /// Say that it is over
    Resolve {
        /// The alert: an id or the beginning of one
        alert: String,
    },
    /// Keep alerts quiet for a time; without options: all of them
    Silence(SilenceArgs),
    /// List the silences that have not ended
    Silences,
    /// End a silence
    Unsilence {
        /// The silence's id
        silence: String,
    },
    /// Send a test message through every channel
    Test {
        /// Only this channel
        channel: Option<String>,
    },
    /// List the channels of llmops.yaml
    Channels,
    /// List messages to channels, newest first
    Deliveries {
        /// pending, delivered or dead
        #[arg(long)]
        status: Option<DeliveryStatus>,
        /// Messages to this channel
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// Send a message anew that was given up, or that is delivered already
    Replay {
        /// Ids of messages
        #[arg(required_unless_present = "dead")]
        deliveries: Vec<String>,
        /// All that were given up
        #[arg(long, conflicts_with = "deliveries")]
        dead: bool,
    },
}

/// Which alerts to list.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// regression, threshold, anomaly or experiment
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<AlertType>,
    /// info, warning or critical
    #[arg(long, value_name = "SEVERITY")]
    severity: Vec<Severity>,
    /// About this: evaluation, experiment …
    #[arg(long)]
    source: Option<String>,
    /// Only those that nobody acknowledged
    #[arg(long)]
    unacked: bool,
    /// Resolved ones too
    #[arg(long)]
    all: bool,
    /// Raised at or after this time: how long ago (1h, 7d), a date, or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = times::past)]
    since: Option<jiff::Timestamp>,
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
}

/// Which alerts to keep quiet, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct SilenceArgs {
    /// For how long: 30m, 2h, 7d
    #[arg(long = "for", value_name = "DURATION")]
    length: HumanDuration,
    /// Only this type
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<AlertType>,
    /// Only this severity
    #[arg(long, value_name = "SEVERITY")]
    severity: Vec<Severity>,
    /// Only about this source
    #[arg(long)]
    source: Option<String>,
    /// Only about this metric or category
    #[arg(long)]
    metric: Option<String>,
    /// Only about runs of this prompt
    #[arg(long, value_name = "NAME")]
    prompt: Option<String>,
    /// Only about runs of this model
    #[arg(long, value_name = "PROVIDER/MODEL")]
    model: Option<String>,
    /// Only about runs on this dataset
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Only alerts of the same cause as this one
    #[arg(long, value_name = "ID")]
    alert: Option<String>,
    /// Why
    #[arg(long, default_value = "")]
    comment: String,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: AlertCommand) -> Outcome {
    let project = Project::find(&context.global, &context.ui)?;
    let client = project.client(&context.global).await?;
    match command {
        AlertCommand::List(args) => {
            let page = client.list_alerts(&args.query()).await?;
            context.show_page(&page, More::ByLimit, || alerts(context, &page.items))
        }
        AlertCommand::Show { alert } => {
            let alert = client.get_alert(&alert).await?;
            context.show(&alert, || shown(context, &alert))
        }
        AlertCommand::Ack { alert } => {
            let alert = client.acknowledge_alert(&alert).await?;
            context.show(&alert, || format!("{} is acknowledged", alert.id))
        }
        AlertCommand::Resolve { alert } => {
            let alert = client.resolve_alert(&alert).await?;
            context.show(&alert, || format!("{} is resolved", alert.id))
        }
        AlertCommand::Silence(args) => {
            let fingerprint = match &args.alert {
                Some(alert) => Some(client.get_alert(alert).await?.fingerprint.as_str().to_owned()),
                None => None,
            };
            let silence = client.create_silence(&args.request(fingerprint)?).await?;
            context.show(&silence, || format!("{} ends at {}", silence.id, time(silence.ends_at)))
        }
        AlertCommand::Silences => {
            let page = client.list_silences().await?;
            context.show(&page, || silences(context, &page.items))
        }
        AlertCommand::Unsilence { silence } => {
            client.end_silence(&silence).await?;
            context.show(&serde_json::json!({"id": silence}), || format!("{silence} has ended"))
        }
        AlertCommand::Test { channel } => test(context, &client, channel).await,
        AlertCommand::Channels => {
            let page = client.list_channels().await?;
            context.show(&page, || channels(context, &page.items))
        }
        AlertCommand::Deliveries { status, channel, limit } => {
            let query = DeliveryQuery { status, channel, limit: Some(limit), cursor: None };
            let page = client.list_deliveries(&query).await?;
            context.show(&page, || deliveries(context, &page.items))
        }
        AlertCommand::Replay { deliveries, dead } => replay(context, &client, deliveries, dead).await,
    }
}

impl ListArgs {
    fn query(self) -> AlertQuery {
        let list = |names: Vec<&str>| (!names.is_empty()).then(|| names.join(","));
        AlertQuery {
            types: list(self.types.iter().map(|kind| kind.as_str()).collect()),
            severities: list(self.severity.iter().map(|severity| severity.as_str()).collect()),
            source: self.source,
            unacked: self.unacked.then_some(true),
            status: (!self.all).then_some(AlertStatus::Open),
            start_time: self.since.map(|time| time.to_string()),
            limit: Some(self.limit),
            ..AlertQuery::default()
        }
    }
}

impl SilenceArgs {
    fn request(self, fingerprint: Option<String>) -> Outcome<CreateSilence> {
        let length = jiff::SignedDuration::try_from(self.length.0).unwrap_or(jiff::SignedDuration::MAX);
        let ends_at = llmops_domain::clock::now()
            .checked_add(length)
            .map_err(|e| Failure::because(Kind::Usage, format!("{} is too long", self.length), &e))?;
        let matcher = Matcher {
            types: self.types,
            severities: self.severity,
            source: self.source,
            source_id: None,
            metric: self.metric,
            prompt: self.prompt,
            model: self.model,
            dataset: self.dataset,
            fingerprint,
        };
        Ok(CreateSilence { matcher, ends_at, comment: self.comment })
    }
}

async fn test(context: &Context, client: &llmops_api::Client, channel: Option<String>) -> Outcome {
    let page = client.test_channels(&TestChannels { channel }).await?;
    if page.items.is_empty() {
        return Err(Failure::usage("there are no channels").hint("the section `channels` of llmops.yaml names them"));
    }
    context.show(&page, || {
        let columns = [Column::text("channel"), Column::text("kind"), Column::text("delivered"), Column::text("")];
        let rows = page.items.iter().map(|tested| {
            let ok = if tested.ok { Cell::toned(Tone::Good, "yes") } else { Cell::toned(Tone::Bad, "no") };
            let error = tested.error.clone().unwrap_or_default();
            vec![Cell::toned(Tone::Strong, &tested.channel), (&tested.kind).into(), ok, error.into()]
        });
        terminal::table(context.ui.out, &columns, rows.collect())
    })?;
    if page.items.iter().all(|tested| tested.ok) {
        return Ok(());
    }
    Err(Failure::new(Kind::Undecided, "some channels did not take the message"))
}

async fn replay(context: &Context, client: &llmops_api::Client, mut ids: Vec<String>, dead: bool) -> Outcome {
    if dead {
        let query = DeliveryQuery { status: Some(DeliveryStatus::Dead), limit: Some(500), ..DeliveryQuery::default() };
        ids = client.list_deliveries(&query).await?.items.into_iter().map(|delivery| delivery.id).collect();
    }
    let mut replayed = Vec::with_capacity(ids.len());
    for id in ids {
        replayed.push(client.replay_delivery(&id).await?);
    }
    context.show(&replayed, || match &replayed[..] {
        [] => "nothing was given up".to_owned(),
        some => some.iter().map(|delivery| format!("{} will be sent anew\n", delivery.id)).collect(),
    })
}

fn time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Info => Tone::Plain,
        Severity::Warning => Tone::Warn,
        Severity::Critical => Tone::Bad,
    }
}

fn status(alert: &Alert) -> (Tone, &'static str) {
    match (alert.resolved_at, alert.acked_at) {
        (Some(_), _) => (Tone::Good, "resolved"),
        (None, Some(_)) => (Tone::Faint, "acknowledged"),
        (None, None) => (Tone::Plain, "open"),
    }
}

/// Two lines an alert, or more on a narrow terminal: ids are there to be copied, and messages are sentences.
fn alerts(context: &Context, alerts: &[Alert]) -> String {
    if alerts.is_empty() {
        return "no alerts".to_owned();
    }
    alerts.iter().map(|alert| listed(context.ui.out, alert)).collect()
}

fn listed(look: Look, alert: &Alert) -> String {
    let (status_tone, status) = status(alert);
    let times = if alert.count == 1 { "once".to_owned() } else { format!("{} times", alert.count) };
    let head = format!("{:8}  {:10}  {status}", alert.severity.as_str(), alert.kind.as_str());
    let tail = format!("{times}, last {}", time(alert.last_seen_at));
    let fits = alert.id.as_str().len() + head.len() + tail.len() + 4 <= look.width;
    format!(
        "{}  {}  {:10}  {}{}{tail}\n{}",
        look.paint(Tone::Strong, alert.id.as_str()),
        look.paint(tone(alert.severity), &format!("{:8}", alert.severity.as_str())),
        alert.kind.as_str(),
        look.paint(status_tone, status),
        if fits { ", " } else { "\n  " },
        terminal::wrap(&alert.message, look.width, "  ")
    )
}

fn shown(context: &Context, alert: &Alert) -> String {
    let number = |value: Option<f64>| value.map(|value| value.to_string());
    let facts = [
        ("alert", Some(alert.id.0.clone())),
        ("type", Some(format!("{}, {}", alert.kind, alert.severity))),
        ("message", Some(alert.message.clone())),
        (
            "about",
            Some(
                [Some(&alert.source), alert.source_id.as_ref()]
                    .into_iter()
                    .flatten()
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
        ),
        ("metric", alert.metric.clone()),
        ("measured", number(alert.actual_value)),
        ("limit", number(alert.threshold)),
        ("raised", Some(time(alert.created_at))),
        ("last seen", Some(format!("{}, {} times in all", time(alert.last_seen_at), alert.count))),
        ("channels told", Some(alert.notified_at.map_or_else(|| "no".to_owned(), time))),
        ("acknowledged", alert.acked_at.map(time)),
        ("resolved", alert.resolved_at.map(time)),
        ("fingerprint", Some(alert.fingerprint.short().to_owned())),
    ];
    let mut out = terminal::pairs(context.ui.out, facts.into_iter().filter_map(|(name, fact)| Some((name, fact?))));
    if !alert.metadata.is_empty() {
        out.push_str("\nevidence\n");
        let evidence = alert.metadata.iter().map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (format!("  {name}"), text)
        });
        out += &terminal::pairs(context.ui.out, evidence);
    }
    out
}

fn silences(context: &Context, silences: &[Silence]) -> String {
    if silences.is_empty() {
        return "no silences".to_owned();
    }
    let columns = [Column::id("silence"), Column::text("ends (UTC)"), Column::text("alerts"), Column::text("comment")];
    let rows = silences.iter().map(|silence| {
        let matcher = serde_json::to_string(&silence.matcher).unwrap_or_default();
        let matcher = if silence.matcher.is_empty() { "all".to_owned() } else { matcher };
        vec![
            Cell::toned(Tone::Strong, &silence.id),
            silence.ends_at.strftime("%Y-%m-%d %H:%M").to_string().into(),
            matcher.into(),
            (&silence.comment).into(),
        ]
    });
    terminal::table(context.ui.out, &columns, rows.collect())
}

fn channels(context: &Context, channels: &[llmops_api::alerts::Channel]) -> String {
    if channels.is_empty() {
        return "no channels: the section `channels` of llmops.yaml names them".to_owned();
    }
    let columns = [
        Column::text("channel"),
        Column::text("kind"),
        Column::text("severities"),
        Column::text("types"),
        Column::text("resolved"),
        Column::text(""),
    ];
    let names = |names: Vec<&str>| if names.is_empty() { "all".to_owned() } else { names.join(", ") };
    let rows = channels.iter().map(|channel| {
        let unset = channel.unset.join(", ");
        let note = if unset.is_empty() { unset } else { format!("{unset} is not set") };
        vec![
            Cell::toned(Tone::Strong, &channel.name),
            (&channel.kind).into(),
            names(channel.severities.iter().map(|severity| severity.as_str()).collect()).into(),
            names(channel.types.iter().map(|kind| kind.as_str()).collect()).into(),
            if channel.resolved { "yes" } else { "no" }.into(),
            Cell::toned(Tone::Warn, note),
        ]
    });
    terminal::table(context.ui.out, &columns, rows.collect())
}

fn deliveries(context: &Context, deliveries: &[Delivery]) -> String {
    if deliveries.is_empty() {
        return "no messages".to_owned();
    }
    let columns = [
        Column::id("message"),
        Column::text("made (UTC)").optional(),
        Column::text("channel"),
        Column::text("status"),
        Column::number("alerts").optional(),
        Column::number("attempts").optional(),
        Column::text("next attempt (UTC)").optional(),
        Column::text("last error"),
    ];
    let rows = deliveries.iter().map(|delivery| {
        let tone = match delivery.status {
            DeliveryStatus::Pending => Tone::Plain,
            DeliveryStatus::Delivered => Tone::Good,
            DeliveryStatus::Dead => Tone::Bad,
        };
        let next = delivery.next_attempt_at.map(|at| at.strftime("%H:%M:%S").to_string()).unwrap_or_default();
        vec![
            Cell::toned(Tone::Strong, &delivery.id),
            delivery.created_at.strftime("%Y-%m-%d %H:%M").to_string().into(),
            (&delivery.channel).into(),
            Cell::toned(tone, delivery.status.as_str()),
            delivery.notice.count.to_string().into(),
            delivery.attempt.to_string().into(),
            next.into(),
            delivery.error.clone().unwrap_or_default().into(),
        ]
    });
    terminal::table(context.ui.out, &columns, rows.collect())
}
