//! What may be written after `monthend`.

use std::net::SocketAddr;
use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand};

use super::alert::{AlertCommand, ContactCommand};
use super::deployment::DeploymentCommand;
use super::feed::FeedCommand;
use super::method::MethodCommand;
use super::recharge::RechargeCommand;
use super::usage::UsageCommand;
use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;
use crate::domain::grant::Source;
use crate::domain::text;

/// Longest reason that is kept, in characters.
const MAX_REASON_CHARS: usize = 500;

/// Closes an AI platform's credit month: rates usage, burns, rolls over or expires credits, issues
/// gapless invoices as PDF and CSV, charges and mails them.
#[derive(Debug, Parser)]
#[command(
    name = "monthend",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, or nothing due; 1 finished, but something failed, was parked or \
                  quarantined (listed); 2 could not run (usage, configuration, database)."
)]
pub(crate) struct Arguments {
    /// The home folder: monthend.toml, catalog.toml, monthend.db, documents/, outbox/, inbox/
    #[arg(long, global = true, env = "MONTHEND_DIR", default_value = ".", value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// A test clock (RFC 3339); only with mode = "test"
    #[arg(long, global = true, value_name = "INSTANT")]
    pub(crate) now: Option<String>,
    /// One JSON object on stdout, nothing else there; errors as JSON on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress, and no result unless something failed: for cron
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write starter files and make the database; safe to repeat, overwrites nothing
    Init {
        /// For the real thing: the clock cannot be moved
        #[arg(long)]
        live: bool,
    },
    /// Three months on real input in a fresh monthend-demo/ folder
    Demo,
    /// The catalog: plans, packages, prices, meters, rates
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Organizations
    #[command(subcommand)]
    Org(OrgCommand),
    /// Usage events
    #[command(subcommand)]
    Usage(UsageCommand),
    /// Feeds of usage: what looks incomplete and holds closes
    #[command(subcommand)]
    Feed(FeedCommand),
    /// Credits of one organization
    #[command(subcommand)]
    Credits(CreditsCommand),
    /// What organizations were told of their use
    #[command(subcommand)]
    Alert(AlertCommand),
    /// Who of an organization is told what, by role
    #[command(subcommand)]
    Contact(ContactCommand),
    /// Do everything that is due, then exit (for cron, systemd timers, Kubernetes CronJobs)
    Tick {
        /// Confirm that up to N missed cycles are closed one after the other
        #[arg(long, value_name = "N")]
        catch_up: Option<u32>,
    },
    /// The unattended runner; SIGTERM drains it in at most 10 s
    Serve {
        /// Also answer HTTP here, like 127.0.0.1:8080; needs a bearer token (docs/OPERATIONS.md)
        #[arg(long, value_name = "ADDR")]
        http: Option<SocketAddr>,
    },
    /// Jobs: what runs, what is due, run one by hand
    #[command(subcommand)]
    Job(JobCommand),
    /// Runs: what was done, what is parked, let it go again
    #[command(subcommand)]
    Run(RunCommand),
    /// Issued invoices
    #[command(subcommand)]
    Invoice(InvoiceCommand),
    /// Payments: what came in, bank transfers, and charges that cannot be resolved otherwise
    #[command(subcommand, alias = "payments")]
    Payment(PaymentCommand),
    /// Money that goes back by bank transfer
    #[command(subcommand)]
    Refund(RefundCommand),
    /// Saved payment methods
    #[command(subcommand)]
    Method(MethodCommand),
    /// Automatic purchases of credits
    #[command(subcommand)]
    Recharge(RechargeCommand),
    /// Everything that was billed, bought, paid, given back and granted
    History {
        /// The organization's id
        organization: String,
    },
    /// Webhooks: what was sent, does an endpoint take a test
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// Who may charge and send for a database: this folder, this provider account
    #[command(subcommand)]
    Deployment(DeploymentCommand),
    /// Check every invariant, read-only; exit 1 if one does not hold
    Verify,
    /// Check configuration, database, templates, fonts, mail, gateway, due dates
    Doctor,
    /// A Stripe on this machine that moves no money, for rehearsals and tests
    RehearseStripe {
        /// Where it listens; addresses of this machine only
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:12111")]
        listen: SocketAddr,
        /// Where its notifications go: http:// on this machine
        #[arg(long, value_name = "URL")]
        webhook: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CatalogCommand {
    /// Validate catalog.toml
    Check,
    /// Make catalog.toml effective from now on; past cycles keep their version
    Apply,
    /// Import a published price map as suppliers' rates
    ImportPrices {
        /// The JSON file
        file: PathBuf,
        /// First day (UTC) the prices hold [default: today]
        #[arg(long, value_name = "DATE")]
        effective_on: Option<NaiveDate>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum OrgCommand {
    /// Import organizations from CSV; known ids are updated
    Import {
        /// The CSV file; - for stdin
        file: PathBuf,
    },
    /// All organizations
    List,
    /// One organization
    Show {
        /// Its id
        organization: String,
    },
    /// Pause an organization by hand: it is told, and may start nothing new
    Pause {
        /// Its id
        organization: String,
        /// Why, for the audit trail
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// Lift a pause by hand or for an unpaid invoice; only credits end a lack of credits
    Resume {
        /// Its id
        organization: String,
        /// Why, for the audit trail
        #[arg(long, value_parser = reason)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// Webhooks, oldest first, with their state and attempts
    List {
        /// Only this organization
        #[arg(long = "org", value_name = "ORG")]
        organization: Option<String>,
    },
    /// Send a test event to each endpoint
    Test,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CreditsCommand {
    /// The balance as of now
    Balance {
        /// The organization's id
        organization: String,
    },
    /// What happened to each grant in a cycle, open or closed
    Statement {
        /// The organization's id
        organization: String,
        /// The cycle, like 2026-10
        #[arg(long)]
        cycle: Cycle,
    },
    /// How long credits last at the present pace, and what will lapse
    Forecast {
        /// The organization's id
        organization: String,
    },
    /// Grant credits by hand
    Grant {
        /// The organization's id
        organization: String,
        /// How many
        credits: Credits,
        /// Why, for the audit trail
        #[arg(long, value_parser = reason)]
        reason: String,
        /// promotional or adjustment
        #[arg(long, default_value = "promotional")]
        source: Source,
    },
    /// Buy credits: charges the stored payment method, grants, mails a receipt
    Buy(BuyArguments),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false, id = "wanted")]
pub(crate) struct Wanted {
    /// Any number of credits
    #[arg(long)]
    pub(crate) credits: Option<Credits>,
    /// A package of the catalog
    #[arg(long)]
    pub(crate) package: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BuyArguments {
    /// The organization's id
    pub(crate) organization: String,
    #[command(flatten)]
    pub(crate) wanted: Wanted,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// All job definitions
    List,
    /// What would run now
    Due,
    /// Run or rerun a job by hand: continues or repeats safely
    Run {
        /// The job's name
        name: String,
        /// The cycle, like 2026-10
        #[arg(long)]
        cycle: Option<Cycle>,
        /// Only this organization; may be given several times
        #[arg(long = "org", value_name = "ORG")]
        organizations: Vec<String>,
        /// Why, for the audit trail
        #[arg(long, value_parser = reason)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// All runs, latest first
    List,
    /// One run with its steps
    Show {
        /// Its id
        run: String,
    },
    /// Confirm the figures a held run waits for: these, and no others
    Confirm {
        /// The run's id
        run: String,
        /// Which figures: what the message says that holds the run
        #[arg(long, value_name = "FIGURES")]
        figures: String,
        /// Why they are right, for the audit trail
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// Let parked steps go again
    Retry {
        /// The run's id
        run: String,
        /// Only this organization
        #[arg(long = "org", value_name = "ORG")]
        organization: Option<String>,
        /// Why, for the audit trail
        #[arg(long, value_parser = reason)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum InvoiceCommand {
    /// Issued invoices
    List {
        /// Only this organization
        #[arg(long = "org", value_name = "ORG")]
        organization: Option<String>,
        /// Only this cycle
        #[arg(long)]
        cycle: Option<Cycle>,
    },
    /// One invoice with its lines, credit statement and credit notes; or a receipt, or a credit note
    Show {
        /// Its number
        number: String,
    },
    /// Issue a credit note for an invoice or a receipt: money back, credits returned, or both
    Credit {
        /// Number of the invoice or receipt
        number: String,
        /// Net amount to credit, like 12.30 [default: all that is left]
        #[arg(long)]
        amount: Option<String>,
        /// Of an invoice: used credits that go back to the grants they came from. Of a receipt: unused credits
        /// that are taken back
        #[arg(long)]
        credits: Option<Credits>,
        /// Why; printed on the credit note
        #[arg(long, value_parser = reason)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RefundCommand {
    /// Refunds that have not ended: on their way, or to be transferred
    List,
    /// Record that the money of a credit note was transferred back
    Record {
        /// The credit note's number
        number: String,
        /// The bank's reference
        #[arg(long, value_parser = bank_reference)]
        reference: String,
        /// Why, for the audit trail
        #[arg(long, value_parser = reason)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PaymentCommand {
    /// Charges and bank transfers, latest first
    List {
        /// Only this organization
        #[arg(long = "org", value_name = "ORG")]
        organization: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Close an open charge as not taken, after you checked with the provider; it is asked once more
    Void {
        /// The invoice's number, or the id of a purchase
        number: String,
        /// What you found, for the audit trail
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// Record a bank transfer that pays an invoice
    Record {
        /// The invoice's number
        number: String,
        /// The amount, like 12.30 [default: all that is due]
        #[arg(long)]
        amount: Option<String>,
        /// The day it arrived [default: today]
        #[arg(long, value_name = "DATE")]
        on: Option<NaiveDate>,
        /// The bank's reference
        #[arg(long, value_parser = bank_reference)]
        reference: String,
        /// Why, for the audit trail
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// Take a bank transfer back that was recorded by mistake: the invoice is due again
    Reverse {
        /// The invoice's number
        number: String,
        /// Why, for the audit trail
        #[arg(long, value_parser = reason)]
        reason: String,
    },
}

/// A bank's reference: what finance finds the transfer by.
pub(crate) fn bank_reference(given: &str) -> Result<String, String> {
    words(given, "the bank's reference is needed")
}

/// A reason that says something: words, not white space alone (F90).
pub(crate) fn reason(given: &str) -> Result<String, String> {
    words(given, "a reason is needed, in words")
}

fn words(given: &str, missing: &str) -> Result<String, String> {
    let clean = text::clipped(given, MAX_REASON_CHARS);
    if clean.is_empty() { Err(missing.to_owned()) } else { Ok(clean) }
}
