//! A month with every secret configured, logged as loudly as can be: none of them comes out anywhere (F88).

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::home::{CANARIES, COLUMNS, Home, THREE, finish, program};

/// What signs webhooks, before it is written as base 64.
const HOOK: &[u8; 32] = b"canary-of-a-webhook-secret-01234";

/// Answers each connection on a port of its own, with the number of the connection.
fn served(answer: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let (answer, seen) = (Arc::new(answer), count.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let at = seen.fetch_add(1, Ordering::SeqCst);
            let answer = answer.clone();
            std::thread::spawn(move || answer(stream, at));
        }
    });
    (port, count)
}

/// A mail server that refuses the first passwords it is given and then takes everything.
fn mail_server(stream: TcpStream, at: usize) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut out = stream;
    let mut data = false;
    let _ = out.write_all(b"220 test\r\n");
    while let Some(Ok(line)) = lines.next() {
        let answer: &[u8] = match line.get(..4).unwrap_or_default() {
            _ if data => {
                data = line != ".";
                if data { b"" } else { b"250 taken\r\n" }
            }
            "EHLO" => b"250-test\r\n250 AUTH PLAIN LOGIN\r\n",
            "AUTH" if at < 2 => b"535 5.7.8 not this password\r\n",
            "AUTH" => b"235 welcome\r\n",
            "DATA" => {
                data = true;
                b"354 go on\r\n"
            }
            "QUIT" => b"221 bye\r\n",
            _ => b"250 ok\r\n",
        };
        if out.write_all(answer).is_err() {
            return;
        }
    }
}

/// An endpoint in trouble, and well again.
fn web_server(mut stream: TcpStream, at: usize) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let status = if at < 2 { "500 Trouble" } else { "200 OK" };
    let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
}

/// Every file below a folder.
fn files(folder: &Path, all: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
        } else {
            all.push(path);
        }
    }
}

#[test]
fn no_secret_comes_out_of_a_loud_month() {
    let (mail_port, mails) = served(mail_server);
    let (web_port, calls) = served(web_server);
    let home = Home::with(THREE);
    let hook = STANDARD.encode(HOOK);
    home.write("password", CANARIES[1]);
    home.write("hook", format!("whsec_{hook}"));
    home.edit(
        "monthend.toml",
        "transport = \"outbox\"",
        &format!(
            "transport = \"smtp\"\nsmtp = {{ host = \"127.0.0.1\", port = {mail_port}, username = \"u\", tls = \
             \"none\", timeout_s = 5, password_file = \"password\" }}"
        ),
    );
    let more = format!(
        "{}\n[[webhooks]]\nname = \"product\"\nurl = \"http://127.0.0.1:{web_port}/hook?token=canary-in-an-address\"\n\
         secret_file = \"hook\"\n",
        home.read("monthend.toml")
    );
    home.write("monthend.toml", more);
    let secrets = [
        CANARIES[1].to_owned(),
        CANARIES[3].to_owned(),
        hook,
        String::from_utf8_lossy(HOOK).into_owned(),
        "canary-in-an-address".to_owned(),
        // As the mail protocol says it.
        STANDARD.encode(format!("\0u\0{}", CANARIES[1])),
        STANDARD.encode(CANARIES[1]),
    ];
    let unseen = |text: &str, place: &str| {
        for (at, secret) in secrets.iter().enumerate() {
            assert!(!text.contains(secret.as_str()), "secret {at} is in {place}");
        }
    };
    let mut spoken = 0;
    for (now, words) in [
        ("2026-01-10T09:00:00Z", "credits buy acme --credits 20"),
        ("2026-01-10T09:01:00Z", "org pause acme --reason test"),
        ("2026-01-10T09:02:00Z", "org resume acme --reason test"),
        ("2026-01-10T10:00:00Z", "webhook test"),
        ("2026-02-01T03:00:00Z", "tick"),
        ("2026-02-01T04:00:00Z", "tick"),
        ("2026-02-01T08:00:00Z", "--json tick"),
        ("2026-02-02T08:00:00Z", "tick"),
        ("2026-02-02T08:01:00Z", "doctor"),
        ("2026-02-02T08:01:00Z", "--json run list"),
        ("2026-02-02T08:01:00Z", "webhook list"),
        ("2026-02-02T08:01:00Z", "org show bolt"),
        ("2026-02-02T08:01:00Z", "verify"),
    ] {
        let mut command = program();
        command.env("MONTHEND_LOG", "trace").arg("--dir").arg(home.path());
        command.args(["--now", now]).args(words.split_whitespace());
        let answer = finish(command, "");
        spoken += answer.stderr.len();
        unseen(&answer.stdout, words);
        unseen(&answer.stderr, words);
    }
    assert!(spoken > 1_000, "nothing was logged: {spoken}");
    assert!(mails.load(Ordering::SeqCst) > 2 && calls.load(Ordering::SeqCst) > 2);
    let mut child = program()
        .args(["--dir", home.path().to_str().unwrap(), "--now", "2026-02-03T03:00:00Z"])
        .args(["serve", "--http", "127.0.0.1:0"])
        .env("MONTHEND_LOG", "trace")
        .env("MONTHEND_HTTP_TOKEN", CANARIES[3])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let begun: Vec<String> =
        lines.by_ref().take_while(|line| !line.contains("listening")).collect();
    let pid = child.id().to_string();
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    unseen(&String::from_utf8_lossy(&arguments), "the arguments of the process");
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest:?}");
    unseen(&begun.concat(), "the log of serve");
    unseen(&rest.concat(), "the log of serve");
    let mut all = Vec::new();
    files(home.path(), &mut all);
    assert!(all.len() > 8);
    for path in all {
        let own = ["password", "hook", "monthend.toml"];
        if !own.iter().any(|name| path.ends_with(name)) {
            let bytes = std::fs::read(&path).unwrap();
            unseen(&String::from_utf8_lossy(&bytes), &path.display().to_string());
        }
    }
}

/// `rehearse-stripe` in a process of its own; it ends with the test.
struct Provider(std::process::Child, String);

impl Provider {
    fn start() -> Self {
        let mut child = program()
            .args(["--json", "rehearse-stripe", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        Self(child, said["base_url"].as_str().unwrap().to_owned())
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The whole answer to a request, as text.
fn asked(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Organizations, each with another card of the rehearsal.
fn of_each_card() -> String {
    let cards = ["visa", "declined", "stolen", "processing", "timeout_after", "requires_action"];
    let rows = cards.map(|card| {
        let id = card.replace('_', "-");
        format!("{id},{id},b@{id}.example,standard,2026-01-01,,cus_{id}/pm_card_{card},,,,,,")
    });
    format!("{COLUMNS}\n{}\n", rows.join("\n"))
}

// F88: keys and signatures are in every request to a provider and from it; a provider that declines, hangs, or
// refuses the key makes the longest errors.
#[test]
fn no_secret_comes_out_of_a_month_in_trouble_with_stripe() {
    const KEY: &str = "sk_test_canary_of_a_loud_month";
    const STRANGER: &str = "rk_canary_that_nobody_knows";
    const HOOK: &str = "whsec_canary_of_a_loud_month";
    let provider = Provider::start();
    let home = Home::new();
    home.edit(
        "monthend.toml",
        "gateway = \"sandbox\"",
        &format!("gateway = \"stripe\"\nstripe.base_url = \"{}\"", provider.1),
    );
    home.edit("monthend.toml", "timeout_s = 30", "timeout_s = 1");
    home.write("organizations.csv", of_each_card());
    let secrets = [KEY, STRANGER, HOOK, CANARIES[3]];
    let unseen = |text: &str, place: &str| {
        for (at, secret) in secrets.iter().enumerate() {
            assert!(!text.contains(secret), "secret {at} is in {place}");
            assert!(!text.contains(&STANDARD.encode(format!("{secret}:"))), "secret {at}: {place}");
        }
    };
    let speak = |key: &str, now: &str| {
        let mut command = program();
        command.env("MONTHEND_LOG", "trace").env("MONTHEND_STRIPE_KEY", key);
        command.env("MONTHEND_STRIPE_WEBHOOK_SECRET", HOOK).env("MONTHEND_HTTP_TOKEN", CANARIES[3]);
        command.arg("--dir").arg(home.path()).args(["--now", now]).current_dir(home.path());
        command
    };
    let mut said = String::new();
    for (key, now, words) in [
        (KEY, "2026-01-01T09:00:00Z", "org import organizations.csv"),
        (KEY, "2026-01-10T09:00:00Z", "credits buy declined --credits 20"),
        (STRANGER, "2026-01-10T09:01:00Z", "credits buy visa --credits 20"),
        ("", "2026-01-10T09:02:00Z", "tick"),
        (KEY, "2026-02-01T03:00:00Z", "tick"),
        (KEY, "2026-02-01T04:00:00Z", "--json tick"),
        (STRANGER, "2026-02-02T08:00:00Z", "doctor"),
        (KEY, "2026-02-02T08:01:00Z", "doctor"),
        (KEY, "2026-02-02T08:02:00Z", "method list visa"),
        (KEY, "2026-02-02T08:02:00Z", "invoice list"),
        (KEY, "2026-02-02T08:02:00Z", "verify"),
    ] {
        let mut command = speak(key, now);
        command.args(words.split_whitespace());
        let answer = finish(command, "");
        unseen(&answer.stdout, words);
        unseen(&answer.stderr, words);
        said.push_str(&answer.stderr);
    }
    // It was loud about what these are for.
    for word in ["charge declined", "the outcome of the charge"] {
        assert!(said.contains(word), "nothing was said of {word}");
    }
    let mut child = speak(KEY, "2026-02-03T03:00:00Z")
        .args(["serve", "--http", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut log = String::new();
    let port = lines
        .by_ref()
        .find_map(|line| {
            log.push_str(&line);
            line.contains("listening").then(|| line.rsplit(':').next().map(str::to_owned))?
        })
        .unwrap();
    let port: u16 = port.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
    let rest = std::thread::spawn(move || lines.collect::<Vec<String>>());
    for (token, status) in [(CANARIES[3], "200"), (STRANGER, "401")] {
        let answer = asked(
            port,
            &format!(
                "GET /v1/organizations/visa/authorization HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer \
                 {token}\r\nconnection: close\r\n\r\n"
            ),
        );
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        unseen(&answer, "an answer");
    }
    let answer = asked(
        port,
        &format!(
            "POST /v1/webhooks/stripe HTTP/1.1\r\nhost: localhost\r\nstripe-signature: t=1,v1={STRANGER}\r\n\
             content-length: 2\r\nconnection: close\r\n\r\n{{}}"
        ),
    );
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    unseen(&answer, "an answer");
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    unseen(&log, "the log of serve");
    unseen(&rest.join().unwrap().concat(), "the log of serve");
    let mut all = Vec::new();
    files(home.path(), &mut all);
    for path in all {
        unseen(
            &String::from_utf8_lossy(&std::fs::read(&path).unwrap()),
            &path.display().to_string(),
        );
    }
}

// F88: a key in the place of its file's name was repeated by the error.
#[test]
fn a_key_in_the_place_of_its_file_is_not_repeated() {
    let home = Home::new();
    let wrong = "gateway = \"stripe\"\nstripe.key_file = \"sk_test_canary_in_a_wrong_place\"";
    home.edit("monthend.toml", "gateway = \"sandbox\"", wrong);
    let answer = home.run("2026-01-02", "doctor");
    assert!(answer.code > 0 && !answer.stderr.contains("canary"), "{answer:?}");
    assert!(!answer.stdout.contains("canary"), "{answer:?}");
    home.run("2026-01-02", "tick").refuses(&["key_file", "the secret stands in that file"]);
}

// F88: the hook that tells a panic prints what it is given; what holds a secret gives none.
#[test]
fn a_panic_with_the_whole_configuration_tells_no_secret() {
    let home = Home::new();
    home.write("password", CANARIES[1]);
    home.edit(
        "monthend.toml",
        "mode = \"test\"",
        &format!("mode = \"test\"\ndatabase = \"postgres://u:{}@h/d\"", CANARIES[0]),
    );
    let config = monthend::config::Config::load(home.path()).unwrap();
    let held = monthend::domain::secret::Secret::new(CANARIES[3].to_owned());
    let panicked = std::panic::catch_unwind(|| {
        assert!(config.database.is_none(), "{config:?} {config:#?} {held:?} {:?}", Some(&held));
    });
    let said = panicked.unwrap_err();
    let said = said.downcast_ref::<String>().unwrap();
    assert!(said.len() > 1_000, "{said}");
    assert!(CANARIES.iter().all(|canary| !said.contains(canary)), "{said}");
}

// The sweep over a whole run's output knows every canary of these tests.
#[test]
fn the_sweep_knows_every_canary() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/canaries");
    let text = std::fs::read_to_string(&script).unwrap();
    for canary in CANARIES {
        assert!(text.contains(canary));
    }
    let folder = tempfile::tempdir().unwrap();
    let swept = |text: &str| {
        monthend::files::write_durably(&folder.path().join("log"), text.as_bytes()).unwrap();
        std::process::Command::new(&script).arg(folder.path()).output().unwrap()
    };
    assert!(swept("nothing to see").status.success());
    for canary in CANARIES {
        let found = swept(&format!("x{canary}x"));
        assert_eq!(found.status.code(), Some(1), "{found:?}");
        assert!(!String::from_utf8_lossy(&found.stderr).contains(canary));
    }
}
