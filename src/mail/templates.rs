//! The texts of mails: embedded defaults, each replaceable by a file of the same name in a folder.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, context};

use super::facts::MailFacts;
use crate::domain::cycle::Cycle;
use crate::domain::grant::Source;
use crate::domain::text;

/// The default of these file names.
macro_rules! defaults {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../templates/mail/", $name)))),*]
    };
}

/// Every default, by file name.
const DEFAULTS: &[(&str, &str)] = defaults![
    "layout.html",
    "layout.txt",
    "invoice.txt",
    "invoice.html",
    "receipt.txt",
    "receipt.html",
    "payment_failed.txt",
    "payment_failed.html",
    "payment_reminder.txt",
    "payment_reminder.html",
    "payment_reversed.txt",
    "payment_reversed.html",
    "uncollectible.txt",
    "uncollectible.html",
    "credit_note.txt",
    "credit_note.html",
    "refunded.txt",
    "refunded.html",
    "payment_method.txt",
    "payment_method.html",
    "alert.txt",
    "alert.html",
    "expiry.txt",
    "expiry.html",
    "paused.txt",
    "paused.html",
    "resumed.txt",
    "resumed.html",
    "recharge_stopped.txt",
    "recharge_stopped.html",
];

/// How the first line of a text template begins; the rest of the line is the subject.
const SUBJECT: &str = "Subject:";

/// Longest subject, in characters.
const MAX_SUBJECT_CHARS: usize = 200;

/// Largest template file that is read.
const MAX_TEMPLATE_BYTES: u64 = 1 << 20;

/// Instructions a rendering may take, so that an endless loop in a replaced template ends.
const FUEL: u64 = 1_000_000;

/// A template that cannot be read, understood or filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mail template {file}{}: {reason}", place(*line))]
pub struct TemplateError {
    /// The file, or the name of the embedded default.
    pub file: String,
    /// The line in it, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

fn place(line: Option<usize>) -> String {
    line.map(|line| format!(", line {line}")).unwrap_or_default()
}

/// Which attachments a mail has, for its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enclosed {
    /// Names of the files that go with the mail.
    pub attached: Vec<String>,
    /// Names of the files that were too big (F80).
    pub omitted: Vec<String>,
}

/// A filled template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One line.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
}

/// The templates of one run.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    folder: Option<PathBuf>,
}

impl Templates {
    /// Loads the templates; a file in `dir` replaces the default of the same name. All are parsed
    /// now, so that a mistake shows before the first mail; [`Templates::check`] also fills them.
    ///
    /// # Errors
    /// A template that cannot be read or parsed.
    pub fn load(dir: Option<&Path>) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_syntax(
            SyntaxConfig::builder()
                .trim_blocks(true)
                .lstrip_blocks(true)
                .build()
                .map_err(|error| located(None, "syntax", &error))?,
        );
        environment.set_fuel(Some(FUEL));
        add_filters(&mut environment);
        let templates = Self { environment, folder: dir.map(Path::to_owned) };
        templates.with_sources()
    }

    fn with_sources(mut self) -> Result<Self, TemplateError> {
        if let Some(folder) = self.folder.as_deref().filter(|folder| !folder.is_dir()) {
            return Err(TemplateError {
                file: folder.display().to_string(),
                line: None,
                reason: "the folder does not exist".to_owned(),
            });
        }
        for &(name, default) in DEFAULTS {
            let source = match &self.folder {
                None => None,
                Some(folder) => replacement(&folder.join(name))?,
            };
            self.environment
                .add_template_owned(name, source.unwrap_or_else(|| default.to_owned()))
                .map_err(|error| located(self.folder.as_deref(), name, &error))?;
        }
        Ok(self)
    }

    /// Fills the templates of the facts' occasion. The facts are expected to be cleaned.
    ///
    /// # Errors
    /// A template uses a fact that does not exist, or has no subject line.
    pub fn render(
        &self,
        facts: &MailFacts,
        enclosed: &Enclosed,
    ) -> Result<Rendered, TemplateError> {
        let name = facts.occasion.template();
        let facts = Value::from(Serde(facts));
        let facts = context! {
            attached => enclosed.attached.clone(), omitted => enclosed.omitted.clone(), ..facts
        };
        let text_name = format!("{name}.txt");
        let text = self.fill(&text_name, facts.clone())?;
        let (first, body) = text.split_once('\n').unwrap_or((&text, ""));
        let subject = first
            .strip_prefix(SUBJECT)
            .map(|subject| text::clipped(subject, MAX_SUBJECT_CHARS))
            .filter(|subject| !subject.is_empty())
            .ok_or_else(|| TemplateError {
                file: file_of(self.folder.as_deref(), &text_name),
                line: Some(1),
                reason: format!("the first line must be \"{SUBJECT} …\""),
            })?;
        let html =
            self.fill(&format!("{name}.html"), context! { subject => subject.as_str(), ..facts })?;
        let text = squeezed(body);
        Ok(Rendered { subject, text, html })
    }

    /// Fills every template with sample facts, for `doctor`.
    ///
    /// # Errors
    /// The first template that fails.
    pub fn check(&self) -> Result<(), TemplateError> {
        let enclosed = Enclosed {
            attached: vec!["INV-2026-000001.csv".to_owned()],
            omitted: vec!["INV-2026-000001.pdf".to_owned()],
        };
        for facts in super::samples::all() {
            self.render(&facts, &enclosed)?;
            self.render(&facts, &Enclosed::default())?;
        }
        Ok(())
    }

    fn fill(&self, name: &str, facts: Value) -> Result<String, TemplateError> {
        self.environment
            .get_template(name)
            .and_then(|template| template.render(facts))
            .map_err(|error| located(self.folder.as_deref(), name, &error))
    }
}

/// The text without empty lines at its ends and never with two in a row, which blocks leave behind.
fn squeezed(body: &str) -> String {
    let mut text = String::with_capacity(body.len());
    for line in body.trim().lines() {
        if !line.trim().is_empty() || !text.ends_with("\n\n") {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}

/// The file that replaces a default, if there is one.
fn replacement(path: &Path) -> Result<Option<String>, TemplateError> {
    let failed =
        |reason: String| TemplateError { file: path.display().to_string(), line: None, reason };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error.to_string())),
        Ok(metadata) if metadata.len() > MAX_TEMPLATE_BYTES => {
            Err(failed(format!("larger than {MAX_TEMPLATE_BYTES} bytes")))
        }
        Ok(_) => std::fs::read_to_string(path).map(Some).map_err(|e| failed(e.to_string())),
    }
}

/// The error with the file a person can open. The innermost template is the one to mend.
fn located(folder: Option<&Path>, name: &str, error: &Error) -> TemplateError {
    let mut innermost = error;
    while let Some(deeper) =
        std::error::Error::source(innermost).and_then(|source| source.downcast_ref::<Error>())
    {
        innermost = deeper;
    }
    let reason = innermost.detail().map_or_else(
        || innermost.kind().to_string(),
        |detail| format!("{}: {detail}", innermost.kind()),
    );
    TemplateError {
        file: file_of(folder, innermost.name().unwrap_or(name)),
        line: innermost.line(),
        reason,
    }
}

fn file_of(folder: Option<&Path>, name: &str) -> String {
    folder
        .map(|folder| folder.join(name))
        .filter(|path| path.exists())
        .map_or_else(|| format!("{name} (built in)"), |path| path.display().to_string())
}

fn add_filters(environment: &mut Environment<'static>) {
    environment.add_filter("money", money);
    environment.add_filter("credits", |amount: String| text::grouped(&amount));
    environment.add_filter("date", date);
    environment.add_filter("month", month);
    environment.add_filter("counted", counted);
    environment.add_filter("source", source);
    environment.add_test("spent", |credits: &str| credits == "0" || credits.starts_with('-'));
    environment.add_filter("left", |text: String, width: usize| format!("{text:<width$}"));
    environment.add_filter("right", |text: String, width: usize| format!("{text:>width$}"));
}

/// `{"amount": "1234.50", "currency": "USD"}` → `1,234.50 USD`.
fn money(value: &Value) -> Result<String, Error> {
    let part = |name| {
        value.get_attr(name)?.as_str().map(str::to_owned).ok_or_else(|| {
            Error::new(ErrorKind::InvalidOperation, "the money filter needs an amount of money")
        })
    };
    Ok(format!("{} {}", text::grouped(&part("amount")?), part("currency")?))
}

/// `1`, `credit` → `1 credit`; `1200`, `credit` → `1,200 credits`.
fn counted(number: &Value, noun: &str) -> String {
    let number = number.to_string();
    let plural = if number == "1" { "" } else { "s" };
    format!("{} {noun}{plural}", text::grouped(&number))
}

/// `allowance` → `Plan allowance`.
fn source(stored: &str) -> Result<&'static str, Error> {
    match stored.parse() {
        Ok(Source::Allowance) => Ok("Plan allowance"),
        Ok(Source::Promotional) => Ok("Promotional credits"),
        Ok(Source::Adjustment) => Ok("Adjustment"),
        Ok(Source::Purchase) => Ok("Purchase"),
        Err(reason) => Err(Error::new(ErrorKind::InvalidOperation, reason)),
    }
}

/// `2026-10-31` → `31 October 2026`: no reader takes the month for the day.
fn date(iso: &str) -> Result<String, Error> {
    iso.parse::<NaiveDate>().map(|date| date.format("%-d %B %Y").to_string()).map_err(|_| {
        Error::new(ErrorKind::InvalidOperation, format!("{iso:?} is not a date like 2026-10-31"))
    })
}

/// `2026-10` → `October 2026`.
fn month(cycle: &str) -> Result<String, Error> {
    cycle
        .parse::<Cycle>()
        .map(|cycle| cycle.first_day().format("%B %Y").to_string())
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
}
